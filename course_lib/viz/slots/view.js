import { palette, sheet } from "../kit/canvas.js";
import { caption, cellGrid, make, onArrows, pointIn } from "../kit/dom.js";
import { clamp, count, listed, number } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { cellAt, longest, percent, queuesOf, runAt } from "./batches.js";
import { paintFrame, paintQueue, paintShares, paintSlots } from "./paint.js";
import { CHART, LEFT, bandsOf, shapesOf, slotsLayout } from "./shapes.js";

const LEGEND = [
  ["cl-new", "prompt"],
  ["cl-pad", "padding"],
  ["cl-wanted", "useful token"],
  ["cl-over", "finished, still computed"],
  ["cl-empty", "empty slot"],
];

function build(body, data, player) {
  const { served, queue, most } = queuesOf(data);
  const { area, canvas, cell } = cellGrid("Batch slots: arrow keys choose a request");
  const line = make("canvas", { role: "img" });
  const lineArea = make("div", { class: "cl-chart cl-time" }, line);
  const graph = make("canvas", { role: "img" });
  const graphArea = make("div", { class: "cl-chart cl-time" }, graph);
  const figures = make("dl", { class: "cl-figures" });
  body.append(
    caption("Batch slots, one run of the model a step"),
    area,
    caption("Queue", " cl-next"),
    lineArea,
    caption("What the tokens computed so far were for", " cl-next"),
    graphArea,
    figures,
  );
  let shown = null; // {width, grid, shapes, bands}: kept while the width stays
  let over = null; // the request under the pointer

  function draw(step, selected) {
    const colours = palette(body);
    const width = Math.max(220, body.clientWidth);
    if (shown?.width !== width) {
      const grid = slotsLayout(data, most, width);
      shown = { width, grid, shapes: shapesOf(data, grid, queue), bands: bandsOf(data, grid) };
    }
    const { grid, shapes, bands } = shown;
    const lit = over ?? selected;
    const pen = sheet(canvas, grid.width, grid.height);
    paintSlots(pen, data, grid, colours, step, shapes);
    if (lit !== null && served[lit]) paintFrame(pen, grid, colours, ...served[lit]);
    paintQueue(sheet(line, grid.width, grid.queue), grid, colours, step, shapes, queue, lit);
    paintShares(sheet(graph, grid.width, CHART), grid, colours, step, bands);
    showFigures(step);
    cell.textContent = selected === null ? "no request chosen" : told(selected);
    cell.setAttribute("aria-selected", selected !== null);
  }
  function showFigures(step) {
    const [useful, padding, idle, empty] = data.sums[step - 1];
    const computed = useful + padding + idle;
    const part = (value) => (computed ? percent(value / computed) : "–");
    const waiting = queue[step - 1].length;
    const lines = [
      ["useful", `${number(useful)} tokens, ${part(useful)}`],
      ["padding", `${number(padding)}, ${part(padding)}`],
      ["finished, still computed", `${number(idle)}, ${part(idle)}`],
      ["slots empty", `${percent(empty / (step * data.slots))} of the time`],
      ["waiting", number(waiting)],
    ];
    const nodes = lines.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
    figures.replaceChildren(...nodes);
    const parts = `${part(useful)} useful, ${part(padding)} padding, ${part(idle)} finished and still computed`;
    graph.setAttribute("aria-label", `Of ${count(computed, "token")} computed up to step ${step}: ${parts}.`);
    line.setAttribute("aria-label", `${waiting} wait in step ${step}; at most ${most} at once.`);
  }
  function told(request) {
    const [arrival, prompt, fresh] = data.requests[request];
    const name = data.names[request];
    const came = arrival ? `arrived after step ${arrival}` : "was there at the beginning";
    const tokens = count(prompt, "token");
    if (!served[request])
      return `${name} (prompt of ${tokens}, ${number(fresh)} new) ${came} and is never served.`;
    const [run, slot] = served[request];
    const padded = longest(data, run) > prompt ? ` padded to ${longest(data, run)}` : "";
    const end = run[0] + fresh;
    const waited = `${name} ${came} and waited ${count(run[0] - arrival, "step")}.`;
    const ran = `Slot ${slot}, steps ${run[0] + 1} to ${end}: a prompt of ${tokens}${padded}, ${number(fresh)} new.`;
    return `${waited} ${ran}` + (run[1] > end ? ` Computed on until step ${run[1]}.` : "");
  }

  // pointer
  const indexAt = (event, node) => Math.floor((pointIn(event, node)[0] - LEFT) / shown.grid.w);
  function inSlots(event) {
    const step = indexAt(event, canvas) + 1;
    const slot = Math.floor((pointIn(event, canvas)[1] - shown.grid.top) / shown.grid.h);
    const run = runAt(data, step);
    return step >= 1 && run && slot >= 0 ? (run[2][slot] ?? null) : null;
  }
  function inQueue(event) {
    const place = Math.floor((pointIn(event, line)[1] - 2) / shown.grid.tall);
    return queue[indexAt(event, line)]?.[place] ?? null;
  }
  const hover = (request) => {
    if (request === over) return;
    over = request;
    draw(player.step(), player.selected());
  };
  for (const [node, find] of [
    [area, inSlots],
    [lineArea, inQueue],
  ]) {
    node.addEventListener("pointermove", (event) => hover(find(event)));
    node.addEventListener("pointerleave", () => hover(null));
    node.addEventListener("click", (event) => {
      const request = find(event);
      player.select(request === player.selected() ? null : request);
    });
  }
  graphArea.addEventListener("click", (event) => {
    const step = indexAt(event, graph) + 1;
    if (step >= 1) player.go(step);
  });

  // keys: from batch to batch, from slot to slot
  onArrows(area, (key) => {
    if (!data.runs.length) return;
    const place = served[player.selected()] ?? null;
    if (!place) {
      player.select((runAt(data, player.step()) ?? data.runs[0])[2][0]);
      return;
    }
    const [now, slot] = place;
    const index = data.runs.indexOf(now);
    const last = data.runs.length - 1;
    const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: last }[key] ?? index;
    const [, , places] = data.runs[clamp(to, 0, last)];
    const by = { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0;
    player.select(places[clamp(slot + by, 0, places.length - 1)]);
  });

  function rows(step) {
    const run = runAt(data, step);
    const slots = Array.from({ length: data.slots }, (_, slot) => {
      const [kind, request, useful, wasted] = cellAt(data, run, slot, step);
      const name = request === null ? "" : `, ${data.names[request]}`;
      return [`slot ${slot}${name}`, data.does[kind], useful, wasted];
    });
    const waiting = queue[step - 1].map((request) => data.names[request]);
    return [...slots, ["queue", listed(waiting) || "no request", "", ""]];
  }
  return { draw, rows, note: (step, selected) => (selected === null ? "" : told(selected)) };
}

export const view = replay({ name: "slots", legend: () => LEGEND, build });
