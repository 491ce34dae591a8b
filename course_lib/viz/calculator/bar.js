// The memory of the GPU as a bar: weights, requests, and what is left.

import { dashedLine, hatch, roundBox, sheet, tint, write } from "../kit/canvas.js";
import { clamp, count } from "../kit/format.js";
import { readable, stretches } from "./sizes.js";

const TOP = 26;
const TALL = 54;
const HEIGHT = TOP + TALL + 24;
const ORDER = ["spare", "weights", "one", "more", "free", "over", "needed"]; // the later ones lie on top

export function paintBar(canvas, colours, width, sizes, settings) {
  const pen = sheet(canvas, width, HEIGHT);
  const scale = barEnd(sizes);
  const x = (bytes) => Math.min(width, ((width - 1) * bytes) / scale) + 0.5;
  const all = stretches(sizes);
  for (const wanted of ORDER)
    for (const [kind, a, b] of all) if (kind === wanted) paintStretch(pen, kind, x(a), x(b), colours, sizes);
  pen.fillStyle = colours.ink;
  pen.fillRect(x(sizes.usable) - 0.75, TOP - 7, 1.5, TALL + 14);
  pen.font = `12px ${colours.sans}`;
  const mark = `${settings.usable} % of ${readable(sizes.total)} usable: ${readable(sizes.usable)}`;
  const soft = { colour: colours.soft, baseline: "alphabetic" };
  const within = (text, middle) => {
    const wide = pen.measureText(text).width;
    return clamp(middle - wide / 2, 0, width - wide);
  };
  write(pen, mark, within(mark, x(sizes.usable)), TOP - 11, soft);
  const end = x(sizes.total);
  if (scale > sizes.total) dashedLine(pen, end, TOP - 4, end, TOP + TALL + 4, colours.ink, [3, 2]);
  const labels = labelsOf(all, sizes);
  for (const [text, kind, a, b] of labels) {
    const fits = pen.measureText(text).width + 8 < x(b) - x(a);
    const middle = (x(a) + x(Math.min(b, scale))) / 2;
    if (fits || kind === "over" || kind === "needed")
      write(pen, text, within(text, middle), HEIGHT - 3, soft);
  }
  const said = labels.map(([text, , a, b]) => `${text} ${readable(b - a)}`);
  canvas.setAttribute("aria-label", `Memory of ${settings.gpu}: ${said.join(", ")}`);
}

// The bar ends where the GPU does, or where what does not fit would; a single request of twice the GPU is cut off.
function barEnd({ total, weights, room, requests, one }) {
  return Math.max(total, weights, room >= 0 && !requests ? Math.min(weights + one, 2 * total) : 0);
}

// [[text, kind, from, to], ...] of the stretches that have a name.
function labelsOf(all, sizes) {
  const names = {
    weights: "weights",
    one: sizes.requests === 1 ? "1 request" : null,
    more: count(sizes.requests, "request"),
    over: `${readable(-sizes.room)} too much`,
    needed: `one request, ${readable(sizes.one)}`,
    free: "free",
  };
  const from = (kind, a) => (kind === "more" ? sizes.weights : a);
  return all.filter(([kind]) => names[kind]).map(([kind, a, b]) => [names[kind], kind, from(kind, a), b]);
}

// A stretch of the bar between two places in pixels.
function paintStretch(pen, kind, a, b, colours, sizes) {
  const shape = (gap) => {
    const wide = Math.max(1.5, b - a - 2 * gap);
    return roundBox(a + gap, TOP + 0.5, wide, TALL - 1, clamp((b - a) / 3, 0, 5));
  };
  const outline = (colour, weight, dash) => {
    pen.strokeStyle = colour;
    pen.lineWidth = weight;
    pen.setLineDash(dash);
    pen.stroke(shape(1.5));
    pen.setLineDash([]);
  };
  if (kind === "weights") tint(pen, shape(1), colours.r0);
  if (kind === "one") tint(pen, shape(1), colours.r2);
  if (kind === "more") paintRequests(pen, a, b, sizes.requests - 1, colours.r2);
  if (kind === "needed") outline(colours.r1, 1.5, [4, 3]);
  if (kind === "free" && b - a > 3) outline(colours.faint, 1, [3, 3]);
  if (kind === "over") {
    tint(pen, shape(1), colours.r1, 0.13);
    hatch(pen, shape(1), colours.r1, 6, 1.1);
    pen.lineWidth = 1.2;
    pen.strokeStyle = colours.r1;
    pen.stroke(shape(1));
  }
  if (kind === "spare") {
    tint(pen, shape(1), colours.free);
    hatch(pen, shape(1), colours.faint, 7, 0.8);
  }
}

// A box for each of `number` requests; where there are too many to outline, lines no closer than 4 pixels.
function paintRequests(pen, a, b, number, colour) {
  const step = (b - a) / number;
  const path = new Path2D();
  if (step < 5) path.roundRect(a + 1, TOP + 0.5, Math.max(1, b - a - 2), TALL - 1, 4);
  for (let at = 0; step >= 5 && at < number; at++)
    path.roundRect(a + at * step + 1, TOP + 0.5, step - 2, TALL - 1, Math.min(5, step / 3));
  tint(pen, path, colour, 0.2);
  pen.strokeStyle = colour;
  pen.lineWidth = 1.2;
  pen.stroke(path);
  if (step >= 5) return;
  pen.globalAlpha = 0.45;
  pen.beginPath();
  for (let at = a + 4; at < b - 2; at += Math.max(4, step)) {
    pen.moveTo(at, TOP + 2);
    pen.lineTo(at, TOP + TALL - 2);
  }
  pen.lineWidth = 1;
  pen.stroke();
  pen.globalAlpha = 1;
}
