// Columns of tokens, prompt first: their labels, and the lines over prompt and generated tokens.

import { roundBox, tint, write } from "./canvas.js";
import { clamp, everyFew, shortened } from "./format.js";

const LONGEST = 11; // so many characters of a token
const EVERY = [5, 10, 20, 50, 100, 200, 500, 1e6];

// How labels stand over columns of `cell` pixels, and the room that they need: {kind, slant, tall}.
export function labelLook(labels, cell) {
  const longest = Math.max(...labels.map((text) => Math.min(LONGEST, text.length)));
  const kind = cell < 11 ? "none" : longest * 7 + 4 < cell ? "flat" : "slanted";
  const slant = cell < 17 ? 1.15 : 0.87; // closer columns, steeper words
  const tall = { none: 18, flat: 20, slanted: 16 + longest * 7 * Math.sin(slant) }[kind];
  return { kind, slant, tall: 22 + tall };
}

// grid: {x(position), cell, right: room at the right, look: of labelLook}; bottom: where the labels stand; marked: a
// position whose label is dark, or null.
export function paintTokenColumns(pen, data, grid, bottom, colours, marked) {
  paintParts(pen, data, grid, colours);
  pen.font = `11.5px ${colours.mono}`;
  if (grid.look.kind === "none") {
    paintPositions(pen, data, grid, bottom, colours, marked);
    return;
  }
  data.labels.forEach((text, at) => {
    const colour = at < data.prompt_tokens && at !== marked ? colours.soft : colours.ink;
    const look = { colour, baseline: "alphabetic" };
    if (grid.look.kind === "flat") {
      write(pen, text, grid.x(at + 0.5), bottom - 7, { ...look, align: "center" });
      return;
    }
    pen.save();
    pen.translate(grid.x(at + 0.5) + 3, bottom - 6);
    pen.rotate(-grid.look.slant);
    write(pen, shortened(text, LONGEST), 0, 0, look);
    pen.restore();
  });
}

function paintParts(pen, { prompt_tokens: split, labels }, { x, cell, right }, colours) {
  const count = labels.length;
  const look = { font: `600 10px ${colours.sans}`, colour: colours.soft, baseline: "alphabetic" };
  for (const [from, to, name] of [
    [0, split, "PROMPT"],
    [split, count, "GENERATED"],
  ]) {
    if (to === from) continue;
    pen.font = look.font;
    pen.fillStyle = colours.soft;
    pen.fillRect(x(from) + 1, 14, (to - from) * cell - 2, 1);
    const room = (to - from) * cell + (to === count ? right - 8 : -6);
    if (pen.measureText(name).width < room) write(pen, name, x(from) + 1, 10, look);
  }
}

// Numbers where there is no room for words; none near the one that is marked.
function paintPositions(pen, { labels }, { x, cell }, bottom, colours, marked) {
  const every = everyFew(EVERY, cell, 34);
  for (let at = 0; at < labels.length; at += every) {
    const clear = marked === null || Math.abs(at - marked) * cell > 90;
    if (clear) write(pen, String(at), x(at), bottom - 6, { colour: colours.soft, baseline: "alphabetic" });
  }
}

// A dark label over a column: its position and its token.
export function paintColumnTag(pen, data, grid, position, y, colours) {
  const text = `${position} ${shortened(data.labels[position], 14)}`;
  pen.font = `600 11.5px ${colours.mono}`;
  const wide = pen.measureText(text).width + 12;
  const x = clamp(grid.x(position + 0.5) - wide / 2, 0, grid.width - wide);
  tint(pen, roundBox(x, y, wide, 17, 5), colours.ink);
  write(pen, text, x + 6, y + 9, { colour: colours.card });
}
