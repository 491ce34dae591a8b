// Requests as they stream, at a moment: what is over stands out, what is to come stands back.

import { timeAxis } from "../kit/axis.js";
import { fadedAfter, tint, write } from "../kit/canvas.js";
import { number, requestName, shortened } from "../kit/format.js";
import { requestColour } from "../kit/looks.js";

const LATER = 0.36; // alpha of what is still to come
const LEFT = 88; // pixels for the names
const RIGHT = 44;
const GAP = 16; // between the rows and the chart of blocks
const MEMORY = 54; // height of that chart
const AXIS = 26;
const SIGNS = { finished: "○", cancelled: "✕", refused: "429" };

export const tokensAt = (one, now) => one.tokens.filter((time) => time <= now).length;
export const blocksAt = (data, now) => data.memory.filter(([time]) => time <= now).at(-1)?.[1] ?? 0;

// Where rows and times lie. x(ms) -> pixels, at(pixels) -> ms.
export function gridOf(data, width) {
  const rows = data.requests.length;
  const row = rows <= 14 ? 24 : Math.max(8, 340 / rows);
  const last = data.moments.at(-1);
  const scale = (width - LEFT - RIGHT) / last;
  const height = rows * row;
  return {
    width,
    row,
    last,
    height,
    top: height + GAP,
    low: height + GAP + MEMORY,
    left: LEFT,
    right: width - RIGHT,
    x: (time) => LEFT + scale * time,
    at: (x) => (x - LEFT) / scale,
    all: height + GAP + MEMORY + AXIS,
  };
}

// lit: the number of a request, or below 0
export function paintStreams(pen, data, grid, colours, now, lit) {
  if (lit >= 0) {
    pen.globalAlpha = 0.14;
    pen.fillStyle = requestColour(colours, lit);
    pen.fillRect(0, lit * grid.row, grid.width, grid.row);
    pen.globalAlpha = 1;
  }
  fadedAfter(pen, grid.x(now) + 1, grid.width, grid.low + 1, LATER, () => {
    data.requests.forEach((one, at) => paintRow(pen, one, at, grid, colours, now));
    paintArea(pen, data, grid, colours);
  });
  const font = `600 ${grid.row > 12 ? 12 : 9}px ${colours.mono}`;
  data.requests.forEach((one, at) => {
    const colour = now >= one.arrival && (one.end === null || now < one.end) ? colours.ink : colours.soft;
    const y = (at + 0.5) * grid.row;
    write(pen, shortened(requestName(one.name), 11), LEFT - 8, y, { font, colour, align: "right" });
    if (one.how !== null) {
      pen.globalAlpha = now >= one.end ? 1 : LATER;
      write(pen, SIGNS[one.how], grid.x(one.end) + 3, y, { font, colour: colours.ink });
      pen.globalAlpha = 1;
    }
  });
  pen.fillStyle = colours.ink;
  pen.fillRect(grid.x(now) - 0.75, 0, 1.5, grid.low + 4);
  paintScales(pen, data, grid, colours, now);
}

function paintRow(pen, one, at, grid, colours, now) {
  const colour = requestColour(colours, at);
  const middle = (at + 0.5) * grid.row;
  const tall = grid.row - (grid.row > 12 ? 6 : 2);
  const end = one.end ?? Math.max(now, one.arrival);
  const begin = one.begin ?? end;
  const first = one.tokens.length ? one.tokens[0] : end;
  const bar = (from, to, height, alpha) => {
    const path = new Path2D();
    path.rect(grid.x(from), middle - height / 2, Math.max(0.5, grid.x(to) - grid.x(from)), height);
    tint(pen, path, colour, alpha);
  };
  pen.strokeStyle = colours.faint;
  pen.lineWidth = 1.5;
  pen.setLineDash([2, 3]);
  pen.beginPath();
  pen.moveTo(grid.x(one.arrival), middle);
  pen.lineTo(grid.x(begin), middle);
  pen.stroke();
  pen.setLineDash([]);
  if (one.begin !== null) {
    bar(begin, first, tall, 1);
    bar(first, end, tall * 0.55, 0.28);
  }
  pen.fillStyle = colour;
  for (const time of one.tokens) pen.fillRect(grid.x(time) - 0.6, middle - tall / 2, 1.2, tall);
}

// The blocks in use over the time.
function paintArea(pen, data, grid, colours) {
  pen.fillStyle = colours.accent;
  const most = Math.max(1, data.num_blocks);
  data.memory.forEach(([time, blocks], at) => {
    const after = data.memory[at + 1]?.[0] ?? grid.last;
    const high = (MEMORY * blocks) / most;
    pen.fillRect(grid.x(time), grid.low - high, grid.x(after) - grid.x(time), high);
  });
}

function paintScales(pen, data, grid, colours, now) {
  const look = { font: `11px ${colours.mono}`, colour: colours.soft, align: "center" };
  pen.fillStyle = colours.line;
  for (const y of [grid.top, grid.low]) pen.fillRect(LEFT, y, grid.right - LEFT, 1);
  write(pen, "blocks", LEFT - 8, grid.top + MEMORY / 2, { ...look, align: "right" });
  write(pen, number(data.num_blocks), grid.right + 6, grid.top, { ...look, align: "left" });
  write(pen, "0", grid.right + 6, grid.low, { ...look, align: "left" });
  const inUse = number(blocksAt(data, now));
  const align = grid.x(now) < LEFT + 40 ? "left" : "right";
  const x = grid.x(now) + (align === "left" ? 5 : -5);
  write(pen, inUse, x, grid.top + 9, { font: `600 11px ${colours.mono}`, colour: colours.ink, align });
  timeAxis(pen, { ...grid, y: grid.low + 3, colours });
}
