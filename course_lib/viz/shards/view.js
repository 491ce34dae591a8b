import { palette, sheet } from "../kit/canvas.js";
import { cellGrid, make, onArrows, pointIn } from "../kit/dom.js";
import { clamp } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { gpuAt, layoutOf } from "./layout.js";
import { paintShards } from "./paint.js";

const LEGEND = [
  ["cl-shards-own", "part of a GPU, in its colour"],
  ["cl-shards-other", "on other GPUs"],
  ["cl-shards-sum", "partial sum"],
  ["cl-shards-whole", "whole vectors"],
];

function build(body, data, player) {
  const grid = cellGrid("GPUs: left and right choose one, up and down go to the next step");
  body.append(make("div", { class: "cl-chart" }, grid.area));
  let layout = null;

  function draw(step, selected) {
    layout = layoutOf(data, Math.max(300, body.clientWidth));
    const pen = sheet(grid.canvas, layout.width, layout.height);
    paintShards(pen, { data, layout, colours: palette(body), step, selected });
    grid.cell.textContent = data.say[step - 1].map(([, text]) => text).join("");
  }

  grid.area.addEventListener("click", (event) => {
    const found = gpuAt(layout, pointIn(event, grid.canvas));
    player.select(found === player.selected() ? null : found);
  });

  onArrows(grid.area, (key) => {
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (sideways) {
      const now = player.selected() ?? (sideways > 0 ? -1 : data.gpus.length);
      player.select(clamp(now + sideways, 0, data.gpus.length - 1));
      return;
    }
    const to = { Home: data.first, End: data.last }[key];
    player.go(to ?? player.step() + { ArrowUp: -1, ArrowDown: 1 }[key]);
  });

  return {
    draw,
    rows: (step) => data.rows[step - 1],
    note: (step, selected) => (selected === null ? "" : (data.told[selected] ?? "")),
  };
}

export const view = replay({ name: "shards", legend: () => LEGEND, build });
