import { palette, sheet } from "../kit/canvas.js";
import { caption, cellGrid, fillFigures, make, onArrows, pointIn } from "../kit/dom.js";
import { clamp, number } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { paintBytes } from "./chart.js";
import { ofAll, real, span, tilesLayout, visitsOf } from "./layout.js";
import { paintTiles } from "./paint.js";

function legendOf({ events, begun, done }) {
  const skips = events.some(([kind]) => kind === "skip");
  const unfinished = String(begun) !== String(done);
  return [
    ["cl-new", "computed, in this order"],
    ...(skips ? [["cl-skipped", "skipped"]] : []),
    ["cl-coming", "to come"],
    ["cl-in-fast", "in fast memory now"],
    ...(unfinished ? [["cl-hatch cl-again", "output written, unfinished"]] : []),
    ["cl-out-done", "output written"],
  ];
}

const swatch = (look) => make("span", { class: "cl-swatch " + look, "aria-hidden": "true" });

function build(body, data, player) {
  const { area, canvas, row, cell } = cellGrid("Tiles, queries by keys: arrow keys choose one", {
    "aria-rowcount": data.rows.length,
    "aria-colcount": data.cols.length,
  });
  const graph = make("canvas", { role: "img" });
  const holder = make("div", { class: "cl-chart" }, graph);
  const moved = make("dl", { class: "cl-sums" });
  const watched = make("dl", { class: "cl-sums" });
  const rowName = caption(`Row ${data.watch} (dotted)`, " cl-second");
  const side = [caption("Bytes moved, step by step"), holder, moved, rowName, watched];
  body.append(area, make("div", { class: "cl-side" }, ...side));
  const visits = visitsOf(data);
  let grid = null;

  const lastVisit = (step, i, j) => visits[i * data.cols.length + j].findLast(([at]) => at <= step);
  const nameOf = ([i, j]) => `queries ${span(data.rows, i, i + 1)}, keys ${span(data.cols, j, j + 1)}`;
  function stateOf(step, [i, j]) {
    const visit = lastVisit(step, i, j);
    return visit ? `${visit[1] === "skip" ? "skipped" : "computed"} in step ${visit[0]}` : "still to come";
  }
  function draw(step, selected) {
    const colours = palette(body);
    grid = tilesLayout(data, body.clientWidth);
    const pen = sheet(canvas, grid.width, grid.height);
    paintTiles(pen, data, grid, colours, step, (i, j) => lastVisit(step, i, j), selected);
    const [, i, , j] = data.events[step - 1];
    const now = selected ?? [i, j];
    row.setAttribute("aria-rowindex", now[0] + 1);
    cell.setAttribute("aria-colindex", now[1] + 1);
    cell.setAttribute("aria-selected", selected !== null);
    cell.textContent = `${nameOf(now)}: ${stateOf(step, now)}`;
    showBytes(step - 1);
    showWatched(step - 1);
    paintBytes(graph, data, step, colours, Math.max(60, holder.clientWidth));
  }
  function showBytes(at) {
    const { read, written } = data;
    const later = read.at(-1) - read[at] + written.at(-1) - written[at];
    const name = (look, text) => make("span", {}, swatch(look), text);
    fillFigures(moved, [
      [name("cl-moved-read", "read"), ofAll(read, at)],
      [name("cl-moved-written", "written"), ofAll(written, at)],
      [name("cl-moved-later", "still to move"), number(later)],
    ]);
    const now = `So far ${number(read[at])} bytes read and ${number(written[at])} written`;
    const end = `at the end ${number(read.at(-1))} and ${number(written.at(-1))}`;
    graph.setAttribute("aria-label", `${now}; ${end}.`);
  }
  function showWatched(at) {
    if (!data.row[at]) {
      fillFigures(watched, [["", "not computed yet"]]);
      return;
    }
    const [maximum, sum, output] = data.row[at];
    fillFigures(watched, [
      ["maximum", real(maximum)],
      ["sum", real(sum)],
    ]);
    const name = make("dt", { class: "cl-whole" }, data.output[at]); // over both columns
    watched.append(name, make("dd", { class: "cl-whole" }, output.map(real).join(", ")));
  }

  area.addEventListener("click", (event) => {
    const [x, y] = pointIn(event, canvas);
    const [i, j] = [Math.floor((y - grid.top) / grid.cell), Math.floor((x - grid.left) / grid.cell)];
    const inside = i >= 0 && i < grid.rows && j >= 0 && j < grid.columns;
    player.select(inside && String([i, j]) !== String(player.selected()) ? [i, j] : null);
  });
  // the first key chooses the tile of this step
  onArrows(area, (key) => {
    const now = player.selected();
    const [, i0, , j0] = data.events[player.step() - 1];
    const [i, j] = now ?? [i0, j0];
    const moves = {
      ArrowLeft: [i, j - 1],
      ArrowRight: [i, j + 1],
      ArrowUp: [i - 1, j],
      ArrowDown: [i + 1, j],
    };
    const [a, b] = now ? (moves[key] ?? [i, key === "Home" ? 0 : grid.columns - 1]) : [i, j];
    player.select([clamp(a, 0, grid.rows - 1), clamp(b, 0, grid.columns - 1)]);
  });

  function rowOf([kind, i, iEnd, j, jEnd], index) {
    const where = [index + 1, kind, span(data.rows, i, iEnd), span(data.cols, j, jEnd)];
    const bytes = [data.read[index], data.written[index]];
    if (!data.row[index]) return [...where, ...bytes, "", "", ""];
    const [maximum, sum, output] = data.row[index];
    const said = data.output[index].replace(/^output,? ?/, "");
    const values = output.map(real).join(", ") + (said ? ` (${said})` : "");
    return [...where, ...bytes, real(maximum), real(sum), values];
  }
  return {
    draw,
    rows: (step) => data.events.slice(0, step).map(rowOf),
    note(step, selected) {
      if (selected === null) return "";
      const name = nameOf(selected);
      return `${name[0].toUpperCase()}${name.slice(1)}: ${stateOf(step, selected)}.`;
    },
  };
}

export const view = replay({ name: "tiles", legend: legendOf, build });
