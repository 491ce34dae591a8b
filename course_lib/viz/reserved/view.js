import { palette, sheet } from "../kit/canvas.js";
import { caption, freshId, make, onKeys, pointIn } from "../kit/dom.js";
import { clamp, count, number } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { paintShares } from "./chart.js";
import { LEFT, mapLayout, paintMap, slotAt } from "./map.js";
import { NAMES, PARTS, layoutAt, partsAt, say, segmentsAt, share } from "./pieces.js";
import { policyCards } from "./policies.js";

const LEGEND = [
  ["cl-new", "used"],
  ["cl-later", "reserved, yet to come"],
  ["cl-hatch cl-again", "reserved, never used"],
  ["cl-small", "hole, too small"],
  ["cl-empty", "free"],
];

// The memory as a list of requests, for keys and screen readers.
function memoryList() {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const cell = make("div", { role: "option", id: freshId("cl-cell") });
  const about = {
    class: "cl-sheet cl-slots",
    role: "listbox",
    tabindex: "0",
    "aria-label": "The memory, slot by slot: left and right choose a request",
    "aria-activedescendant": cell.id,
  };
  return { area: make("div", about, canvas, make("div", { class: "cl-hidden" }, cell)), canvas, cell };
}

function build(body, data, player) {
  const runOf = (selected) => data.runs.find((run) => run.policy === selected?.policy) ?? data.runs[0];
  const shownRun = () => runOf(player.selected());
  const { area, canvas, cell } = memoryList();
  const graph = make("canvas", { role: "img" });
  const graphArea = make("div", { class: "cl-chart cl-time" }, graph);
  const cards = policyCards(data, shownRun, (run) => player.select({ policy: run.policy, request: null }));
  body.append(
    ...(data.runs.length > 1 ? [cards.node] : []),
    caption("Memory, slot by slot"),
    area,
    caption("Shares of the memory over time", " cl-next"),
    graphArea,
  );
  let grid = null;
  let over = null; // the request under the pointer

  function draw(step, selected) {
    const colours = palette(body);
    const run = runOf(selected);
    const width = Math.max(220, body.clientWidth);
    const pieces = layoutAt(data, run, step);
    grid = mapLayout(data.capacity, width);
    paintMap(
      sheet(canvas, grid.width, grid.height),
      grid,
      colours,
      pieces,
      over ?? selected?.request ?? null,
    );
    paintShares(graph, data, run, step, colours, width);
    cards.show(step, run);
    const parts = partsAt(data, run, step);
    const shares = PARTS.map((part, at) => `${NAMES[part]} ${share(parts[at], data.capacity)}`);
    const said = `Shares of the memory over ${data.last} steps; now ${shares.join(", ")}.`;
    graph.setAttribute("aria-label", said);
    const requests = pieces.filter((piece) => piece.segment).length;
    cell.textContent = told(step, selected) || `${requests} requests in the memory`;
    cell.setAttribute("aria-selected", selected?.request != null);
  }
  function told(step, selected) {
    if (selected?.request == null) return "";
    const one = segmentsAt(runOf(selected), step).find(({ request }) => request === selected.request);
    if (!one) return `Request ${selected.request} holds no slot now.`;
    const reserved = `${count(one.reserved, "slot")} reserved from slot ${number(one.start)} on`;
    const coming = `${number(one.final - one.used)} yet to come`;
    const never = `${number(one.reserved - one.final)} never used`;
    return `Request ${one.request}: ${reserved}, ${number(one.used)} used, ${coming}, ${never}.`;
  }

  const segmentsNow = () => segmentsAt(shownRun(), player.step());
  function requestAt(event) {
    const slot = slotAt(grid, pointIn(event, canvas));
    if (slot === null) return null;
    const inside = ({ start, reserved }) => start <= slot && slot < start + reserved;
    return segmentsNow().find(inside)?.request ?? null;
  }
  const hover = (request) => {
    if (request === over) return;
    over = request;
    draw(player.step(), player.selected());
  };
  const choose = (request) => player.select({ policy: shownRun().policy, request });
  area.addEventListener("pointermove", (event) => hover(requestAt(event)));
  area.addEventListener("pointerleave", () => hover(null));
  area.addEventListener("click", (event) => {
    const request = requestAt(event);
    choose(request === player.selected()?.request ? null : request);
  });
  graphArea.addEventListener("click", (event) => {
    const place = (pointIn(event, graph)[0] - LEFT) / (graph.clientWidth - LEFT - 2);
    if (place >= 0) player.go(Math.ceil(place * data.last));
  });
  const move = (to) => () => {
    const all = segmentsNow().map(({ request }) => request);
    const now = all.indexOf(player.selected()?.request ?? null);
    choose(all[clamp(to(now, all.length - 1), 0, all.length - 1)] ?? null);
  };
  onKeys(area, {
    ArrowLeft: move((now, last) => (now < 0 ? last : now - 1)),
    ArrowRight: move((now) => now + 1),
    Home: move(() => 0),
    End: move((now, last) => last),
    ArrowUp: () => player.go(player.step() - 1),
    ArrowDown: () => player.go(player.step() + 1),
    Escape: () => choose(null),
  });

  function rowOf({ kind, start, size, segment }) {
    if (!segment) return [NAMES[kind], start, size, "", "", ""];
    const { request, used, final, reserved } = segment;
    return [`request ${request}`, start, size, used, final - used, reserved - final];
  }
  return {
    draw,
    say: (step, selected) => say(data, runOf(selected), step),
    note: told,
    rows: (step, selected) => layoutAt(data, runOf(selected), step).map(rowOf),
  };
}

export const view = replay({ name: "reserved", legend: () => LEGEND, build });
