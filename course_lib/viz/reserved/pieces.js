// What the data say of a step: pieces of memory, shares and words. The same as in model.py.

import { count, number } from "../kit/format.js";

export const PARTS = ["used", "reserved", "internal", "external", "free"];
export const NAMES = {
  used: "used",
  reserved: "yet to come",
  internal: "never used",
  external: "hole, too small",
  free: "free",
};
const SAID = [
  "",
  "is reserved for tokens yet to come",
  "is reserved and never used",
  "lies in holes too small for the next request",
  "is free",
];

// The run's own step, from 0, at `step` of the view; -1 before the run's first.
const ownStep = (run, step) => (run.at === null ? step - 1 : run.at[step - 1]);

// Slots by PARTS.
export const partsAt = (data, run, step) => run.parts[ownStep(run, step)] ?? [0, 0, 0, 0, data.capacity];

// [{request, start, reserved, final, used}, ...] in order of address.
export function segmentsAt(run, step) {
  const index = ownStep(run, step);
  const found = [];
  for (const [request, start, reserved, final, first, last, used] of run.pieces) {
    if (index < first || index > last) continue;
    const grown =
      used.length === 2 ? Math.min(final, used[0] + used[1] * (index - first)) : used[index - first];
    found.push({ request, start, reserved, final, used: grown });
  }
  return found.sort((a, b) => a.start - b.start);
}

// The memory from end to end: [{kind, start, size, segment}, ...]. Holes count as too small from the smallest up, until
// they come to the step's `external`.
export function layoutAt(data, run, step) {
  const found = [];
  let edge = 0;
  for (const segment of segmentsAt(run, step)) {
    if (segment.start > edge) found.push({ kind: "free", start: edge, size: segment.start - edge });
    found.push({ kind: "segment", start: segment.start, size: segment.reserved, segment });
    edge = segment.start + segment.reserved;
  }
  if (edge < data.capacity) found.push({ kind: "free", start: edge, size: data.capacity - edge });
  let left = partsAt(data, run, step)[3];
  const holes = found.filter((piece) => !piece.segment).sort((a, b) => a.size - b.size);
  for (const hole of holes)
    if (hole.size <= left) {
      hole.kind = "external";
      left -= hole.size;
    }
  return found;
}

// Slots as "31.2 %"; what is there is never rounded to nothing.
export function share(slots, capacity) {
  const tenths = Math.floor((2000 * slots + capacity) / (2 * capacity));
  if (slots === 0 || slots === capacity) return slots ? "100\xa0%" : "0\xa0%";
  if (tenths === 0) return "<0.1\xa0%";
  return tenths === 1000 ? ">99.9\xa0%" : `${Math.floor(tenths / 10)}.${tenths % 10}\xa0%`;
}

// What the memory holds, in [kind, text] pieces.
export function say(data, run, step) {
  const parts = partsAt(data, run, step);
  const running = segmentsAt(run, step).length;
  const waiting = run.waiting[ownStep(run, step)] ?? 0;
  const shares = parts.map((slots) => share(slots, data.capacity));
  const rest = SAID.map((said, part) => (part && parts[part] ? `${shares[part]} ${said}` : "")).filter(
    Boolean,
  );
  const runs = `${count(running, "request")} ${running === 1 ? "runs" : "run"}`;
  const waits = `${number(waiting)} ${waiting === 1 ? "waits" : "wait"}`;
  return [
    ["strong", `${run.policy}, time ${number(data.times[step - 1])}:`],
    ["", ` ${runs}, ${waits}. `],
    ["strong", `${shares[0]} of the memory is used`],
    ["", rest.length ? `; ${rest.join(", ")}.` : "."],
  ];
}
