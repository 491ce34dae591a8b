// The nodes of the timeline, from top to bottom.

import { caption, cellGrid, legend, make } from "../kit/dom.js";
import { memoryLegend } from "../memory/memory.js";

const ZOOM = [
  ["−", -1, "more steps at once"],
  ["+", 1, "fewer steps, wider"],
];

const plate = () => make("canvas", { "aria-hidden": "true" });

// sizes: of laneSizes; closer(by): called by the buttons that make columns wider (1) or narrower (-1)
export function timelineNodes(body, data, sizes, closer) {
  const read = make("p", { class: "cl-read" });
  const zooms = ZOOM.map(([text, by, label]) => {
    const look = { type: "button", class: "cl-button", "aria-label": label, title: label };
    const button = make("button", look, text);
    button.addEventListener("click", () => closer(by));
    return button;
  });
  const tools = make("div", { class: "cl-buttons cl-zoom" }, ...zooms);
  const budget = plate();
  const blocks = data.memory ? plate() : null;
  const shares = data.clients ? plate() : null;
  const all = plate();
  const {
    area,
    canvas: rows,
    cell,
  } = cellGrid("Requests: arrow up and down choose one", { style: `height:${sizes.view}px` }, " cl-lanes");
  const tall = make("div", { style: `height:${data.lanes.length * sizes.h}px` }, rows);
  area.append(tall);
  const clients = make("dl", { class: "cl-sums cl-clients", style: `margin-left:${sizes.left}px` });
  const top = make("div", { class: "cl-bartop" }, caption("Tokens of each step"), read, tools);
  const strips = [...(blocks ? [blocks] : []), ...(shares ? [shares, clients] : [])];
  body.append(top, budget, area, ...strips, all);
  return { read, tools, budget, area, rows, cell, blocks, shares, clients, all };
}

// {below, part}: the memory's own head, and the node that its view is built in.
export function memoryNodes(memory) {
  const part = make("div", {});
  const head = make(
    "div",
    { class: "cl-head" },
    make("h4", { class: "cl-title" }, "Memory"),
    make("p", { class: "cl-sub" }, memory.subtitle),
    legend(memoryLegend, "Legend of the memory"),
  );
  return { below: make("div", { class: "cl-memory-below" }, head, part), part };
}
