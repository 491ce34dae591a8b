import { palette } from "../kit/canvas.js";
import { make } from "../kit/dom.js";
import { count, number } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { paintBar } from "./bar.js";
import { changed, settingsForm } from "./form.js";
import { fit, readable, say } from "./sizes.js";

const LEGEND = [
  ["cl-new", "weights"],
  ["cl-one", "one request"],
  ["cl-more", "further requests"],
  ["cl-empty", "free"],
  ["cl-spare", "kept for computing"],
];

function build(body, data, player) {
  const now = () => player.selected() ?? data.settings;
  const form = settingsForm(data, now, (changes) => player.select(changed(data, now(), changes)));
  const big = make("p", { class: "cl-big" });
  const sum = make("dl", { class: "cl-sums cl-sum" });
  const canvas = make("canvas", { role: "img" });
  const chart = make("div", { class: "cl-chart cl-below" }, canvas);
  body.append(make("div", { class: "cl-top" }, form.node, make("div", {}, big, sum)), chart);

  function showSum(settings, sizes) {
    const { room, requests, one } = sizes;
    const fits = requests === 1 ? "request at once" : "requests at once";
    const many = make("b", {}, room < 0 ? "none" : number(requests));
    big.replaceChildren(many, " ", room < 0 ? "the weights do not fit" : fits);
    const perToken = count(one / settings.tokens, "byte");
    const lines = [
      ["usable memory", `${readable(sizes.total)} × ${settings.usable} %`, readable(sizes.usable)],
      ["weights", "", "− " + readable(sizes.weights)],
      [room < 0 ? "missing" : "room for the cache", "", readable(Math.abs(room))],
      ["one request", `${number(settings.tokens)} × ${perToken}`, readable(one)],
      ...(requests ? [["left over", "", readable(sizes.free)]] : []),
    ];
    const nodes = lines.flatMap(([name, how, value], index) => [
      make("dt", {}, name),
      make("dd", { class: "cl-how" }, how),
      make("dd", index === 2 ? { class: "cl-line" } : {}, value), // under the line: what is above, subtracted
    ]);
    sum.replaceChildren(...nodes);
  }
  function rowOf(model, settings) {
    const { name, attention, context, weight_bytes, kv_bytes_per_token } = model;
    const start = [name, attention, number(kv_bytes_per_token[settings.dtype]), number(weight_bytes)];
    if (settings.tokens > context) return [...start, "over its context", "none"];
    const sizes = fit(data, { ...settings, model: name });
    return [...start, number(sizes.one), sizes.room < 0 ? "weights do not fit" : number(sizes.requests)];
  }
  const sourceOf = (things, name) => things.find((one) => one.name === name).source;

  return {
    draw(step, selected) {
      const settings = selected ?? data.settings;
      const sizes = fit(data, settings);
      form.show(settings);
      showSum(settings, sizes);
      paintBar(canvas, palette(body), Math.max(120, chart.clientWidth), sizes, settings);
    },
    say: (step, selected) => say(data, selected ?? data.settings),
    note: () => `Sources: ${sourceOf(data.models, now().model)}; ${sourceOf(data.gpus, now().gpu)}.`,
    rows: (step, selected) => data.models.map((model) => rowOf(model, selected ?? data.settings)),
  };
}

export const view = replay({ name: "calculator", still: true, legend: () => LEGEND, build });
