// Where things are, in CSS pixels. A wide view has the names beside the bars, a narrow one above them. The same in
// still.py.

const GAP = 14;
const WIDE = 640;
export const BAR = 10;
export const STRIP = 26;
const SHARES = { bytes: 1.15, error: 1.15 };

// {width, height, isWide, head, row, left, right, columns, seen}: columns are [[x, width], ...] of bytes, error and
// each stretch; seen is the top of the strip.
export function layoutOf(data, width) {
  const isWide = width >= WIDE;
  const [left, row, head] = isWide ? [212, 36, 44] : [6, 54, 62];
  const right = width - 8;
  const shares = [SHARES.bytes, SHARES.error, ...data.stretches.map(() => 1)];
  const gap = isWide ? GAP : 8;
  const unit = (right - left - gap * (shares.length - 1)) / shares.reduce((sum, share) => sum + share, 0);
  const columns = [];
  let x = left;
  for (const share of shares) {
    columns.push([x, share * unit]);
    x += share * unit + gap;
  }
  const seen = head + data.caches.length * row + 18;
  return { width, height: seen + 18 + STRIP + 30, isWide, head, row, columns, seen, left: 6, right };
}

// {cache, stretch: its number or null} at a point, or null.
export function placeAt(layout, data, [x, y]) {
  const cache = Math.floor((y - layout.head) / layout.row);
  if (cache < 0 || cache >= data.caches.length) return null;
  const column = layout.columns.findIndex(([from, width]) => x >= from && x <= from + width);
  return { cache, stretch: column < 2 ? null : column - 2 };
}

// [[from, to, "sink" | "window" | "gone"], ...] of the positions that the newest of so many tokens sees.
export function partsSeen({ window, sinks }, tokens) {
  const first = window === null ? 0 : Math.max(0, tokens - window);
  const kept = Math.min(sinks, first);
  return [
    [0, kept, "sink"],
    [kept, first, "gone"],
    [first, tokens, "window"],
  ].filter(([from, to]) => to > from);
}
