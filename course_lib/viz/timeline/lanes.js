// The lanes: what each request did in every step in sight, and its tag.

import { cross, hatch, roundBox, tint, write } from "../kit/canvas.js";
import { shortened } from "../kit/format.js";
import { draftsIn, isComputed, spanAt } from "./spans.js";

export const ALPHA = { prefill: 1, decode: 0.38, speculate: 0.38, recompute: 0.2 };

// Where tags, columns and rows lie. h: of a row; view: of all rows in sight.
export function laneSizes(lanes) {
  const longest = Math.max(...lanes.map((lane) => lane.tag.length));
  const tag = Math.min(88, Math.max(34, 8 + 7.3 * longest));
  const ranked = new Set(lanes.map((lane) => lane.priority)).size > 1;
  const h = lanes.length <= 12 ? 22 : lanes.length <= 24 ? 18 : 14;
  const view = Math.min(lanes.length, Math.floor(336 / h)) * h;
  return { tag, ranked, h, view, left: Math.max(52, tag + (ranked ? 30 : 10)) };
}

// A lane in the row at y.
export function paintLane(pen, lane, columns, y, h, colours, colour) {
  const middle = y + h / 2;
  const tall = h - (h > 16 ? 4 : 2);
  const low = Math.max(3, tall * 0.55);
  for (const span of lane.spans) {
    const [kind, begin, end] = span;
    if (end <= columns.from || begin >= columns.to) continue;
    const [a, b] = [Math.max(begin, columns.from), Math.min(end, columns.to)];
    if (kind === "speculate") {
      for (let at = Math.max(begin, columns.from); at < Math.min(end, columns.to); at++)
        paintDrafts(pen, draftsIn(span, at), columns, at, [middle, tall, low], colours, colour);
    } else if (isComputed(kind)) {
      const height = kind === "decode" ? low : tall;
      paintComputed(pen, span, columns, [a, b], [middle, height, h], colours, colour);
    } else paintWaiting(pen, kind, columns, [a, b], [middle, low], colours, colour);
  }
  paintEnding(pen, lane, columns, y, h, colour);
}

function paintWaiting(pen, kind, columns, [a, b], [middle, low], colours, colour) {
  const x = columns.x(a);
  const wide = (b - a) * columns.w;
  const box = new Path2D();
  box.rect(x + columns.gap / 2, middle - low / 2, Math.max(1, wide - columns.gap), low);
  if (kind === "preempted") {
    hatch(pen, box, colours.soft, 5, 1.5);
    return;
  }
  const line = new Path2D();
  line.moveTo(x + 1, middle);
  line.lineTo(x + wide - 1, middle);
  const swapped = kind === "swapped";
  pen.strokeStyle = kind === "waiting" ? colours.faint : colour;
  pen.lineWidth = swapped ? 1.4 : 1.5;
  pen.setLineDash({ waiting: [3, 4], swapped: [2, 2] }[kind] ?? []);
  pen.stroke(swapped ? box : line);
  pen.setLineDash([]);
}

// A cell a step, with its number of tokens where there is room.
function paintComputed(
  pen,
  [kind, begin, , , counts],
  columns,
  [a, b],
  [middle, height, h],
  colours,
  colour,
) {
  const { gap, w } = columns;
  const path = new Path2D();
  const top = middle - height / 2;
  if (gap) for (let at = a; at < b; at++) addCell(path, columns.x(at), top, w, height, gap);
  else addCell(path, columns.x(a), top, (b - a) * w, height, 0);
  tint(pen, path, colour, ALPHA[kind]);
  if (kind === "recompute") {
    hatch(pen, path, colour, 4, 1.2);
    pen.strokeStyle = colour;
    pen.lineWidth = 1;
    pen.stroke(path);
  }
  if (kind === "decode" || !gap || h < 17) return;
  const ink = kind === "prefill" ? colours["on-accent"] : colours.ink;
  const look = { font: `600 10px ${colours.mono}`, colour: ink, align: "center" };
  pen.lineWidth = 3;
  pen.strokeStyle = colours.card;
  for (let at = a; at < b; at++) {
    const count = String(counts ? counts[at - begin] : 1);
    if (w < 8 + 6 * count.length) continue;
    const x = columns.x(at) + w / 2;
    if (kind === "recompute") outlined(pen, count, x, middle + 0.5, look);
    write(pen, count, x, middle + 0.5, look);
  }
}

// The newest token low as in any decode step, then its drafts: full boxes are accepted, empty ones are not.
function paintDrafts(pen, [drafted, accepted], columns, at, [middle, tall, low], colours, colour) {
  const wide = Math.max(1, columns.w - columns.gap);
  const each = wide / (1 + drafted);
  const x = columns.x(at) + columns.gap / 2;
  const box = (first, number, high) => {
    const path = new Path2D();
    path.rect(x + first * each, middle - high / 2, number * each - (each > 3 ? 1 : 0), high);
    return path;
  };
  tint(pen, box(0, 1, low), colour, ALPHA.decode);
  const single = each > 3;
  for (let i = 0; single && i < accepted; i++) tint(pen, box(1 + i, 1, tall), colour);
  if (!single && accepted) tint(pen, box(1, accepted, tall), colour);
  pen.strokeStyle = colours.soft;
  pen.lineWidth = 1;
  for (let i = accepted; single && i < drafted; i++) pen.stroke(box(1 + i, 1, low));
  if (!single && accepted < drafted) hatch(pen, box(1 + accepted, drafted - accepted, low), colours.soft, 3, 1);
}

function outlined(pen, text, x, y, { font, align }) {
  pen.font = font;
  pen.textAlign = align;
  pen.textBaseline = "middle";
  pen.strokeText(text, x, y);
}

function addCell(path, x, y, w, h, gap) {
  const wide = w - gap;
  if (wide >= 6 && h >= 6) path.roundRect(x + gap / 2, y, wide, h, Math.min(3, wide / 3));
  else path.rect(x + gap / 2, y, Math.max(wide, 0.6), h);
}

// A circle, or a cross for an abort: after the tokens of the last step, if it had any.
export function paintEnding(pen, lane, columns, y, h, colour) {
  if (!lane.done) return;
  const [step, reason, computed] = lane.done;
  const end = step + Number(computed);
  if (end < columns.from || end > columns.to) return;
  const r = Math.min(4, h / 4);
  const x = columns.x(end) + r + 2;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.8;
  pen.beginPath();
  if (reason === "abort") cross(pen, x, y + h / 2, r);
  else pen.arc(x, y + h / 2, r, 0, 7);
  pen.stroke();
}

// The name of a request: filled while it runs, outlined while it waits, pale before and after.
export function paintTag(pen, lane, at, y, sizes, colours, colour) {
  const { tag, ranked, h } = sizes;
  const span = spanAt(lane, at);
  const runs = span && (isComputed(span[0]) || span[0] === "idle");
  const large = h > 16;
  const outline = roundBox(0.75, y + (large ? 2 : 1), tag - 1.5, h - (large ? 4 : 2), 5);
  if (runs) tint(pen, outline, colour);
  pen.strokeStyle = span ? colour : colours.line;
  pen.lineWidth = 1.3;
  pen.stroke(outline);
  const font = `${span ? 600 : 500} ${large ? 12 : 10}px ${colours.mono}`;
  const ink = runs ? colours["on-accent"] : span ? colours.ink : colours.soft;
  write(pen, shortened(lane.tag, 11), tag / 2, y + h / 2 + 0.5, { font, colour: ink, align: "center" });
  if (!ranked) return;
  const small = { font: `10px ${colours.mono}`, colour: colours.soft };
  write(pen, `p${lane.priority}`.slice(0, 4), tag + 4, y + h / 2 + 0.5, small);
}
