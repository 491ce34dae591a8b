// Slots, queue and chart at a step: what is over stands out, what is to come stands back.

import { fadedAfter, hatch, roundBox, tint, write } from "../kit/canvas.js";
import { everyFew, number } from "../kit/format.js";
import { requestColour } from "../kit/looks.js";
import { CHART, LEFT } from "./shapes.js";

const LATER = 0.36; // alpha of what is still to come
const SLOTS_BETWEEN = [1, 2, 4, 8, 16, 32];
const STEPS_BETWEEN = [1, 5, 10, 20, 50, 100, 200, 500, 1000];

// Computed for nothing: padding, or (mirrored) a finished sequence.
function paintWaste(pen, colours, path, mirrored) {
  tint(pen, path, colours.free, 0.6);
  hatch(pen, path, colours.faint, 5, 1.1, mirrored);
}

export function paintSlots(pen, data, grid, colours, step, shapes) {
  pen.fillStyle = colours.well;
  pen.fillRect(LEFT, grid.top, grid.width - LEFT, data.slots * grid.h);
  fadedAfter(pen, grid.x(step), grid.width, grid.height, LATER, () => {
    shapes.prompts.forEach((path, at) => tint(pen, path, requestColour(colours, at)));
    shapes.tokens.forEach((path, at) => tint(pen, path, requestColour(colours, at), 0.38));
    paintWaste(pen, colours, shapes.padding, false);
    paintWaste(pen, colours, shapes.over, true);
    pen.strokeStyle = colours.faint;
    pen.lineWidth = 1;
    pen.setLineDash([4, 3]);
    pen.stroke(shapes.empty);
    pen.setLineDash([]);
  });
  paintNumbers(pen, data, grid, colours);
  if (grid.h >= 16) paintNames(pen, data, grid, colours);
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.6;
  const size = [Math.max(2.4, grid.w + 0.4), data.slots * grid.h + 3];
  pen.strokeRect(grid.x(step - 1) - 0.2, grid.top - 2, ...size);
}

function paintNumbers(pen, data, grid, colours) {
  const look = { font: `11px ${colours.mono}`, colour: colours.soft };
  const every = everyFew(SLOTS_BETWEEN, grid.h, 13);
  for (let slot = 0; slot < data.slots; slot += every) {
    const text = grid.h >= 13 ? `slot ${slot}` : slot;
    write(pen, text, LEFT - 8, grid.y(slot) + grid.h / 2, { ...look, align: "right" });
  }
  pen.font = look.font;
  const room = pen.measureText(number(data.last)).width + 12;
  const steps = everyFew(STEPS_BETWEEN, grid.w, room);
  for (let at = steps; at <= data.last; at += steps)
    if (grid.x(at - 0.5) + room / 2 - 6 <= grid.width)
      write(pen, number(at), grid.x(at - 0.5), 7, { ...look, align: "center" });
}

// The name of each request in its new tokens; where it has none after the first, on the waste behind it.
function paintNames(pen, data, grid, colours) {
  pen.font = `600 11px ${colours.mono}`;
  for (const [start, end, places] of data.runs)
    places.forEach((request, slot) => {
      const text = data.names[request];
      const fresh = data.requests[request][2] - 1;
      const long = pen.measureText(text).width + 6;
      if (grid.w * (fresh || end - start - 1) < long) return;
      const x = grid.x(start + 1) + 3;
      const y = grid.y(slot) + grid.h / 2;
      pen.fillStyle = colours.card;
      if (!fresh) pen.fillRect(x - 1, y - 7, long - 2, 14);
      write(pen, text, x + 1, y + 0.5, { colour: colours.ink });
    });
}

// A frame around what a request holds: its slot, as long as its batch runs.
export function paintFrame(pen, grid, colours, [start, end], slot) {
  const size = [(end - start) * grid.w + 1, grid.h - grid.air + 4];
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 2.2;
  pen.stroke(roundBox(grid.x(start) - 0.5, grid.y(slot) + grid.air / 2 - 2, ...size, 4));
}

// lit: a request whose place in the queue is marked, or null
export function paintQueue(pen, grid, colours, step, shapes, queue, lit) {
  fadedAfter(pen, grid.x(step), grid.width, grid.queue, LATER, () => {
    shapes.lines.forEach((path, at) => {
      tint(pen, path, grid.tall > 3 ? requestColour(colours, at) : colours.faint);
    });
  });
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  queue.forEach((waiting, at) => {
    const place = waiting.indexOf(lit);
    if (place < 0) return;
    const y = 2 + (place + 0.5) * grid.tall - 1;
    pen.beginPath();
    pen.moveTo(grid.x(at), y);
    pen.lineTo(grid.x(at + 1), y);
    pen.stroke();
  });
  const look = { font: `11px ${colours.mono}`, colour: colours.soft, align: "right" };
  write(pen, "next", LEFT - 8, 2 + Math.max(6, grid.tall / 2), look);
  pen.fillStyle = colours.ink;
  pen.fillRect(grid.x(step) - 0.75, 0, 1.5, grid.queue);
}

export function paintShares(pen, grid, colours, step, bands) {
  const [useful, padding, over] = bands;
  fadedAfter(pen, grid.x(step), grid.width, CHART, LATER, () => {
    tint(pen, useful, colours.r0, 0.75);
    paintWaste(pen, colours, padding, false);
    paintWaste(pen, colours, over, true);
    pen.strokeStyle = colours.card;
    pen.lineWidth = 2;
    for (const path of [useful, padding]) pen.stroke(path);
  });
  pen.strokeStyle = colours.faint;
  pen.lineWidth = 1;
  pen.strokeRect(LEFT + 0.5, 0.5, grid.width - LEFT - 3, CHART - 1);
  const look = { font: `11px ${colours.mono}`, colour: colours.soft, align: "right" };
  write(pen, "100 %", LEFT - 8, 7, look);
  write(pen, "50 %", LEFT - 8, CHART / 2, look);
  write(pen, "0 %", LEFT - 8, CHART - 7, look);
  pen.fillStyle = colours.ink;
  pen.fillRect(grid.x(step) - 0.75, 0, 1.5, CHART);
}
