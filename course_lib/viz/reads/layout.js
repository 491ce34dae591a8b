// Left a row for each sequence: its programs (KV heads down, parts across), its outputs (query heads), its block table.
// Right the physical blocks, in each a line for every KV head and a column for every slot. In CSS pixels.

const ENTRY = { w: 38, h: 27 }; // of a block table

export function sequencesLayout(data, width) {
  const { parts, kv_heads: heads } = data;
  const group = data.heads / heads;
  const left = 84;
  const cell = Math.max(5, Math.min(22, (width * 0.42 - left) / parts, 112 / heads));
  const out = Math.max(4, Math.min(14, cell - 4, 84 / group));
  const outs = left + parts * cell + 16;
  const beside = outs + group * out + 18;
  const below = width - beside < 4 * ENTRY.w; // no room for the block tables beside the programs
  const start = below ? left : beside;
  const per = Math.max(1, Math.floor((width - start) / ENTRY.w));
  const tall = heads * cell;
  let y = 20;
  const rows = data.tables.map((table) => {
    const lines = Math.max(1, Math.ceil(table.length / per)) * ENTRY.h;
    const top = y;
    y += (below ? tall + 8 + lines : Math.max(tall, lines, 40)) + 16;
    return { top, table: top + (below ? tall + 8 : 0), bottom: y - 8 };
  });
  const entry = (row, place) => [
    start + (place % per) * ENTRY.w,
    row.table + Math.floor(place / per) * ENTRY.h,
  ];
  return { left, cell, out, outs, start, per, rows, group, below, width, height: y, entry };
}

// What lies at a point: {seq, head, part}, {seq, head, query}, {block} or {}.
export function findAt(data, list, [x, y]) {
  const seq = list.rows.findIndex((row) => row.top <= y && y < row.bottom);
  if (seq < 0) return {};
  const row = list.rows[seq];
  const head = Math.floor((y - row.top) / list.cell);
  const part = Math.floor((x - list.left) / list.cell);
  const query = Math.floor((x - list.outs) / list.out);
  if (head < data.kv_heads && part >= 0 && part < data.parts) return { seq, head, part };
  if (head < data.kv_heads && query >= 0 && query < list.group) return { seq, head, query };
  const inTable = y >= row.table && x >= list.start && x < list.start + list.per * ENTRY.w;
  const line = Math.floor((y - row.table) / ENTRY.h);
  const place = Math.floor((x - list.start) / ENTRY.w) + line * list.per;
  return inTable ? { block: data.tables[seq][place] } : {};
}

export function blocksLayout(data, width) {
  const count = data.num_blocks;
  const large = count <= 48;
  const pad = 10;
  const inner = width - 2 * pad;
  const lane = Math.max(3, Math.min(9, 36 / data.kv_heads));
  const most = Math.max(8, Math.ceil(Math.sqrt((count * inner) / 300)));
  const wanted = large ? Math.max(2, Math.floor(inner / 78)) : most;
  const even = wanted >= 16 ? 8 : wanted >= 8 ? 4 : 1; // columns that are easy to count by
  const columns = Math.min(count, wanted - (wanted % even));
  const w = inner / columns;
  const h = large ? 46 + data.kv_heads * lane : Math.max(5, Math.min(w, 16));
  const gap = large ? 6 : w > 7 ? 1.5 : 1;
  const box = (block) => {
    const [x, y] = [pad + (block % columns) * w, pad + Math.floor(block / columns) * h];
    return [x + gap / 2, y + gap / 2, w - gap, h - gap];
  };
  return { large, pad, columns, w, h, lane, box, width, height: Math.ceil(count / columns) * h + 2 * pad };
}
