// Block tables and physical memory beside each other: the memory view, and the lower half of the timeline.

import { blockAt, blockByKey } from "../kit/block_map.js";
import { palette, sheet } from "../kit/canvas.js";
import { caption, cellGrid, make, onArrows, pointIn } from "../kit/dom.js";
import { clamp, listed, requestName } from "../kit/format.js";
import { requestColour } from "../kit/looks.js";
import { paintBlocks } from "./blocks.js";
import { useChart } from "./chart.js";
import { blockLayout, entryAt, listLayout, listSizes } from "./layout.js";
import { memoryStates } from "./state.js";
import { paintTables } from "./tables.js";

const TALLEST = 420; // pixels of the tables; where they need more, they scroll

export const memoryLegend = [
  ["cl-block-in-use", "in use"],
  ["cl-pill", "shared", "×2"],
  ["cl-block-cached", "cached"],
  ["cl-block-free", "free"],
  ["cl-written", "new in this step"],
  ["cl-evicted", "evicted", "✕"],
  ["cl-arrow", "copied", "→"],
];

// linked: given by another view that shows this one, and that draws the chart itself. {colourNumber(request),
// requests(): those to light, over(requests): called when the pointer is over a block}, requests by their names.
export function buildMemory(body, data, player, linked = null) {
  const { stateAt, shapes } = memoryStates(data);
  const names = data.requests;
  const numbers = new Map(names.map((name, number) => [name, number]));
  const texts = new Map(data.texts);
  const left = cellGrid("Block tables: arrow keys choose an entry", {}, " cl-tables");
  const right = cellGrid("Physical memory: arrow keys choose a block");
  const chart = linked ? null : useChart(data);
  const two = make(
    "div",
    { class: "cl-two" },
    make("div", {}, caption("Block tables"), left.area),
    make("div", {}, caption("Physical memory"), right.area),
  );
  body.append(two, ...(chart ? [chart.node] : []));
  let tallest = { width: 0 }; // of the tables: what is below them stays where it is
  let over = null; // the block under the pointer
  let cursor = null; // [request, place], an entry of the tables
  let list = null;
  let map = null;

  const nameOf = (request) => requestName(names[request]);
  const namesAt = (step, block) =>
    (stateAt(step).holders.get(block) ?? []).map(([request]) => names[request]);
  function draw(step, selected) {
    const state = stateAt(step);
    const colours = palette(body);
    const asked = (linked?.requests() ?? []).map((name) => state.tables.get(numbers.get(name)));
    const blocks = [selected, over, ...asked.flatMap((table) => table?.blocks ?? [])];
    const lit = [...new Set(blocks.filter((block) => block !== null && block >= 0))];
    const colourOf = (request) =>
      requestColour(colours, linked ? linked.colourNumber(names[request]) : request);
    const scene = { data, state, colours, colourOf, nameOf, texts, lit };
    list = listLayout(data, state, Math.max(160, left.area.clientWidth));
    map = blockLayout(data, Math.max(160, right.area.clientWidth));
    if (tallest.width !== list.width) {
      const heights = shapes.map((counts) => listSizes(data, counts, list.width).height);
      tallest = { width: list.width, height: Math.max(...heights) };
      left.area.style.minHeight = `${Math.min(TALLEST, tallest.height)}px`;
    }
    paintTables(sheet(left.canvas, list.width, list.height), list, scene);
    paintBlocks(sheet(right.canvas, map.width, map.height), map, scene);
    for (const { cell } of [left, right]) {
      cell.textContent = selected === null ? "nothing chosen" : told(step, selected);
      cell.setAttribute("aria-selected", selected !== null);
    }
    chart?.draw(step, colours);
  }

  // One sentence about a block.
  function told(step, block) {
    const state = stateAt(step);
    const start = `Block ${block}`;
    const size = data.block_size;
    const now = state.kinds[block];
    if (now === "free") return `${start} is free.`;
    if (now === "cached")
      return `${start} is cached: no table holds it, its ${size} tokens can be found until it is evicted.`;
    const holders = state.holders.get(block) ?? [];
    const who = holders.map(([request, place]) => `${nameOf(request)} (block ${place} of its table)`);
    const rest = who.length > 4 ? ` and ${who.length - 4} more` : "";
    const held = `, held by ${who.slice(0, 4).join(" and ")}${rest}, ${state.fill[block]} of ${size} slots`;
    const text = holders.length ? textIn(...holders[0], state.fill[block]) : "";
    const hashed = state.hashed[block] ? ", hashed." : ".";
    const counted = `${start}: reference count ${state.ref[block]}${who.length ? held : ""}`;
    return counted + hashed + (text && ` ‘${text}’`);
  }
  function textIn(request, place, filled) {
    const first = place * data.block_size;
    const text = (texts.get(request) ?? []).slice(first, first + filled).join("");
    return text.trim().replace(/\n/g, "⏎");
  }

  // pointer
  const blockOf = (entry) => {
    const block = entry && stateAt(player.step()).tables.get(entry[0])?.blocks[entry[1]];
    return block < 0 ? undefined : block; // -1: the place of a block that was given back
  };
  const inTables = (event) => entryAt(list, pointIn(event, left.canvas));
  const inBlocks = (event) => blockAt(map, pointIn(event, right.canvas), data.num_blocks);
  const hover = (block = null) => {
    if (block === over) return;
    over = block;
    linked?.over(namesAt(player.step(), block));
    draw(player.step(), player.selected());
  };
  const toggle = (block = null) => player.select(block === player.selected() ? null : block);
  right.area.addEventListener("pointermove", (event) => hover(inBlocks(event)));
  left.area.addEventListener("pointermove", (event) => hover(blockOf(inTables(event)) ?? null));
  for (const { area } of [left, right]) area.addEventListener("pointerleave", () => hover(null));
  right.area.addEventListener("click", (event) => toggle(inBlocks(event)));
  left.area.addEventListener("click", (event) => {
    cursor = inTables(event);
    toggle(blockOf(cursor) ?? null);
  });

  // keys
  onArrows(right.area, (key) => {
    player.select(blockByKey(key, player.selected(), map.columns, data.num_blocks));
  });
  onArrows(left.area, (key) => {
    const tables = [...stateAt(player.step()).tables].filter(([, table]) => table.blocks.length);
    if (!tables.length) return;
    const found = tables.findIndex(([request]) => request === cursor?.[0]);
    const row = clamp(found + ({ ArrowUp: -1, ArrowDown: 1 }[key] ?? 0), 0, tables.length - 1);
    const [request, { blocks }] = tables[found < 0 ? 0 : row];
    const by = { ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0;
    const place = { Home: 0, End: Infinity }[key] ?? (cursor?.[1] ?? 0) + by;
    cursor = [request, found < 0 ? 0 : clamp(place, 0, blocks.length - 1)];
    player.select(blocks[cursor[1]] < 0 ? null : blocks[cursor[1]]);
  });

  return {
    draw,
    rows(step) {
      const state = stateAt(step);
      const all = [...Array(data.num_blocks).keys()];
      const sets = { shared: all.filter((block) => state.ref[block] > 1) };
      for (const name of ["cached", "free"]) sets[name] = all.filter((block) => state.kinds[block] === name);
      const row = (name, tokens, blocks) => [name, tokens, blocks.length, listed(blocks)];
      const tables = [...state.tables].map(([request, { blocks, tokens }]) =>
        row(
          nameOf(request),
          tokens,
          blocks.filter((block) => block >= 0),
        ),
      );
      return [...tables, ...Object.entries(sets).map(([name, blocks]) => row(name, "", blocks))];
    },
    note: (step, selected) => (selected === null ? "" : told(step, selected)),
    holders: namesAt,
  };
}
