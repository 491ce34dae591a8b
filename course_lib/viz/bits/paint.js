// The rows of bars, and the strip of what the newest token sees.

import { hatch, roundBox, write } from "../kit/canvas.js";
import { number } from "../kit/format.js";
import { BAR, partsSeen, STRIP } from "./layout.js";

const TO_COME = 0.55;
const FAINT = 0.3;

// scene: {data, layout, colours, step, selected}
export function paintBits(pen, scene) {
  const { data, layout, colours, step } = scene;
  paintHeads(pen, scene);
  data.caches.forEach((cache, at) => paintRow(pen, scene, cache, at));
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  const top = layout.head + (step - 1) * layout.row;
  pen.stroke(roundBox(1, top, layout.width - 2, layout.row - 1, 6));
  paintSeen(pen, scene, data.caches[step - 1]);
}

function paintHeads(pen, { data, layout, colours, selected }) {
  const { columns, head, isWide } = layout;
  const look = { font: `11.5px ${colours.sans}`, colour: colours.soft };
  const answers = isWide ? "answers, by tokens between fact and answer" : "answers, by distance";
  write(pen, answers, columns[2][0], head - 31, look);
  const bytes = isWide ? `for ${number(data.tokens)} tokens` : "KB";
  const error = isWide ? "logit error" : "error";
  const texts = [bytes, error, ...data.stretches.map(({ upto }) => `to ${number(upto)}`)];
  texts.forEach((text, at) => {
    const isChosen = selected !== null && at === selected + 2;
    const font = `${isChosen ? 700 : 400} 11.5px ${colours.sans}`;
    write(pen, text, columns[at][0], head - 12, { font, colour: isChosen ? colours.ink : colours.soft });
  });
}

function paintRow(pen, { data, layout, colours, step, selected }, cache, at) {
  const { isWide, columns } = layout;
  const alpha = at < step ? 1 : TO_COME;
  const top = layout.head + at * layout.row;
  const ink = at < step ? colours.ink : colours.soft; // words stay readable, only bars fade
  const nameY = isWide ? top + layout.row / 2 : top + 12;
  write(pen, cache.name, layout.left, nameY, { font: `12.5px ${colours.sans}`, colour: ink });
  const y = isWide ? top + 11 : top + 29;
  const bars = [
    [kilobytes(cache.bytes, isWide), cache.bytes / data.most_bytes, colours.r0],
    [cache.error.toFixed(3), cache.error / data.most_error, colours.r4],
  ];
  const text = { font: `11.5px ${colours.mono}`, colour: ink };
  bars.forEach(([words, share, colour], column) => {
    const [x, width] = columns[column];
    write(pen, words, x, y, text);
    pen.globalAlpha = alpha;
    pen.fillStyle = colours.well;
    pen.fillRect(x, y + 9, width, BAR);
    pen.fillStyle = colour;
    pen.fillRect(x, y + 9, Math.max(1, width * share), BAR);
    pen.globalAlpha = 1;
  });
  cache.right.forEach((right, stretch) => {
    const [x, width] = columns[stretch + 2];
    const { asked } = data.stretches[stretch];
    const isFaint = selected !== null && selected !== stretch;
    write(pen, `${right}/${asked}`, x, y, isFaint ? { ...text, colour: colours.soft } : text);
    pen.globalAlpha = alpha * (isFaint ? FAINT : 1);
    paintAnswers(pen, colours, x, y + 9, width, right / asked);
    pen.globalAlpha = 1;
  });
}

function paintAnswers(pen, colours, x, y, width, share) {
  pen.fillStyle = colours.r2;
  pen.fillRect(x, y, width * share, BAR);
  if (share === 1) return;
  const wrong = new Path2D();
  wrong.rect(x + width * share + 0.5, y + 0.5, width * (1 - share) - 1, BAR - 1);
  hatch(pen, wrong, colours.r1);
  pen.strokeStyle = colours.r1;
  pen.lineWidth = 1;
  pen.stroke(wrong);
}

function paintSeen(pen, { data, layout, colours }, cache) {
  const { left, right, seen } = layout;
  const per = (right - left) / data.tokens;
  const look = { font: `11.5px ${colours.sans}`, colour: colours.soft };
  const words = `What the newest of ${number(data.tokens)} tokens sees`;
  write(pen, layout.isWide ? `${words}: ${cache.name}` : words, left, seen, look);
  const top = seen + 12;
  for (const [from, to, kind] of partsSeen(cache, data.tokens)) {
    const wide = kind === "sink" ? Math.max(4, (to - from) * per) : (to - from) * per;
    if (kind === "gone") {
      pen.strokeStyle = colours.faint;
      pen.lineWidth = 1;
      pen.setLineDash([4, 3]);
      pen.strokeRect(left + from * per + 0.5, top + 0.5, wide - 1, STRIP - 1);
      pen.setLineDash([]);
    } else {
      pen.fillStyle = kind === "sink" ? colours.r3 : colours.r0;
      pen.fillRect(left + from * per, top, wide, STRIP);
    }
  }
  for (const { upto } of data.stretches) {
    const x = right - upto * per;
    pen.fillStyle = colours.faint;
    pen.fillRect(x, top + STRIP, 1, 5);
    const align = x < left + 30 ? "left" : "center";
    const back = layout.isWide ? `${number(upto)} back` : number(upto);
    write(pen, back, x, top + STRIP + 14, { ...look, align });
  }
}

// 1,573 KB; without the unit where there is little room.
function kilobytes(bytes, withUnit) {
  return number(Math.round(bytes / 1000)) + (withUnit ? " KB" : "");
}
