// What the settings come to, in bytes and in words. The same as in model.py.

import { count, number } from "../kit/format.js";

const UNITS = [
  [1e3, "kB"],
  [1e6, "MB"],
  [1e9, "GB"],
  [1e12, "TB"],
  [1e15, "PB"],
];

const div = (a, b) => Math.floor(a / b); // every number here is a whole one below 2 ** 53, and so is every product

// Bytes: total, usable, weights, room for the cache (below 0: the weights do not fit), one request, free; and requests.
export function fit(data, settings) {
  const model = data.models.find((one) => one.name === settings.model);
  const gpu = data.gpus.find((one) => one.name === settings.gpu);
  const usable = div(gpu.bytes * settings.usable, 100);
  const weights = model.weight_bytes;
  const room = usable - weights;
  const one = settings.tokens * model.kv_bytes_per_token[settings.dtype];
  const requests = Math.max(0, div(room, one));
  return { total: gpu.bytes, usable, weights, room, one, requests, free: Math.max(0, room - requests * one) };
}

// Bytes in decimal units with three digits: 131,072 -> "131 kB".
export function readable(value) {
  if (value < 1000) return count(value, "byte");
  for (const [unit, name] of UNITS)
    for (const digits of [2, 1, 0]) {
      const scaled = div(2 * value * 10 ** digits + unit, 2 * unit);
      if (scaled < 1000) return `${digits ? (scaled / 10 ** digits).toFixed(digits) : scaled} ${name}`;
    }
  return `${number(value)} bytes`;
}

// [kind, text] pieces.
export function say(data, settings) {
  const sizes = fit(data, settings);
  const { model, gpu } = settings;
  const tokens = count(settings.tokens, "token");
  if (sizes.room < 0) {
    const needs = ` ${model} needs ${readable(sizes.weights)} for them`;
    const usable = `${readable(sizes.usable)} of the ${gpu} are usable`;
    const missing = `${readable(-sizes.room)} are missing, before any cache.`;
    return [
      ["strong", "The weights do not fit."],
      ["", `${needs}, and ${usable}: ${missing}`],
    ];
  }
  if (!sizes.requests) {
    const left = ` The weights of ${model} leave ${readable(sizes.room)} of the ${gpu}`;
    const needs = `one request of ${tokens} needs ${readable(sizes.one)}`;
    const most = div(sizes.room, sizes.one / settings.tokens);
    return [
      ["strong", "Not one request fits."],
      ["", `${left}; ${needs}. ${count(most, "token")} would fit.`],
    ];
  }
  const verb = sizes.requests === 1 ? "fits" : "fit";
  const takes = `The weights take ${readable(sizes.weights)}, each request ${readable(sizes.one)}.`;
  return [
    ["strong", `${count(sizes.requests, "request")} of ${tokens}`],
    ["", ` ${verb} on the ${gpu} beside the weights of ${model}. ${takes}`],
  ];
}

// The bar in bytes: [[kind, from, to], ...] in order. What does not fit runs on past the usable part.
export function stretches({ usable, weights, one, requests, room, total }) {
  const found = [["weights", 0, Math.min(weights, usable)]];
  if (room < 0) return [...found, ["over", usable, weights]];
  if (!requests) return [...found, ["needed", weights, weights + one]];
  const end = weights + requests * one;
  found.push(["one", weights, weights + one], ["more", weights + one, end]);
  found.push(["free", end, usable], ["spare", usable, total]);
  return found.filter(([, a, b]) => b > a);
}

// The stops of the tokens slider: each power of two and the one halfway to the next, up to the model's context.
export function stops(context) {
  const found = [];
  for (let power = 64; power < context; power *= 2) found.push(power, power * 1.5);
  return [...found.filter((value) => value < context), context];
}
