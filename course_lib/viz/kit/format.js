// How views write numbers, tokens, blocks and requests in words. The same as in format.py where Python needs it.

const LISTED = 12; // so many block ids in a sentence; more are counted

export const number = (value) => value.toLocaleString("en");
export const count = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

// A request as it is called on the screen: R3 for a number and for "3", a name as it is.
export const requestName = (request) => (/^\d/.test(request) ? `R${request}` : String(request));

// [3, 4] -> "3, 4"; more than `most` are counted.
export function listed(things, most = LISTED) {
  const rest = things.length - most;
  return things.slice(0, most).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

export function shortened(text, length) {
  return text.length > length ? text.slice(0, length - 1) + "…" : text;
}

// The first of `values` that keeps `pixels` between its multiples, where one unit is `unit` pixels.
export const everyFew = (values, unit, pixels) =>
  values.find((value) => value * unit >= pixels) ?? values.at(-1);

// The ids of a program of a kernel's grid, as they are written: 3, or (0, 3).
export const programIds = (program) =>
  program.length === 1 ? String(program[0]) : `(${program.join(", ")})`;
