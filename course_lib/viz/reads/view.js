import { blockAt, blockByKey } from "../kit/block_map.js";
import { palette, sheet } from "../kit/canvas.js";
import { caption, cellGrid, fillFigures, make, onArrows, pointIn } from "../kit/dom.js";
import { clamp, programIds } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { paintBlocks } from "./blocks.js";
import { blocksLayout, findAt, sequencesLayout } from "./layout.js";
import { blockWords, byteFigures, programsOf, tableRows } from "./programs.js";
import { paintSequences } from "./sequences.js";

function legendOf({ programs, kv_heads }) {
  const empty = programs.some((one) => one.kind === "decode" && !one.reads.length);
  const each = kv_heads > 1 ? ", each for its KV head" : "";
  return [
    ["cl-new", "now"],
    ["cl-read-before", "before"],
    ["cl-coming", "not yet"],
    ...(empty ? [["cl-reads-nothing", "nothing to read"]] : []),
    ["cl-pill", `read by 2 programs${each}`, "×2"],
  ];
}

function build(body, data, player) {
  const left = cellGrid("Programs: arrow keys go to one", {}, " cl-tables");
  const right = cellGrid("Physical memory: arrow keys choose a block");
  const sums = make("dl", { class: "cl-sums" });
  const sides = [
    make("div", {}, caption("Programs → outputs, block tables"), left.area),
    make("div", {}, caption("Physical memory"), right.area),
  ];
  body.append(make("div", { class: "cl-two" }, ...sides), make("div", { class: "cl-below" }, sums));
  const programs = programsOf(data);
  const { group, merges, decodeStep, outputStep } = programs;
  let list = null;
  let map = null;
  let over = null; // the block under the pointer
  let drawn = 0; // the step that was drawn last

  const told = (step, block) => blockWords(data, programs.holders, step, block);
  const widthOf = ({ area }, least) => Math.max(least, area.parentNode.clientWidth);
  function draw(step, selected) {
    const colours = palette(body);
    const lit = [...new Set([selected, over].filter((block) => block !== null))];
    const scene = { data, programs, step, colours, lit };
    list = sequencesLayout(data, widthOf(left, 200));
    map = blocksLayout(data, widthOf(right, 160));
    paintSequences(sheet(left.canvas, list.width, list.height), list, scene);
    paintBlocks(sheet(right.canvas, map.width, map.height), map, scene);
    const now = data.programs[step - 1];
    if (drawn !== step) follow(list.rows[now.seq]);
    drawn = step;
    fillFigures(sums, byteFigures(data, step, merges));
    left.cell.textContent = `program ${programIds(now.program)}`;
    right.cell.textContent = selected === null ? "nothing chosen" : told(step, selected);
    right.cell.setAttribute("aria-selected", selected !== null);
  }
  // A long list follows the step.
  function follow({ top, bottom }) {
    const { area } = left;
    if (top < area.scrollTop || bottom > area.scrollTop + area.clientHeight) area.scrollTop = top - 24;
  }

  // pointer
  const inBlocks = (event) => blockAt(map, pointIn(event, right.canvas), data.num_blocks);
  const inSequences = (event) => findAt(data, list, pointIn(event, left.canvas));
  const hover = (block = null) => {
    if (block === over) return;
    over = block;
    draw(player.step(), player.selected());
  };
  const toggle = (block = null) => player.select(block === player.selected() ? null : block);
  right.area.addEventListener("pointermove", (event) => hover(inBlocks(event)));
  left.area.addEventListener("pointermove", (event) => hover(inSequences(event).block));
  for (const { area } of [left, right]) area.addEventListener("pointerleave", () => hover(null));
  right.area.addEventListener("click", (event) => toggle(inBlocks(event)));
  left.area.addEventListener("click", (event) => {
    const { seq, head, part, query, block } = inSequences(event);
    if (seq === undefined) {
      toggle(block);
      return;
    }
    const isProgram = part !== undefined;
    const step = isProgram ? decodeStep(seq, head, part) : outputStep(seq, head * group + query);
    if (step) player.go(step);
  });

  // keys
  onArrows(right.area, (key) => {
    player.select(blockByKey(key, player.selected(), map.columns, data.num_blocks));
  });
  // rows are (sequence, KV head); across them the parts, then the query heads where parts are merged
  onArrows(left.area, (key) => {
    const now = data.programs[player.step() - 1];
    const isDecode = now.kind === "decode";
    const columns = data.parts + (merges ? group : 0);
    const row = now.seq * data.kv_heads + (isDecode ? now.kv_head : Math.floor(now.head / group));
    const column = isDecode ? now.part : data.parts + (now.head % group);
    const down = { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0;
    const across = { ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0;
    const to = clamp(row + down, 0, data.tables.length * data.kv_heads - 1);
    const part = clamp({ Home: 0, End: columns - 1 }[key] ?? column + across, 0, columns - 1);
    const [seq, head] = [Math.floor(to / data.kv_heads), to % data.kv_heads];
    const isPart = part < data.parts;
    const step = isPart ? decodeStep(seq, head, part) : outputStep(seq, head * group + part - data.parts);
    if (step) player.go(step);
  });

  return {
    draw,
    rows: (step) => tableRows(data, step),
    note: (step, selected) => (selected === null ? "" : told(step, selected)),
  };
}

export const view = replay({ name: "reads", legend: legendOf, build });
