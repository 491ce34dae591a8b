import { palette, sheet } from "../kit/canvas.js";
import { cellGrid, onKeys, pointIn } from "../kit/dom.js";
import { clamp, number } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { workCharts } from "./charts.js";
import { cellAt, fillingLayout } from "./layout.js";
import { paintFilling, paintRing } from "./paint.js";
import { keptBy, stretches } from "./stretches.js";

const STATES = {
  new: "written in this step",
  again: "computed and written again",
  kept: "kept from an earlier step",
  missing: "due, but not held",
  surplus: "held, though no such token was computed",
};

function legendOf(data) {
  const layers = [...Array(data.layers).keys()];
  const found = data.computed.flatMap((_, index) => layers.flatMap((layer) => stretches(data, index, layer)));
  const seen = new Set(found.map(([, , state]) => state));
  return [
    ["cl-new", "new"],
    ["cl-held", data.layers * data.kv_heads < 22 ? "kept: key above value" : "kept"],
    ["cl-hatch cl-again", "computed again"],
    ["cl-coming", "still to come"],
    ...(seen.has("missing") ? [["cl-missing", "due, not held"]] : []),
    ...(seen.has("surplus") ? [["cl-surplus", "held, never computed"]] : []),
  ];
}

function build(body, data, player) {
  const numRows = data.layers * data.kv_heads;
  const label = "The cache, layers and KV heads by tokens: arrow keys choose a cell";
  const { area, canvas, row, cell } = cellGrid(label, {
    "aria-rowcount": numRows,
    "aria-colcount": data.tokens.length,
  });
  const charts = workCharts(data);
  body.append(area, charts.node);
  let grid = null;
  let over = null; // the cell under the pointer, [layer, KV head, position]

  function stateOf(step, [layer, , position]) {
    const found = stretches(data, step - 1, layer).find(([a, b]) => a <= position && position < b);
    return STATES[found?.[2]] ?? "not yet written";
  }
  function draw(step, selected) {
    const colours = palette(body);
    grid = fillingLayout(data, body.clientWidth);
    const pen = sheet(canvas, grid.width, grid.height);
    paintFilling(pen, data, grid, colours, step - 1, (over ?? selected)?.[2] ?? null);
    if (selected) paintRing(pen, data, grid, colours, selected, true);
    if (over && String(over) !== String(selected)) paintRing(pen, data, grid, colours, over, false);
    charts.draw(step, colours);
    const now = selected ?? [0, 0, data.computed[step - 1][0]];
    const [layer, head, position] = now;
    row.setAttribute("aria-rowindex", layer * data.kv_heads + head + 1);
    cell.setAttribute("aria-colindex", position + 1);
    cell.setAttribute("aria-selected", selected !== null);
    const name = `layer ${layer}, KV head ${head}, position ${position}, ${data.labels[position]}`;
    cell.textContent = `${name}: ${stateOf(step, now)}`;
  }

  const placeOf = (event) => cellAt(data, grid, pointIn(event, canvas));
  const hover = (place) => {
    if (String(place) === String(over)) return;
    over = place;
    draw(player.step(), player.selected());
  };
  area.addEventListener("pointermove", (event) => hover(placeOf(event)));
  area.addEventListener("pointerleave", () => hover(null));
  area.addEventListener("click", (event) => {
    const place = placeOf(event);
    player.select(String(place) === String(player.selected()) ? null : place);
  });
  // the first key chooses the newest column
  const move = (rows, toColumn) => () => {
    const selected = player.selected();
    const [layer, head, position] = selected ?? [0, 0, data.computed[player.step() - 1][0]];
    const at = clamp(layer * data.kv_heads + head + (selected ? rows : 0), 0, numRows - 1);
    const column = clamp(selected ? toColumn(position) : position, 0, data.tokens.length - 1);
    player.select([Math.floor(at / data.kv_heads), at % data.kv_heads, column]);
  };
  onKeys(area, {
    ArrowLeft: move(0, (position) => position - 1),
    ArrowRight: move(0, (position) => position + 1),
    ArrowUp: move(-1, (position) => position),
    ArrowDown: move(1, (position) => position),
    Home: move(0, () => 0),
    End: move(0, () => Infinity),
  });

  function rows(step) {
    const list = [...Array(data.layers).keys()].map((layer) => {
      const kept = keptBy(data, step - 1, layer);
      const own = stretches(data, step - 1, layer).filter(
        ([, , state]) => state === "new" || state === "again",
      );
      const written = own.reduce((sum, [a, b]) => sum + b - a, 0);
      return [layer, kept, data.due[step - 1], written, kept * data.column_bytes];
    });
    const sums = [1, 2, 3, 4].map((column) => list.reduce((sum, one) => sum + one[column], 0));
    return [...list, ["all", ...sums]];
  }
  function note(step, selected) {
    if (selected === null) return "";
    const group = data.heads / data.kv_heads;
    const [layer, head, position] = selected;
    const first = head * group;
    const readers =
      group === 1 ? `query head ${head} reads it` : `query heads ${first}–${first + group - 1} read it`;
    const where = `Layer ${layer}, KV head ${head}, ‘${data.labels[position]}’ (position ${position})`;
    const bytes = number(2 * data.head_dim * data.bytes);
    const size = `A key and a value of ${data.head_dim} numbers each, ${bytes} bytes`;
    return `${where}: ${stateOf(step, selected)}. ${size}; ${readers}.`;
  }
  return { draw, rows, note };
}

export const view = replay({ name: "filling", legend: legendOf, build });
