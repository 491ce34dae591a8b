// The steps in sight as columns, and what is drawn in them once and kept.

import { roundBox, sheet, write } from "../kit/canvas.js";
import { clamp } from "../kit/format.js";

const FADED = 0.4; // of what is still to come
const RIGHT = 12; // pixels after the last column

// Which steps are in sight: all of them if a column keeps 7 pixels, else a window that turns over like a page.
// from: the first step of the window so far; it moves only when `step` would leave the window.
export function columnsOf(last, width, left, zoom, from, step) {
  const plot = width - left - RIGHT;
  const all = plot / last;
  const fit = clamp(all, 7, 36);
  const w = Math.max(Math.min(all, 36), Math.min(40, fit * 1.6 ** zoom));
  const count = Math.min(last, Math.floor(plot / w + 1e-6));
  if (step < from + Math.min(1, count - 1) || step > from + count - 2) from = Math.round(step - count / 3);
  from = clamp(from, 0, last - count);
  const gap = w >= 12 ? 2 : w >= 5 ? 1 : 0;
  const x = (at) => left + (at - from) * w;
  return { plot, left, w, count, from, to: from + count, all: count >= last, gap, x };
}

// A picture of the steps in sight that is painted again only when its key changes; a step only copies it.
export function layer() {
  const canvas = document.createElement("canvas");
  let kept = "";
  return {
    paint(key, width, height, paint) {
      if (key === kept) return;
      kept = key;
      paint(sheet(canvas, width, height));
    },
    // past and present as they are, the future pale
    copy(pen, split) {
      const ratio = window.devicePixelRatio || 1;
      const { width, height } = canvas;
      const cut = clamp(Math.round(split * ratio), 0, width);
      pen.save();
      pen.setTransform(1, 0, 0, 1, 0, 0);
      if (cut) pen.drawImage(canvas, 0, 0, cut, height, 0, 0, cut, height);
      pen.globalAlpha = FADED;
      if (cut < width) pen.drawImage(canvas, cut, 0, width - cut, height, cut, 0, width - cut, height);
      pen.restore();
    },
  };
}

// What a row of the timeline is, at the left.
export function rowCaption(pen, colours, text, y) {
  write(pen, text, 0, y, { font: `11px ${colours.sans}`, colour: colours.soft });
}

// The frame around the step that is shown.
export function markStep(pen, columns, at, colours, top, height) {
  pen.strokeStyle = pen.fillStyle = colours.ink;
  pen.lineWidth = 1.5;
  const { w, gap } = columns;
  if (w >= 6) pen.stroke(roundBox(columns.x(at) - 1, top, w + 2 - gap / 2, height, 4));
  else pen.fillRect(columns.x(at) + w / 2 - 0.75, top, 1.5, height);
}

// Bars on bars, one stack a step, in parts of `most`. bars: [{value(step), fill(pen, path)}, ...] from the lowest up.
export function paintStack(pen, bars, columns, top, height, most, colours) {
  const { from, to, w, gap } = columns;
  const base = new Float64Array(columns.count);
  for (const { value, fill } of bars) {
    const path = new Path2D();
    for (let step = from; step < to; step++) {
      const tall = (height * value(step)) / most;
      const y = top + height - base[step - from] - tall;
      if (tall > 0) path.rect(columns.x(step), y, w + (gap ? -gap : 0.3), tall);
      base[step - from] += tall;
    }
    fill(pen, path);
  }
  pen.fillStyle = colours.line;
  pen.fillRect(columns.left, top + height, columns.plot, 1);
}
