// Two rows of tokens through the model, without a cache and with it; below them a row for each layer and KV head.

import { labelLook } from "../kit/token_columns.js";

export const MODEL_ROW = 17;
const BEYOND = 6; // so many columns that no token has, at most

export function fillingLayout(data, width) {
  const most = Math.max(...data.kept.flat(), 0);
  const columns = Math.max(data.tokens.length, Math.min(most, data.tokens.length + BEYOND));
  const narrow = width < 520;
  const row = Math.max(1.2, Math.min(20, 300 / (data.layers * data.kv_heads)));
  const faulty = data.kept.some((kept, index) => Array.isArray(kept) || kept !== data.due[index]);
  const left = row < 12 || narrow ? 74 : 148;
  const right = faulty ? 76 : 38; // a faulty cache shows what is due as well
  const cell = Math.min(40, (width - left - right) / columns);
  const look = labelLook(data.labels, cell);
  const model = look.tall;
  const top = model + 2 * MODEL_ROW + 34;
  const between = row >= 6 ? 6 : row >= 3 ? 2 : 0.6;
  const y = (layer, head) => top + layer * (data.kv_heads * row + between) + head * row;
  return {
    columns,
    row,
    left,
    right,
    cell,
    look,
    model,
    top,
    between,
    y,
    narrow,
    bottom: y(data.layers, 0) - between,
    gap: cell >= 9 ? 2 : cell >= 6 ? 1 : 0,
    rise: row >= 9 ? 2 : row >= 5 ? 1 : 0,
    width: Math.min(width, left + columns * cell + right),
    height: y(data.layers, 0) + 3,
    x: (position) => left + Math.min(position, columns) * cell,
  };
}

// The cell at a point, [layer, KV head, position], or null.
export function cellAt(data, grid, [x, y]) {
  const position = Math.floor((x - grid.left) / grid.cell);
  const block = data.kv_heads * grid.row + grid.between;
  const layer = Math.floor((y - grid.top) / block);
  const head = Math.min(data.kv_heads - 1, Math.floor((y - grid.top - layer * block) / grid.row));
  const inside = position >= 0 && position < data.tokens.length && layer >= 0 && layer < data.layers;
  return inside ? [layer, head, position] : null;
}
