import { palette, sheet } from "../kit/canvas.js";
import { caption, cellGrid, onArrows, pointIn } from "../kit/dom.js";
import { clamp, count, requestName } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { blocksAt, gridOf, paintStreams, tokensAt } from "./paint.js";

const LEGEND = [
  ["cl-queued", "waits"],
  ["cl-new", "prefill"],
  ["cl-streaming", "streams"],
  ["cl-arrow", "token", "|"],
  ["cl-arrow", "finished", "○"],
  ["cl-arrow", "cancelled", "✕"],
  ["cl-arrow", "refused", "429"],
];
const ENDS = { finished: 4, cancelled: 5, refused: 6 };

// The same as in model.py.
function stateAt(one, now) {
  if (now < one.arrival) return 0;
  if (one.end !== null && now >= one.end) return ENDS[one.how];
  if (one.begin === null || now < one.begin) return 1;
  return !one.tokens.length || now < one.tokens[0] ? 2 : 3;
}

function told(data, one, now) {
  const [queue, ttft, whole] = one.cells;
  const start = `${requestName(one.name)} ${data.states[stateAt(one, now)]}, ${count(tokensAt(one, now), "token")}`;
  return `${start}. Queue time ${queue}, TTFT ${ttft}, ${whole} until its end.`;
}

function build(body, data, player) {
  const { area, canvas, cell } = cellGrid("Requests of the server: up and down choose a request");
  body.append(caption("One row a request, time from left to right; below: the blocks in use"), area);
  let grid = null;
  const numberOf = (name) => data.requests.findIndex((one) => one.name === name);
  const timeOf = (step) => data.moments[step - 1];

  function draw(step, selected) {
    grid = gridOf(data, Math.max(280, body.clientWidth));
    const chosen = numberOf(selected);
    paintStreams(sheet(canvas, grid.width, grid.all), data, grid, palette(body), timeOf(step), chosen);
    const blocks = count(blocksAt(data, timeOf(step)), "block");
    cell.textContent = chosen < 0 ? `${blocks} in use` : told(data, data.requests[chosen], timeOf(step));
    cell.setAttribute("aria-selected", chosen >= 0);
  }

  area.addEventListener("click", (event) => {
    const [x, y] = pointIn(event, canvas);
    const row = Math.floor(y / grid.row);
    if (row >= 0 && row < data.requests.length) player.select(data.requests[row].name);
    const time = grid.at(x);
    const found = data.moments.findIndex((moment) => time <= moment);
    if (time >= 0) player.go(found < 0 ? data.last : found + 1);
  });
  onArrows(area, (key) => {
    const last = data.requests.length - 1;
    const now = numberOf(player.selected());
    if (key === "ArrowLeft" || key === "ArrowRight") {
      player.go(player.step() + (key === "ArrowLeft" ? -1 : 1));
      return;
    }
    if (last < 0) return;
    const to = { Home: 0, End: last, ArrowUp: (now < 0 ? 1 : now) - 1, ArrowDown: now + 1 }[key];
    player.select(data.requests[clamp(to, 0, last)].name);
  });

  const rowOf = (one, now) => [
    one.name,
    data.states[stateAt(one, now)],
    one.prompt,
    tokensAt(one, now),
    ...one.cells,
  ];
  return {
    draw,
    rows: (step) => data.requests.map((one) => rowOf(one, timeOf(step))),
    note: (step, selected) => {
      const chosen = numberOf(selected);
      return chosen < 0 ? "" : told(data, data.requests[chosen], timeOf(step));
    },
  };
}

const replayed = replay({ name: "streams", legend: () => LEGEND, build });

// While the server runs, Python sends new data now and then: the view is built again.
export const view = {
  render(given) {
    const { model } = given;
    let remove = replayed.render(given);
    const again = () => {
      remove();
      remove = replayed.render(given);
    };
    model.on("change:data", again);
    return () => {
      model.off("change:data", again);
      remove();
    };
  },
};
