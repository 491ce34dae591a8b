import { palette, sheet } from "../kit/canvas.js";
import { cellGrid, make, onArrows, pointIn } from "../kit/dom.js";
import { clamp } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { layoutOf, rowAt, segmentAt } from "./layout.js";
import { paintStrip } from "./paint.js";
import { placeOf, tableRows } from "./sums.js";

function legendOf({ groups, rows }) {
  const entries = Object.entries(groups).map(([group, words]) => [`cl-strip-${group}`, words]);
  return rows.some(({ limit }) => limit !== null) ? [...entries, ["cl-strip-limit", "limit"]] : entries;
}

function build(body, data, player) {
  const grid = cellGrid("Kernels: left and right go to the next, up and down to another row");
  const notes = data.rows.filter(({ note }) => note).map(({ name, note }) => make("li", {}, `${name}: ${note}`));
  body.append(make("div", { class: "cl-chart" }, grid.area));
  if (notes.length) body.append(make("ul", { class: "cl-strip-notes" }, ...notes));
  let layout = null;
  let over = null; // the kernel under the pointer: {row, at}

  function draw(step, selected) {
    const place = placeOf(data, step);
    layout = layoutOf(data, Math.max(240, body.clientWidth));
    const pen = sheet(grid.canvas, layout.width, layout.height);
    paintStrip(pen, { data, layout, colours: palette(body), place, selected, over });
    grid.cell.textContent = data.say[step - 1].map(([, text]) => text).join("");
  }

  // {row, at} at a point, or null
  function kernelAt([x, y]) {
    const row = data.rows[rowAt(layout, y)];
    if (!row || x > layout.x(row.length) + 2) return null;
    return { row, at: segmentAt(row, (x / layout.x(data.scale)) * data.scale) };
  }
  const stepOf = ({ row, at }) =>
    1 + at + data.rows.slice(0, data.rows.indexOf(row)).reduce((sum, { names }) => sum + names.length, 0);

  grid.area.addEventListener("pointermove", (event) => {
    const found = kernelAt(pointIn(event, grid.canvas));
    if (found?.row === over?.row && found?.at === over?.at) return;
    over = found;
    draw(player.step(), player.selected());
  });
  grid.area.addEventListener("pointerleave", () => {
    over = null;
    draw(player.step(), player.selected());
  });
  grid.area.addEventListener("click", (event) => {
    const found = kernelAt(pointIn(event, grid.canvas));
    if (!found) {
      player.select(null);
      return;
    }
    const group = found.row.groups[found.at];
    player.go(stepOf(found));
    player.select(group === player.selected() ? null : group);
  });

  onArrows(grid.area, (key) => {
    const { row, at } = placeOf(data, player.step());
    const by = { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0;
    if (by) {
      const next = data.rows[clamp(data.rows.indexOf(row) + by, 0, data.rows.length - 1)];
      player.go(stepOf({ row: next, at: next === row ? at : segmentAt(next, row.starts[at]) }));
      return;
    }
    const to = { Home: 0, End: row.names.length - 1 }[key];
    if (to !== undefined) player.go(stepOf({ row, at: to }));
    else player.go(player.step() + { ArrowLeft: -1, ArrowRight: 1 }[key]);
  });

  return {
    draw,
    rows: (step) => tableRows(data, step),
    note: (step, selected) => (selected === null ? "" : (data.told[selected] ?? "")),
  };
}

export const view = replay({ name: "strip", legend: legendOf, build });
