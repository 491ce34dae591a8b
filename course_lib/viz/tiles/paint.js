// The matrix of tiles at a step, with its strips.

import { dashedLine, hatch, roundBox, tint, write } from "../kit/canvas.js";
import { everyFew } from "../kit/format.js";

const EVERY = [1, 2, 4, 8, 16, 32, 64];

// lastVisit(i, j): of a tile up to this step, or undefined
export function paintTiles(pen, data, grid, colours, step, lastVisit, selected) {
  paintCells(pen, grid, colours, lastVisit);
  paintStrips(pen, data, grid, colours, step);
  paintWatched(pen, data, grid, colours);
  if (grid.cell >= 20) paintNumbers(pen, grid, colours, lastVisit);
  const [, i, iEnd, j, jEnd] = data.events[step - 1];
  const size = [(jEnd - j) * grid.cell + 1, (iEnd - i) * grid.cell + 1];
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 2;
  pen.stroke(roundBox(grid.x(j) - 0.5, grid.y(i) - 0.5, ...size, 4));
  if (!selected) return;
  const side = Math.max(3, grid.cell - 6);
  pen.lineWidth = 1.5;
  pen.setLineDash([4, 3]);
  pen.strokeRect(grid.x(selected[1]) + 3, grid.y(selected[0]) + 3, side, side);
  pen.setLineDash([]);
}

function addBox(path, { gap }, x, y, w, h) {
  if (Math.min(w, h) < 8) {
    path.rect(x, y, Math.max(0.8, w - gap), Math.max(0.8, h - gap));
    return;
  }
  const radius = Math.min(4, w / 5, h / 5);
  path.roundRect(x + gap / 2, y + gap / 2, Math.max(1, w - gap), Math.max(1, h - gap), radius);
}

function paintCells(pen, grid, colours, lastVisit) {
  const computed = new Path2D();
  const skipped = new Path2D();
  const coming = new Path2D();
  for (let i = 0; i < grid.rows; i++)
    for (let j = 0; j < grid.columns; j++) {
      const visit = lastVisit(i, j);
      const path = !visit ? coming : visit[1] === "skip" ? skipped : computed;
      addBox(path, grid, grid.x(j), grid.y(i), grid.cell, grid.cell);
    }
  tint(pen, coming, colours.free);
  tint(pen, skipped, colours.free);
  hatch(pen, skipped, colours.faint, 5, 1);
  tint(pen, computed, colours.r0);
}

// Above k and v, at the left q, at the right the output.
function paintStrips(pen, data, grid, colours, step) {
  const [, i, iEnd, j, jEnd] = data.events[step - 1];
  const [queriesIn, keysIn] = data.fast[step - 1];
  const fast = new Path2D();
  const rest = new Path2D();
  const finished = new Path2D();
  const unfinished = new Path2D();
  const right = grid.x(grid.columns);
  for (let n = 0; n < grid.columns; n++) {
    const path = keysIn && j <= n && n < jEnd ? fast : rest;
    addBox(path, grid, grid.x(n), grid.top - 20, grid.cell, 15);
  }
  for (let n = 0; n < grid.rows; n++) {
    const path = queriesIn && i <= n && n < iEnd ? fast : rest;
    addBox(path, grid, grid.left - 20, grid.y(n), 15, grid.cell);
    const [done, begun] = [data.done[n], data.begun[n]];
    const state = done && done <= step ? finished : begun && begun <= step ? unfinished : rest;
    addBox(state, grid, right + 5, grid.y(n), 15, grid.cell);
  }
  tint(pen, rest, colours.free);
  tint(pen, fast, colours.r2);
  tint(pen, finished, colours.r1);
  tint(pen, unfinished, colours.r1, 0.13);
  hatch(pen, unfinished, colours.r1, 5, 1.1);
  pen.strokeStyle = colours.r1;
  pen.lineWidth = 1;
  pen.stroke(unfinished);
  paintRulers(pen, data, grid, colours);
}

function paintRulers(pen, data, grid, colours) {
  const name = { font: `12px ${colours.sans}`, colour: colours.soft };
  const y = grid.top - 12;
  write(pen, "q", grid.left - 12.5, y, { ...name, align: "center" });
  write(pen, "out", grid.x(grid.columns) + 14, y, { ...name, align: "center" });
  write(pen, "k, v", grid.left - 26, y, { ...name, align: "right" });
  const look = { font: `11px ${colours.mono}`, colour: colours.soft };
  const rows = everyFew(EVERY, grid.cell, 15);
  for (let n = 0; n < grid.rows; n += rows)
    write(pen, data.rows[n][0], grid.left - 26, grid.y(n + 0.5), { ...look, align: "right" });
  const columns = everyFew(EVERY, grid.cell, 26);
  for (let n = 0; n < grid.columns; n += columns)
    write(pen, data.cols[n][0], grid.x(n + 0.5), grid.top - 30, { ...look, align: "center" });
}

// A dotted line through the row whose maximum, sum and output are shown.
function paintWatched(pen, data, grid, colours) {
  const [first, end] = data.rows[data.watched];
  const y = grid.y(data.watched + (data.watch - first + 0.5) / (end - first));
  dashedLine(pen, grid.left - 4, y, grid.x(grid.columns) + 4, y, colours.ink, [2, 2]);
}

function paintNumbers(pen, grid, colours, lastVisit) {
  const look = { font: `11.5px ${colours.mono}`, colour: colours.card, align: "center" };
  for (let i = 0; i < grid.rows; i++)
    for (let j = 0; j < grid.columns; j++) {
      const visit = lastVisit(i, j);
      if (visit && visit[1] !== "skip") write(pen, visit[2], grid.x(j + 0.5), grid.y(i + 0.5), look);
    }
}
