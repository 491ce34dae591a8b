import { palette, sheet } from "../kit/canvas.js";
import { cellGrid, make, onArrows, pointIn } from "../kit/dom.js";
import { clamp } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { layoutOf, partsSeen, placeAt } from "./layout.js";
import { paintBits } from "./paint.js";

const SEEN = { window: "seen by the newest token", sink: "sink", gone: "not seen" };

function legendOf({ caches, tokens }) {
  const kinds = new Set(caches.flatMap((cache) => partsSeen(cache, tokens).map(([, , kind]) => kind)));
  const answers = [
    ["cl-bits-right", "right"],
    ["cl-bits-wrong", "wrong"],
  ];
  const seen = Object.entries(SEEN).filter(([kind]) => kinds.has(kind));
  return [...answers, ...seen.map(([kind, words]) => [`cl-bits-${kind}`, words])];
}

function build(body, data, player) {
  const grid = cellGrid("Caches: up and down go to the next, left and right choose a stretch of distances");
  body.append(make("div", { class: "cl-chart" }, grid.area));
  let layout = null;

  function draw(step, selected) {
    layout = layoutOf(data, Math.max(300, body.clientWidth));
    const pen = sheet(grid.canvas, layout.width, layout.height);
    paintBits(pen, { data, layout, colours: palette(body), step, selected });
    grid.cell.textContent = data.say[step - 1].map(([, text]) => text).join("");
  }

  grid.area.addEventListener("click", (event) => {
    const found = placeAt(layout, data, pointIn(event, grid.canvas));
    if (!found) {
      player.select(null);
      return;
    }
    player.go(found.cache + 1);
    player.select(found.stretch === player.selected() ? null : found.stretch);
  });

  onArrows(grid.area, (key) => {
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (sideways) {
      const now = player.selected() ?? (sideways > 0 ? -1 : data.stretches.length);
      player.select(clamp(now + sideways, 0, data.stretches.length - 1));
      return;
    }
    const to = { Home: data.first, End: data.last }[key];
    player.go(to ?? player.step() + { ArrowUp: -1, ArrowDown: 1 }[key]);
  });

  return {
    draw,
    rows: (step) => data.rows.slice(0, step),
    note: (step, selected) => (selected === null ? "" : (data.told[selected] ?? "")),
  };
}

export const view = replay({ name: "bits", legend: legendOf, build });
