// Sums of a row by group, and how times and shares are written. The same as in model.py.

import { number } from "../kit/format.js";

// {row, at: segment in it, first: the step of its first segment} of a step.
export function placeOf(data, step) {
  let first = 1;
  for (const row of data.rows) {
    if (step < first + row.names.length) return { row, at: step - first, first };
    first += row.names.length;
  }
  return null;
}

// Nanoseconds as microseconds with one digit.
export function us(ns) {
  const tenths = Math.floor((ns + 50) / 100);
  return `${number(Math.floor(tenths / 10))}.${tenths % 10}`;
}

// The share of the row's length, in per cent with one digit.
export function share(ns, row) {
  const thousandths = Math.floor((2000 * ns + row.length) / (2 * row.length));
  if (ns && !thousandths) return "<0.1 %";
  return `${Math.floor(thousandths / 10)}.${thousandths % 10} %`;
}

// Rows of the table: sums by group, of the step's own row up to the step.
export function tableRows(data, step) {
  const { row: now, at } = placeOf(data, step);
  const table = [];
  for (const row of data.rows) {
    const upto = row === now ? at + 1 : row.names.length;
    const sums = {};
    for (let i = 0; i < upto; i++) {
      const sum = (sums[row.groups[i]] ??= { launches: 0, ns: 0 });
      sum.launches += row.launches[i];
      sum.ns += row.lengths[i];
    }
    for (const [group, words] of Object.entries(data.groups)) {
      if (!sums[group]) continue;
      const { launches, ns } = sums[group];
      const many = group === "idle" || !launches ? "" : number(launches);
      table.push([row.name, words, many, us(ns), share(ns, row)]);
    }
    if (row === now) return table;
  }
  return table;
}

// A time for an axis or a mark: 306 µs, 2.5 ms.
export function timeWords(ns) {
  if (ns < 1e6) return `${number(Math.floor((ns + 500) / 1000))} µs`;
  const ms = ns / 1e6;
  return `${ms < 10 ? ms.toFixed(2).replace(/\.?0+$/, "") : number(Math.round(ms))} ms`;
}
