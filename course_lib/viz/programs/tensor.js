// A tensor as a matrix of numbers: loaded and stored now, before, masked, not touched yet.

import { dashedLine, hatch, tint, write } from "../kit/canvas.js";
import { everyFew, number } from "../kit/format.js";

const EVERY = [1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 1000];
const PATHS = ["loaded", "stored", "wasLoaded", "wasStored", "masked"];

// place: where the tensor lies; own: its accesses so far, each with `fresh`: whether it is of this step; chosen: {row,
// column} of the number that is selected, or null
export function paintTensor(pen, tensor, place, own, chosen, colours) {
  const gap = Math.min(place.w, place.h) >= 6 ? 1 : 0; // numbers stand apart where there is room
  const paths = pathsOf(place, own, gap);
  paintGround(pen, tensor, place, gap, colours);
  paintBefore(pen, paths, colours);
  paintNow(pen, paths, colours);
  if (gap) paintGaps(pen, place, paths, colours);
  paintEdges(pen, tensor, place, colours);
  paintGroups(pen, tensor, place, colours);
  if (tensor.rows > 1) paintIndices(pen, tensor, place, colours);
  paintEnd(pen, tensor, place, own, gap, colours);
  if (chosen) paintChosen(pen, place, chosen, colours);
  paintName(pen, tensor, place, colours);
  paintBytes(pen, tensor, place, own, colours);
}

function pathsOf({ x, y, w, h, rows, columns }, own, gap) {
  const paths = Object.fromEntries(PATHS.map((name) => [name, new Path2D()]));
  const add = (name, [r0, r1, c0, c1]) => {
    const [top, bottom, right] = [Math.max(0, r0), Math.min(r1, rows), Math.min(c1, columns)];
    if (bottom <= top || right <= c0) return;
    paths[name].rect(x + c0 * w, y + top * h, (right - c0) * w - gap, (bottom - top) * h - gap);
  };
  for (const { fresh, loads, stores, touched, masked } of own) {
    if (loads) touched.forEach((box) => add(fresh ? "loaded" : "wasLoaded", box));
    if (stores) touched.forEach((box) => add(fresh ? "stored" : "wasStored", box));
    if (fresh) masked.forEach((box) => add("masked", box));
  }
  return paths;
}

// Whole rows, and the rest of the last one: [columns, first row, end].
function blocksOf({ numel, cols }) {
  const whole = Math.floor(numel / cols);
  const rest = numel - whole * cols;
  return [[cols, 0, whole], ...(rest ? [[rest, whole, whole + 1]] : [])];
}

const lines = (pen, { x, y, w, h }) => ({
  down: (column, first, end) => pen.fillRect(x + column * w - 1, y + first * h - 1, 1, (end - first) * h),
  across: (row, columns) => pen.fillRect(x - 1, y + row * h - 1, columns * w + 1, 1),
});

function paintGround(pen, tensor, place, gap, colours) {
  const { x, y, w, h } = place;
  const { down, across } = lines(pen, place);
  pen.fillStyle = colours.free;
  for (const [columns, row, end] of blocksOf(tensor))
    pen.fillRect(x, y + row * h, columns * w, (end - row) * h);
  pen.fillStyle = colours.faint;
  for (const [columns, first, end] of gap ? blocksOf(tensor) : []) {
    for (let column = 1; column < columns; column++) down(column, first, end);
    for (let row = first + 1; row < end; row++) across(row, columns);
  }
}

// Lines for what was loaded, crossed ones for what was stored: they tell it from the rest without colour.
function paintBefore(pen, { wasLoaded, wasStored }, colours) {
  for (const [path, colour] of [
    [wasLoaded, colours.r0],
    [wasStored, colours.r1],
  ]) {
    tint(pen, path, colours.card);
    tint(pen, path, colour, 0.14);
  }
  hatch(pen, wasLoaded, colours.r0, 4, 1.2, true);
  for (const mirrored of [false, true]) hatch(pen, wasStored, colours.r1, 5.5, 1, mirrored);
}

function paintNow(pen, { masked, loaded, stored }, colours) {
  tint(pen, masked, colours.card);
  hatch(pen, masked, colours.faint, 4, 1.1);
  pen.strokeStyle = colours.faint;
  pen.lineWidth = 0.8;
  pen.stroke(masked);
  tint(pen, loaded, colours.r0);
  tint(pen, stored, colours.r1);
}

function paintGaps(pen, place, paths, colours) {
  const { down, across } = lines(pen, place);
  const filled = new Path2D();
  for (const name of PATHS) filled.addPath(paths[name]);
  pen.save();
  pen.clip(filled);
  pen.fillStyle = colours.card;
  for (let column = 1; column < place.columns; column++) down(column, 0, place.rows);
  for (let row = 1; row < place.rows; row++) across(row, place.columns);
  pen.restore();
}

// Around the tensor.
function paintEdges(pen, tensor, place, colours) {
  const { x, y, h } = place;
  const { down, across } = lines(pen, place);
  const blocks = blocksOf(tensor);
  pen.fillStyle = colours.faint;
  for (const [columns, first, end] of blocks) {
    pen.fillRect(x - 1, y + first * h - 1, 1, (end - first) * h + 1);
    down(columns, first, end);
    across(end, columns);
  }
  const [widest] = blocks.find(([, first, end]) => end > first);
  across(0, widest);
}

// Heads and blocks stand apart however small the numbers are.
function paintGroups(pen, { shape, rows, cols, unit }, { x, y, w, h }, colours) {
  const inner = shape.length > 2 ? shape.at(-1) : 0;
  pen.fillStyle = colours.card;
  if (inner && inner * w > 6)
    for (let column = inner; column < cols; column += inner)
      pen.fillRect(x + column * w - 1.5, y, 2.5, rows * h);
  if (unit > 1 && unit * h > 6)
    for (let row = unit; row < rows; row += unit) pen.fillRect(x, y + row * h - 1.5, cols * w, 2.5);
}

// Numbers in the margin: the first index, or where a line begins of a tensor that is drawn in several.
function paintIndices(pen, { rows, unit, worth }, { x, y, h }, colours) {
  const every = unit * everyFew(EVERY, unit * h, 15);
  const look = { font: `10px ${colours.mono}`, colour: colours.soft, align: "right" };
  for (let row = 0; row < rows; row += every)
    write(pen, (row / unit) * worth, x - 5, y + (row + 0.5) * h, look);
}

// A dashed line where the tensor ends, if anything is drawn past its end.
function paintEnd(pen, tensor, { x, y, w, h, rows, columns }, own, gap, colours) {
  const [right, bottom] = [x + tensor.cols * w, y + tensor.rows * h];
  const dashed = (...points) => dashedLine(pen, ...points, colours.ink, [3, 2]);
  if (rows > tensor.rows) dashed(x - 3, bottom - gap / 2, right + 3, bottom - gap / 2);
  else if (columns > tensor.cols) dashed(right - gap / 2, y - 3, right - gap / 2, y + h + 3);
  const past = (rows - tensor.rows) * h;
  const masks = own.some(({ fresh, masked }) => fresh && masked.some((box) => box[1] > tensor.rows));
  if (past < 15 || masks) return;
  const look = { font: `11px ${colours.sans}`, colour: colours.soft };
  write(pen, "past its end", x, bottom + Math.min(12, past / 2 + 1), look);
}

function paintChosen(pen, { x, y, w, h }, { row, column }, colours) {
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 2;
  pen.strokeRect(x + column * w - 1.5, y + row * h - 1.5, Math.max(4, w + 2), Math.max(4, h + 2));
}

function paintName(pen, { name, shape }, { x, y }, colours) {
  write(pen, name, x, y - 12, { font: `650 12.5px ${colours.mono}`, colour: colours.ink });
  const after = pen.measureText(name).width + 8;
  const look = { font: `11px ${colours.mono}`, colour: colours.soft };
  write(pen, `[${shape.join(", ")}]`, x + after, y - 11.5, look);
}

// The bytes read and written so far, and how many times the tensor that is; its size where there were none.
function paintBytes(pen, { name, bytes }, { x, y, h, rows }, own, colours) {
  const look = { font: `11px ${colours.mono}`, colour: colours.soft };
  let below = y + rows * h + 11;
  const line = (text, own = look) => {
    write(pen, text, x, below, own);
    below += 14;
  };
  for (const [verb, kind] of [
    ["read", "loads"],
    ["written", "stores"],
  ]) {
    const mine = own.filter((access) => access[kind]);
    const sum = mine.reduce((total, access) => total + access.bytes, 0);
    const now = mine.some((access) => access.fresh && access.bytes);
    const bold = { font: `600 11px ${colours.mono}`, colour: colours.ink };
    if (sum) line(`${verb} ${number(sum)} B`, now ? bold : look);
    if (sum > bytes) line(`= ${(sum / bytes).toFixed(1)} × ${name}`);
  }
  if (!own.some((access) => access.bytes)) line(`${number(bytes)} B`);
}
