import { make, palette, sheet, hatch, replay } from "../kit/player.js";

const number = value => value.toLocaleString("en"), count = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
const div = (a, b) => Math.floor(a / b);      // every number here is a whole one below 2 ** 53, and so is every product

// The same few lines as in calculator.py.
function fit(data, settings) {
  const model = data.models.find(one => one.name === settings.model), gpu = data.gpus.find(one => one.name === settings.gpu);
  const usable = div(gpu.bytes * settings.usable, 100), room = usable - model.weight_bytes;
  const one = settings.tokens * model.kv_bytes_per_token[settings.dtype], requests = Math.max(0, div(room, one));
  return { total: gpu.bytes, usable, weights: model.weight_bytes, room, one, requests, free: Math.max(0, room - requests * one) };
}

function readable(value) {
  if (value < 1000) return count(value, "byte");
  for (const [unit, name] of [[1e3, "kB"], [1e6, "MB"], [1e9, "GB"], [1e12, "TB"], [1e15, "PB"]])
    for (const digits of [2, 1, 0]) {
      const scaled = div(2 * value * 10 ** digits + unit, 2 * unit);
      if (scaled < 1000) return `${digits ? (scaled / 10 ** digits).toFixed(digits) : scaled} ${name}`;
    }
  return `${number(value)} bytes`;
}

function say(data, settings) {
  const sizes = fit(data, settings), { model, gpu } = settings, tokens = count(settings.tokens, "token");
  if (sizes.room < 0) return [["strong", "The weights do not fit."], ["", ` ${model} needs ${readable(sizes.weights)} for them, and ${readable(sizes.usable)} of the ${gpu} are usable: ` +
    `${readable(-sizes.room)} are missing, before any cache.`]];
  if (!sizes.requests) return [["strong", "Not one request fits."], ["", ` The weights of ${model} leave ${readable(sizes.room)} of the ${gpu}; one request of ${tokens} needs ${readable(sizes.one)}. ` +
    `${count(div(sizes.room, sizes.one / settings.tokens), "token")} would fit.`]];
  return [["strong", `${count(sizes.requests, "request")} of ${tokens}`], ["", ` ${sizes.requests === 1 ? "fits" : "fit"} on the ${gpu} beside the weights of ${model}. ` +
    `The weights take ${readable(sizes.weights)}, each request ${readable(sizes.one)}.`]];
}

// The stops of the tokens slider: each power of two and the one halfway to the next, up to the model's context.
function stops(context) {
  const found = [];
  for (let power = 64; power < context; power *= 2) found.push(power, power * 1.5);
  return [...found.filter(value => value < context), context];
}

// Stretches of the bar in bytes: [kind, from, to]. What does not fit runs on past the usable part.
function stretches(sizes) {
  const { usable, weights, one, requests, room, total } = sizes, found = [];
  found.push(["weights", 0, Math.min(weights, usable)]);
  if (room < 0) found.push(["over", usable, weights]);
  else if (!requests) found.push(["needed", weights, weights + one]);
  else { found.push(["one", weights, weights + one]); if (requests > 1) found.push(["more", weights + one, weights + requests * one]); }
  if (room > 0 && requests) found.push(["free", weights + requests * one, usable]);
  return weights > usable || !requests && weights + one > usable ? found : [...found, ["spare", usable, total]];
}

// The bar ends where the GPU does, or where what does not fit would; a single request of twice the GPU is cut off.
const barEnd = ({ total, weights, room, requests, one }) => Math.max(total, weights, room >= 0 && !requests ? Math.min(weights + one, 2 * total) : 0);

function bar(canvas, colours, width, sizes, settings) {
  const top = 26, tall = 54, height = top + tall + 24, pen = sheet(canvas, width, height), scale = barEnd(sizes);
  const x = bytes => Math.min(width, (width - 1) * bytes / scale) + .5;
  const shape = (from, to, gap = 1) => { const path = new Path2D(); path.roundRect(x(from) + gap, top + .5, Math.max(1.5, x(to) - x(from) - 2 * gap), tall - 1, Math.min(5, Math.max(0, (x(to) - x(from)) / 3))); return path; };
  const lined = (path, colour, gap) => { pen.globalAlpha = .13; pen.fillStyle = colour; pen.fill(path); pen.globalAlpha = 1; hatch(pen, path, colour, gap, 1.1); pen.lineWidth = 1.2; pen.strokeStyle = colour; pen.stroke(path); };
  const paint = {
    weights: (a, b) => { pen.fillStyle = colours.r0; pen.fill(shape(a, b)); },
    over: (a, b) => lined(shape(a, b), colours.r1, 6),
    one: (a, b) => { pen.fillStyle = colours.r2; pen.fill(shape(a, b)); },
    more(a, b) {
      const step = (x(b) - x(a)) / (sizes.requests - 1), path = new Path2D();
      if (step >= 5) for (let i = 0; i < sizes.requests - 1; i++) path.roundRect(x(a) + i * step + 1, top + .5, step - 2, tall - 1, Math.min(5, step / 3));
      else path.roundRect(x(a) + 1, top + .5, Math.max(1, x(b) - x(a) - 2), tall - 1, 4);
      pen.globalAlpha = .2; pen.fillStyle = colours.r2; pen.fill(path); pen.globalAlpha = 1;
      pen.strokeStyle = colours.r2; pen.lineWidth = 1.2; pen.stroke(path);
      if (step < 5) {                                     // too many to outline: lines, no closer than 4 px
        pen.globalAlpha = .45; pen.beginPath();
        for (let at = x(a) + 4; at < x(b) - 2; at += Math.max(4, step)) { pen.moveTo(at, top + 2); pen.lineTo(at, top + tall - 2); }
        pen.lineWidth = 1; pen.stroke(); pen.globalAlpha = 1;
      }
    },
    needed: (a, b) => { pen.strokeStyle = colours.r1; pen.lineWidth = 1.5; pen.setLineDash([4, 3]); pen.stroke(shape(a, b, 1.5)); pen.setLineDash([]); },
    free: (a, b) => { pen.strokeStyle = colours.faint; pen.lineWidth = 1; pen.setLineDash([3, 3]); if (x(b) - x(a) > 3) pen.stroke(shape(a, b, 1.5)); pen.setLineDash([]); },
    spare(a, b) { if (b > a) { const path = shape(a, b); pen.fillStyle = colours.free; pen.fill(path); hatch(pen, path, colours.faint, 7, .8); } },
  };
  const all = stretches(sizes);
  for (const kind of ["spare", "weights", "one", "more", "free", "over", "needed"]) for (const [name, a, b] of all) if (name === kind) paint[kind](a, b);
  pen.fillStyle = colours.ink; pen.fillRect(x(sizes.usable) - .75, top - 7, 1.5, tall + 14);       // up to here
  pen.font = `12px ${colours.sans}`; pen.textBaseline = "alphabetic"; pen.fillStyle = colours.soft;
  const mark = `${settings.usable} % of ${readable(sizes.total)} usable: ${readable(sizes.usable)}`, wide = pen.measureText(mark).width;
  pen.textAlign = "left"; pen.fillText(mark, Math.max(0, Math.min(width - wide, x(sizes.usable) - wide / 2)), top - 11);
  if (scale > sizes.total) { pen.strokeStyle = colours.ink; pen.lineWidth = 1; pen.setLineDash([3, 2]); pen.beginPath(); pen.moveTo(x(sizes.total), top - 4); pen.lineTo(x(sizes.total), top + tall + 4); pen.stroke(); pen.setLineDash([]); }
  const names = { weights: "weights", one: sizes.requests === 1 ? "1 request" : null, more: count(sizes.requests, "request"), over: `${readable(-sizes.room)} too much`,
                  needed: `one request, ${readable(sizes.one)}`, free: "free" };
  const labels = all.filter(([kind]) => names[kind]).map(([kind, a, b]) => kind === "more" ? [kind, sizes.weights, b] : [kind, a, b]);
  for (const [kind, a, b] of labels) {
    const long = pen.measureText(names[kind]).width, middle = (x(a) + x(Math.min(b, scale))) / 2;
    pen.fillStyle = colours.soft; pen.textAlign = "left";
    if (long + 8 < x(b) - x(a)) pen.fillText(names[kind], middle - long / 2, height - 3);
    else if (kind === "over" || kind === "needed") pen.fillText(names[kind], Math.max(0, Math.min(width - long, middle - long / 2)), height - 3);
  }
  canvas.setAttribute("aria-label", `Memory of ${settings.gpu}: ` + labels.map(([kind, a, b]) => `${names[kind]} ${readable(b - a)}`).join(", "));
}

const shown = replay({
  name: "calculator", still: true,
  legend: () => [["cl-new", "weights"], ["cl-one", "one request"], ["cl-more", "further requests"], ["cl-empty", "free"], ["cl-spare", "kept for computing"]],
  build(body, data, player) {
    const id = "cl-form-" + Math.random().toString(36).slice(2);
    const choice = (name, label, options) => make("select", { class: "cl-field", id: `${id}-${name}`, "aria-label": label }, ...options.map(([value, text]) => make("option", { value }, text)));
    const slider = (name, label, attributes) => make("input", { type: "range", class: "cl-range", id: `${id}-${name}`, "aria-label": label, ...attributes });
    const model = choice("model", "model", data.models.map(one => [one.name, `${one.name} · ${one.attention}`]));
    const gpu = choice("gpu", "GPU", data.gpus.map(one => [one.name, `${one.name} · ${readable(one.bytes)}`]));
    const dtype = choice("dtype", "numbers in the cache", data.dtypes.map(one => [one, one]));
    const tokens = slider("tokens", "tokens per request", { min: 0, step: 1 }), exact = make("input", { type: "number", class: "cl-field", min: 1, step: 1, "aria-label": "tokens per request, exactly" });
    const usable = slider("usable", "share of the memory usable", { min: 50, max: 100, step: 1 }), share = make("output", { class: "cl-value", for: usable.id });
    const line = (field, text, value = "") => [make("label", { for: field.id }, text), field, value];
    const form = make("div", { class: "cl-form", role: "group", "aria-label": "settings" },
      ...line(model, "model"), ...line(gpu, "GPU"), ...line(dtype, "cache in"), ...line(tokens, "tokens per request", exact), ...line(usable, "usable memory", share));
    const big = make("p", { class: "cl-big" }), sum = make("dl", { class: "cl-sums cl-sum" }), canvas = make("canvas", { role: "img" });
    body.append(make("div", { class: "cl-top" }, form, make("div", {}, big, sum)), make("div", { class: "cl-chart cl-below" }, canvas));

    const now = () => player.selected() ?? data.settings;
    const context = () => data.models.find(one => one.name === now().model).context;
    const set = changes => {
      const next = { ...now(), ...changes }, most = data.models.find(one => one.name === next.model).context;
      player.select({ ...next, tokens: Math.max(1, Math.min(most, next.tokens)) });
    };
    model.addEventListener("change", () => set({ model: model.value }));
    gpu.addEventListener("change", () => set({ gpu: gpu.value }));
    dtype.addEventListener("change", () => set({ dtype: dtype.value }));
    tokens.addEventListener("input", () => set({ tokens: stops(context())[tokens.value] }));
    usable.addEventListener("input", () => set({ usable: Number(usable.value) }));
    const typed = () => Math.round(Number(exact.value));
    exact.addEventListener("input", () => { if (typed() >= 1 && typed() <= context()) set({ tokens: typed() }); });
    exact.addEventListener("change", () => { set({ tokens: typed() || 1 }); exact.value = now().tokens; });

    function controls(settings) {
      const all = stops(context());
      Object.assign(model, { value: settings.model }); Object.assign(gpu, { value: settings.gpu }); Object.assign(dtype, { value: settings.dtype });
      tokens.max = all.length - 1;
      tokens.value = all.findIndex((stop, i) => i === all.length - 1 || settings.tokens < (stop + all[i + 1]) / 2);
      tokens.setAttribute("aria-valuetext", count(settings.tokens, "token"));
      exact.max = context();
      if (!exact.matches(":focus") || typed() !== settings.tokens && typed() >= 1 && typed() <= context()) exact.value = settings.tokens;
      usable.min = Math.min(50, settings.usable); usable.value = settings.usable; share.textContent = `${settings.usable} %`;
      usable.setAttribute("aria-valuetext", share.textContent);
    }
    function draw(step, selected) {
      const settings = selected ?? data.settings, sizes = fit(data, settings), perToken = sizes.one / settings.tokens;
      controls(settings);
      big.replaceChildren(make("b", {}, sizes.room < 0 ? "none" : number(sizes.requests)), " ", sizes.room < 0 ? "the weights do not fit" : sizes.requests === 1 ? "request at once" : "requests at once");
      const lines = [["usable memory", `${readable(sizes.total)} × ${settings.usable} %`, readable(sizes.usable)], ["weights", "", "− " + readable(sizes.weights)],
        [sizes.room < 0 ? "missing" : "room for the cache", "", readable(Math.abs(sizes.room))], ["one request", `${number(settings.tokens)} × ${count(perToken, "byte")}`, readable(sizes.one)],
        ...(sizes.requests ? [["left over", "", readable(sizes.free)]] : [])];
      sum.replaceChildren(...lines.flatMap(([name, how, value], i) => [make("dt", {}, name), make("dd", { class: "cl-how" }, how), make("dd", i === 2 ? { class: "cl-line" } : {}, value)]));
      bar(canvas, palette(body), Math.max(120, canvas.parentNode.clientWidth), sizes, settings);
    }
    return {
      draw,
      say: (step, selected) => say(data, selected ?? data.settings),
      note() {
        const source = (what, name) => data[what].find(one => one.name === name).source, { model, gpu } = now();
        return `Sources: ${source("models", model)}; ${source("gpus", gpu)}.`;
      },
      rows(step, selected) {
        const settings = selected ?? data.settings;
        return data.models.map(one => {
          const start = [one.name, one.attention, number(one.kv_bytes_per_token[settings.dtype]), number(one.weight_bytes)];
          if (settings.tokens > one.context) return [...start, "over its context", "none"];
          const sizes = fit(data, { ...settings, model: one.name });
          return [...start, number(sizes.one), sizes.room < 0 ? "weights do not fit" : number(sizes.requests)];
        });
      },
    };
  },
});
export default shown;
