// Where blocks and the entries of block tables lie, in CSS pixels.

import { clamp } from "../kit/format.js";

const LARGE = 48; // up to so many blocks each shows its slots
const MIDDLE = 320; // up to so many each shows its number

// The physical blocks, row by row.
export function blockLayout(data, width) {
  const count = data.num_blocks;
  const kind = count <= LARGE ? "large" : count <= MIDDLE ? "middle" : "small";
  const pad = 10;
  const inner = width - 2 * pad;
  const columns = Math.min(count, easyToCount(mostColumns(kind, count, inner)));
  const rows = Math.ceil(count / columns);
  const w = inner / columns;
  const h = { large: 60, middle: 27, small: clamp(w, 5, 12) }[kind];
  const gap = { large: 6, middle: 3, small: w > 7 ? 1.5 : 1 }[kind];
  const x = (block) => pad + (block % columns) * w;
  const y = (block) => pad + Math.floor(block / columns) * h;
  const box = (block) => [x(block) + gap / 2, y(block) + gap / 2, w - gap, h - gap];
  return { kind, pad, columns, w, h, gap, x, y, box, width, height: rows * h + 2 * pad };
}

function mostColumns(kind, count, inner) {
  if (kind === "small") return Math.ceil(Math.sqrt((count * inner) / 330));
  return Math.max(2, Math.floor(inner / { large: 66, middle: 42 }[kind]));
}

function easyToCount(columns) {
  const round = columns >= 64 ? 16 : columns >= 16 ? 8 : columns >= 8 ? 4 : 1;
  return Math.max(1, Math.floor(columns / round) * round);
}

// The sizes of the list of tables. counts: how many blocks each has. Where there is much to show, entries shrink to
// cells without numbers.
export function listSizes(data, counts, width) {
  const small = counts.reduce((sum, count) => sum + count, 0) > 160 || counts.length > 16;
  const w = small ? 9 : data.num_blocks > 1000 ? 42 : 36;
  const h = small ? 12 : 23;
  const gap = small ? 1.5 : 4;
  const left = 44;
  const per = Math.max(1, Math.floor((width - left) / (w + gap)));
  const head = !small && data.texts.length > 0 ? 20 : 0;
  const tall = (count) => 7 + head + Math.max(1, Math.ceil(count / per)) * (h + gap) + (small ? 3 : 6);
  const height = Math.max(
    40,
    counts.reduce((sum, count) => sum + tall(count), 4),
  );
  return { small, w, h, gap, left, per, head, tall, width, height };
}

// The list of tables of a state: rows of {request, table, top, bottom}, below one another.
export function listLayout(data, state, width) {
  const counts = [...state.tables.values()].map((table) => table.blocks.length);
  const sizes = listSizes(data, counts, width);
  const { left, per, w, h, gap, head } = sizes;
  let y = 0;
  const rows = [...state.tables].map(([request, table]) => {
    const top = y + 7;
    y += sizes.tall(table.blocks.length);
    return { request, table, top, bottom: y };
  });
  return {
    ...sizes,
    rows,
    x: (place) => left + (place % per) * (w + gap),
    y: (row, place) => row.top + head + Math.floor(place / per) * (h + gap),
  };
}

// The entry of a table at a point: [request, place], or null.
export function entryAt(list, [x, y]) {
  const row = list.rows.find((one) => one.top <= y && y < one.bottom);
  if (!row) return null;
  const column = Math.floor((x - list.left) / (list.w + list.gap));
  const line = Math.floor((y - list.y(row, 0)) / (list.h + list.gap));
  const place = line * list.per + column;
  const inside = column >= 0 && column < list.per && line >= 0 && place < row.table.blocks.length;
  return inside ? [row.request, place] : null;
}
