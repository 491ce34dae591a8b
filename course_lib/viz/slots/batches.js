// What the data say of a step: which batch runs, what each slot does, which requests wait. The same as in model.py.

// The batch [start, end, places] that runs in this step, or null.
export const runAt = (data, step) => data.runs.find(([start, end]) => start < step && step <= end) ?? null;

// [kind, request or null, useful tokens, wasted tokens]
export function cellAt(data, run, slot, step) {
  if (!run) return ["none", null, 0, 0];
  const [start, , places] = run;
  if (slot >= places.length) return ["empty", null, 0, 0];
  const request = places[slot];
  const [, prompt, fresh] = data.requests[request];
  if (step === start + 1) return ["prompt", request, prompt, longest(data, run) - prompt];
  return step - start <= fresh ? ["token", request, 1, 0] : ["over", request, 0, 1];
}

// The tokens of the longest prompt of a batch.
export const longest = (data, [, , places]) =>
  places.reduce((most, request) => Math.max(most, data.requests[request][1]), 0);

// queue: for each step the requests that wait, in order of arrival; served: for each request [run, slot], or null;
// most: how many wait at once, at most.
export function queuesOf(data) {
  const served = data.requests.map(() => null);
  const queue = Array.from({ length: data.last }, () => []);
  for (const run of data.runs) run[2].forEach((request, slot) => (served[request] = [run, slot]));
  const arrival = (request) => data.requests[request][0];
  const order = data.requests.map((_, request) => request).sort((a, b) => arrival(a) - arrival(b) || a - b);
  for (const request of order) {
    const end = served[request]?.[0][0] ?? data.last;
    for (let step = arrival(request); step < end; step++) queue[step].push(request);
  }
  return { served, queue, most: Math.max(1, ...queue.map((waiting) => waiting.length)) };
}

export function percent(share) {
  if (share <= 0) return "0\xa0%";
  if (share >= 1 - 1e-9) return "100\xa0%";
  if (share < 0.0005) return "<0.1\xa0%";
  return share >= 0.9995 ? ">99.9\xa0%" : `${(100 * share).toFixed(1)}\xa0%`;
}
