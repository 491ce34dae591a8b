// Where slots, queue and chart lie, and their shapes as paths: they only change with the width.

import { NUM_COLOURS } from "../kit/looks.js";
import { longest } from "./batches.js";

export const LEFT = 56; // pixels for what is written at the left
export const CHART = 64; // height of the chart

// most: how many requests wait at once, at most
export function slotsLayout(data, most, width) {
  const w = Math.min(30, (width - LEFT - 2) / data.last);
  const n = data.slots;
  const h = n <= 6 ? 30 : n <= 12 ? 22 : Math.max(3, Math.min(18, 300 / n));
  const tall = Math.min(11, 110 / most);
  const top = 17;
  return {
    w,
    h,
    top,
    tall, // of a request in the queue
    gap: w >= 6 ? 1.5 : w >= 3 ? 0.6 : 0,
    air: h >= 12 ? 4 : h >= 6 ? 2 : 0.6,
    width: LEFT + data.last * w + 2,
    x: (step) => LEFT + step * w,
    y: (slot) => top + slot * h,
    height: top + n * h + 2,
    queue: Math.max(16, most * tall + 4),
  };
}

// {prompts, tokens, lines: a path a colour; padding, over, empty: a path each}
export function shapesOf(data, grid, queue) {
  const oneEach = () => Array.from({ length: NUM_COLOURS }, () => new Path2D());
  const found = { prompts: oneEach(), tokens: oneEach(), lines: oneEach() };
  Object.assign(found, { padding: new Path2D(), over: new Path2D(), empty: new Path2D() });
  for (const run of data.runs)
    for (let slot = 0; slot < data.slots; slot++) addSlot(found, data, grid, run, slot);
  queue.forEach((waiting, step) =>
    waiting.forEach((request, place) => {
      const x = grid.x(step) + grid.gap / 2;
      const tall = grid.tall + (grid.tall > 4 ? -2 : 0.3);
      const line = found.lines[request % NUM_COLOURS];
      line.rect(x, 2 + place * grid.tall, Math.max(0.6, grid.w - grid.gap), tall);
    }),
  );
  return found;
}

function addSlot({ prompts, tokens, padding, over, empty }, data, grid, run, slot) {
  const [start, end, places] = run;
  const { w, h, gap, air } = grid;
  const y = grid.y(slot) + air / 2;
  if (slot >= places.length) {
    empty.rect(grid.x(start) + 1.5, y + 0.5, (end - start) * w - 3, h - air - 1);
    return;
  }
  const request = places[slot];
  const [, prompt, fresh] = data.requests[request];
  const most = longest(data, run);
  const high = ((h - air) * prompt) / most;
  const x = grid.x(start) + gap / 2;
  addBox(prompts[request % NUM_COLOURS], grid, x, y + h - air - high, w - gap, high);
  if (prompt < most) padding.rect(x, y, w - gap, h - air - high);
  addSteps(tokens[request % NUM_COLOURS], grid, start + 1, start + fresh, y);
  addSteps(over, grid, start + fresh, end, y);
}

function addBox(path, { w, h }, x, y, wide, high) {
  if (w >= 9 && h >= 12 && high > 6) path.roundRect(x, y, wide, high, 3);
  else path.rect(x, y, wide, Math.max(0.6, high));
}

// Step by step where they can be told apart, else in one stretch.
function addSteps(path, grid, from, to, y) {
  const { w, h, gap, air } = grid;
  if (w < 6) {
    if (to > from) path.rect(grid.x(from), y, (to - from) * w - gap, h - air);
    return;
  }
  for (let step = from; step < to; step++) addBox(path, grid, grid.x(step) + gap / 2, y, w - gap, h - air);
}

// Useful tokens, padding, and tokens of finished sequences, in parts of all up to each step: a band each, on top of
// each other.
export function bandsOf(data, grid) {
  const tops = data.sums.map(([useful, padding, idle]) => {
    const all = useful + padding + idle;
    return all ? [useful / all, (useful + padding) / all, 1] : [0, 0, 0];
  });
  const y = (part) => 1 + (CHART - 2) * (1 - part);
  return [0, 1, 2].map((part) => {
    const path = new Path2D();
    tops.forEach((top, index) => {
      path.lineTo(grid.x(index), y(top[part]));
      path.lineTo(grid.x(index + 1), y(top[part]));
    });
    for (let index = data.last - 1; index >= 0; index--) {
      const under = part ? tops[index][part - 1] : 0;
      path.lineTo(grid.x(index + 1), y(under));
      path.lineTo(grid.x(index), y(under));
    }
    path.closePath();
    return path;
  });
}
