import { palette, sheet } from "../kit/canvas.js";
import { caption, cellGrid, onArrows, pointIn } from "../kit/dom.js";
import { clamp, count, requestName } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { gridOf, paintRows } from "./paint.js";

const LEGEND = [
  ["cl-queue", "waits"],
  ["cl-new", "prefill"],
  ["cl-gaps", "decode"],
  ["cl-arrow", "token", "|"],
  ["cl-stall", "stall: over twice the usual gap"],
  ["cl-arrow", "finished", "○"],
];

// The same as in model.py.
function stateAt(one, step) {
  if (step < one.came) return 0;
  if (step > one.done) return 4;
  if (step < one.began) return 1;
  return !one.token_steps.length || step <= one.token_steps[0] ? 2 : 3;
}

const tokensAfter = (one, step) => one.token_steps.filter((at) => at <= step).length;

function told(one) {
  const [queue, ttft, tpot, gap, whole] = one.cells;
  const tokens = count(one.tokens.length, "token");
  const parts = [`${one.tag} waited ${queue} in the queue`, `TTFT ${ttft}`, tokens, `TPOT ${tpot}`];
  return [...parts, `longest gap ${gap}`, `end to end ${whole}`].join(", ") + ".";
}

function build(body, given, player) {
  const data = {
    ...given,
    requests: given.requests.map((one) => ({ ...one, tag: requestName(one.name) })),
  };
  const { area, canvas, cell } = cellGrid("Requests in time: up and down choose a request");
  body.append(caption("One row a request, time from left to right"), area);
  let grid = null;
  let over = null; // the number of the request under the pointer
  const numberOf = (name) => {
    const found = data.requests.findIndex((one) => one.name === name);
    return found < 0 ? null : found;
  };

  function draw(step, selected) {
    grid = gridOf(data, Math.max(280, body.clientWidth));
    const chosen = numberOf(selected);
    paintRows(sheet(canvas, grid.width, grid.all), data, grid, palette(body), step, over ?? chosen);
    cell.textContent = chosen === null ? "no request chosen" : told(data.requests[chosen]);
    cell.setAttribute("aria-selected", chosen !== null);
  }

  const rowAt = (event) => {
    const row = Math.floor(pointIn(event, canvas)[1] / grid.row);
    return row >= 0 && row < data.requests.length ? row : null;
  };
  function stepAt(event) {
    const time = grid.at(pointIn(event, canvas)[0]);
    const found = data.steps.findIndex(([, end]) => time <= end);
    return time < 0 ? null : found < 0 ? data.last : found + 1;
  }
  const hover = (row) => {
    if (row === over) return;
    over = row;
    draw(player.step(), player.selected());
  };
  area.addEventListener("pointermove", (event) => hover(rowAt(event)));
  area.addEventListener("pointerleave", () => hover(null));
  area.addEventListener("click", (event) => {
    const row = rowAt(event);
    const step = stepAt(event);
    if (row !== null) player.select(data.requests[row].name);
    if (step !== null) player.go(step);
  });
  onArrows(area, (key) => {
    const last = data.requests.length - 1;
    const now = numberOf(player.selected());
    if (key === "ArrowLeft" || key === "ArrowRight") {
      player.go(player.step() + (key === "ArrowLeft" ? -1 : 1));
      return;
    }
    const to = { Home: 0, End: last, ArrowUp: (now ?? 1) - 1, ArrowDown: (now ?? -1) + 1 }[key];
    player.select(data.requests[clamp(to, 0, last)].name);
  });

  const rowOf = (one, step) => [
    one.name,
    data.states[stateAt(one, step)],
    tokensAfter(one, step),
    ...one.cells,
  ];
  return {
    draw,
    rows: (step) => data.requests.map((one) => rowOf(one, step)),
    note: (step, selected) => (numberOf(selected) === null ? "" : told(data.requests[numberOf(selected)])),
  };
}

export const view = replay({ name: "latencies", legend: () => LEGEND, build });
