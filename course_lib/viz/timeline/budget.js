// The tokens of each step, request on request, under the line of the token budget.

import { dashedLine, hatch, tint, write } from "../kit/canvas.js";
import { everyFew, number } from "../kit/format.js";
import { markStep, rowCaption } from "./columns.js";
import { ALPHA } from "./lanes.js";

const BASE = 14; // pixels above the highest bar
const TALL = 62; // of the highest bar
const EVERY = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]; // steps between two numbers

export const BUDGET_HEIGHT = BASE + TALL + 16;

// How many tokens the height stands for.
function tokensToTop(data) {
  const most = data.sums.reduce((high, [tokens]) => Math.max(high, tokens), 1);
  return data.token_budget && data.token_budget <= 4 * most ? Math.max(data.token_budget, most) : most * 1.15;
}

// scene: {data, batches, columns, colours, colourOf(lane), width, at, split: where the future begins, key, look}
export function paintBudget(pen, layer, scene) {
  const { data, columns, colours, at } = scene;
  const scale = TALL / tokensToTop(data);
  layer.paint(scene.key, scene.width, BUDGET_HEIGHT, (pen) => paintBars(pen, scene, scale));
  layer.copy(pen, scene.split);
  rowCaption(pen, colours, "tokens", BASE + TALL - 7);
  rowCaption(pen, colours, "step", BUDGET_HEIGHT - 7);
  pen.fillStyle = colours.line;
  pen.fillRect(columns.left, BASE + TALL, columns.plot, 1);
  paintNumbers(pen, scene);
  if (data.token_budget) paintLine(pen, scene, scale);
  markStep(pen, columns, at, colours, BASE - 1, TALL + 3);
}

// Where one token is too small to be seen, those of one colour together.
function paintBars(pen, { batches, columns, colourOf }, scale) {
  const paths = new Map();
  for (let step = columns.from; step < columns.to; step++) {
    let pieces = batches[step].map(([lane, count, kind]) => [colourOf(lane), kind, count]);
    if (scale < 1.2 && pieces.length > 6) pieces = together(pieces);
    let y = BASE + TALL;
    for (const [colour, kind, count] of pieces) {
      const tall = count * scale;
      const thin = tall > 3.5 ? 1 : 0;
      y -= tall;
      const key = colour + kind;
      if (!paths.has(key)) paths.set(key, { colour, kind, path: new Path2D() });
      const x = columns.x(step) + columns.gap / 2;
      paths.get(key).path.rect(x, y + thin, Math.max(0.6, columns.w - columns.gap), tall - thin);
    }
  }
  for (const { colour, kind, path } of paths.values()) {
    tint(pen, path, colour, kind === "decode" || kind === "speculate" ? 0.5 : ALPHA[kind]);
    if (kind === "recompute") hatch(pen, path, colour, 4, 1.2);
  }
}

function together(pieces) {
  const sums = new Map();
  for (const [colour, kind, count] of pieces) {
    const key = colour + kind;
    if (!sums.has(key)) sums.set(key, [colour, kind, 0]);
    sums.get(key)[2] += count;
  }
  return [...sums.values()];
}

function paintNumbers(pen, { columns, colours, at }) {
  const { from, to, w } = columns;
  const every = everyFew(EVERY, w, 26);
  const y = BUDGET_HEIGHT - 7;
  const look = { font: `10px ${colours.mono}`, colour: colours.soft, align: "center" };
  for (let step = every * Math.ceil((from + 1) / every); step <= to; step += every)
    if (Math.abs(step - at - 1) * w >= 22) write(pen, step, columns.x(step - 1) + w / 2, y, look);
  const bold = { font: `600 11px ${colours.mono}`, colour: colours.ink, align: "center" };
  write(pen, at + 1, columns.x(at) + w / 2, y, bold);
}

function paintLine(pen, { data, columns, colours }, scale) {
  const within = data.token_budget * scale <= TALL;
  const y = within ? BASE + TALL - data.token_budget * scale : BASE - 6;
  const right = columns.left + columns.plot;
  if (within) dashedLine(pen, columns.left, y + 0.5, right, y + 0.5, colours.faint);
  const text = `token budget ${number(data.token_budget)}${within ? "" : " ↑"}`;
  const look = { font: `11px ${colours.sans}`, colour: colours.soft, align: "right" };
  write(pen, text, right, y - 7 < 5 ? 6 : y - 7, look);
}
