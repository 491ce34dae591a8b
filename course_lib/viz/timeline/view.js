import { palette, sheet } from "../kit/canvas.js";
import { onKeys, pointIn } from "../kit/dom.js";
import { clamp, count } from "../kit/format.js";
import { requestColour } from "../kit/looks.js";
import { replay } from "../kit/player.js";
import { buildMemory } from "../memory/memory.js";
import { BUDGET_HEIGHT, paintBudget } from "./budget.js";
import { columnsOf, layer } from "./columns.js";
import { laneSizes, paintEnding, paintLane, paintTag } from "./lanes.js";
import { memoryNodes, timelineNodes } from "./nodes.js";
import { batchesOf, computedAfter, lanesOf, spanAt, tokensIn } from "./spans.js";
import { paintAllSteps, paintBlocksInUse, paintClients } from "./strips.js";
import { laneWords, stepFigures } from "./words.js";

function legendOf({ lanes }) {
  const has = (kind) => lanes.some((lane) => lane.spans.some((span) => span[0] === kind));
  const aborted = lanes.some((lane) => lane.done?.[1] === "abort");
  return [
    ["cl-new", "prefill"],
    ["cl-decode", "decode"],
    ...(has("speculate") ? [["cl-new", "draft accepted"], ["cl-rejected", "draft rejected"]] : []),
    ...(has("recompute") ? [["cl-hatch cl-recompute", "recompute"]] : []),
    ...(has("idle") ? [["cl-idle", "runs, no tokens"]] : []),
    ["cl-wait", "waiting"],
    ...(has("preempted") ? [["cl-preempted", "preempted"]] : []),
    ...(has("swapped") ? [["cl-swapped", "swapped out"]] : []),
    ["cl-arrow", "finished", "○"],
    ...(aborted ? [["cl-arrow", "aborted", "✕"]] : []),
  ];
}

function build(body, data, player) {
  const { last } = data;
  const lanes = lanesOf(data);
  const batches = batchesOf(lanes, last);
  const byName = new Map(lanes.map((lane) => [lane.name, lane]));
  const sizes = laneSizes(lanes);
  const { h, view, left } = sizes;
  const nodes = timelineNodes(body, data, sizes, closer);
  const layers = { budget: layer(), rows: layer(), blocks: layer(), clients: layer(), all: layer() };
  const hover = { lane: null, at: null, names: [] }; // under the pointer; names: requests to light
  const colourNumber = (lane) => (data.clients ? lane.client : lane.index);
  const colourOf = (lane) => requestColour(colours, colourNumber(lane));
  let zoom = 0;
  let scroll = 0;
  let from = 0;
  let columns = null;
  let colours = null;
  let width = 0;
  let drawn = 0; // the step that was drawn last

  // the selection: a request, or a block as ["block", 3]
  function chosen() {
    const now = player.selected();
    return Array.isArray(now) ? { block: now[1] } : { request: now };
  }
  const memory = data.memory ? memoryBelow() : null;
  function memoryBelow() {
    const { below, part } = memoryNodes(data.memory);
    const own = {
      ...player,
      selected: () => chosen().block ?? null,
      select: (block) => player.select(block === null ? null : ["block", block]),
    };
    const linked = {
      colourNumber: (name) => (byName.has(name) ? colourNumber(byName.get(name)) : 0),
      requests: () =>
        [hover.lane?.name, chosen().request].filter((name) => name !== undefined && name !== null),
      over(names) {
        hover.names = names;
        paint(player.step());
      },
    };
    return { below, ...buildMemory(part, { ...data.memory, first: 1, last }, own, linked) };
  }

  const told = (lane, at) => laneWords(data, lane, at, sizes.ranked);
  function paint(step) {
    const at = step - 1;
    const look = [colours.card, colours.ink, window.devicePixelRatio].join(); // layers are kept while this stays
    const key = [width, columns.from, columns.w, look].join();
    const scene = { data, batches, columns, colours, colourOf, width, at, split: columns.x(step), look, key };
    paintBudget(sheet(nodes.budget, width, BUDGET_HEIGHT), layers.budget, scene);
    paintLanes(scene);
    if (nodes.blocks) paintBlocksInUse(nodes.blocks, layers.blocks, scene);
    if (nodes.shares) paintClients(nodes.shares, nodes.clients, layers.clients, scene);
    nodes.all.style.display = columns.all ? "none" : "";
    if (!columns.all) paintAllSteps(nodes.all, layers.all, scene);
    nodes.read.textContent = reading(at);
  }
  function reading(at) {
    if (!hover.lane && hover.at === null) return stepFigures(data, at);
    const there = hover.at ?? at;
    const what = hover.lane ? told(hover.lane, there) : count(data.sums[there][0], "token");
    return `step ${there + 1}: ${what}`;
  }

  // the lanes in sight, those of `lit` on a pale ground
  function paintLanes({ key, at, split }) {
    const now = chosen();
    const held = now.block === undefined ? [] : (hover.held ?? []);
    const lit = new Set([now.request, ...hover.names, ...held]);
    const first = Math.floor(scroll / h);
    const inSight = lanes.slice(first, Math.ceil((scroll + view) / h));
    const top = (lane) => lane.index * h - scroll;
    const pen = sheet(nodes.rows, width, view);
    layers.rows.paint(key + scroll, width, view, (pen) => {
      for (const lane of inSight) paintLane(pen, lane, columns, top(lane), h, colours, colourOf(lane));
    });
    pen.fillStyle = colours.well;
    pen.fillRect(columns.x(at) - 1, 0, columns.w + 2, view);
    pen.globalAlpha = 0.13;
    for (const lane of inSight.filter((one) => lit.has(one.name))) {
      pen.fillStyle = colourOf(lane);
      pen.fillRect(0, top(lane), width, h);
    }
    pen.globalAlpha = 1;
    layers.rows.copy(pen, split);
    for (const lane of inSight) {
      paintTag(pen, lane, at, top(lane), sizes, colours, colourOf(lane));
      if (lane.done?.[0] === at) paintEnding(pen, lane, columns, top(lane), h, colourOf(lane));
    }
    paintStepEdges(pen, at);
  }
  function paintStepEdges(pen, at) {
    const x = columns.x(at);
    pen.fillStyle = colours.ink;
    if (columns.w < 6) {
      pen.fillRect(x + columns.w / 2 - 0.75, 0, 1.5, view);
      return;
    }
    pen.globalAlpha = 0.5;
    pen.fillRect(x - 1, 0, 1, view);
    pen.fillRect(x + columns.w - columns.gap / 2, 0, 1, view);
    pen.globalAlpha = 1;
  }

  function draw(step) {
    colours = palette(body);
    width = Math.max(200, nodes.area.clientWidth);
    columns = columnsOf(last, width, left, zoom, from, step - 1);
    from = columns.from;
    if (step !== drawn) follow(step);
    drawn = step;
    const now = chosen();
    if (memory) {
      memory.draw(step, now.block ?? null);
      hover.held = now.block === undefined ? [] : memory.holders(step, now.block);
    }
    paint(step);
    nodes.tools.style.display = last * 40 > columns.plot || zoom ? "" : "none";
    const lane = byName.get(now.request);
    nodes.cell.textContent = lane ? told(lane, step - 1) : "no request chosen";
    nodes.cell.setAttribute("aria-selected", Boolean(lane));
  }

  // Scrolls so that the chosen request, or else most of those that are computed in this step, are in sight.
  function follow(step) {
    if (lanes.length * h <= view) return;
    const picked = byName.get(chosen().request);
    const wanted = picked ? [picked.index] : batches[step - 1].map(([lane]) => lane.index);
    const seen = wanted.filter((index) => index * h >= scroll && (index + 1) * h <= scroll + view);
    const [low, high] = [wanted[0], wanted.at(-1)];
    const fits = (high - low + 1) * h <= view;
    if (!wanted.length || seen.length === wanted.length || (!fits && seen.length * 2 >= wanted.length))
      return;
    const middle = fits ? (low + high + 1) / 2 : wanted[wanted.length >> 1] + 0.5;
    scroll = clamp(h * Math.round(middle - view / h / 2), 0, lanes.length * h - view);
    nodes.area.scrollTop = scroll;
  }
  function closer(by) {
    const before = columns.w;
    zoom += by;
    draw(player.step());
    if (columns.w === before) zoom -= by;
  }
  nodes.area.addEventListener("scroll", () => {
    if (nodes.area.scrollTop === scroll) return;
    scroll = nodes.area.scrollTop;
    paint(player.step());
  });

  // pointer
  function stepAt(event, node) {
    const [x] = pointIn(event, node);
    const at = Math.floor((x - left) / columns.w) + columns.from;
    return x >= left && at < columns.to ? at : null;
  }
  const laneAt = (event) => lanes[Math.floor((pointIn(event, nodes.rows)[1] + scroll) / h)] ?? null;
  function over(lane, at) {
    if (lane === hover.lane && at === hover.at) return;
    const changed = lane !== hover.lane;
    Object.assign(hover, { lane, at, names: lane ? [lane.name] : [] });
    paint(player.step());
    if (changed) memory?.draw(player.step(), chosen().block ?? null);
  }
  nodes.rows.addEventListener("pointermove", (event) => over(laneAt(event), stepAt(event, nodes.rows)));
  nodes.rows.addEventListener("click", (event) => {
    const lane = laneAt(event);
    const at = stepAt(event, nodes.rows);
    const name = lane?.name ?? null;
    const moves = at !== null && at + 1 !== player.step();
    const same = lane?.name === chosen().request;
    if (moves) player.go(at + 1);
    if (!moves || !same) player.select(same ? null : name);
  });
  const strips = [nodes.budget, nodes.blocks, nodes.shares].filter(Boolean);
  for (const node of strips) {
    const go = (event, pressed) => {
      const at = stepAt(event, node);
      if (pressed && at !== null) player.go(at + 1);
      return at;
    };
    node.addEventListener("pointermove", (event) => over(null, go(event, event.buttons)));
    node.addEventListener("pointerdown", (event) => go(event, true));
  }
  for (const node of [nodes.rows, ...strips]) node.addEventListener("pointerleave", () => over(null, null));
  for (const name of ["pointerdown", "pointermove"])
    nodes.all.addEventListener(name, (event) => {
      const part = (pointIn(event, nodes.all)[0] - left) / columns.plot;
      if (event.buttons) player.go(1 + Math.floor(part * last));
    });

  // keys
  function choose(by) {
    const picked = byName.get(chosen().request);
    const start = batches[player.step() - 1][0]?.[0].index ?? 0;
    drawn = 0; // so that the chosen one comes into sight
    player.select(lanes[picked ? clamp(picked.index + by, 0, lanes.length - 1) : start].name);
  }
  onKeys(nodes.area, {
    ArrowUp: () => choose(-1),
    ArrowDown: () => choose(1),
    "+": () => closer(1),
    "-": () => closer(-1),
  });

  function rows(step) {
    const at = step - 1;
    const found = lanes.filter((lane) => spanAt(lane, at)).map((lane) => laneRow(lane, at));
    const [tokens, running, waiting] = data.sums[at];
    return [...found, ["all", "", "", `${running} run, ${waiting} wait`, tokens, "", ""]];
  }
  function laneRow(lane, at) {
    const span = spanAt(lane, at);
    const ends = lane.done?.[0] === at ? `, then ${lane.done[1]}` : "";
    const about = [lane.tag, data.client_names[lane.client], lane.priority, data.states[span[0]] + ends];
    return [...about, tokensIn(span, at), computedAfter(span, at), lane.num_prompt ?? ""];
  }
  function note(step) {
    const now = chosen();
    if (now.block !== undefined) return memory.note(step, now.block);
    return byName.has(now.request) ? told(byName.get(now.request), step - 1) : "";
  }
  return { draw, rows, note, below: memory?.below };
}

export const view = replay({ name: "timeline", legend: legendOf, build });
