import { palette, sheet } from "../kit/canvas.js";
import { caption, cellGrid, fillFigures, make, onArrows, pointIn } from "../kit/dom.js";
import { clamp, number, programIds } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { accessesOf, numberWords, placeOf, stepSums, touchedBy } from "./accesses.js";
import { paintGrid } from "./grid.js";
import { gridLayout, numberAt, programAt, tensorLayout } from "./layout.js";
import { paintTensor } from "./tensor.js";

function legendOf({ accesses }) {
  const masks = accesses.some(([, , , , masked]) => masked.length);
  return [
    ["cl-new", "loaded now"],
    ["cl-stored", "stored now"],
    ["cl-loaded-before", "loaded before"],
    ["cl-stored-before", "stored before"],
    ...(masks ? [["cl-masked", "masked: not touched"]] : []),
    ["cl-untouched", "not touched yet"],
  ];
}

function build(body, data, player) {
  const left = cellGrid("Programs: arrow keys go to one");
  const right = cellGrid("Tensors: arrow keys choose a number");
  const moved = make("dl", { class: "cl-sums" });
  const programs = [caption("Programs"), left.area, caption("Bytes so far", " cl-second"), moved];
  const tensors = [caption("Tensors"), right.area];
  body.append(
    make("div", { class: "cl-programs-two" }, make("div", {}, ...programs), make("div", {}, ...tensors)),
  );
  const accesses = accessesOf(data);
  const stepOf = new Map(); // program -> its first step
  data.steps.forEach(([program], index) => {
    if (!stepOf.has(program)) stepOf.set(program, index + 1);
  });
  const stores = new Set(accesses.filter((access) => access.stores).map((access) => access.program));
  let grid = null;
  let map = null;

  const told = (step, selected) => numberWords(data, accesses, step, selected);
  const widthOf = ({ area }, least) => Math.max(least, area.parentNode.clientWidth);
  function draw(step, selected) {
    const colours = palette(body);
    const [now, begin, end] = data.steps[step - 1];
    grid = gridLayout(data, widthOf(left, 90));
    map = tensorLayout(data, widthOf(right, 160));
    const touched = selected ? touchedBy(data, accesses, step, selected) : null;
    const scene = { data, now, ran: (program) => stepOf.has(program), stores, touched };
    paintGrid(sheet(left.canvas, grid.width, grid.height), grid, colours, scene);
    const soFar = accesses.slice(0, end).map((access, index) => ({ ...access, fresh: index >= begin }));
    const chosen = selected ? placeOf(data, selected) : null;
    const pen = sheet(right.canvas, map.width, map.height);
    data.tensors.forEach((tensor, at) => {
      const own = soFar.filter((access) => access.tensor === at);
      paintTensor(pen, tensor, map.places[at], own, chosen?.tensor === at ? chosen : null, colours);
    });
    const sum = (kind) => soFar.reduce((total, access) => total + (access[kind] ? access.bytes : 0), 0);
    fillFigures(moved, [
      ["read", number(sum("loads"))],
      ["written", number(sum("stores"))],
    ]);
    left.cell.textContent = `program ${programIds(data.programs[now])}`;
    right.cell.textContent = selected ? told(step, selected) : "nothing chosen";
    right.cell.setAttribute("aria-selected", selected !== null);
  }

  left.area.addEventListener("click", (event) => {
    const program = programAt(data, grid, pointIn(event, left.canvas));
    if (stepOf.has(program)) player.go(stepOf.get(program));
  });
  right.area.addEventListener("click", (event) => {
    const number = numberAt(data, map, pointIn(event, right.canvas));
    player.select(String(number) === String(player.selected()) ? null : number);
  });
  // to the next program that has a step
  onArrows(left.area, (key) => {
    const now = data.steps[player.step() - 1][0];
    const last = data.programs.length - 1;
    const { across } = grid;
    const begin = Math.floor(now / across) * across;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
    const to = { Home: begin, End: begin + across - 1 }[key] ?? now + by[key];
    const forward = ["ArrowRight", "ArrowDown", "End"].includes(key) ? 1 : -1;
    for (let program = clamp(to, 0, last); program >= 0 && program <= last; program += forward)
      if (stepOf.has(program)) {
        player.go(stepOf.get(program));
        return;
      }
  });
  // in a tensor, and over its left and right edge to the next one
  onArrows(right.area, (key) => {
    const selected = player.selected();
    if (!selected) {
      player.select([data.tensors[0].name, 0]);
      return;
    }
    const choose = ({ name, rows, cols, numel }, row, column) => {
      const flat = clamp(row, 0, rows - 1) * cols + clamp(column, 0, cols - 1);
      player.select([name, Math.min(numel - 1, flat)]);
    };
    const { tensor: at, row, column } = placeOf(data, selected);
    const tensor = data.tensors[at];
    const before = key === "ArrowLeft" && column === 0 ? data.tensors[at - 1] : null;
    const after = key === "ArrowRight" && column === tensor.cols - 1 ? data.tensors[at + 1] : null;
    if (before) choose(before, row, Infinity);
    else if (after) choose(after, row, 0);
    else {
      const [down, across] = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[
        key
      ] ?? [0, 0];
      choose(tensor, row + down, { Home: 0, End: Infinity }[key] ?? column + across);
    }
  });

  function rows(step) {
    let [loadedSoFar, storedSoFar] = [0, 0];
    return data.steps.slice(0, step).map((one, index) => {
      const [what, loaded, stored, masked] = stepSums(data, accesses, one);
      loadedSoFar += loaded;
      storedSoFar += stored;
      const ids = programIds(data.programs[one[0]]);
      return [index + 1, ids, what, loaded, stored, masked, loadedSoFar, storedSoFar];
    });
  }
  return { draw, rows, note: (step, selected) => (selected === null ? "" : told(step, selected)) };
}

export const view = replay({ name: "programs", legend: legendOf, build });
