// The triangle: what went through the model in each step, and what of it had gone through before.

import { hatch, roundBox, tint, write } from "../kit/canvas.js";
import { everyFew, shortened } from "../kit/format.js";
import { paintColumnTag, paintTokenColumns } from "../kit/token_columns.js";

const EVERY = [5, 10, 20, 50, 100, 200, 500, 1e6];

// marked: a position under the pointer or selected, or null
export function paintTriangle(pen, data, grid, colours, step, marked) {
  paintTokenColumns(pen, data, grid, grid.top, colours, marked);
  const caption = {
    font: `11px ${colours.sans}`,
    colour: colours.soft,
    align: "right",
    baseline: "alphabetic",
  };
  write(pen, "step", grid.steps, grid.top - 6, caption);
  write(pen, "tokens", grid.left - 9, grid.top - 6, caption);
  paintCells(pen, data, grid, colours, step);
  paintNumbers(pen, data, grid, colours, step);
  paintNow(pen, data, grid, colours, step);
}

// Cuts [start, end) of a step into stretches of new and of recomputed positions: [from, to, whether new].
function stretches(data, index) {
  const [start, end] = data.steps[index];
  const found = [];
  for (let at = start, cut = start; at < end; cut = at) {
    const fresh = data.first_pass[cut] === index;
    while (at < end && (data.first_pass[at] === index) === fresh) at++;
    found.push([cut, at, fresh]);
  }
  return found;
}

function paintCells(pen, data, grid, colours, step) {
  const fresh = new Path2D();
  const again = new Path2D();
  const coming = new Path2D();
  const kept = new Path2D();
  data.steps.forEach(([start, end], index) => {
    if (index >= step) {
      addCells(coming, grid, index, start, end);
      return;
    }
    for (const [from, to, isNew] of stretches(data, index)) {
      if (isNew && !grid.gap) addThin(fresh, grid, index, from, to);
      else addCells(isNew ? fresh : again, grid, index, from, to);
    }
    if (grid.row >= 4) addKept(kept, data, grid, index, start);
  });
  tint(pen, coming, colours.free);
  pen.strokeStyle = colours.faint;
  pen.lineWidth = 1;
  pen.stroke(kept);
  tint(pen, again, colours.r1, 0.12);
  hatch(pen, again, colours.r1, 6, 1.1);
  if (grid.gap > 1) {
    pen.lineWidth = 1.1;
    pen.strokeStyle = colours.r1;
    pen.stroke(again);
  }
  tint(pen, fresh, colours.r0);
}

function addCells(path, grid, index, start, end) {
  const { gap, cell, row } = grid;
  const y = grid.y(index) + gap / 2;
  if (!gap) {
    path.rect(grid.x(start), y, (end - start) * cell, row);
    return;
  }
  const radius = Math.min(4, cell / 4, row / 4);
  for (let at = start; at < end; at++) path.roundRect(grid.x(at) + gap / 2, y, cell - gap, row - gap, radius);
}

// What is new stays in sight however small a cell gets.
function addThin(path, grid, index, start, end) {
  const wide = Math.max(2.5, (end - start) * grid.cell);
  path.rect(grid.x(end) - wide, grid.y(index), wide, Math.max(2, grid.row));
}

// A line through the positions that were computed in an earlier step and are kept.
function addKept(path, data, grid, index, start) {
  for (let at = 0; at < start; at++) {
    if (data.first_pass[at] === null || data.first_pass[at] >= index) continue;
    path.moveTo(grid.x(at) + grid.gap, grid.y(index + 0.5));
    path.lineTo(grid.x(at + 1) - grid.gap, grid.y(index + 0.5));
  }
}

function paintNumbers(pen, data, grid, colours, step) {
  if (grid.row >= 12) {
    for (let index = 0; index < step; index++) paintRow(pen, data, grid, colours, index, index === step - 1);
    return;
  }
  const every = everyFew(EVERY, grid.row, 30);
  const look = { font: `11px ${colours.mono}`, colour: colours.soft, align: "right" };
  for (let index = every - 1; index < data.steps.length; index += every)
    if (Math.abs(index - step + 1) * grid.row > 16)
      write(pen, String(index + 1), grid.steps, grid.y(index + 0.5), look);
  paintRow(pen, data, grid, colours, step - 1, true);
}

// Step number and count at the left of a row, the token that the step chose at its right.
function paintRow(pen, data, grid, colours, index, now) {
  const y = grid.y(index + 0.5);
  const [start, end] = data.steps[index];
  if (now && grid.row < 12) {
    pen.fillStyle = colours.card;
    pen.fillRect(0, y - 8, grid.left - 6, 16);
  }
  const look = { font: `${now ? 700 : 400} 11.5px ${colours.mono}`, colour: colours.ink };
  const number = { ...look, align: "right", colour: now ? colours.ink : colours.soft };
  write(pen, String(index + 1), grid.steps, y, number);
  write(pen, String(end - start), grid.left - 10, y, { ...look, align: "right" });
  if (end >= grid.columns) return;
  const x = grid.x(end) + 6;
  const fit = Math.floor((grid.width - x) / 7) - 2;
  if (fit >= 2) write(pen, "→ " + shortened(data.labels[end], fit), x, y, look);
}

function paintNow(pen, data, grid, colours, step) {
  const [start, end] = data.steps[step - 1];
  const out = grid.gap > 1 ? 0.5 : 2;
  const size = [(end - start) * grid.cell + 2 * out, grid.row + 2 * out];
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  const radius = Math.min(5, grid.row / 2 + out);
  pen.stroke(roundBox(grid.x(start) - out, grid.y(step - 1) - out, ...size, radius));
}

// The column of a position, from the step that computed it first to this one. firm: selected, not only under the
// pointer.
export function paintColumn(pen, data, grid, colours, step, position, firm) {
  const seen = data.first_pass[position];
  pen.strokeStyle = colours.ink;
  pen.lineWidth = firm ? 1.5 : 1;
  pen.setLineDash(firm ? [] : [3, 3]);
  if (seen !== null && seen < step) {
    const size = [Math.max(3, grid.cell + 1), (step - seen) * grid.row + 2];
    pen.strokeRect(grid.x(position) - 0.5, grid.y(seen) - 1, ...size);
  }
  pen.setLineDash([]);
  paintColumnTag(pen, data, grid, position, grid.top - 21, colours);
}
