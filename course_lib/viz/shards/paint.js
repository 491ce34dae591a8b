// The parts of each GPU, what it has now, and the ring in an all-reduce.

import { hatch, roundBox, write } from "../kit/canvas.js";
import { number } from "../kit/format.js";
import { requestColour } from "../kit/looks.js";
import { BOX, VECTOR } from "./layout.js";

const TO_COME = 0.35;
const FAINT = 0.3;

// scene: {data, layout, colours, step, selected}
export function paintShards(pen, scene) {
  const { data, layout, colours, step, selected } = scene;
  data.parts.forEach((part, at) => paintLabel(pen, scene, part, layout.head + at * layout.row));
  layout.columns.forEach(([x, width], rank) => {
    const alpha = selected === null || selected === rank ? 1 : FAINT;
    const name = layout.isWide || width > 44 ? `GPU ${rank}` : String(rank);
    write(pen, name, x, 14, { font: `600 12px ${colours.sans}`, colour: alpha < 1 ? colours.soft : colours.ink });
    data.parts.forEach((part, at) => {
      pen.globalAlpha = alpha * (step - 1 >= part.used[0] ? 1 : TO_COME);
      paintPart(pen, scene, part, rank, x, layout.head + at * layout.row, width);
    });
    pen.globalAlpha = alpha;
    paintVector(pen, scene, rank, x, layout.vector, width);
    pen.globalAlpha = 1;
  });
  const look = { font: `12.5px ${colours.sans}`, colour: colours.ink };
  write(pen, "has now", layout.left, layout.vector + VECTOR / 2, look);
  if (data.steps[step - 1] === "all-reduce" && data.gpus.length > 1) paintRing(pen, scene);
}

function paintLabel(pen, { layout, colours, step }, part, y) {
  const isUsed = part.used.includes(step - 1);
  const weight = isUsed ? 700 : 400;
  write(pen, part.name, layout.left, y + 10, { font: `${weight} 12.5px ${colours.sans}`, colour: colours.ink });
  write(pen, `by ${part.by}`, layout.left, y + 26, { font: `11px ${colours.sans}`, colour: colours.soft });
  if (!isUsed) return;
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  pen.stroke(roundBox(1, y - 6, layout.width - 2, layout.row - 1, 6));
}

function outline(pen, colours, x, y, width, height) {
  pen.strokeStyle = colours.faint;
  pen.lineWidth = 1;
  pen.setLineDash([4, 3]);
  pen.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  pen.setLineDash([]);
}

function paintPart(pen, { data, colours }, part, rank, x, y, width) {
  const size = data.size[part.of];
  const [first, end] = data.gpus[rank][part.of].map((place) => place / size);
  outline(pen, colours, x, y, width, BOX);
  pen.fillStyle = requestColour(colours, rank);
  if (part.by === "inputs") {
    pen.fillRect(x, y + first * BOX, width, (end - first) * BOX);
    return;
  }
  pen.fillRect(x + first * width, y, (end - first) * width, BOX);
  if (part.by !== "heads" || width / size < 4) return;
  pen.fillStyle = colours.card;
  for (let head = 1; head < size; head++) pen.fillRect(x + (head * width) / size - 0.5, y, 1, BOX);
}

function paintVector(pen, { data, colours, step }, rank, x, y, width) {
  const has = data.has[step - 1];
  if (has === "whole") {
    pen.fillStyle = colours.ink;
    pen.fillRect(x, y, width, VECTOR);
  } else if (has === "sum") {
    const path = new Path2D();
    path.rect(x + 0.5, y + 0.5, width - 1, VECTOR - 1);
    hatch(pen, path, requestColour(colours, rank));
    pen.strokeStyle = requestColour(colours, rank);
    pen.lineWidth = 1;
    pen.stroke(path);
  } else {
    const [first, end] = data.gpus[rank][has].map((place) => place / data.size[has]);
    outline(pen, colours, x, y, width, VECTOR);
    pen.fillStyle = requestColour(colours, rank);
    pen.fillRect(x + first * width, y, (end - first) * width, VECTOR);
  }
}

// From each GPU to the next, and from the last one back to the first.
function paintRing(pen, { data, layout, colours }) {
  const y = layout.vector + VECTOR + 20;
  const middles = layout.columns.map(([x, width]) => x + width / 2);
  const last = middles[middles.length - 1];
  pen.strokeStyle = pen.fillStyle = colours.ink;
  pen.lineWidth = 1.3;
  pen.beginPath();
  for (let rank = 0; rank + 1 < middles.length; rank++) {
    pen.moveTo(middles[rank] + 4, y);
    pen.lineTo(middles[rank + 1] - 5, y);
    arrowHead(pen, middles[rank + 1] - 5, y, -5, 3);
  }
  pen.moveTo(last, y + 3);
  pen.lineTo(last, y + 13);
  pen.lineTo(middles[0], y + 13);
  pen.lineTo(middles[0], y + 4);
  pen.moveTo(middles[0] - 3, y + 9);
  pen.lineTo(middles[0], y + 4);
  pen.lineTo(middles[0] + 3, y + 9);
  pen.stroke();
  const words = number(data.sent) + (layout.isWide ? " bytes from each GPU" : " bytes each");
  const look = { font: `11px ${colours.sans}`, colour: colours.soft, align: "center" };
  write(pen, words, (middles[0] + last) / 2, y - 9, look);
}

function arrowHead(pen, x, y, back, side) {
  pen.moveTo(x + back, y - side);
  pen.lineTo(x, y);
  pen.lineTo(x + back, y + side);
}
