// The cache, layer by layer, and above it what goes through the model in the step.

import { hatch, roundBox, tint, write } from "../kit/canvas.js";
import { everyFew, number } from "../kit/format.js";
import { paintColumnTag, paintTokenColumns } from "../kit/token_columns.js";
import { MODEL_ROW } from "./layout.js";
import { keptBy, stretches } from "./stretches.js";

const STATES = ["free", "kept", "again", "surplus", "missing", "new"];
const EVERY = [1, 2, 4, 5, 10, 20, 50, 100];

// marked: a position under the pointer or selected, or null
export function paintFilling(pen, data, grid, colours, index, marked) {
  paintTokenColumns(pen, data, grid, grid.model, colours, marked);
  write(pen, "THE CACHE", 0, grid.top - 13, { font: `600 10px ${colours.sans}`, colour: colours.soft });
  write(pen, "held", grid.x(grid.columns) + 8, grid.top - 13, { font: `11px ${colours.sans}` });
  paintModelRows(pen, data, grid, colours, index);
  paintCache(pen, data, grid, colours, index);
  for (let layer = 0; layer < data.layers; layer++) paintLabels(pen, data, grid, colours, index, layer);
  paintNow(pen, data, grid, colours, index);
}

const freshPaths = () => Object.fromEntries(STATES.map((name) => [name, new Path2D()]));

function addCells(path, grid, y, height, start, end, rise = grid.rise) {
  const { gap, cell } = grid;
  const w = cell - gap;
  const h = height - rise;
  const stop = Math.min(end, grid.columns);
  const top = y + rise / 2;
  if (!gap || h < 3) {
    const wide = Math.max(stop > start ? 1.6 : 0, (stop - start) * cell - gap);
    path.rect(grid.x(start), top, wide, Math.max(h, 0.8));
    return;
  }
  const radius = Math.min(3.5, w / 4, h / 4);
  for (let at = start; at < stop; at++) path.roundRect(grid.x(at) + gap / 2, top, w, h, radius);
}

// edges: whether cells are outlined
function paintPaths(pen, colours, paths, edges) {
  tint(pen, paths.free, colours.free);
  tint(pen, paths.kept, colours.r0, 0.2);
  tint(pen, paths.again, colours.r1, 0.13);
  tint(pen, paths.surplus, colours.r1, 0.13);
  if (edges) {
    pen.lineWidth = 1;
    pen.strokeStyle = colours.r0;
    pen.stroke(paths.kept);
  }
  hatch(pen, paths.again, colours.r1, 6, 1.1);
  for (const mirrored of [false, true]) hatch(pen, paths.surplus, colours.r1, 5, 1.1, mirrored);
  pen.lineWidth = 1.1;
  pen.strokeStyle = colours.r1;
  if (edges) pen.stroke(paths.again);
  pen.stroke(paths.surplus);
  pen.setLineDash([3, 2]);
  pen.stroke(paths.missing);
  pen.setLineDash([]);
  tint(pen, paths.new, colours.r0);
}

// Naive decoding and this cache: what each computes.
function paintModelRows(pen, data, grid, colours, index) {
  const paths = freshPaths();
  const [first, end] = data.computed[index];
  const known = index ? data.due[index - 1] : 0;
  const naive = Math.min(data.naive[index], grid.columns);
  const cut = Math.min(end, Math.max(first, known));
  const [above, below] = [grid.model, grid.model + MODEL_ROW];
  addCells(paths.again, grid, above, MODEL_ROW, 0, Math.min(known, naive), 4);
  addCells(paths.new, grid, above, MODEL_ROW, Math.min(known, naive), naive, 4);
  addCells(paths.again, grid, below, MODEL_ROW, first, cut, 4);
  addCells(paths.new, grid, below, MODEL_ROW, cut, end, 4);
  paintPaths(pen, colours, paths, grid.gap > 0);
  const own = grid.left < 120 ? "cache" : "with the cache";
  const label = (name, tokens, at, y, weight, colour) => {
    const middle = y + MODEL_ROW / 2;
    write(pen, name, grid.left - 9, middle, { font: `12px ${colours.sans}`, colour, align: "right" });
    const look = { font: `${weight} 11.5px ${colours.mono}`, colour: colours.ink };
    write(pen, number(tokens), grid.x(at) + 6, middle, look);
  };
  label("naive", data.naive[index], naive, above, 400, colours.soft);
  label(own, end - first, end, below, 700, colours.ink);
}

function paintCache(pen, data, grid, colours, index) {
  const paths = freshPaths();
  const thin = grid.row < 3; // heads too thin to be told apart are one piece
  const tall = thin ? grid.row * data.kv_heads : grid.row;
  for (let layer = 0; layer < data.layers; layer++) {
    const found = stretches(data, index, layer);
    const held = Math.max(keptBy(data, index, layer), data.due[index]);
    for (let head = 0; head < (thin ? 1 : data.kv_heads); head++) {
      const y = grid.y(layer, head);
      for (const [a, b, state] of found) if (a < grid.columns) addCells(paths[state], grid, y, tall, a, b);
      if (held < grid.columns) addCells(paths.free, grid, y, tall, held, grid.columns);
    }
  }
  paintPaths(pen, colours, paths, grid.gap > 0 && grid.rise > 0);
  if (grid.row < 14 || !grid.gap) return;
  pen.fillStyle = colours.card; // the key above the value
  pen.globalAlpha = 0.8;
  for (let layer = 0; layer < data.layers; layer++)
    for (let head = 0; head < data.kv_heads; head++)
      pen.fillRect(grid.left, grid.y(layer, head) + grid.row / 2 - 0.5, grid.columns * grid.cell, 1);
  pen.globalAlpha = 1;
}

// A layer's number, its heads, and how many columns it holds; in bold where it should hold something else.
function paintLabels(pen, data, grid, colours, index, layer) {
  const block = data.kv_heads * grid.row + grid.between;
  const named = layer % everyFew(EVERY, block, 15) === 0;
  const middle = (grid.y(layer, 0) + grid.y(layer, data.kv_heads)) / 2;
  const wide = grid.row >= 12 && !grid.narrow;
  const soft = { font: `12px ${colours.sans}`, colour: colours.soft };
  if (named) write(pen, `layer ${layer}`, 0, wide ? grid.y(layer, 0.5) : middle, soft);
  if (wide) paintHeads(pen, data, grid, colours, layer);
  const kept = keptBy(data, index, layer);
  const wrong = kept !== data.due[index];
  if (!named && (!wrong || block < 9)) return;
  const look = { font: `${wrong ? 700 : 400} 11.5px ${colours.mono}`, colour: colours.ink };
  write(pen, number(kept) + (wrong ? " ≠ " + data.due[index] : ""), grid.x(grid.columns) + 8, middle, look);
}

function paintHeads(pen, data, grid, colours, layer) {
  const group = data.heads / data.kv_heads;
  const font = `11px ${colours.mono}`;
  for (let head = 0; head < data.kv_heads; head++) {
    const y = grid.y(layer, head + 0.5);
    const queries = group === 1 ? `Q ${head}` : `Q ${head * group}–${head * group + group - 1}`;
    write(pen, queries, 54, y, { font, colour: colours.soft });
    write(pen, `KV ${head}`, grid.left - 9, y, { font, colour: colours.ink, align: "right" });
  }
}

// This step, from the model down through every layer.
function paintNow(pen, data, grid, colours, index) {
  const [first, end] = data.computed[index];
  const out = grid.gap ? 0.5 : 2.5;
  const y = grid.model + MODEL_ROW + 0.5;
  const size = [(end - first) * grid.cell + 2 * out, grid.bottom - y + 2];
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  pen.stroke(roundBox(grid.x(first) - out, y, ...size, grid.gap ? 5 : 2));
}

// A cell that is selected (firm) or under the pointer.
export function paintRing(pen, data, grid, colours, [layer, head, position], firm) {
  pen.strokeStyle = colours.ink;
  pen.lineWidth = firm ? 2 : 1.2;
  pen.setLineDash(firm ? [] : [3, 3]);
  const size = [Math.max(3, grid.cell + 1), Math.max(3, grid.row + 1)];
  pen.strokeRect(grid.x(position) - 0.5, grid.y(layer, head) - 0.5, ...size);
  pen.setLineDash([]);
  paintColumnTag(pen, data, grid, position, grid.model - 20, colours);
}
