// The block tables, a row for each request: its name, its text, and an entry for each of its blocks.

import { roundBox, tint, write } from "../kit/canvas.js";
import { count } from "../kit/format.js";

// scene: as in blocks.js, with texts: request -> the text of each of its tokens
export function paintTables(pen, list, scene) {
  const { colours } = scene;
  if (!list.rows.length) {
    write(pen, "No request holds a block.", 0, 16, { font: `12px ${colours.sans}`, colour: colours.soft });
  }
  list.rows.forEach((row, index) => {
    if (index) {
      pen.fillStyle = colours.line;
      pen.fillRect(0, row.top - 7, list.width, 1);
    }
    paintRow(pen, list, row, scene);
  });
}

function paintRow(pen, list, row, scene) {
  const { colours, colourOf, nameOf, texts } = scene;
  const { tokens } = row.table;
  const colour = colourOf(row.request);
  const tag = nameOf(row.request).slice(0, 5);
  const size = tag.length > 4 ? 9 : tag.length > 3 || list.small ? 10 : 12;
  tint(pen, roundBox(0, row.top, 34, list.small ? 14 : 21, 6), colour);
  const look = { font: `600 ${size}px ${colours.mono}`, colour: colours["on-accent"], align: "center" };
  write(pen, tag, 17, row.top + (list.small ? 7.5 : 11), look);
  if (list.head) {
    const text = texts.get(row.request)?.slice(0, tokens) ?? [];
    paintText(pen, colours, text, tokens, [list.left, row.top + 9, list.width - list.left], colour);
  }
  paintEntries(pen, list, row, scene, colour);
}

// The blocks' numbers, with a bar below that of a block that is not full; where entries are small, cells without
// numbers, the fuller the darker.
function paintEntries(pen, list, row, { data, colours, lit }, colour) {
  const { blocks, tokens } = row.table;
  const { w, h } = list;
  const size = data.block_size;
  blocks.forEach((block, place) => {
    if (block < 0) {
      paintHole(pen, list.x(place), list.y(row, place), w, h, colours); // no token sees what stood there
      return;
    }
    const hot = lit.includes(block);
    const filled = Math.max(0, Math.min(size, tokens - place * size)) / size;
    const x = list.x(place);
    const y = list.y(row, place);
    if (list.small) {
      pen.globalAlpha = hot ? 1 : 0.2 + 0.55 * filled;
      pen.fillStyle = colour;
      pen.fillRect(x, y, w, h);
      pen.globalAlpha = 1;
      pen.lineWidth = 2;
      pen.strokeStyle = colours.ink;
      if (hot) pen.strokeRect(x, y, w, h);
      return;
    }
    const ink = hot ? colours["on-accent"] : colours.ink;
    const outline = roundBox(x, y, w, h, 5);
    tint(pen, outline, colour, hot ? 1 : 0.13);
    pen.strokeStyle = hot ? colours.ink : colour;
    pen.lineWidth = 1.4;
    pen.stroke(outline);
    const look = { font: `600 12px ${colours.mono}`, colour: ink, align: "center" };
    write(pen, String(block), x + w / 2, y + (filled < 1 ? 10 : 12), look);
    pen.fillStyle = hot ? ink : colour;
    if (filled < 1) pen.fillRect(x + 3, y + h - 5.5, (w - 6) * filled, 3);
  });
}

// A place of a table whose block was given back: a dash.
function paintHole(pen, x, y, w, h, colours) {
  pen.fillStyle = colours.soft;
  pen.fillRect(x + w * 0.3, y + h / 2 - 1, w * 0.4, 2);
}

// The end of a request's text, its last token underlined; the number of tokens where there is no text.
function paintText(pen, colours, text, tokens, [x, y, room], colour) {
  pen.font = `12px ${colours.mono}`;
  if (!text.length) {
    write(pen, count(tokens, "token"), x, y, { colour: colours.soft });
    return;
  }
  const last = text.at(-1).replace(/\n/g, "⏎");
  const fit = Math.max(4, Math.floor(room / pen.measureText("m").width) - last.length - 1);
  let before = text.slice(0, -1).join("").replace(/\n/g, "⏎");
  if (before.length > fit) before = "…" + before.slice(1 - fit);
  write(pen, before, x, y, { colour: colours.soft });
  const clean = last.trimStart();
  const lead = pen.measureText(last.slice(0, last.length - clean.length)).width;
  const at = x + pen.measureText(before).width + lead;
  write(pen, clean, at, y, { colour: colours.ink });
  pen.fillStyle = colour;
  pen.fillRect(at, y + 8, pen.measureText(clean).width, 2);
}
