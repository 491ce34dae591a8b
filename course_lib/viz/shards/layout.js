// Where things are, in CSS pixels: a column for each GPU, a row for each weight. The same in still.py.

const WIDE = 640;
export const BOX = 34;
export const VECTOR = 18;

// {width, height, isWide, head, row, left, right, columns, vector, arrows}: columns are [[x, width], ...] of the GPUs.
export function layoutOf(data, width) {
  const isWide = width >= WIDE;
  const [labels, gap, left] = isWide ? [118, 16, 8] : [72, 6, 6];
  const right = width - 8;
  const count = data.gpus.length;
  const each = (right - left - labels - gap * (count - 1)) / count;
  const columns = data.gpus.map((_, rank) => [left + labels + rank * (each + gap), each]);
  const [head, row] = [32, 46];
  const vector = head + data.parts.length * row + 10;
  return { width, height: vector + VECTOR + 42, isWide, head, row, left, right, columns, vector };
}

// The number of the GPU at a point, or null.
export function gpuAt(layout, [x]) {
  const found = layout.columns.findIndex(([from, width]) => x >= from && x <= from + width);
  return found < 0 ? null : found;
}
