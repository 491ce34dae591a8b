// Where things are: a row is a caption, a bar, and room for the words of its marks. In CSS pixels.

const ROW = { tall: 92, bar: 34, below: 24 };
export const BAR = 32;
const RIGHT = 12;
const ROUND = [1, 2, 5, 10];

// {width, height, axis, rows: [{top, bar}], x(ns), every: ns between ticks}
export function layoutOf(data, width) {
  const per = (width - RIGHT) / data.scale;
  const rows = data.rows.map((_, at) => ({ top: at * ROW.tall, bar: at * ROW.tall + ROW.below }));
  const axis = data.rows.length * ROW.tall + 4;
  return { width, height: axis + 24, axis, rows, x: (ns) => ns * per, every: everyOf(data.scale, per) };
}

// The first round time that leaves 90 pixels between two ticks.
function everyOf(scale, per) {
  for (let power = 1; power < 1e13; power *= 10)
    for (const round of ROUND) if (round * power * per >= 90) return round * power;
  return scale;
}

// The row at a height of the layout, or -1.
export const rowAt = (layout, y) =>
  layout.rows.findIndex(({ bar }) => bar - 4 <= y && y < bar + BAR + 4);

// The segment of a row that covers a time, else the last one that starts before it.
export function segmentAt(row, ns) {
  let found = 0;
  for (let at = 0; at < row.starts.length && row.starts[at] <= ns; at++) found = at;
  return found;
}
