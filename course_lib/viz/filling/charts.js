// Work and memory over the steps: a bar a step, and the figures of the step.

import { hatch, sheet, tint } from "../kit/canvas.js";
import { caption, fillFigures, make } from "../kit/dom.js";
import { number } from "../kit/format.js";

const HEIGHT = 66;

// {node, draw(step, colours)}
export function workCharts(data) {
  const [work, memory] = [
    panelOf("Tokens computed, step by step"),
    panelOf("Memory of the cache, step by step"),
  ];
  const node = make("div", { class: "cl-panels" }, work.node, memory.node);
  const computed = data.computed.map(([first, end]) => end - first);
  const due = data.due.map((due) => due * data.layers * data.column_bytes);
  const faulty = data.held.some((held, index) => held !== due[index]);
  function draw(step, colours) {
    const index = step - 1;
    const [mine, naive] = [data.computed_so_far[index], data.naive_so_far[index]];
    const last = `after the last step ${data.computed_so_far.at(-1)} and ${data.naive_so_far.at(-1)}.`;
    work.show(`So far ${mine} tokens computed, naive decoding ${naive}; ${last}`, [
      ["this step", `${number(computed[index])} of naive ${number(data.naive[index])}`],
      ["so far", `${number(mine)} of naive ${number(naive)}`],
      ["naive computes", `${(naive / mine).toFixed(1)} × as many`],
    ]);
    const held = number(data.held[index]);
    const final = number(data.held.at(-1));
    memory.show(`The cache holds ${held} bytes, after the last step ${final}.`, [
      ["held now", `${held} bytes`],
      ...(faulty ? [["due now", `${number(due[index])} bytes`]] : []),
      ["one token", `${number(data.layers * data.column_bytes)} bytes`],
      ["one cell", `2 × ${data.head_dim} × ${data.bytes} bytes`],
    ]);
    const most = Math.max(...data.naive, ...computed);
    paintBars(work, colours, step, { most, front: computed, back: data.naive });
    const bytes = Math.max(...data.held, ...due);
    paintBars(memory, colours, step, { most: bytes, front: data.held, wanted: faulty ? due : null });
  }
  return { node, draw };
}

function panelOf(title) {
  const canvas = make("canvas", { role: "img" });
  const holder = make("div", { class: "cl-chart" }, canvas);
  const figures = make("dl", { class: "cl-sums" });
  const node = make("div", { class: "cl-panel" }, caption(title), holder, figures);
  function show(words, lines) {
    canvas.setAttribute("aria-label", words);
    fillFigures(figures, lines);
  }
  return { node, canvas, holder, show };
}

// front: a solid bar for each step; back: hatched, as far as it is higher; wanted: a dashed line over each bar
function paintBars({ canvas, holder }, colours, at, { most, front, back, wanted }) {
  const width = Math.max(60, holder.clientWidth);
  const pen = sheet(canvas, width, HEIGHT);
  const count = front.length;
  const step = width / count;
  const gap = step > 5 ? 2 : step > 3 ? 1 : 0;
  const tall = (value) => (value ? Math.max(1.6, ((HEIGHT - 4) * value) / most) : 0);
  const low = (index) => tall(front[index]);
  const high = (index) => (back ? Math.max(low(index), tall(back[index])) : low(index));
  for (const [from, to, alpha] of [
    [0, at, 1],
    [at, count, 0.35],
  ]) {
    const solid = barsPath(from, to, step, gap, () => 0, low);
    const behind = barsPath(from, to, step, gap, low, high);
    pen.globalAlpha = alpha;
    tint(pen, behind, colours.r1, 0.13);
    hatch(pen, behind, colours.r1, 6, 1.1);
    tint(pen, solid, colours.r0);
  }
  pen.globalAlpha = 1;
  pen.fillStyle = colours.line;
  pen.fillRect(0, HEIGHT - 1, width, 1);
  if (wanted) paintWanted(pen, wanted.slice(0, at).map(tall), step, gap, colours);
  paintNow(pen, at, count, step, gap, high(at - 1), colours);
}

// Bars from base(index) to top(index); those that touch are one shape.
function barsPath(from, to, step, gap, base, top) {
  const path = new Path2D();
  const y = (height) => HEIGHT - 1 - height;
  if (gap) {
    for (let index = from; index < to; index++)
      path.rect(index * step, y(top(index)), step - gap, top(index) - base(index));
    return path;
  }
  for (let index = from; index < to; index++) {
    path.lineTo(index * step, y(top(index)));
    path.lineTo((index + 1) * step, y(top(index)));
  }
  for (let index = to - 1; index >= from; index--) {
    path.lineTo((index + 1) * step, y(base(index)));
    path.lineTo(index * step, y(base(index)));
  }
  path.closePath();
  return path;
}

function paintWanted(pen, heights, step, gap, colours) {
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  pen.setLineDash([4, 3]);
  pen.beginPath();
  heights.forEach((height, index) => {
    pen.moveTo(index * step, HEIGHT - 1 - height);
    pen.lineTo((index + 1) * step - gap, HEIGHT - 1 - height);
  });
  pen.stroke();
  pen.setLineDash([]);
}

function paintNow(pen, at, count, step, gap, height, colours) {
  const x = (at - 1) * step + (step - gap) / 2;
  pen.fillStyle = pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  if (!gap) {
    pen.fillRect(x - 0.75, 0, 1.5, HEIGHT);
    return;
  }
  const left = Math.max(0.75, x - (step - gap) / 2 - 0.75);
  const top = Math.max(0.75, HEIGHT - 1 - height - 0.75);
  pen.strokeRect(left, top, step - gap + (at === count ? 0.5 : 1.5), height + 1);
}
