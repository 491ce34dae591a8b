// Queries down, keys across, in CSS pixels. The strips around the matrix say what lies in fast memory (q, k, v) and
// what was written (out).

import { number } from "../kit/format.js";

export function tilesLayout(data, width) {
  const rows = data.rows.length;
  const columns = data.cols.length;
  const [left, right, top] = [62, 34, 42];
  const room = Math.min(width, 480) - left - right;
  const single = Math.max(rows, columns) === 1;
  const cell = single ? Math.min(200, room) : Math.min(46, room / columns, 380 / rows);
  return {
    rows,
    columns,
    left,
    right,
    top,
    cell,
    width: left + columns * cell + right,
    height: top + rows * cell + 6,
    gap: cell >= 8 ? 2 : cell >= 4 ? 1 : 0,
    x: (j) => left + j * cell,
    y: (i) => top + i * cell,
  };
}

// For each tile, row by row, its visits in order: [step, kind, number among the computed]. As `visits` in model.py.
export function visitsOf(data) {
  const columns = data.cols.length;
  const found = data.rows.flatMap(() => data.cols.map(() => []));
  let computed = 0;
  data.events.forEach(([kind, i, iEnd, j, jEnd], index) => {
    if (kind === "store" || kind === "merge") return;
    if (kind !== "skip") computed++;
    for (let a = i; a < iEnd; a++)
      for (let b = j; b < jEnd; b++) found[a * columns + b].push([index + 1, kind, computed]);
  });
  return found;
}

// Tiles first to end - 1 as the tokens they hold: "16–31".
export function span(cuts, first, end) {
  const [a, b] = [cuts[first][0], cuts[end - 1][1] - 1];
  return b > a ? `${a}–${b}` : String(a);
}

export const real = (value) => (value === null || value === -Infinity ? "−∞" : value.toFixed(3));

// "so far of all"
export const ofAll = (values, index) => `${number(values[index])} of ${number(values.at(-1))}`;
