import { make, palette, sheet, hatch, replay } from "../kit/player.js";

const LEFT = 56, number = value => value.toLocaleString("en"), count = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

// These read the data as slots.py does; the table is the same there.
const runAt = (data, step) => data.runs.find(([start, end]) => start < step && step <= end) ?? null;

function cellAt(data, run, slot, step) {
  if (!run) return ["none", null, 0, 0];
  const [start, , places] = run;
  if (slot >= places.length) return ["empty", null, 0, 0];
  const [, prompt, fresh] = data.requests[places[slot]];
  if (step === start + 1) return ["prompt", places[slot], prompt, longest(data, run) - prompt];
  return step - start <= fresh ? ["token", places[slot], 1, 0] : ["over", places[slot], 0, 1];
}

const longest = (data, [, , places]) => places.reduce((most, i) => Math.max(most, data.requests[i][1]), 0);

function percent(share) {
  if (share <= 0 || share >= 1 - 1e-9) return share <= 0 ? "0\xa0%" : "100\xa0%";
  return share < .0005 ? "<0.1\xa0%" : share >= .9995 ? ">99.9\xa0%" : `${(100 * share).toFixed(1)}\xa0%`;
}

// Who waits in each step, in order of arrival; and where each request is served: [run, slot].
function queues(data) {
  const served = data.requests.map(() => null), queue = Array.from({ length: data.last }, () => []);
  for (const run of data.runs) run[2].forEach((i, slot) => { served[i] = [run, slot]; });
  const order = data.requests.map((_, i) => i).sort((a, b) => data.requests[a][0] - data.requests[b][0] || a - b);
  for (const i of order) for (let step = data.requests[i][0]; step < (served[i]?.[0][0] ?? data.last); step++) queue[step].push(i);
  return { served, queue, most: Math.max(1, ...queue.map(one => one.length)) };
}

function layout(data, most, width) {
  const w = Math.min(30, (width - LEFT - 2) / data.last), n = data.slots, h = n <= 6 ? 30 : n <= 12 ? 22 : Math.max(3, Math.min(18, 300 / n));
  const tall = Math.min(11, 110 / most), top = 17;
  return { w, h, top, tall, gap: w >= 6 ? 1.5 : w >= 3 ? .6 : 0, air: h >= 12 ? 4 : h >= 6 ? 2 : .6, width: LEFT + data.last * w + 2,
           x: step => LEFT + step * w, y: slot => top + slot * h, height: top + n * h + 2, queue: Math.max(16, most * tall + 4) };
}

// Everything that is drawn, as paths: it only changes with the width.
function shapes(data, grid, { queue }) {
  const six = () => Array.from({ length: 6 }, () => new Path2D()), prompts = six(), tokens = six(), lines = six(), padding = new Path2D(), over = new Path2D(), empty = new Path2D();
  const { w, h, gap, air } = grid, round = w >= 9 && h >= 12 ? 3 : 0;
  const put = (path, x, y, wide, high) => round && high > 6 ? path.roundRect(x, y, wide, high, round) : path.rect(x, y, wide, Math.max(.6, high));
  const row = (path, from, to, slot) => {      // step by step where they can be told apart, else in one stretch
    if (w < 6) { if (to > from) path.rect(grid.x(from), grid.y(slot) + air / 2, (to - from) * w - gap, h - air); return; }
    for (let step = from; step < to; step++) put(path, grid.x(step) + gap / 2, grid.y(slot) + air / 2, w - gap, h - air);
  };
  for (const run of data.runs) {
    const [start, end, places] = run, most = longest(data, run);
    for (let slot = 0; slot < data.slots; slot++) {
      if (slot >= places.length) { empty.rect(grid.x(start) + 1.5, grid.y(slot) + air / 2 + .5, (end - start) * w - 3, h - air - 1); continue; }
      const i = places[slot], [, prompt, fresh] = data.requests[i], high = (h - air) * prompt / most, x = grid.x(start) + gap / 2, y = grid.y(slot) + air / 2;
      put(prompts[i % 6], x, y + h - air - high, w - gap, high);
      if (prompt < most) padding.rect(x, y, w - gap, h - air - high);
      row(tokens[i % 6], start + 1, start + fresh, slot);
      row(over, start + fresh, end, slot);
    }
  }
  queue.forEach((who, step) => who.forEach((i, place) => lines[i % 6].rect(grid.x(step) + gap / 2, 2 + place * grid.tall, Math.max(.6, w - gap), grid.tall + (grid.tall > 4 ? -2 : .3))));
  return { prompts, tokens, padding, over, empty, lines };
}

function bands(data, grid, height) {
  const tops = data.sums.map(([useful, padding, idle]) => { const all = useful + padding + idle; return all ? [useful / all, (useful + padding) / all, 1] : [0, 0, 0]; });
  const y = part => 1 + (height - 2) * (1 - part);
  return [0, 1, 2].map(part => {
    const path = new Path2D();
    tops.forEach((top, i) => { path.lineTo(grid.x(i), y(top[part])); path.lineTo(grid.x(i + 1), y(top[part])); });
    for (let i = data.last - 1; i >= 0; i--) { const under = part ? tops[i][part - 1] : 0; path.lineTo(grid.x(i + 1), y(under)); path.lineTo(grid.x(i), y(under)); }
    path.closePath();
    return path;
  });
}

// What is over stands out, what is to come stands back.
function twice(pen, grid, step, height, act) {
  for (const [from, to, alpha] of [[0, grid.x(step), 1], [grid.x(step), grid.width, .36]]) {
    pen.save(); pen.beginPath(); pen.rect(from, 0, to - from, height); pen.clip(); pen.globalAlpha = alpha; act(alpha); pen.restore();
  }
}

function waste(pen, colours, path, mirrored) {
  const alpha = pen.globalAlpha;
  pen.globalAlpha = alpha * .6; pen.fillStyle = colours.free; pen.fill(path); pen.globalAlpha = alpha;
  hatch(pen, path, colours.faint, 5, 1.1, mirrored);
}

function slots(pen, data, grid, colours, step, drawn) {
  pen.fillStyle = colours.well; pen.fillRect(LEFT, grid.top, grid.width - LEFT, data.slots * grid.h);
  twice(pen, grid, step, grid.height, alpha => {
    drawn.prompts.forEach((path, i) => { pen.fillStyle = colours[`r${i}`]; pen.fill(path); });
    drawn.tokens.forEach((path, i) => { pen.globalAlpha = alpha * .38; pen.fillStyle = colours[`r${i}`]; pen.fill(path); pen.globalAlpha = alpha; });
    waste(pen, colours, drawn.padding, false); waste(pen, colours, drawn.over, true);
    pen.strokeStyle = colours.faint; pen.lineWidth = 1; pen.setLineDash([4, 3]); pen.stroke(drawn.empty); pen.setLineDash([]);
  });
  pen.textBaseline = "middle"; pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textAlign = "right";
  const every = [1, 2, 4, 8, 16].find(n => n * grid.h >= 13) ?? 32;
  for (let slot = 0; slot < data.slots; slot += every) pen.fillText(grid.h >= 13 ? `slot ${slot}` : slot, LEFT - 8, grid.y(slot) + grid.h / 2);
  pen.textAlign = "center";
  const room = pen.measureText(number(data.last)).width + 12, wide = [1, 5, 10, 20, 50, 100, 200, 500].find(n => n * grid.w >= room) ?? 1000;
  for (let at = wide; at <= data.last; at += wide) if (grid.x(at - .5) + room / 2 - 6 <= grid.width) pen.fillText(number(at), grid.x(at - .5), 7);
  if (grid.h >= 16) {
    pen.font = `600 11px ${colours.mono}`; pen.textAlign = "left";
    for (const [start, end, places] of data.runs) places.forEach((i, slot) => {
      const text = data.names[i], fresh = data.requests[i][2] - 1, room = grid.w * (fresh || end - start - 1), long = pen.measureText(text).width + 6;
      if (room < long) return;
      const x = grid.x(start + 1) + 3, y = grid.y(slot) + grid.h / 2;
      pen.globalAlpha = start >= step ? .45 : 1;
      if (!fresh) { pen.fillStyle = colours.card; pen.fillRect(x - 1, y - 7, long - 2, 14); }
      pen.fillStyle = colours.ink; pen.fillText(text, x + 1, y + .5); pen.globalAlpha = 1;
    });
  }
  pen.strokeStyle = colours.ink; pen.lineWidth = 1.6; pen.strokeRect(grid.x(step - 1) - .2, grid.top - 2, Math.max(2.4, grid.w + .4), data.slots * grid.h + 3);
}

function marked(pen, grid, colours, run, slot) {
  pen.strokeStyle = colours.ink; pen.lineWidth = 2.2; pen.beginPath();
  pen.roundRect(grid.x(run[0]) - .5, grid.y(slot) + grid.air / 2 - 2, (run[1] - run[0]) * grid.w + 1, grid.h - grid.air + 4, 4); pen.stroke();
}

const shown = replay({
  name: "slots",
  legend: () => [["cl-new", "prompt"], ["cl-pad", "padding"], ["cl-wanted", "a token wanted"], ["cl-over", "over, computed on"], ["cl-empty", "empty slot"]],
  build(body, data, player) {
    const found = queues(data), { served, queue } = found, id = "cl-cell-" + Math.random().toString(36).slice(2);
    const canvas = make("canvas", { "aria-hidden": "true" }), now = make("div", { role: "gridcell", id });
    const area = make("div", { class: "cl-sheet", role: "grid", tabindex: "0", "aria-label": "Batch slots: arrow keys choose a request", "aria-activedescendant": id }, canvas, make("div", { class: "cl-hidden" }, make("div", { role: "row" }, now)));
    const line = make("canvas", { role: "img" }), lineArea = make("div", { class: "cl-chart cl-time" }, line), graph = make("canvas", { role: "img" }), graphArea = make("div", { class: "cl-chart cl-time" }, graph), figures = make("dl", { class: "cl-figures" });
    body.append(make("p", { class: "cl-cap" }, "Slots, one run of the model a step"), area, make("p", { class: "cl-cap cl-next" }, "Queue"), lineArea,
      make("p", { class: "cl-cap cl-next" }, "What the tokens pushed so far were for"), graphArea, figures);
    let grid = null, drawn = null, areas = null, over = null;
    const tall = 64;

    function draw(step, selected) {
      const colours = palette(body), width = Math.max(220, body.clientWidth);
      if (grid?.asked !== width) { grid = { ...layout(data, found.most, width), asked: width }; drawn = shapes(data, grid, found); areas = bands(data, grid, tall); }
      const pen = sheet(canvas, grid.width, grid.height);
      slots(pen, data, grid, colours, step, drawn);
      const lit = over ?? selected;
      if (lit !== null && served[lit]) marked(pen, grid, colours, ...served[lit]);
      waits(sheet(line, grid.width, grid.queue), colours, step, lit);
      shares(sheet(graph, grid.width, tall), colours, step);
      const [useful, padding, idle, empty] = data.sums[step - 1], pushed = useful + padding + idle, part = value => pushed ? percent(value / pushed) : "–";
      const lines = [["of use", `${number(useful)} tokens, ${part(useful)}`], ["padding", `${number(padding)}, ${part(padding)}`], ["over, computed on", `${number(idle)}, ${part(idle)}`],
        ["slots empty", `${percent(empty / (step * data.slots))} of the time`], ["waiting", number(queue[step - 1].length)]];
      figures.replaceChildren(...lines.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
      graph.setAttribute("aria-label", `Of ${count(pushed, "token")} pushed up to step ${step}: ${part(useful)} of use, ${part(padding)} padding, ${part(idle)} over and computed on.`);
      line.setAttribute("aria-label", `${queue[step - 1].length} wait in step ${step}; at most ${found.most} at once.`);
      now.textContent = selected === null ? "nobody chosen" : told(selected); now.setAttribute("aria-selected", selected !== null);
    }
    function waits(pen, colours, step, lit) {
      twice(pen, grid, step, grid.queue, () => drawn.lines.forEach((path, i) => { pen.fillStyle = grid.tall > 3 ? colours[`r${i}`] : colours.faint; pen.fill(path); }));
      if (lit !== null) { pen.strokeStyle = colours.ink; pen.lineWidth = 1.5;
        queue.forEach((who, at) => { const place = who.indexOf(lit); if (place >= 0) { pen.beginPath(); pen.moveTo(grid.x(at), 2 + (place + .5) * grid.tall - 1); pen.lineTo(grid.x(at + 1), 2 + (place + .5) * grid.tall - 1); pen.stroke(); } }); }
      pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textAlign = "right"; pen.textBaseline = "middle";
      pen.fillText("next", LEFT - 8, 2 + Math.max(6, grid.tall / 2));
      pen.fillStyle = colours.ink; pen.fillRect(grid.x(step) - .75, 0, 1.5, grid.queue);
    }
    function shares(pen, colours, step) {
      twice(pen, grid, step, tall, alpha => {
        pen.globalAlpha = alpha * .75; pen.fillStyle = colours.r0; pen.fill(areas[0]); pen.globalAlpha = alpha;
        waste(pen, colours, areas[1], false); waste(pen, colours, areas[2], true);
        pen.strokeStyle = colours.card; pen.lineWidth = 2; areas.slice(0, 2).forEach(path => pen.stroke(path));
      });
      pen.strokeStyle = colours.faint; pen.lineWidth = 1; pen.strokeRect(LEFT + .5, .5, grid.width - LEFT - 3, tall - 1);
      pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textAlign = "right"; pen.textBaseline = "middle";
      for (const [text, y] of [["100 %", 7], ["50 %", tall / 2], ["0 %", tall - 7]]) pen.fillText(text, LEFT - 8, y);
      pen.fillStyle = colours.ink; pen.fillRect(grid.x(step) - .75, 0, 1.5, tall);
    }
    function told(i) {
      const [arrival, prompt, fresh] = data.requests[i], name = data.names[i], came = arrival ? `came after step ${arrival}` : "was there at the beginning";
      if (!served[i]) return `${name} (prompt of ${count(prompt, "token")}, ${number(fresh)} new) ${came} and is never served.`;
      const [run, slot] = served[i], filled = longest(data, run), end = run[0] + fresh;
      return `${name} ${came} and waited ${count(run[0] - arrival, "step")}. Slot ${slot}, steps ${run[0] + 1} to ${end}: a prompt of ${count(prompt, "token")}` + (filled > prompt ? ` filled up to ${filled}` : "")
        + `, ${number(fresh)} new.` + (run[1] > end ? ` Computed on until step ${run[1]}.` : "");
    }
    const at = (event, node) => Math.floor((event.clientX - node.getBoundingClientRect().left - LEFT) / grid.w);
    const inSlots = event => { const step = at(event, canvas) + 1, slot = Math.floor((event.clientY - canvas.getBoundingClientRect().top - grid.top) / grid.h), run = runAt(data, step);
      return step >= 1 && run && slot >= 0 ? run[2][slot] ?? null : null; };
    const inQueue = event => queue[at(event, line)]?.[Math.floor((event.clientY - line.getBoundingClientRect().top - 2) / grid.tall)] ?? null;
    const hover = request => { if (request !== over) { over = request; draw(player.step(), player.selected()); } };
    for (const [node, find] of [[area, inSlots], [lineArea, inQueue]]) {
      node.addEventListener("pointermove", event => hover(find(event)));
      node.addEventListener("pointerleave", () => hover(null));
      node.addEventListener("click", event => { const request = find(event); player.select(request === player.selected() ? null : request); });
    }
    graphArea.addEventListener("click", event => { const step = at(event, graph) + 1; if (step >= 1) player.go(step); });
    area.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
      event.preventDefault();
      const chosen = player.selected(), fit = (value, high) => Math.max(0, Math.min(high, value)), place = served[chosen] ?? null;
      if (!data.runs.length) return;
      if (!place) { const run = runAt(data, player.step()) ?? data.runs[0]; player.select(run[2][0]); return; }
      const index = data.runs.indexOf(place[0]), by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-index, 0], End: [data.runs.length, 0] }[event.key];
      const run = data.runs[fit(index + by[0], data.runs.length - 1)];
      player.select(run[2][fit(place[1] + by[1], run[2].length - 1)]);
    });

    const listed = who => (who.length ? who.slice(0, 12).map(i => data.names[i]).join(", ") + (who.length > 12 ? ` and ${who.length - 12} more` : "") : "nobody");
    const DOES = { prompt: "prompt", token: "one token", over: "is over, computed on", empty: "nobody, while others run", none: "nobody, nothing runs" };
    return {
      draw,
      rows(step) {
        const run = runAt(data, step), rows = Array.from({ length: data.slots }, (_, slot) => { const [kind, request, useful, wasted] = cellAt(data, run, slot, step);
          return [`slot ${slot}` + (request === null ? "" : `, ${data.names[request]}`), DOES[kind], useful, wasted]; });
        return [...rows, ["queue", listed(queue[step - 1]), "", ""]];
      },
      note: (step, selected) => selected === null ? "" : told(selected),
    };
  },
});
export default shown;
