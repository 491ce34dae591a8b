// Requests in time at a step: what is over stands out, what is to come stands back.

import { timeAxis } from "../kit/axis.js";
import { fadedAfter, hatch, tint, write } from "../kit/canvas.js";
import { shortened } from "../kit/format.js";
import { requestColour } from "../kit/looks.js";

const LATER = 0.36; // alpha of what is still to come
const LEFT = 88; // pixels for the names
const RIGHT = 22;
const AXIS = 26;

// Where rows and times lie. x(ms) -> pixels, at(pixels) -> ms.
export function gridOf(data, width) {
  const rows = data.requests.length;
  const row = rows <= 14 ? 24 : Math.max(8, 340 / rows);
  const last = data.steps.at(-1)[1] || 1;
  const scale = (width - LEFT - RIGHT) / last;
  return {
    width,
    row,
    last,
    height: rows * row,
    left: LEFT,
    x: (time) => LEFT + scale * time,
    at: (x) => (x - LEFT) / scale,
    all: rows * row + AXIS,
  };
}

// lit: the number of a request, or null
export function paintRows(pen, data, grid, colours, step, lit) {
  const [start, end] = data.steps[step - 1];
  pen.fillStyle = colours.free;
  pen.fillRect(grid.x(start), 0, Math.max(1.5, grid.x(end) - grid.x(start)), grid.height);
  if (lit !== null) {
    pen.globalAlpha = 0.14;
    pen.fillStyle = requestColour(colours, lit);
    pen.fillRect(0, lit * grid.row, grid.width, grid.row);
    pen.globalAlpha = 1;
  }
  fadedAfter(pen, grid.x(end) + 1, grid.width, grid.height, LATER, () => {
    data.requests.forEach((one, at) => paintRow(pen, one, at, grid, colours));
  });
  const font = `600 ${grid.row > 12 ? 12 : 9}px ${colours.mono}`;
  data.requests.forEach((one, at) => {
    const colour = step >= one.came && step <= one.done ? colours.ink : colours.soft;
    const y = (at + 0.5) * grid.row;
    write(pen, shortened(one.tag, 11), LEFT - 8, y, { font, colour, align: "right" });
  });
  pen.fillStyle = colours.ink;
  pen.fillRect(grid.x(end) - 0.75, 0, 1.5, grid.height + 4);
  timeAxis(pen, { ...grid, y: grid.height + 2, colours });
}

function paintRow(pen, one, at, grid, colours) {
  const colour = requestColour(colours, at);
  const middle = (at + 0.5) * grid.row;
  const tall = grid.row - (grid.row > 12 ? 6 : 2);
  const low = tall * 0.55;
  const { tokens } = one;
  const begin = one.begin ?? grid.last;
  const area = (a, b, height) => {
    const path = new Path2D();
    path.rect(grid.x(a), middle - height / 2, Math.max(0.5, grid.x(b) - grid.x(a)), height);
    return path;
  };
  pen.strokeStyle = colours.faint;
  pen.lineWidth = 1.5;
  pen.setLineDash([2, 3]);
  pen.beginPath();
  pen.moveTo(grid.x(one.arrival), middle);
  pen.lineTo(grid.x(begin), middle);
  pen.stroke();
  pen.setLineDash([]);
  if (!tokens.length) return;
  tint(pen, area(begin, tokens[0], tall), colour);
  tint(pen, area(tokens[0], tokens.at(-1), low), colour, 0.28);
  for (const stall of one.stalls) hatch(pen, area(tokens[stall], tokens[stall + 1], low), colour, 5, 1.3);
  pen.fillStyle = colour;
  for (const time of tokens) pen.fillRect(grid.x(time) - 0.7, middle - tall / 2, 1.4, tall);
  if (one.finished === null) return;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.8;
  pen.beginPath();
  pen.arc(grid.x(one.finished) + 7, middle, Math.min(4, tall / 3), 0, 7);
  pen.stroke();
}
