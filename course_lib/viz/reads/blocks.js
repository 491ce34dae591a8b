// The physical blocks: which sequences hold them, and which of their slots each KV head has read.

import { roundBox, tint, write } from "../kit/canvas.js";
import { requestColour } from "../kit/looks.js";

// scene: as in sequences.js
export function paintBlocks(pen, map, scene) {
  const { data, colours, lit } = scene;
  tint(pen, roundBox(0, 0, map.width, map.height, 10), colours.well);
  const read = readsSoFar(scene);
  for (let block = 0; block < data.num_blocks; block++) {
    const { reads, times } = read.get(block) ?? { reads: [], times: 0 };
    (map.large ? paintLarge : paintSmall)(pen, map, scene, block, reads, times);
    if (!lit.includes(block)) continue;
    pen.strokeStyle = colours.ink;
    pen.lineWidth = map.large ? 3 : 1.5;
    pen.stroke(roundBox(...map.box(block), map.large ? 7 : 0));
  }
}

// block -> {reads: [{fresh, seq, head, from, to}, ...], times: how many programs read it}
function readsSoFar({ data, step }) {
  const found = new Map();
  data.programs.slice(0, step).forEach((one, index) => {
    if (one.kind !== "decode") return;
    for (const [block, head, from, to] of one.reads) {
      if (!found.has(block)) found.set(block, { reads: [], times: 0 });
      found.get(block).reads.push({ fresh: index === step - 1, seq: one.seq, head, from, to });
    }
    for (const block of new Set(one.reads.map(([block]) => block))) found.get(block).times += 1;
  });
  return found;
}

function ownColour({ programs, colours }, block) {
  const seqs = programs.holders.get(block)?.seqs;
  return seqs ? requestColour(colours, seqs[0]) : colours.faint;
}

function paintSmall(pen, map, scene, block, reads) {
  const { data, programs, step, colours } = scene;
  const hot = reads.some(({ fresh }) => fresh);
  const held = programs.holders.has(block);
  const now = data.programs[step - 1];
  if (hot) pen.fillStyle = requestColour(colours, now.seq);
  else pen.fillStyle = held || reads.length ? ownColour(scene, block) : colours.free;
  pen.globalAlpha = hot ? 1 : reads.length ? 0.45 : held ? 0.14 : 1;
  pen.fillRect(...map.box(block));
  pen.globalAlpha = 1;
}

function paintLarge(pen, map, scene, block, reads, times) {
  const { programs, colours } = scene;
  const [x, y, W, H] = map.box(block);
  const seqs = programs.holders.get(block)?.seqs ?? [];
  const used = seqs.length > 0 || reads.length > 0;
  const hot = reads.some(({ fresh }) => fresh);
  const outline = roundBox(x, y, W, H, 7);
  if (used) tint(pen, outline, colours.card);
  pen.strokeStyle = hot ? colours.ink : ownColour(scene, block);
  pen.lineWidth = hot ? 2 : seqs.length ? 1.4 : 1;
  pen.setLineDash(used ? [] : [4, 3]);
  pen.stroke(outline);
  pen.setLineDash([]);
  write(pen, block, x + 6, y + 11, { font: `500 10px ${colours.mono}`, colour: colours.soft });
  if (seqs.length) paintHolders(pen, seqs, [x + W - 6, y + 11], W - 14 - 6 * String(block).length, colours);
  if (used) paintLanes(pen, map, scene, block, reads, [x, y, W]);
  if (times > 1) paintTimes(pen, times, [x + W - 5, y + H - 17], colours);
}

// As many names as fit.
function paintHolders(pen, seqs, [x, y], room, colours) {
  pen.font = `650 10px ${colours.mono}`;
  const names = seqs.map((seq) => `R${seq}`);
  let text = names.join(" ");
  while (names.length > 1 && pen.measureText(text).width > room) {
    names.pop();
    text = names.join(" ") + "…";
  }
  write(pen, text, x, y, { colour: colours.ink, align: "right" });
}

// A line for each KV head: slots that hold a token, slots that were read before, slots that are read now.
function paintLanes(pen, map, scene, block, reads, [x, y, W]) {
  const { data, programs, colours } = scene;
  const slot = (W - 12) / data.block_size;
  const thin = slot > 4 ? 1.5 : 0.5;
  const tall = map.lane - (map.lane > 4 ? 2 : 1);
  const bar = (colour, head, from, to) => {
    pen.fillStyle = colour;
    for (let at = from; at < to; at++)
      pen.fillRect(x + 6 + at * slot, y + 21 + head * map.lane, slot - thin, tall);
  };
  for (let head = 0; head < data.kv_heads; head++) {
    bar(colours.free, head, 0, data.block_size);
    bar(colours.line, head, 0, programs.holders.get(block)?.tokens ?? 0);
  }
  const own = ownColour(scene, block);
  for (const { fresh, seq, head, from, to } of [...reads].sort((a, b) => a.fresh - b.fresh)) {
    bar(colours.card, head, from, to);
    pen.globalAlpha = fresh ? 1 : 0.42;
    bar(fresh ? requestColour(colours, seq) : own, head, from, to);
    pen.globalAlpha = 1;
  }
}

// How many programs read the block, in a dark label that ends at x.
function paintTimes(pen, times, [x, y], colours) {
  const text = `×${times}`;
  pen.font = `600 10px ${colours.mono}`;
  const wide = pen.measureText(text).width + 8;
  tint(pen, roundBox(x - wide, y, wide, 13, 6.5), colours.ink);
  write(pen, text, x - wide / 2, y + 7, { colour: colours.card, align: "center" });
}
