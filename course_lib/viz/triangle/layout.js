// A row a step, a column a token, in CSS pixels. Canvas: 300 tokens by 250 steps are as quick as 5 by 4.

import { labelLook } from "../kit/token_columns.js";

export function triangleLayout(data, width) {
  const columns = data.tokens.length;
  const rows = data.steps.length;
  const narrow = width < 520;
  const left = narrow ? 80 : 92;
  const right = narrow ? 44 : 78;
  const cell = Math.min(48, (width - left - right) / columns);
  const row = Math.max(1.2, Math.min(cell > 30 ? 26 : 22, 420 / rows));
  const look = labelLook(data.labels, cell);
  const top = look.tall;
  return {
    left,
    right,
    steps: narrow ? 27 : 36, // where step numbers end
    cell,
    row,
    look,
    top,
    columns,
    rows,
    width: Math.min(width, left + cell * columns + right),
    height: top + rows * row + 5,
    gap: cell >= 9 && row >= 9 ? 2 : cell >= 6 && row >= 6 ? 1 : 0,
    x: (position) => left + position * cell,
    y: (index) => top + index * row,
  };
}

// The position and the step at a point; each null where there is none.
export function placeAt(grid, [x, y]) {
  const position = Math.floor((x - grid.left) / grid.cell);
  const step = Math.floor((y - grid.top) / grid.row) + 1;
  return {
    position: position >= 0 && position < grid.columns ? position : null,
    step: step >= 1 && step <= grid.rows ? step : null,
  };
}
