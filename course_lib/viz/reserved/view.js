import { make, palette, sheet, hatch, replay } from "../kit/player.js";

const PARTS = ["used", "reserved", "internal", "external", "free"], LEFT = 58;
const NAMES = { used: "used", reserved: "yet to come", internal: "never used", external: "hole, too small", free: "free" };
const number = value => value.toLocaleString("en"), count = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

// These read the data as reserved.py does; the words and the table are the same there.
const ownStep = (run, step) => run.at === null ? step - 1 : run.at[step - 1];
const partsAt = (data, run, step) => run.parts[ownStep(run, step)] ?? [0, 0, 0, 0, data.capacity];

function segmentsAt(run, index) {
  return run.pieces.filter(([, , , , first, last]) => first <= index && index <= last)
    .map(([request, start, reserved, final, first, , used]) => ({ request, start, reserved, final, used: used.length === 2 ? Math.min(final, used[0] + used[1] * (index - first)) : used[index - first] }))
    .sort((a, b) => a.start - b.start);
}

function layoutOf(data, run, step) {
  const found = [];
  let edge = 0, left = partsAt(data, run, step)[3];
  for (const segment of segmentsAt(run, ownStep(run, step))) {
    if (segment.start > edge) found.push({ kind: "free", start: edge, size: segment.start - edge });
    found.push({ kind: "segment", start: segment.start, size: segment.reserved, segment });
    edge = segment.start + segment.reserved;
  }
  if (edge < data.capacity) found.push({ kind: "free", start: edge, size: data.capacity - edge });
  for (const hole of found.filter(piece => !piece.segment).sort((a, b) => a.size - b.size)) if (hole.size <= left) { hole.kind = "external"; left -= hole.size; }
  return found;
}

function share(slots, capacity) {
  const tenths = Math.floor((2000 * slots + capacity) / (2 * capacity));
  if (slots === 0 || slots === capacity) return slots ? "100\xa0%" : "0\xa0%";
  return tenths === 0 ? "<0.1\xa0%" : tenths === 1000 ? ">99.9\xa0%" : `${Math.floor(tenths / 10)}.${tenths % 10}\xa0%`;
}

const SAID = ["", "is reserved for tokens yet to come", "is reserved and never used", "lies in holes too small for the next request", "is free"];

function say(data, run, step) {
  const index = ownStep(run, step), parts = partsAt(data, run, step), running = segmentsAt(run, index).length, waiting = run.waiting[index] ?? 0;
  const rest = parts.map((slots, part) => part && slots ? `${share(slots, data.capacity)} ${SAID[part]}` : "").filter(Boolean).join(", ");
  return [["strong", `${run.policy}, time ${number(data.times[step - 1])}:`], ["", ` ${count(running, "request")} ${running === 1 ? "runs" : "run"}, ${number(waiting)} ${waiting === 1 ? "waits" : "wait"}. `],
    ["strong", `${share(parts[0], data.capacity)} of the memory is used`], ["", rest ? `; ${rest}.` : "."]];
}

// How each part looks, wherever it is drawn: solid, pale with an outline, hatched, hatched the other way, empty.
function paint(pen, colours, part, path) {
  const { r0, r1, r3, faint } = colours, tint = (colour, alpha) => { pen.globalAlpha *= alpha; pen.fillStyle = colour; pen.fill(path); pen.globalAlpha /= alpha; };
  if (part === "used") tint(r0, 1);
  if (part === "reserved") tint(r0, .26);
  if (part === "internal") { tint(r1, .1); hatch(pen, path, r1, 6, 1.1); }
  if (part === "external") { tint(r3, .16); hatch(pen, path, r3, 5, 1.6, true); }
  if (part === "free") { pen.strokeStyle = faint; pen.lineWidth = 1; pen.setLineDash([3, 3]); pen.stroke(path); pen.setLineDash([]); }
}

function mapLayout(capacity, width) {
  const rows = capacity <= 48 ? 1 : capacity <= 256 ? 4 : capacity <= 1024 ? 8 : 12, per = Math.ceil(capacity / rows), row = rows > 8 ? 19 : 24;
  return { capacity, rows: Math.ceil(capacity / per), per, row, slot: (width - LEFT - 2) / per, width, height: Math.ceil(capacity / per) * row + 2 };
}

// What [start, end) is on the rows of the map: [x, y, w, …], row after row, and whether the start and the end are on it.
function* lines(grid, start, end) {
  for (let at = start; at < end;) {
    const line = Math.floor(at / grid.per), stop = Math.min(end, (line + 1) * grid.per);
    yield [LEFT + (at - line * grid.per) * grid.slot, line * grid.row + 2, (stop - at) * grid.slot, at === start, stop === end];
    at = stop;
  }
}

function map(pen, data, grid, colours, found, marked) {
  const paths = Object.fromEntries(PARTS.map(part => [part, new Path2D()])), outline = new Path2D(), tall = grid.row - 4;
  const put = (part, start, end) => { for (const [x, y, w] of lines(grid, start, end)) paths[part].rect(x, y, w, tall); };
  for (const { kind, start, size, segment } of found) {
    if (!segment) { for (const [x, y, w] of lines(grid, start, start + size)) paths[kind].rect(x + .5, y + .5, Math.max(.5, w - 1), tall - 1); continue; }
    put("used", start, start + segment.used); put("reserved", start + segment.used, start + segment.final); put("internal", start + segment.final, start + size);
    for (const [x, y, w, first, last] of lines(grid, start, start + size)) {      // open where it goes on in the next row
      outline.moveTo(x, y); outline.lineTo(x + w, y); outline.moveTo(x, y + tall); outline.lineTo(x + w, y + tall);
      if (first) { outline.moveTo(x, y - .5); outline.lineTo(x, y + tall + .5); }
      if (last) { outline.moveTo(x + w, y - .5); outline.lineTo(x + w, y + tall + .5); }
    }
  }
  for (const part of PARTS) paint(pen, colours, part, paths[part]);
  if (grid.slot >= 7) {                     // slots large enough to be told apart
    pen.fillStyle = colours.card;
    for (const { kind, start, size } of found) if (kind === "segment") for (let at = start + 1; at < start + size; at++) if (at % grid.per) pen.fillRect(LEFT + (at % grid.per) * grid.slot - .5, Math.floor(at / grid.per) * grid.row + 2, 1, tall);
  }
  pen.strokeStyle = colours.card; pen.lineWidth = 3; pen.stroke(outline);      // a gap between neighbours, whatever they hold
  pen.strokeStyle = colours.soft; pen.lineWidth = 1; pen.stroke(outline);
  pen.font = `600 11px ${colours.mono}`; pen.textBaseline = "middle";
  for (const { start, size, segment } of found) if (segment) {
    const text = String(segment.request).slice(0, 10), wide = pen.measureText(text).width + 8;
    for (const [x, y, w] of lines(grid, start, start + size)) if (w > wide + 4) {
      pen.fillStyle = colours.card; pen.beginPath(); pen.roundRect(x + 3, y + tall / 2 - 7, wide, 14, 4); pen.fill();
      pen.fillStyle = colours.ink; pen.textAlign = "left"; pen.fillText(text, x + 7, y + tall / 2 + .5); break;
    }
    if (segment.request === marked) { pen.strokeStyle = colours.ink; pen.lineWidth = 2.5; for (const [x, y, w] of lines(grid, start, start + size)) pen.strokeRect(x, y, w, tall); }
  }
  pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textAlign = "right";
  for (let line = 0; line < grid.rows; line++) pen.fillText(number(line * grid.per), LEFT - 9, line * grid.row + grid.row / 2);
}

function chart(canvas, data, run, step, colours, width) {
  const height = 104, pen = sheet(canvas, width, height), last = data.last, x = at => LEFT + (width - LEFT - 2) * at / last, y = slots => 1 + (height - 18) * (1 - slots / data.capacity);
  const tops = Array.from({ length: last }, (_, i) => { let sum = 0; return partsAt(data, run, i + 1).map(slots => sum += slots); });
  const band = part => {
    const path = new Path2D();
    for (let i = 0; i < last; i++) { path.lineTo(x(i), y(tops[i][part])); path.lineTo(x(i + 1), y(tops[i][part])); }
    for (let i = last - 1; i >= 0; i--) { const under = part ? tops[i][part - 1] : 0; path.lineTo(x(i + 1), y(under)); path.lineTo(x(i), y(under)); }
    path.closePath();
    return path;
  };
  const now = x(step - .5), bands = PARTS.slice(0, 4).map((_, part) => band(part));
  for (const [from, to, alpha] of [[0, now, 1], [now, width, .35]]) {
    pen.save(); pen.beginPath(); pen.rect(from, 0, to - from, height); pen.clip(); pen.globalAlpha = alpha;
    bands.forEach((path, part) => paint(pen, colours, PARTS[part], path));
    pen.strokeStyle = colours.r0; pen.lineWidth = 1.2; pen.stroke(bands[1]);
    pen.restore();
  }
  pen.strokeStyle = colours.faint; pen.lineWidth = 1; pen.strokeRect(LEFT + .5, y(data.capacity) + .5, width - LEFT - 2, y(0) - y(data.capacity) - 1);
  pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textAlign = "right"; pen.textBaseline = "middle";
  for (const [text, part] of [["100 %", 1], ["50 %", .5], ["0 %", 0]]) pen.fillText(text, LEFT - 9, Math.max(7, Math.min(y(0) - 5, y(part * data.capacity))));
  pen.fillStyle = colours.ink; pen.fillRect(now - .75, 0, 1.5, y(0) + 4);
  const text = `time ${number(data.times[step - 1])}`, wide = pen.measureText(text).width;
  pen.textAlign = "left"; pen.fillText(text, Math.max(LEFT, Math.min(width - wide - 2, now - wide / 2)), height - 6);
}

const shown = replay({
  name: "reserved",
  legend: () => [["cl-new", "used"], ["cl-later", "reserved, yet to come"], ["cl-hatch cl-again", "reserved, never used"], ["cl-small", "hole, too small"], ["cl-empty", "free"]],
  build(body, data, player) {
    const canvas = make("canvas", { "aria-hidden": "true" }), cell = make("div", { role: "option", id: "cl-cell-" + Math.random().toString(36).slice(2) });
    const area = make("div", { class: "cl-sheet cl-slots", role: "listbox", tabindex: "0", "aria-label": "The memory, slot by slot: left and right choose a request", "aria-activedescendant": cell.id }, canvas, make("div", { class: "cl-hidden" }, cell));
    const graph = make("canvas", { role: "img" }), over = { request: null };
    const policies = make("div", { class: "cl-policies", role: "radiogroup", "aria-label": "policy" });
    const cards = data.runs.map(run => {
      const bar = make("span", { class: "cl-strip", "aria-hidden": "true" }), parts = PARTS.slice(0, 4).map((part, i) => make("i", { class: ["cl-new", "cl-later", "cl-hatch cl-again", "cl-small"][i] }));
      const use = make("span", { class: "cl-use" }), button = make("button", { type: "button", class: "cl-policy", role: "radio" }, make("b", {}, run.policy), use, bar);
      bar.append(...parts);
      button.addEventListener("click", () => player.select({ policy: run.policy, request: null }));
      policies.append(button);
      return { run, button, use, parts };
    });
    const graphArea = make("div", { class: "cl-chart cl-time" }, graph);
    body.append(...(data.runs.length > 1 ? [policies] : []), make("p", { class: "cl-cap" }, "Memory, slot by slot"), area, make("p", { class: "cl-cap cl-next" }, "Shares of the memory over time"), graphArea);
    let grid = null;

    const runOf = selected => data.runs.find(run => run.policy === selected?.policy) ?? data.runs[0];
    const shownRun = () => runOf(player.selected());
    const choose = request => player.select({ policy: shownRun().policy, request });
    function draw(step, selected) {
      const colours = palette(body), run = runOf(selected), width = Math.max(220, body.clientWidth), found = layoutOf(data, run, step);
      grid = mapLayout(data.capacity, width);
      const marked = over.request ?? selected?.request ?? null;
      map(sheet(canvas, grid.width, grid.height), data, grid, colours, found, marked);
      chart(graph, data, run, step, colours, width);
      for (const card of cards) {
        const slots = partsAt(data, card.run, step), now = card.run === run;
        card.parts.forEach((node, i) => { node.style.width = `${100 * slots[i] / data.capacity}%`; node.hidden = !slots[i]; });
        card.use.textContent = `${share(slots[0], data.capacity)} used`;
        card.button.setAttribute("aria-checked", now); card.button.tabIndex = now ? 0 : -1;
      }
      graph.setAttribute("aria-label", `Shares of the memory over ${data.last} steps; now ` + partsAt(data, run, step).map((slots, i) => `${NAMES[PARTS[i]]} ${share(slots, data.capacity)}`).join(", ") + ".");
      cell.textContent = told(step, selected) || `${found.filter(piece => piece.segment).length} requests in the memory`;
      cell.setAttribute("aria-selected", selected?.request != null);
    }
    function told(step, selected) {
      if (selected?.request == null) return "";
      const one = segmentsAt(runOf(selected), ownStep(runOf(selected), step)).find(segment => segment.request === selected.request);
      if (!one) return `Request ${selected.request} holds nothing now.`;
      return `Request ${one.request}: ${count(one.reserved, "slot")} reserved from slot ${number(one.start)} on, ${number(one.used)} used, ${number(one.final - one.used)} yet to come, ${number(one.reserved - one.final)} never used.`;
    }
    const at = event => {
      const box = canvas.getBoundingClientRect(), line = Math.floor((event.clientY - box.top - 1) / grid.row), place = Math.floor((event.clientX - box.left - LEFT) / grid.slot);
      if (place < 0 || place >= grid.per || line < 0) return null;
      const slot = line * grid.per + place;
      return segmentsAt(shownRun(), ownStep(shownRun(), player.step())).find(one => one.start <= slot && slot < one.start + one.reserved)?.request ?? null;
    };
    const hover = request => { if (request !== over.request) { over.request = request; draw(player.step(), player.selected()); } };
    area.addEventListener("pointermove", event => hover(at(event)));
    area.addEventListener("pointerleave", () => hover(null));
    area.addEventListener("click", event => { const request = at(event); choose(request === player.selected()?.request ? null : request); });
    graphArea.addEventListener("click", event => {
      const box = graph.getBoundingClientRect(), place = (event.clientX - box.left - LEFT) / (box.width - LEFT - 2);
      if (place >= 0) player.go(Math.ceil(place * data.last));
    });
    area.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const all = segmentsAt(shownRun(), ownStep(shownRun(), player.step())).map(one => one.request), now = all.indexOf(player.selected()?.request ?? null), go = to => choose(all[Math.max(0, Math.min(all.length - 1, to))] ?? null);
      const keys = { ArrowLeft: () => go(now < 0 ? all.length - 1 : now - 1), ArrowRight: () => go(now + 1), Home: () => go(0), End: () => go(all.length - 1),
                     ArrowUp: () => player.go(player.step() - 1), ArrowDown: () => player.go(player.step() + 1), Escape: () => choose(null) };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    policies.addEventListener("keydown", event => {
      const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const next = cards[(data.runs.indexOf(shownRun()) + by + cards.length) % cards.length];
      player.select({ policy: next.run.policy, request: null });
      next.button.focus();
    });

    return {
      draw,
      say: (step, selected) => say(data, runOf(selected), step),
      note: (step, selected) => told(step, selected),
      rows: (step, selected) => layoutOf(data, runOf(selected), step).map(({ kind, start, size, segment }) => segment
        ? [`request ${segment.request}`, start, size, segment.used, segment.final - segment.used, segment.reserved - segment.final] : [NAMES[kind], start, size, "", "", ""]),
    };
  },
});
export default shown;
