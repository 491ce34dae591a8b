// The rows of the strip: bars of kernels, marks for limit and clock, an axis of time.

import { dashedLine, hatch, roundBox, tint, write } from "../kit/canvas.js";
import { clamp, count, number } from "../kit/format.js";
import { BAR } from "./layout.js";
import { share, timeWords, us } from "./sums.js";

const COLOURS = { weights: "r0", attention: "r1", small: "r2", choice: "r3", other: "r4", idle: "faint" };

// scene: {data, layout, colours, place: {row, at}, selected, over: {row, at} or null}
export function paintStrip(pen, scene) {
  paintAxis(pen, scene);
  scene.data.rows.forEach((row, number) => paintRow(pen, scene, row, scene.layout.rows[number]));
  if (scene.over) paintTag(pen, scene);
}

function paintRow(pen, scene, row, { top, bar }) {
  const { layout, colours, data } = scene;
  const isNow = row === scene.place.row;
  const done = data.rows.indexOf(row) < data.rows.indexOf(scene.place.row) || isNow;
  write(pen, row.name, 0, top + 10, { font: `650 12.5px ${colours.sans}`, colour: colours.ink });
  const wide = pen.measureText(row.name).width;
  const said = captionOf(row);
  const look = { font: `12px ${colours.sans}`, colour: colours.soft };
  pen.font = look.font;
  if (wide + 12 + pen.measureText(said).width < layout.width) write(pen, said, wide + 12, top + 10.5, look);
  pen.fillStyle = colours.well;
  pen.fillRect(0, bar, layout.x(row.length), BAR);
  row.groups.forEach((group, at) => {
    const shown = done && (!isNow || at <= scene.place.at);
    const hidden = scene.selected && scene.selected !== group;
    paintSegment(pen, group, boxOf(layout, row, at, bar), colours, hidden ? 0.16 : shown ? 1 : 0.28);
  });
  if (isNow) ring(pen, boxOf(layout, row, scene.place.at, bar), colours);
  paintMarks(pen, scene, row, bar);
}

function captionOf(row) {
  const order = row.ordered ? "" : " · summed, not in order";
  return `${count(row.total, row.noun)} · ${timeWords(row.length)}${order}`;
}

function boxOf(layout, row, at, bar) {
  const from = layout.x(row.starts[at]);
  const wide = layout.x(row.lengths[at]);
  return [from, bar, Math.max(0.6, wide - (wide > 4 ? 1 : wide > 1.6 ? 0.4 : 0)), BAR];
}

function paintSegment(pen, group, [x, y, w, h], colours, alpha) {
  pen.globalAlpha = alpha;
  pen.fillStyle = colours[COLOURS[group]];
  if (group === "idle") {
    const path = new Path2D();
    path.rect(x, y, w, h);
    hatch(pen, path, colours.faint, 7, 0.9);
    pen.strokeStyle = colours.faint;
    pen.lineWidth = 1;
    pen.strokeRect(x + 0.5, y + 0.5, Math.max(0, w - 1), h - 1);
  } else pen.fillRect(x, y, w, h);
  pen.globalAlpha = 1;
}

function ring(pen, [x, y, w, h], colours) {
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 2;
  pen.strokeRect(x - 1, y - 3, w + 2, h + 6);
}

// Lines through the bar for limit and clock, and their words below it, left to right.
function paintMarks(pen, { layout, colours }, row, bar) {
  const marks = [
    [row.limit, "limit", [1, 0]],
    [row.took, "clock", [4, 3]],
  ].filter(([ns]) => ns !== null);
  marks.sort(([one], [other]) => one - other);
  let free = 0;
  pen.font = `12px ${colours.sans}`;
  marks.forEach(([ns, what, dash], at) => {
    const x = layout.x(ns);
    dashedLine(pen, x, bar - 6, x, bar + BAR + 8, colours.ink, dash, 2);
    const text = `${what} ${timeWords(ns)}`;
    const wide = pen.measureText(text).width;
    const next = at + 1 < marks.length ? Math.min(layout.x(marks[at + 1][0]), layout.width - 90) : Infinity;
    const fitsLeft = x + 10 + wide > next && x - 5 - wide > free;
    const left = fitsLeft ? x - 5 - wide : Math.min(Math.max(x + 5, free), layout.width - wide);
    write(pen, text, left, bar + BAR + 15, { colour: colours.ink });
    free = fitsLeft ? x : left + wide + 10;
  });
}

function paintAxis(pen, { layout, colours, data }) {
  pen.fillStyle = colours.faint;
  pen.fillRect(0, layout.axis, layout.x(data.scale), 1);
  for (let ns = 0; ns <= data.scale; ns += layout.every) {
    const x = layout.x(ns);
    pen.fillStyle = colours.faint;
    pen.fillRect(x, layout.axis, 1, 5);
    const text = ns ? timeWords(ns) : "0";
    const look = { font: `11px ${colours.mono}`, colour: colours.soft };
    pen.font = look.font;
    const wide = pen.measureText(text).width;
    write(pen, text, clamp(x - wide / 2, 0, layout.width - wide), layout.axis + 14, look);
  }
}

// A dark label over the kernel under the pointer.
function paintTag(pen, { over, layout, colours, data }) {
  const { row, at } = over;
  const { bar } = layout.rows[data.rows.indexOf(row)];
  const many = row.launches[at] > 1 ? `${number(row.launches[at])} launches · ` : "";
  const text = `${row.names[at]} · ${many}${us(row.lengths[at])} µs · ${share(row.lengths[at], row)}`;
  pen.font = `600 12px ${colours.sans}`;
  const wide = pen.measureText(text).width + 14;
  const x = clamp(layout.x(row.starts[at]), 0, Math.max(0, layout.width - wide));
  tint(pen, roundBox(x, bar + 6, wide, 20, 5), colours.ink);
  write(pen, text, x + 7, bar + 16.5, { colour: colours.card });
  ring(pen, boxOf(layout, row, at, bar), colours);
}
