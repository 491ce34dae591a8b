// The shares of the memory over time.

import { fadedAfter, sheet, write } from "../kit/canvas.js";
import { clamp, number } from "../kit/format.js";
import { LEFT, paintPart } from "./map.js";
import { PARTS, partsAt } from "./pieces.js";

const HEIGHT = 104;

export function paintShares(canvas, data, run, step, colours, width) {
  const pen = sheet(canvas, width, HEIGHT);
  const { last, capacity } = data;
  const x = (at) => LEFT + ((width - LEFT - 2) * at) / last;
  const y = (slots) => 1 + (HEIGHT - 18) * (1 - slots / capacity);
  const bands = bandsOf(data, run, x, y);
  const now = x(step - 0.5);
  fadedAfter(pen, now, width, HEIGHT, 0.35, () => {
    bands.forEach((path, part) => paintPart(pen, colours, PARTS[part], path));
    pen.strokeStyle = colours.r0;
    pen.lineWidth = 1.2;
    pen.stroke(bands[1]);
  });
  pen.strokeStyle = colours.faint;
  pen.lineWidth = 1;
  pen.strokeRect(LEFT + 0.5, y(capacity) + 0.5, width - LEFT - 2, y(0) - y(capacity) - 1);
  const look = { font: `11px ${colours.mono}`, colour: colours.soft };
  for (const percent of [100, 50, 0]) {
    const at = clamp(y((percent * capacity) / 100), 7, y(0) - 5);
    write(pen, `${percent} %`, LEFT - 9, at, { ...look, align: "right" });
  }
  pen.fillStyle = colours.ink;
  pen.fillRect(now - 0.75, 0, 1.5, y(0) + 4);
  const text = `time ${number(data.times[step - 1])}`;
  const wide = pen.measureText(text).width;
  write(pen, text, clamp(now - wide / 2, LEFT, width - wide - 2), HEIGHT - 6, { colour: colours.ink });
}

// A band for each part but the free one, on top of each other.
function bandsOf(data, run, x, y) {
  const tops = Array.from({ length: data.last }, (_, index) => {
    let sum = 0;
    return partsAt(data, run, index + 1).map((slots) => (sum += slots));
  });
  return PARTS.slice(0, 4).map((_, part) => {
    const path = new Path2D();
    tops.forEach((top, index) => {
      path.lineTo(x(index), y(top[part]));
      path.lineTo(x(index + 1), y(top[part]));
    });
    for (let index = data.last - 1; index >= 0; index--) {
      const under = part ? tops[index][part - 1] : 0;
      path.lineTo(x(index + 1), y(under));
      path.lineTo(x(index), y(under));
    }
    path.closePath();
    return path;
  });
}
