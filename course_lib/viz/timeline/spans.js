// Reading the lanes: a lane is a request, a span a stretch of steps in which it did one thing,
// [kind, begin, end, start, counts], as course_lib/trace/schedule.py describes it and reads it too.

import { requestName } from "../kit/format.js";

const COMPUTED = ["prefill", "decode", "speculate", "recompute"];

export const isComputed = (kind) => COMPUTED.includes(kind);

export const lanesOf = (data) =>
  data.lanes.map((lane, index) => ({ ...lane, index, tag: requestName(lane.name) }));

export const spanAt = (lane, at) => lane.spans.find(([, begin, end]) => begin <= at && at < end);

// How many tokens are computed in a step of the span.
export function tokensIn([kind, begin, , , counts], at) {
  if (!isComputed(kind)) return 0;
  if (kind === "speculate") return counts[at - begin][0];
  return counts ? counts[at - begin] : 1;
}

// Drafted tokens in a step of the span, and how many of them were accepted.
export function draftsIn([kind, begin, , , counts], at) {
  if (kind !== "speculate") return [0, 0];
  const [tokens, accepted] = counts[at - begin];
  return [tokens - 1, accepted];
}

// How many tokens of the request are computed after a step of the span, those that were taken back not counted.
export function computedAfter([kind, begin, , start, counts], at) {
  if (!isComputed(kind)) return start;
  const steps = at - begin + 1;
  if (kind === "speculate")
    return start + counts.slice(0, steps).reduce((sum, [, accepted]) => sum + 1 + accepted, 0);
  return start + (counts ? counts.slice(0, steps).reduce((sum, count) => sum + count, 0) : steps);
}

// For each step its batch: [[lane, tokens, kind], ...]
export function batchesOf(lanes, last) {
  const batches = Array.from({ length: last }, () => []);
  for (const lane of lanes)
    for (const span of lane.spans)
      for (let at = span[1]; isComputed(span[0]) && at < span[2]; at++)
        batches[at].push([lane, tokensIn(span, at), span[0]]);
  return batches;
}
