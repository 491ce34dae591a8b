// Use and waste over the steps: a chart, and the figures of the step.

import { fadedAfter, sheet, tint } from "../kit/canvas.js";
import { caption, fillFigures, make } from "../kit/dom.js";
import { clamp, count, number } from "../kit/format.js";
import { paintCachedArea } from "../kit/looks.js";

const HEIGHT = 52;

// {node, draw(step, colours)}
export function useChart(data) {
  const canvas = make("canvas", { role: "img" });
  const figures = make("dl", { class: "cl-sums" });
  const holder = make("div", { class: "cl-chart" }, canvas);
  const title = caption("Use and waste over the steps");
  const node = make("div", { class: "cl-panel cl-below" }, title, holder, figures);
  let areas = {};
  function draw(step, colours) {
    const width = Math.max(80, holder.clientWidth);
    if (areas.width !== width) areas = { width, ...areasOf(data, width) };
    paint(sheet(canvas, width, HEIGHT), areas, placeOf(data, width)(step - 1), colours);
    const [used, cached, wasted] = data.sums[step - 1];
    const share = used ? ((100 * wasted) / (used * data.block_size)).toFixed(1) : "0";
    fillFigures(figures, [
      ["in use", `${number(used)} / ${number(data.num_blocks)} blocks`],
      ["cached", count(cached, "block")],
      ["wasted", `${count(wasted, "slot")}, ${share} %`],
    ]);
    const said = `In use ${used} of ${data.num_blocks} blocks, cached ${cached}, wasted ${wasted} slots.`;
    canvas.setAttribute("aria-label", said);
  }
  return { node, draw };
}

const placeOf = (data, width) => (index) =>
  1 + (data.last === 1 ? width : (index * (width - 2)) / (data.last - 1));

function areasOf(data, width) {
  const size = data.block_size;
  const x = placeOf(data, width);
  const y = (slots) => HEIGHT - 2 - ((HEIGHT - 8) * slots) / (data.num_blocks * size);
  const area = (value) => {
    const path = new Path2D();
    path.moveTo(0, y(0));
    data.sums.forEach((sum, index) => path.lineTo(x(index), y(value(sum))));
    path.lineTo(width, y(value(data.sums[data.last - 1])));
    path.lineTo(width, y(0));
    path.closePath();
    return path;
  };
  return {
    used: area(([used]) => used * size),
    cached: area(([used, cached]) => (used + cached) * size),
    wasted: area(([, , wasted]) => wasted),
  };
}

function paint(pen, { width, used, cached, wasted }, now, colours) {
  fadedAfter(pen, now, width, HEIGHT, 0.4, (alpha) => {
    paintCachedArea(pen, cached, colours);
    pen.globalAlpha = 1;
    tint(pen, used, colours.card);
    pen.globalAlpha = alpha;
    tint(pen, used, colours.accent, 0.28);
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 1.3;
    pen.stroke(used);
    tint(pen, wasted, colours.r1);
  });
  pen.fillStyle = colours.line;
  pen.fillRect(0, HEIGHT - 1, width, 1);
  pen.fillStyle = colours.ink;
  pen.fillRect(clamp(now - 0.75, 0, width - 1.5), 0, 1.5, HEIGHT);
}
