// The memory, slot by slot, on a few rows.

import { hatch, roundBox, tint, write } from "../kit/canvas.js";
import { number } from "../kit/format.js";
import { PARTS } from "./pieces.js";

export const LEFT = 58; // pixels for the numbers at the left

// How each part looks, wherever it is drawn: solid, pale, hatched, hatched the other way, empty.
export function paintPart(pen, colours, part, path) {
  const { r0, r1, r3, faint } = colours;
  if (part === "used") tint(pen, path, r0);
  if (part === "reserved") tint(pen, path, r0, 0.26);
  if (part === "internal") {
    tint(pen, path, r1, 0.1);
    hatch(pen, path, r1, 6, 1.1);
  }
  if (part === "external") {
    tint(pen, path, r3, 0.16);
    hatch(pen, path, r3, 5, 1.6, true);
  }
  if (part === "free") {
    pen.strokeStyle = faint;
    pen.lineWidth = 1;
    pen.setLineDash([3, 3]);
    pen.stroke(path);
    pen.setLineDash([]);
  }
}

export function mapLayout(capacity, width) {
  const wanted = capacity <= 48 ? 1 : capacity <= 256 ? 4 : capacity <= 1024 ? 8 : 12;
  const per = Math.ceil(capacity / wanted);
  const rows = Math.ceil(capacity / per);
  const row = wanted > 8 ? 19 : 24;
  return { rows, per, row, slot: (width - LEFT - 2) / per, width, height: rows * row + 2 };
}

// The slot at a point, or null.
export function slotAt(grid, [x, y]) {
  const line = Math.floor((y - 1) / grid.row);
  const place = Math.floor((x - LEFT) / grid.slot);
  return place < 0 || place >= grid.per || line < 0 ? null : line * grid.per + place;
}

// What [start, end) is on the rows of the map: {x, y, w, first, last}, row after row. first, last: whether the start
// and the end are on this row.
function* linesOf(grid, start, end) {
  for (let at = start; at < end;) {
    const line = Math.floor(at / grid.per);
    const stop = Math.min(end, (line + 1) * grid.per);
    const x = LEFT + (at - line * grid.per) * grid.slot;
    const w = (stop - at) * grid.slot;
    yield { x, y: line * grid.row + 2, w, first: at === start, last: stop === end };
    at = stop;
  }
}

// pieces: of layoutAt; marked: a request under the pointer or selected, or null
export function paintMap(pen, grid, colours, pieces, marked) {
  const tall = grid.row - 4;
  const paths = Object.fromEntries(PARTS.map((part) => [part, new Path2D()]));
  const outline = new Path2D();
  for (const piece of pieces) {
    if (piece.segment) addSegment(paths, outline, grid, piece);
    else
      for (const { x, y, w } of linesOf(grid, piece.start, piece.start + piece.size))
        paths[piece.kind].rect(x + 0.5, y + 0.5, Math.max(0.5, w - 1), tall - 1);
  }
  for (const part of PARTS) paintPart(pen, colours, part, paths[part]);
  if (grid.slot >= 7) paintSlotEdges(pen, grid, colours, pieces);
  pen.strokeStyle = colours.card; // a gap between neighbours, whatever they hold
  pen.lineWidth = 3;
  pen.stroke(outline);
  pen.strokeStyle = colours.soft;
  pen.lineWidth = 1;
  pen.stroke(outline);
  for (const piece of pieces) if (piece.segment) paintName(pen, grid, colours, piece, marked);
  const look = { font: `11px ${colours.mono}`, colour: colours.soft, align: "right" };
  for (let line = 0; line < grid.rows; line++)
    write(pen, number(line * grid.per), LEFT - 9, line * grid.row + grid.row / 2, look);
}

function addSegment(paths, outline, grid, { start, size, segment }) {
  const tall = grid.row - 4;
  const add = (part, from, to) => {
    for (const { x, y, w } of linesOf(grid, start + from, start + to)) paths[part].rect(x, y, w, tall);
  };
  add("used", 0, segment.used);
  add("reserved", segment.used, segment.final);
  add("internal", segment.final, size);
  const line = (...points) =>
    points.forEach(([x, y], at) => (at ? outline.lineTo(x, y) : outline.moveTo(x, y)));
  for (const { x, y, w, first, last } of linesOf(grid, start, start + size)) {
    line([x, y], [x + w, y]);
    line([x, y + tall], [x + w, y + tall]);
    if (first) line([x, y - 0.5], [x, y + tall + 0.5]); // open where it goes on in the next row
    if (last) line([x + w, y - 0.5], [x + w, y + tall + 0.5]);
  }
}

function paintSlotEdges(pen, grid, colours, pieces) {
  pen.fillStyle = colours.card;
  for (const { kind, start, size } of pieces)
    for (let at = start + 1; kind === "segment" && at < start + size; at++) {
      const x = LEFT + (at % grid.per) * grid.slot - 0.5;
      if (at % grid.per) pen.fillRect(x, Math.floor(at / grid.per) * grid.row + 2, 1, grid.row - 4);
    }
}

// The name of a request in the first of its rows that has room; a frame around it where it is marked.
function paintName(pen, grid, colours, { start, size, segment }, marked) {
  const tall = grid.row - 4;
  const text = String(segment.request).slice(0, 10);
  const lines = [...linesOf(grid, start, start + size)];
  pen.font = `600 11px ${colours.mono}`;
  const wide = pen.measureText(text).width + 8;
  const room = lines.find(({ w }) => w > wide + 4);
  if (room) {
    tint(pen, roundBox(room.x + 3, room.y + tall / 2 - 7, wide, 14, 4), colours.card);
    write(pen, text, room.x + 7, room.y + tall / 2 + 0.5, { colour: colours.ink });
  }
  if (segment.request !== marked) return;
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 2.5;
  for (const { x, y, w } of lines) pen.strokeRect(x, y, w, tall);
}
