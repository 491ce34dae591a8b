import { palette, sheet } from "../kit/canvas.js";
import { cellGrid, onKeys, pointIn } from "../kit/dom.js";
import { clamp } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { placeAt, triangleLayout } from "./layout.js";
import { paintColumn, paintTriangle } from "./paint.js";
import { totalsChart } from "./totals.js";

function legendOf({ computed, needed, steps, tokens }) {
  const recomputes = computed.at(-1) > needed.at(-1);
  const keeps = steps.some(([start]) => start > 0);
  const chooses = steps.some(([, end]) => end < tokens.length);
  return [
    ["cl-new", "new"],
    ...(recomputes ? [["cl-hatch cl-again", "computed before"]] : []),
    ...(keeps ? [["cl-kept", "kept, not computed again"]] : []),
    ["cl-coming", "still to come"],
    ...(chooses ? [["cl-arrow", "token chosen", "→"]] : []),
  ];
}

function build(body, data, player) {
  const label = "Steps by positions: left and right choose a token, up and down a step";
  const { area, canvas, row, cell } = cellGrid(label, {
    "aria-rowcount": data.steps.length,
    "aria-colcount": data.tokens.length,
  });
  const totals = totalsChart(data);
  body.append(area, totals.node);
  let grid = null;
  let over = null; // the position under the pointer

  function stateOf(step, position) {
    const [start, end] = data.steps[step - 1];
    const seen = data.first_pass[position];
    if (position >= start && position < end) return seen === step - 1 ? "new" : "computed before";
    return seen !== null && seen < step ? "kept, not computed again" : "not yet computed";
  }
  function draw(step, selected) {
    const colours = palette(body);
    grid = triangleLayout(data, body.clientWidth);
    const pen = sheet(canvas, grid.width, grid.height);
    paintTriangle(pen, data, grid, colours, step, over ?? selected);
    if (selected !== null) paintColumn(pen, data, grid, colours, step, selected, true);
    if (over !== null && over !== selected) paintColumn(pen, data, grid, colours, step, over, false);
    totals.draw(step, colours);
    const at = selected ?? 0;
    row.setAttribute("aria-rowindex", step);
    cell.setAttribute("aria-colindex", at + 1);
    cell.setAttribute("aria-selected", selected !== null);
    cell.textContent = `step ${step}, position ${at}, ${data.labels[at]}: ${stateOf(step, at)}`;
  }

  const hover = (position) => {
    if (position === over) return;
    over = position;
    draw(player.step(), player.selected());
  };
  const placeOf = (event) => placeAt(grid, pointIn(event, canvas));
  area.addEventListener("pointermove", (event) => hover(placeOf(event).position));
  area.addEventListener("pointerleave", () => hover(null));
  area.addEventListener("click", (event) => {
    const { position, step } = placeOf(event);
    if (step) player.go(step);
    player.select(position === player.selected() && !step ? null : position);
  });
  const choose = (position) => player.select(clamp(position, 0, data.tokens.length - 1));
  onKeys(area, {
    ArrowLeft: () => choose((player.selected() ?? 1) - 1),
    ArrowRight: () => choose((player.selected() ?? -1) + 1),
    Home: () => choose(0),
    End: () => choose(data.tokens.length - 1),
    ArrowUp: () => player.go(player.step() - 1),
    ArrowDown: () => player.go(player.step() + 1),
  });

  return {
    draw,
    rows: (step) =>
      data.steps.slice(0, step).map(([start, end], index) => {
        const fresh = data.fresh[index];
        const own = [index + 1, `${start}–${end - 1}`, end - start, fresh, end - start - fresh];
        return [...own, data.computed[index], data.needed[index]];
      }),
    note(step, selected) {
      if (selected === null) return "";
      const inside = ([start, end]) => start <= selected && selected < end;
      const times = data.steps.slice(0, step).filter(inside).length;
      const name = `‘${data.labels[selected]}’ (position ${selected})`;
      if (!times) return `${name} has not been through the model yet.`;
      return `${name} has been through the model ${times === 1 ? "once" : times + " times"}; once was needed.`;
    },
  };
}

export const view = replay({ name: "triangle", legend: legendOf, build });
