// The settings: what model and GPU, how many tokens, how much of the memory.

import { freshId, make } from "../kit/dom.js";
import { clamp, count } from "../kit/format.js";
import { readable, stops } from "./sizes.js";

// {node, show(settings)}. now(): the settings; set(changes): called where one is changed.
export function settingsForm(data, now, set) {
  const id = freshId("cl-form");
  const model = choice(
    `${id}-model`,
    "model",
    data.models.map(({ name, attention }) => [name, `${name} · ${attention}`]),
  );
  const gpu = choice(
    `${id}-gpu`,
    "GPU",
    data.gpus.map(({ name, bytes }) => [name, `${name} · ${readable(bytes)}`]),
  );
  const dtype = choice(
    `${id}-dtype`,
    "numbers in the cache",
    data.dtypes.map((name) => [name, name]),
  );
  const tokens = slider(`${id}-tokens`, "tokens per request", { min: 0, step: 1 });
  const number = { type: "number", class: "cl-field", min: 1, step: 1 };
  const exact = make("input", { ...number, "aria-label": "tokens per request, exactly" });
  const usable = slider(`${id}-usable`, "share of the memory usable", { min: 50, max: 100, step: 1 });
  const share = make("output", { class: "cl-value", for: usable.id });
  const line = (field, text, value = "") => [make("label", { for: field.id }, text), field, value];
  const node = make(
    "div",
    { class: "cl-form", role: "group", "aria-label": "settings" },
    ...line(model, "model"),
    ...line(gpu, "GPU"),
    ...line(dtype, "cache in"),
    ...line(tokens, "tokens per request", exact),
    ...line(usable, "usable memory", share),
  );

  const context = () => contextOf(data, now().model);
  model.addEventListener("change", () => set({ model: model.value }));
  gpu.addEventListener("change", () => set({ gpu: gpu.value }));
  dtype.addEventListener("change", () => set({ dtype: dtype.value }));
  tokens.addEventListener("input", () => set({ tokens: stops(context())[tokens.value] }));
  usable.addEventListener("input", () => set({ usable: Number(usable.value) }));
  const typed = () => Math.round(Number(exact.value));
  const isTyped = () => typed() >= 1 && typed() <= context();
  exact.addEventListener("input", () => {
    if (isTyped()) set({ tokens: typed() });
  });
  exact.addEventListener("change", () => {
    set({ tokens: typed() || 1 });
    exact.value = now().tokens;
  });

  function show(settings) {
    const all = stops(context());
    const nearest = (stop, at) => at === all.length - 1 || settings.tokens < (stop + all[at + 1]) / 2;
    model.value = settings.model;
    gpu.value = settings.gpu;
    dtype.value = settings.dtype;
    tokens.max = all.length - 1;
    tokens.value = all.findIndex(nearest);
    tokens.setAttribute("aria-valuetext", count(settings.tokens, "token"));
    exact.max = context();
    const differs = typed() !== settings.tokens && isTyped();
    if (!exact.matches(":focus") || differs) exact.value = settings.tokens;
    usable.min = Math.min(50, settings.usable);
    usable.value = settings.usable;
    share.textContent = `${settings.usable} %`;
    usable.setAttribute("aria-valuetext", share.textContent);
  }
  return { node, show };
}

const contextOf = (data, model) => data.models.find((one) => one.name === model).context;

// The settings with changes; the tokens stay within the model's context.
export function changed(data, settings, changes) {
  const next = { ...settings, ...changes };
  return { ...next, tokens: clamp(next.tokens, 1, contextOf(data, next.model)) };
}

function choice(id, label, options) {
  const nodes = options.map(([value, text]) => make("option", { value }, text));
  return make("select", { class: "cl-field", id, "aria-label": label }, ...nodes);
}

const slider = (id, label, range) =>
  make("input", { type: "range", class: "cl-range", id, "aria-label": label, ...range });
