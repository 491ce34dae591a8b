// What was computed and what was needed, added up over the steps: a chart, and the figures of the step.

import { fadedAfter, hatch, sheet, tint } from "../kit/canvas.js";
import { caption, fillFigures, make } from "../kit/dom.js";
import { clamp, number } from "../kit/format.js";

const HEIGHT = 64;

// {node, draw(step, colours)}
export function totalsChart(data) {
  const canvas = make("canvas", { role: "img" });
  const holder = make("div", { class: "cl-chart" }, canvas);
  const figures = make("dl", { class: "cl-sums" });
  const node = make("div", { class: "cl-total" }, caption("Added up over the steps"), holder, figures);
  function draw(step, colours) {
    const [start, end] = data.steps[step - 1];
    const fresh = data.fresh[step - 1];
    const [computed, needed] = [data.computed[step - 1], data.needed[step - 1]];
    const last = `${data.computed.at(-1)} and ${data.needed.at(-1)}`;
    const said = `Computed so far ${computed}, needed so far ${needed}; after the last step ${last}.`;
    canvas.setAttribute("aria-label", said);
    fillFigures(figures, [
      ["this step", `${end - start} = ${fresh} new + ${end - start - fresh} again`],
      ["computed so far", number(computed)],
      ["needed so far", number(needed)],
    ]);
    paint(canvas, data, step, colours, Math.max(60, holder.clientWidth));
  }
  return { node, draw };
}

function paint(canvas, data, step, colours, width) {
  const pen = sheet(canvas, width, HEIGHT);
  const count = data.computed.length;
  const x = (index) => (count === 1 ? width : 1 + (index * (width - 2)) / (count - 1));
  const y = (value) => HEIGHT - 1 - ((HEIGHT - 6) * value) / data.computed.at(-1);
  // between two lines; a single step is drawn as wide as the chart
  const area = (values, base) => {
    const path = new Path2D();
    const line = (heights, order) => order.forEach((index) => path.lineTo(x(index), y(heights[index])));
    const forth = values.map((_, index) => index);
    line(values, forth);
    if (count === 1) path.lineTo(0, y(values[0]));
    if (count === 1) path.lineTo(0, y(base[0]));
    line(base, forth.reverse());
    path.closePath();
    return path;
  };
  const zero = data.computed.map(() => 0);
  const again = area(data.computed, data.needed);
  const needed = area(data.needed, zero);
  const now = x(step - 1);
  fadedAfter(pen, now, width, HEIGHT, 0.3, () => {
    tint(pen, again, colours.r1, 0.13);
    hatch(pen, again, colours.r1, 6, 1.1);
    tint(pen, needed, colours.r0);
    pen.strokeStyle = colours.r0;
    pen.lineWidth = 1.5;
    pen.stroke(needed);
  });
  pen.fillStyle = colours.line;
  pen.fillRect(0, HEIGHT - 1, width, 1);
  pen.fillStyle = colours.ink;
  pen.fillRect(clamp(now - 0.75, 0, width - 1.5), 0, 1.5, HEIGHT);
}
