import { make, palette, sheet, hatch, replay } from "../kit/player.js";
import { memory } from "../memory/view.js";

// A lane is a request, a span a stretch of steps in which it did one thing: [kind, begin, end, start, counts], as schedule.py says.
// What does not change from step to step is painted once for a window of steps and kept; a step only copies it.
const number = value => value.toLocaleString("en"), many = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
const nameOf = request => /^\d/.test(request) ? `R${request}` : String(request);
const COMPUTED = ["prefill", "decode", "again"], FADED = .4, PALE = .38;
const STATES = { prefill: "prefill", decode: "decode", again: "computes again", idle: "runs, no tokens in this step", waiting: "waits", preempted: "preempted", swapped: "swapped out" };

const lanesOf = data => data.lanes.map(([name, client, prompt, begin, done, spans, priority], index) => ({ index, name, client, prompt, begin, done, spans, priority, tag: nameOf(name) }));
const spanAt = (lane, at) => lane.spans.find(([, begin, end]) => begin <= at && at < end);
const tokensAt = ([kind, begin, , , counts], at) => !COMPUTED.includes(kind) ? 0 : counts ? counts[at - begin] : 1;
const computedAt = ([kind, begin, , start, counts], at) => !COMPUTED.includes(kind) ? start : start + (counts ? counts.slice(0, at - begin + 1).reduce((a, b) => a + b, 0) : at - begin + 1);

const tokensOf = (lane, start, count) => { const last = start + count - 1, which = count === 1 ? `token ${start}` : `tokens ${start}–${last}`; return last < lane.prompt ? `prompt ${which} of ${lane.prompt}` : which; };

// Which steps are in sight: all of them if a column keeps 7 pixels, else a window that turns over like a page.
function columns(data, width, left, zoom, from, step) {
  const plot = width - left - 12, all = plot / data.last, fit = Math.min(36, Math.max(all, 7)), w = Math.max(Math.min(all, 36), Math.min(40, fit * 1.6 ** zoom)), count = Math.min(data.last, Math.floor(plot / w + 1e-6));
  if (step < from + Math.min(1, count - 1) || step > from + count - 2) from = Math.round(step - count / 3);
  from = Math.max(0, Math.min(data.last - count, from));
  return { plot, left, w, count, from, to: from + count, all: count >= data.last, gap: w >= 12 ? 2 : w >= 5 ? 1 : 0, x: at => left + (at - from) * w };
}

// A picture that is painted again only when its key changes.
function layer() {
  const canvas = document.createElement("canvas");
  let kept = "";
  return {
    canvas,
    paint(key, width, height, paint) { if (key !== kept) { kept = key; paint(sheet(canvas, width, height)); } },
    // past and present as they are, the future pale
    copy(pen, split, width) {
      const ratio = window.devicePixelRatio || 1, cut = Math.max(0, Math.min(canvas.width, Math.round(split * ratio))), h = canvas.height;
      pen.save(); pen.setTransform(1, 0, 0, 1, 0, 0);
      if (cut) pen.drawImage(canvas, 0, 0, cut, h, 0, 0, cut, h);
      pen.globalAlpha = FADED;
      if (cut < canvas.width) pen.drawImage(canvas, cut, 0, canvas.width - cut, h, cut, 0, canvas.width - cut, h);
      pen.restore();
    },
  };
}

function cell(path, x, y, w, h, gap) { w -= gap; w >= 6 && h >= 6 ? path.roundRect(x + gap / 2, y, w, h, Math.min(3, w / 3)) : path.rect(x + gap / 2, y, Math.max(w, .6), h); }

function paintLane(pen, lane, cols, y, h, colours, colour) {
  const { gap, w } = cols, middle = y + h / 2, tall = h - (h > 16 ? 4 : 2), low = Math.max(3, tall * .55);
  for (const [kind, begin, end, , counts] of lane.spans) {
    if (end <= cols.from || begin >= cols.to) continue;
    const a = Math.max(begin, cols.from), b = Math.min(end, cols.to), x = cols.x(a), wide = (b - a) * w;
    if (kind === "waiting" || kind === "idle") {
      pen.strokeStyle = kind === "idle" ? colour : colours.faint; pen.lineWidth = 1.5; pen.setLineDash(kind === "idle" ? [] : [3, 4]);
      pen.beginPath(); pen.moveTo(x + 1, middle); pen.lineTo(x + wide - 1, middle); pen.stroke(); pen.setLineDash([]);
    } else if (kind === "preempted" || kind === "swapped") {
      const path = new Path2D();
      path.rect(x + gap / 2, middle - low / 2, Math.max(1, wide - gap), low);
      if (kind === "preempted") hatch(pen, path, colours.soft, 5, 1.5);
      else { pen.strokeStyle = colour; pen.lineWidth = 1.4; pen.setLineDash([2, 2]); pen.stroke(path); pen.setLineDash([]); }
    } else {
      const path = new Path2D(), height = kind === "decode" ? low : tall, texts = kind !== "decode" && gap && h >= 17;
      for (let at = a; at < b; at += gap ? 1 : b - a) cell(path, cols.x(at), middle - height / 2, gap ? w : wide, height, gap);
      pen.globalAlpha = kind === "prefill" ? 1 : kind === "decode" ? PALE : .2; pen.fillStyle = colour; pen.fill(path); pen.globalAlpha = 1;
      if (kind === "again") { hatch(pen, path, colour, 4, 1.2); pen.strokeStyle = colour; pen.lineWidth = 1; pen.stroke(path); }
      pen.font = `600 10px ${colours.mono}`; pen.textAlign = "center"; pen.textBaseline = "middle"; pen.lineWidth = 3; pen.strokeStyle = colours.card;
      for (let at = a; texts && at < b; at++) {
        const count = String(counts ? counts[at - begin] : 1), x = cols.x(at) + w / 2;
        if (w < 8 + 6 * count.length) continue;
        if (kind === "again") pen.strokeText(count, x, middle + .5);
        pen.fillStyle = kind === "prefill" ? colours["on-accent"] : colours.ink; pen.fillText(count, x, middle + .5);
      }
    }
  }
  ending(pen, lane, cols, middle, h, colour);
}

function ending(pen, lane, cols, middle, h, colour) {
  const end = lane.done && lane.done[0] + lane.done[2];      // behind the step's tokens, if it had any
  if (!lane.done || end < cols.from || end > cols.to) return;
  const r = Math.min(4, h / 4), x = cols.x(end) + r + 2;
  pen.strokeStyle = colour; pen.lineWidth = 1.8; pen.beginPath();
  if (lane.done[1] === "abort") { pen.moveTo(x - r, middle - r); pen.lineTo(x + r, middle + r); pen.moveTo(x + r, middle - r); pen.lineTo(x - r, middle + r); }
  else pen.arc(x, middle, r, 0, 7);
  pen.stroke();
}

// The tokens of each step, request on request; where one token is too small to be seen, those of one colour together.
function paintBudget(pen, batch, cols, top, height, scale, colours, colourOf) {
  const paths = new Map(), at = (colour, kind) => { const key = colour + kind; if (!paths.has(key)) paths.set(key, { colour, kind, path: new Path2D() }); return paths.get(key).path; };
  for (let step = cols.from; step < cols.to; step++) {
    let pieces = batch[step].map(([lane, count, kind]) => [colourOf(lane), kind, count]), y = top + height;
    if (scale < 1.2 && pieces.length > 6) {
      const sums = new Map();
      for (const [colour, kind, count] of pieces) { const key = colour + kind; if (!sums.has(key)) sums.set(key, [colour, kind, 0]); sums.get(key)[2] += count; }
      pieces = [...sums.values()];
    }
    for (const [colour, kind, count] of pieces) {
      const tall = count * scale, thin = tall > 3.5 ? 1 : 0;
      y -= tall;
      at(colour, kind).rect(cols.x(step) + cols.gap / 2, y + thin, Math.max(.6, cols.w - cols.gap), tall - thin);
    }
  }
  for (const { colour, kind, path } of paths.values()) {
    pen.globalAlpha = kind === "prefill" ? 1 : kind === "decode" ? .5 : .2; pen.fillStyle = colour; pen.fill(path); pen.globalAlpha = 1;
    if (kind === "again") hatch(pen, path, colour, 4, 1.2);
  }
}

// Bars on bars, one stack a step: [[heights, look], ...] in parts of `most`.
function paintStack(pen, layers, cols, top, height, most, colours) {
  const base = new Float64Array(cols.count);
  for (const [values, colour, alpha, hatched] of layers) {
    const path = new Path2D();
    for (let step = cols.from; step < cols.to; step++) {
      const tall = height * values(step) / most, y = top + height - base[step - cols.from] - tall;
      if (tall > 0) path.rect(cols.x(step), y, cols.w + (cols.gap ? -cols.gap : .3), tall);
      base[step - cols.from] += tall;
    }
    if (hatched) hatch(pen, path, colour, 5, 1); else { pen.globalAlpha = alpha; pen.fillStyle = colour; pen.fill(path); pen.globalAlpha = 1; }
  }
  pen.fillStyle = colours.line; pen.fillRect(cols.left, top + height, cols.plot, 1);
}

const caption = (pen, colours, text, y) => { pen.font = `11px ${colours.sans}`; pen.textAlign = "left"; pen.textBaseline = "middle"; pen.fillStyle = colours.soft; pen.fillText(text, 0, y); };
const mark = (pen, cols, at, colours, top, height) => {
  pen.strokeStyle = pen.fillStyle = colours.ink; pen.lineWidth = 1.5;
  if (cols.w >= 6) { pen.beginPath(); pen.roundRect(cols.x(at) - 1, top, cols.w + 2 - cols.gap / 2, height, 4); pen.stroke(); } else pen.fillRect(cols.x(at) + cols.w / 2 - .75, top, 1.5, height);
};

const shown = replay({
  name: "timeline",
  legend: data => {
    const has = kind => data.lanes.some(lane => lane[5].some(span => span[0] === kind));
    return [["cl-new", "prefill"], ["cl-decode", "decode"], ...(has("again") ? [["cl-hatch cl-redo", "computed again"]] : []), ...(has("idle") ? [["cl-idle", "runs, no tokens"]] : []), ["cl-wait", "waiting"],
      ...(has("preempted") ? [["cl-out", "preempted"]] : []), ...(has("swapped") ? [["cl-away", "swapped out"]] : []), ["cl-arrow", "done", "○"], ...(data.lanes.some(lane => lane[4]?.[1] === "abort") ? [["cl-arrow", "aborted", "✕"]] : [])];
  },
  build(body, data, player) {
    const lanes = lanesOf(data), last = data.last, byName = new Map(lanes.map(lane => [lane.name, lane])), batch = Array.from({ length: last }, () => []);
    for (const lane of lanes) for (const [kind, begin, end, , counts] of lane.spans) if (COMPUTED.includes(kind)) for (let at = begin; at < end; at++) batch[at].push([lane, counts ? counts[at - begin] : 1, kind]);
    const place = lane => (data.clients ? lane.client : lane.index) % 6, longest = Math.max(...lanes.map(lane => lane.tag.length)), tag = Math.min(88, Math.max(34, 8 + 7.3 * longest)), ranked = new Set(lanes.map(lane => lane.priority)).size > 1, left = Math.max(52, tag + (ranked ? 30 : 10));
    const h = lanes.length <= 12 ? 22 : lanes.length <= 24 ? 18 : 14, view = Math.min(lanes.length, Math.floor(336 / h)) * h, peak = index => data.sums.reduce((high, sum) => Math.max(high, sum[index]), 1), most = peak(0);
    const top = data.budget && data.budget <= 4 * most ? Math.max(data.budget, most) : most * 1.15;

    // the nodes, from top to bottom
    const plate = () => make("canvas", { "aria-hidden": "true" }), id = "cl-cell-" + Math.random().toString(36).slice(2);
    const read = make("p", { class: "cl-read" }), zooms = [["−", -1, "more steps at once"], ["+", 1, "fewer steps, wider"]].map(([text, by, label]) => { const one = make("button", { type: "button", class: "cl-button", "aria-label": label, title: label }, text); one.addEventListener("click", () => closer(by)); return one; });
    const tools = make("div", { class: "cl-buttons cl-zoom" }, ...zooms), hidden = make("div", { role: "gridcell", id });
    const budget = plate(), rows = plate(), strip = plate(), whole = plate(), share = data.clients ? plate() : null;
    const scroller = make("div", { class: "cl-lanes", style: `height:${view}px` }, make("div", { style: `height:${lanes.length * h}px` }, rows));
    const area = make("div", { class: "cl-sheet cl-lanes-area", role: "grid", tabindex: "0", "aria-label": "Requests: arrow up and down choose one", "aria-activedescendant": id }, scroller, make("div", { class: "cl-hidden" }, make("div", { role: "row" }, hidden)));
    const clients = make("dl", { class: "cl-sums cl-clients", style: `margin-left:${left}px` });
    body.append(make("div", { class: "cl-bartop" }, make("p", { class: "cl-cap" }, "Tokens of each step"), read, tools), budget, area, ...(data.memory ? [strip] : []), ...(share ? [share, clients] : []), whole);

    // the memory beside it
    let below = null, inside = null;
    const chosen = () => { const now = player.selected(); return Array.isArray(now) ? { block: now[1] } : { request: now }; };
    if (data.memory) {
      const own = { ...player, selected: () => chosen().block ?? null, select: block => player.select(block === null ? null : ["block", block]) }, part = make("div", {});
      const key = make("ul", { class: "cl-key", "aria-label": "Legend of the memory" }, ...memory.legend().map(([look, text, sign = ""]) => make("li", {}, make("span", { class: "cl-swatch " + look, "aria-hidden": "true" }, sign), text)));
      below = make("div", { class: "cl-memory-below" }, make("div", { class: "cl-head" }, make("h4", { class: "cl-title" }, "Its memory"), make("p", { class: "cl-sub" }, data.memory.subtitle), key), part);
      inside = memory.build(part, { ...data.memory, first: 1, last }, own, {
        colour: request => byName.has(request) ? place(byName.get(request)) : 0,
        requests: () => [hover.lane?.name, chosen().request].filter(name => name !== undefined && name !== null),
        over: names => { hover.names = names; paint(player.step()); },
      });
    }

    const layers = { budget: layer(), rows: layer(), strip: layer(), share: layer(), whole: layer() }, hover = { lane: null, at: null, names: [] };
    let zoom = 0, from = 0, scroll = 0, cols = null, colours = null, width = 0, drawn = 0;

    const told = (lane, at) => {
      const span = spanAt(lane, at), about = [...(data.asked.length > 1 ? [data.asked[lane.client]] : []), ...(ranked ? [`priority ${lane.priority}`] : [])], who = `${lane.tag}${about.length ? ` (${about.join(", ")})` : ""}`, ended = lane.done?.[0] === at ? `; ${lane.done[1] === "abort" ? "aborted" : `done, ${lane.done[1]}`}` : "";
      if (!span) return at < lane.begin ? `${who} comes in step ${lane.begin + 1}.` : lane.done && lane.done[0] <= at ? `${who} was ${lane.done[1] === "abort" ? "aborted" : `done (${lane.done[1]})`} in step ${lane.done[0] + 1}.` : `${who} has nothing in this step.`;
      const [kind, , , start] = span, count = tokensAt(span, at), which = tokensOf(lane, computedAt(span, at) - count, count);
      if (kind === "waiting") return `${who} waits since step ${span[1] + 1} with ${many(lane.prompt ?? 0, "prompt token")}.`;
      if (kind === "preempted") return `${who} made room in step ${span[1] + 1} and waits; its computed tokens were thrown away.`;
      if (kind === "swapped") return `${who} made room in step ${span[1] + 1} and waits; ${many(start, "token")} of it are in CPU memory.`;
      if (kind === "idle") return `${who} runs, but this step had no tokens for it.`;
      return `${who}: ${kind === "again" ? `${which} computed again` : `${kind} of ${which}`}${ended}.`;
    };

    function paint(step) {
      const at = step - 1, now = chosen(), holders = now.block === undefined ? [] : inside ? hover.held : [];
      const lit = new Set([now.request, ...hover.names, ...(holders ?? [])]), colourOf = lane => colours["r" + place(lane)], split = cols.x(step), key = [width, cols.from, cols.w, body.dataset.look].join();
      // the budget
      const tall = 62, base = 14, under = base + tall + 16, scale = tall / top, pen = sheet(budget, width, under);
      layers.budget.paint(key, width, under, pen => paintBudget(pen, batch, cols, base, tall, scale, colours, colourOf));
      layers.budget.copy(pen, split, width);
      caption(pen, colours, "tokens", base + tall - 7); caption(pen, colours, "step", under - 7);
      pen.fillStyle = colours.line; pen.fillRect(left, base + tall, cols.plot, 1);
      const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find(n => n * cols.w >= 26) ?? 10000;
      pen.font = `10px ${colours.mono}`; pen.textAlign = "center"; pen.fillStyle = colours.soft;
      for (let s = every * Math.ceil((cols.from + 1) / every); s <= cols.to; s += every) if (Math.abs(s - step) * cols.w >= 22) pen.fillText(s, cols.x(s - 1) + cols.w / 2, under - 7);
      pen.font = `600 11px ${colours.mono}`; pen.fillStyle = colours.ink; pen.fillText(step, cols.x(at) + cols.w / 2, under - 7);
      if (data.budget) {
        const y = data.budget <= top ? base + tall - data.budget * scale : base - 6, text = `token budget ${number(data.budget)}${data.budget <= top ? "" : " ↑"}`;
        pen.strokeStyle = colours.faint; pen.lineWidth = 1; pen.setLineDash([3, 3]);
        if (data.budget <= top) { pen.beginPath(); pen.moveTo(left, y + .5); pen.lineTo(left + cols.plot, y + .5); pen.stroke(); }
        pen.setLineDash([]); pen.font = `11px ${colours.sans}`; pen.textAlign = "right"; pen.textBaseline = "middle"; pen.fillStyle = colours.soft; pen.fillText(text, left + cols.plot, y - 7 < 5 ? 6 : y - 7);
      }
      mark(pen, cols, at, colours, base - 1, tall + 3);
      // the lanes
      const first = Math.floor(scroll / h), end = Math.min(lanes.length, Math.ceil((scroll + view) / h)), plane = sheet(rows, width, view);
      layers.rows.paint(key + scroll, width, view, pen => { for (let i = first; i < end; i++) paintLane(pen, lanes[i], cols, i * h - scroll, h, colours, colourOf(lanes[i])); });
      plane.fillStyle = colours.well; plane.fillRect(cols.x(at) - 1, 0, cols.w + 2, view);
      for (let i = first; i < end; i++) if (lit.has(lanes[i].name)) { plane.globalAlpha = .13; plane.fillStyle = colourOf(lanes[i]); plane.fillRect(0, i * h - scroll, width, h); plane.globalAlpha = 1; }
      layers.rows.copy(plane, split, width);
      plane.textBaseline = "middle";
      for (let i = first; i < end; i++) {
        const lane = lanes[i], span = spanAt(lane, at), y = i * h - scroll, runs = span && (COMPUTED.includes(span[0]) || span[0] === "idle"), colour = colourOf(lane);
        plane.beginPath(); plane.roundRect(.75, y + (h > 16 ? 2 : 1), tag - 1.5, h - (h > 16 ? 4 : 2), 5);
        if (runs) { plane.fillStyle = colour; plane.fill(); }
        plane.strokeStyle = span ? colour : colours.line; plane.lineWidth = 1.3; plane.stroke();
        plane.font = `${span ? 600 : 500} ${h > 16 ? 12 : 10}px ${colours.mono}`; plane.textAlign = "center"; plane.fillStyle = runs ? colours["on-accent"] : span ? colours.ink : colours.soft;
        plane.fillText(lane.tag.length > 11 ? lane.tag.slice(0, 10) + "…" : lane.tag, tag / 2, y + h / 2 + .5);
        if (ranked) { plane.font = `10px ${colours.mono}`; plane.textAlign = "left"; plane.fillStyle = colours.soft; plane.fillText(`p${lane.priority}`.slice(0, 4), tag + 4, y + h / 2 + .5); }
        if (lane.done?.[0] === at) ending(plane, lane, cols, y + h / 2, h, colour);
      }
      if (cols.w >= 6) { plane.fillStyle = colours.ink; plane.globalAlpha = .5; plane.fillRect(cols.x(at) - 1, 0, 1, view); plane.fillRect(cols.x(at) + cols.w - cols.gap / 2, 0, 1, view); plane.globalAlpha = 1; }
      else { plane.fillStyle = colours.ink; plane.fillRect(cols.x(at) + cols.w / 2 - .75, 0, 1.5, view); }
      // blocks in use, clients, all steps
      if (data.memory) {
        const high = 34, paper = sheet(strip, width, high + 8), most = data.memory.num_blocks, sums = data.memory.sums;
        layers.strip.paint(key, width, high + 8, pen => paintStack(pen, [[s => sums[s][0], colours.accent, .45], [s => sums[s][1], colours.faint, 1, true]], cols, 5, high, most, colours));
        layers.strip.copy(paper, split, width); caption(paper, colours, "blocks", 5 + high - 7);
        paper.strokeStyle = colours.faint; paper.setLineDash([3, 3]); paper.beginPath(); paper.moveTo(left, 5.5); paper.lineTo(left + cols.plot, 5.5); paper.stroke(); paper.setLineDash([]); mark(paper, cols, at, colours, 3, high + 3);
      }
      if (share) drawClients(step, key, split);
      whole.style.display = cols.all ? "none" : "";
      if (!cols.all) {
        const high = 20, w = cols.plot / last, bins = Math.min(last, Math.floor(cols.plot)), paper = sheet(whole, width, high + 10);      // a bin is a step, or the fullest of several
        const all = { ...cols, from: 0, to: bins, count: bins, w: cols.plot / bins, gap: 0, x: bin => left + bin * cols.plot / bins }, x = s => left + s * w;
        const fullest = bin => { let found = 0; for (let s = Math.floor(bin * last / bins); s < Math.floor((bin + 1) * last / bins); s++) found = Math.max(found, data.sums[s][0]); return found; };
        layers.whole.paint(key.replace(/,.*?,.*?,/, ","), width, high + 10, pen => paintStack(pen, [[fullest, colours.faint, .7]], all, 4, high, most, colours));
        layers.whole.copy(paper, x(step), width); caption(paper, colours, "all steps", high - 3);
        paper.strokeStyle = colours.accent; paper.lineWidth = 1.5; paper.beginPath(); paper.roundRect(x(cols.from), 2, Math.max(4, cols.count * w), high + 4, 4); paper.stroke();
        paper.fillStyle = colours.ink; paper.fillRect(x(at), 2, 1.5, high + 4);
      }
      const [tokens, running, waiting] = data.sums[at], block = data.memory?.sums[at];
      read.textContent = hover.lane || hover.at !== null ? `step ${(hover.at ?? at) + 1}: ${hover.lane ? told(hover.lane, hover.at ?? at) : many(data.sums[hover.at][0], "token")}` :
        `${number(tokens)}${data.budget ? ` of ${number(data.budget)}` : ""} tokens · ${running} run${data.seats ? ` of ${data.seats}` : ""} · ${waiting} wait${block ? ` · ${number(block[0])} of ${many(data.memory.num_blocks, "block")}` : ""}`;
    }

    function drawClients(step, key, split) {
      const high = 30, tall = 56, height = high + tall + 22, pen = sheet(share, width, height), queues = peak(2), richest = Math.max(1, ...data.clients.map(([, service]) => service[last - 1]));
      const colour = index => colours["r" + index % 6], y = value => 12 + high + tall - (tall - 2) * value / richest;
      layers.share.paint(key, width, height, pen => {
        paintStack(pen, data.clients.map(([index, , waiting]) => [s => waiting[s], colour(index), .75]), cols, 4, high, queues, colours);
        for (const [index, service] of data.clients) {
          pen.strokeStyle = colour(index); pen.lineWidth = 2; pen.lineJoin = "round"; pen.beginPath();
          for (let s = Math.max(0, cols.from - 1); s < cols.to; s++) pen.lineTo(Math.max(left, cols.x(s) + cols.w / 2), y(service[s]));
          pen.stroke();
        }
        pen.fillStyle = colours.line; pen.fillRect(left, 12 + high + tall, cols.plot, 1);
      });
      layers.share.copy(pen, split, width);
      caption(pen, colours, "waiting", 4 + high - 6); caption(pen, colours, "service", 12 + high + tall - 6);
      pen.textAlign = "right"; pen.fillText(number(richest), left - 4, 12 + high + 5);
      mark(pen, cols, step - 1, colours, 2, high + tall + 12);
      for (const [index, service] of data.clients) { pen.fillStyle = colour(index); pen.beginPath(); pen.arc(cols.x(step - 1) + cols.w / 2, y(service[step - 1]), 3.5, 0, 7); pen.fill(); }
      clients.replaceChildren(...data.clients.slice(0, 12).map(([index, service, waiting]) => make("div", {}, make("dt", {}, make("span", { class: "cl-swatch", style: `background:var(--cl-r${index % 6})` }), data.asked[index]),
        make("dd", {}, `service ${number(service[step - 1])} · ${number(waiting[step - 1])} wait`))), data.clients.length > 12 ? `and ${data.clients.length - 12} more` : "");
    }

    function draw(step, selected) {
      colours = palette(body); width = Math.max(200, scroller.clientWidth);
      cols = columns(data, width, left, zoom, from, step - 1); from = cols.from;
      body.dataset.look = [colours.card, colours.ink, window.devicePixelRatio].join();
      if (step !== drawn) follow(step);
      drawn = step;
      if (inside) { inside.draw(step, chosen().block ?? null); hover.held = chosen().block === undefined ? [] : inside.holders(step, chosen().block); }
      paint(step);
      tools.style.display = last * 40 > cols.plot || zoom ? "" : "none";
      const lane = byName.get(chosen().request);
      hidden.textContent = lane ? told(lane, step - 1) : "no request chosen"; hidden.setAttribute("aria-selected", Boolean(lane));
    }
    // who is computed in this step is in sight
    function follow(step) {
      if (lanes.length * h <= view) return;
      const picked = byName.get(chosen().request), now = picked ? [picked.index] : batch[step - 1].map(([lane]) => lane.index), seen = now.filter(index => index * h >= scroll && (index + 1) * h <= scroll + view);
      const low = now[0], high = now.at(-1), fits = (high - low + 1) * h <= view;
      if (!now.length || seen.length === now.length || !fits && seen.length * 2 >= now.length) return;
      const middle = fits ? (low + high + 1) / 2 : now[now.length >> 1] + .5;
      scroller.scrollTop = scroll = Math.max(0, Math.min(lanes.length * h - view, h * Math.round(middle - view / h / 2)));
    }
    function closer(by) {
      const wide = cols.w;
      zoom += by; draw(player.step(), player.selected());
      if (cols.w === wide) zoom -= by;
    }
    scroller.addEventListener("scroll", () => { if (scroller.scrollTop !== scroll) { scroll = scroller.scrollTop; paint(player.step()); } });

    // pointer and keys
    const stepAt = (event, node) => { const x = event.clientX - node.getBoundingClientRect().left, at = Math.floor((x - left) / cols.w) + cols.from; return x >= left && at < cols.to ? at : null; };
    const laneAt = event => lanes[Math.floor((event.clientY - rows.getBoundingClientRect().top + scroll) / h)] ?? null;
    const over = (lane, at) => {
      if (lane === hover.lane && at === hover.at) return;
      const changed = lane !== hover.lane;
      Object.assign(hover, { lane, at, names: lane ? [lane.name] : [] }); paint(player.step());
      if (changed) inside?.draw(player.step(), chosen().block ?? null);
    };
    rows.addEventListener("pointermove", event => over(laneAt(event), stepAt(event, rows)));
    for (const node of [rows, budget, strip, share ?? strip]) node.addEventListener("pointerleave", () => over(null, null));
    rows.addEventListener("click", event => {
      const lane = laneAt(event), at = stepAt(event, rows), same = lane?.name === chosen().request;
      if (at !== null && at + 1 !== player.step()) { player.go(at + 1); if (!same) player.select(lane?.name ?? null); } else player.select(same ? null : lane?.name ?? null);
    });
    for (const node of [budget, strip, ...(share ? [share] : [])]) {
      node.addEventListener("pointermove", event => { const at = stepAt(event, node); if (event.buttons && at !== null) player.go(at + 1); over(null, at); });
      node.addEventListener("pointerdown", event => { const at = stepAt(event, node); if (at !== null) player.go(at + 1); });
    }
    for (const name of ["pointerdown", "pointermove"]) whole.addEventListener(name, event => { if (event.buttons) player.go(1 + Math.floor((event.clientX - whole.getBoundingClientRect().left - left) / cols.plot * last)); });
    area.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (by) {
        event.preventDefault();
        const picked = byName.get(chosen().request), start = batch[player.step() - 1][0]?.[0].index ?? 0, index = picked ? Math.max(0, Math.min(lanes.length - 1, picked.index + by)) : start;
        drawn = 0; player.select(lanes[index].name);
      } else if (event.key === "+" || event.key === "-") { event.preventDefault(); closer(event.key === "+" ? 1 : -1); }
    });

    return {
      draw, below,
      rows(step) {
        const at = step - 1, found = [];
        for (const lane of lanes) {
          const span = spanAt(lane, at);
          if (span) found.push([lane.tag, data.asked[lane.client], lane.priority, STATES[span[0]] + (lane.done?.[0] === at ? `, then ${lane.done[1]}` : ""), tokensAt(span, at), computedAt(span, at), lane.prompt ?? ""]);
        }
        return [...found, ["all", "", "", `${data.sums[at][1]} run, ${data.sums[at][2]} wait`, data.sums[at][0], "", ""]];
      },
      note(step) {
        const now = chosen();
        if (now.block !== undefined) return inside.note(step, now.block);
        return byName.has(now.request) ? told(byName.get(now.request), step - 1) : "";
      },
    };
  },
});
export default shown;
