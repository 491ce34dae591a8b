// Physical memory: every block with its state, its holders and its slots, and what the step did to it.

import { cross, roundBox, tint, write } from "../kit/canvas.js";
import { paintCachedBlocks, paintFreeBlocks } from "../kit/looks.js";

const RADIUS = { large: 7, middle: 4, small: 0 };
const SLOTS = 16; // up to so many slots a block shows each

// scene: {data, state, colours, colourOf(request), nameOf(request), lit: blocks to light}
export function paintBlocks(pen, layout, scene) {
  const { data, state, colours } = scene;
  const small = layout.kind === "small";
  const paintOne = small ? paintSmall : paintInUse;
  tint(pen, roundBox(0, 0, layout.width, layout.height, 10), colours.well);
  paintEmpty(pen, layout, scene);
  for (let block = 0; block < data.num_blocks; block++)
    if (state.kinds[block] === "in use") paintOne(pen, layout, scene, block);
  for (let block = 0; !small && block < data.num_blocks; block++) paintLabels(pen, layout, scene, block);
  paintMarks(pen, layout, scene);
}

// Free and cached blocks; small ones in stretches: thousands of single outlines are slow.
function paintEmpty(pen, layout, { data, state, colours }) {
  const { columns, w, gap } = layout;
  const small = layout.kind === "small";
  const paths = { free: new Path2D(), cached: new Path2D() };
  for (let block = 0, next; block < data.num_blocks; block = next) {
    const kind = state.kinds[block];
    next = block + 1;
    while (small && next % columns && state.kinds[next] === kind) next++;
    if (!paths[kind]) continue;
    const [x, y, W, H] = layout.box(block);
    if (small) paths[kind].rect(x, y, (next - block) * w - gap, H);
    else paths[kind].roundRect(x, y, W, H, RADIUS[layout.kind]);
  }
  paintFreeBlocks(pen, paths.free, colours, small);
  paintCachedBlocks(pen, paths.cached, colours, small);
  pen.fillStyle = colours.well; // cuts the stretches into blocks
  for (let column = 1; small && column < columns; column++)
    pen.fillRect(layout.x(column) - gap / 2, layout.pad, gap, layout.height - 2 * layout.pad);
}

function ownColour({ state, colours, colourOf }, block) {
  const holders = state.holders.get(block);
  return holders ? colourOf(holders[0][0]) : colours.soft;
}

// As high as it is full, on a pale ground; with a window where it is shared.
function paintSmall(pen, layout, scene, block) {
  const { data, state, colours } = scene;
  const [x, y, W, H] = layout.box(block);
  const part = state.holders.has(block) ? state.fill[block] / data.block_size : 1;
  const tall = Math.max(1, H * part);
  pen.fillStyle = ownColour(scene, block);
  if (part < 1) {
    pen.globalAlpha = 0.28;
    pen.fillRect(x, y, W, H);
    pen.globalAlpha = 1;
  }
  pen.fillRect(x, y + H - tall, W, tall);
  if (state.ref[block] > 1) {
    pen.fillStyle = colours.card;
    pen.fillRect(x + W / 4, y + H / 4, W / 2, H / 2);
  }
}

function paintInUse(pen, layout, scene, block) {
  const { data, state, colours } = scene;
  const [x, y, W, H] = layout.box(block);
  const colour = ownColour(scene, block);
  const outline = roundBox(x, y, W, H, RADIUS[layout.kind]);
  tint(pen, outline, colours.card);
  tint(pen, outline, colour, 0.1);
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.stroke(outline);
  if (layout.kind === "large") {
    if (state.holders.has(block)) paintSlots(pen, scene, block, [x + 6, y + H - 13, W - 12], colour);
    return;
  }
  const part = state.holders.has(block) ? state.fill[block] / data.block_size : 1;
  pen.fillStyle = colours.line;
  pen.fillRect(x + 4, y + H - 6, W - 8, 3);
  pen.fillStyle = colour;
  pen.fillRect(x + 4, y + H - 6, (W - 8) * part, 3);
}

// The slots of a block: those that hold a token, and around them those that were written in this step.
function paintSlots(pen, { data, state, colours }, block, [x, y, wide], colour) {
  const size = data.block_size;
  const filled = state.fill[block];
  const [from, to] = state.marks.written.get(block) ?? [0, 0];
  pen.strokeStyle = colours.ink;
  if (size > SLOTS) {
    pen.fillStyle = colours.line;
    pen.fillRect(x, y, wide, 7);
    pen.fillStyle = colour;
    pen.fillRect(x, y, (wide * filled) / size, 7);
    pen.lineWidth = 1.3;
    const long = Math.max(2, (wide * (to - from)) / size);
    if (to > from) pen.strokeRect(x + (wide * from) / size, y - 1, long, 9);
    return;
  }
  const step = wide / size;
  const thin = step < 4 ? 0.6 : 2;
  for (let at = 0; at < size; at++) {
    pen.fillStyle = at < filled ? colour : colours.line;
    pen.fillRect(x + at * step, y, step - thin, 7);
  }
  pen.lineWidth = 1.4;
  if (to > from && from < filled)
    pen.strokeRect(x + from * step - 1.2, y - 1.2, (to - from) * step - thin + 2.4, 9.4);
}

// The block's number, its holders and its reference count.
function paintLabels(pen, layout, { state, colours, nameOf }, block) {
  const large = layout.kind === "large";
  const [x, y, W] = layout.box(block);
  const text = String(block);
  pen.font = `500 10px ${colours.mono}`;
  const long = pen.measureText(text).width;
  if (state.kinds[block] === "cached") {
    pen.fillStyle = colours.card; // a ground on the lines
    pen.fillRect(x + 3, y + (large ? 4 : 3), long + 4, 12);
  }
  write(pen, text, x + 5, y + (large ? 10.5 : 9), { colour: colours.soft });
  if (state.ref[block] <= 0) return;
  const bold = { font: `650 ${large ? 12 : 10}px ${colours.mono}`, colour: colours.ink, align: "right" };
  const times = `×${state.ref[block]}`;
  if (!large && state.ref[block] > 1) {
    write(pen, times, x + W - 4, y + 9, bold); // there is room for the count or the names
    return;
  }
  const names = [...new Set((state.holders.get(block) ?? []).map(([request]) => nameOf(request)))];
  pen.font = bold.font;
  const said = fitting(pen, names, W - long - 14);
  if (said) write(pen, said, x + W - 5, y + (large ? 11 : 9), bold);
  if (state.ref[block] > 1) paintTimes(pen, times, x + W - 5, y + 19, colours);
}

// As many of the names as fit into `room`; of a single one as many characters; "" where nothing fits.
function fitting(pen, names, room) {
  const fits = (text) => pen.measureText(text).width <= room;
  let said = names.join(" ");
  for (let many = names.length; many > 1 && !fits(said); many--)
    said = names.slice(0, many - 1).join(" ") + "…";
  while (said.length > 3 && !fits(said)) said = said.replace(/.…?$/, "") + "…";
  return fits(said) ? said : "";
}

// A dark label that ends at x.
function paintTimes(pen, times, x, y, colours) {
  pen.font = `600 10px ${colours.mono}`;
  const wide = pen.measureText(times).width + 8;
  tint(pen, roundBox(x - wide, y, wide, 14, 7), colours.ink);
  write(pen, times, x - 4, y + 7.5, { colour: colours.card, align: "right" });
}

// What the step did: evicted, allocated, copied; what cannot be right; and what is lit.
function paintMarks(pen, layout, scene) {
  const { state, colours, lit } = scene;
  const { fresh, evicted, copies, wrong } = state.marks;
  const { kind, w, h } = layout;
  pen.strokeStyle = colours.r1;
  pen.lineWidth = 2;
  for (const block of evicted) {
    pen.beginPath();
    const across = kind === "large" && state.ref[block] > 1 ? w / 3 : w / 2; // left of the reference count
    cross(pen, layout.x(block) + across, layout.y(block) + h / 2, { large: 7, middle: 5, small: 2 }[kind]);
    pen.stroke();
  }
  for (const block of fresh) ring(pen, layout, colours.ink, block, kind === "small" ? 1 : 1.5, 0);
  for (const [source, destination] of copies) arrow(pen, layout, colours, source, destination);
  pen.setLineDash([3, 2]);
  for (const block of wrong) ring(pen, layout, colours.r1, block, 2.5, 1.5);
  pen.setLineDash([]);
  for (const block of lit)
    ring(pen, layout, state.holders.has(block) ? ownColour(scene, block) : colours.ink, block, 3, 1.5);
}

function ring(pen, layout, colour, block, weight, out) {
  const [x, y, W, H] = layout.box(block);
  const radius = { large: 8, middle: 5, small: 1 }[layout.kind];
  pen.strokeStyle = colour;
  pen.lineWidth = weight;
  pen.stroke(roundBox(x - out, y - out, W + 2 * out, H + 2 * out, radius));
}

// A bent arrow from the source of a copy to its destination, between their edges.
function arrow(pen, layout, colours, source, destination) {
  const { w, h } = layout;
  const [a, b, c, d] = [source, destination].flatMap((one) => [layout.x(one) + w / 2, layout.y(one) + h / 2]);
  const far = Math.hypot(c - a, d - b) || 1;
  const cut = Math.min(far / 3, h / 2.4) / far;
  const [x, y, u, v] = [a + (c - a) * cut, b + (d - b) * cut, c - (c - a) * cut, d - (d - b) * cut];
  const bow = far > 1.5 * w ? Math.min(18, far / 6) / far : 0;
  const p = (x + u) / 2 + bow * (d - b);
  const q = (y + v) / 2 - bow * Math.abs(c - a);
  const angle = Math.atan2(v - q, u - p);
  const head = layout.kind === "small" ? 4 : 7;
  const path = new Path2D();
  path.moveTo(x, y);
  path.quadraticCurveTo(p, q, u, v);
  for (const turn of [2.6, -2.6]) {
    path.moveTo(u, v);
    path.lineTo(u + head * Math.cos(angle + turn), v + head * Math.sin(angle + turn));
  }
  pen.lineCap = "round";
  for (const [colour, weight] of [
    [colours.card, 5],
    [colours.ink, 1.8],
  ]) {
    pen.strokeStyle = colour;
    pen.lineWidth = weight;
    pen.stroke(path);
  }
  pen.lineCap = "butt";
}
