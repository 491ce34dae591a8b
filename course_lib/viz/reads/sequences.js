// The sequences: programs, outputs and block tables. Full in this step, pale before, empty before that.

import { hatch, roundBox, tint, write } from "../kit/canvas.js";
import { requestColour } from "../kit/looks.js";
import { readersOf } from "./programs.js";

const PALE = 0.34;

// scene: {data, programs: of programsOf, step, colours, lit: blocks to light}
export function paintSequences(pen, list, scene) {
  const { data, colours } = scene;
  const look = { font: `11px ${colours.mono}`, colour: colours.soft };
  if (data.parts > 1) write(pen, `${data.across} →`, list.left, 7, look);
  write(pen, "out", list.outs + (list.group * list.out) / 2, 7, { ...look, align: "center" });
  if (!list.below) write(pen, "block table", list.start, 7, look);
  data.tables.forEach((_, seq) => {
    if (seq) {
      pen.fillStyle = colours.line;
      pen.fillRect(0, list.rows[seq].top - 8, list.width, 1);
    }
    paintName(pen, list, scene, seq);
    for (let head = 0; head < data.kv_heads; head++) paintHead(pen, list, scene, seq, head);
    paintTable(pen, list, scene, seq);
  });
}

// 950, 1.2k, 32k
const short = (n) => (n < 1000 ? String(n) : `${(n / 1000).toFixed(n < 10000 ? 1 : 0)}k`);

function paintName(pen, list, { data, colours }, seq) {
  const { top } = list.rows[seq];
  tint(pen, roundBox(0, top, 34, 20, 6), requestColour(colours, seq));
  const name = { font: `600 12px ${colours.mono}`, colour: colours["on-accent"], align: "center" };
  write(pen, `R${seq}`, 17, top + 10.5, name);
  const look = { font: `11px ${colours.mono}`, colour: colours.soft };
  write(pen, `${short(data.seq_lens[seq])} tok`, 1, top + 31, look);
}

// The programs of a KV head, and the query heads of the output that they compute.
function paintHead(pen, list, scene, seq, head) {
  const { data, programs, colours } = scene;
  const { cell, group, left, outs } = list;
  const gap = cell > 8 ? 3 : 1;
  const y = list.rows[seq].top + head * cell;
  const middle = y + (cell - gap) / 2;
  if (cell >= 13) {
    const soft = { colour: colours.soft };
    write(pen, `KV${head}`, left - 6, middle + 0.5, {
      ...soft,
      font: `11px ${colours.mono}`,
      align: "right",
    });
    write(pen, "→", outs - 9, middle, { ...soft, font: `11px ${colours.sans}`, align: "center" });
  }
  for (let part = 0; part < data.parts; part++)
    paintProgram(pen, scene, { seq, head, part }, [left + part * cell, y, cell - gap], cell);
  for (let query = 0; query < group; query++) {
    const step = programs.outputStep(seq, head * group + query);
    paintOutput(pen, list, scene, seq, [outs + query * list.out, middle], step);
  }
}

function paintProgram(pen, { data, programs, step, colours, lit }, { seq, head, part }, [x, y, side], cell) {
  const at = programs.decodeStep(seq, head, part);
  const one = data.programs[at - 1];
  const now = data.programs[step - 1];
  const isMerged = now.kind === "merge" && now.seq === seq && Math.floor(now.head / programs.group) === head;
  const hot = at === step || (isMerged && now.parts.includes(part));
  const box = roundBox(x, y, side, side, Math.min(5, cell / 4));
  tint(pen, box, colours.free);
  if (one && at <= step) {
    if (one.reads.length) tint(pen, box, requestColour(colours, seq), hot ? 1 : PALE);
    else hatch(pen, box, colours.faint, 4, 1); // nothing to read
  }
  if (hot) {
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    pen.stroke(roundBox(x - 1, y - 1, side + 2, side + 2, Math.min(6, cell / 4)));
  }
  const isReader = (block) => readersOf(data, step, block).includes(one);
  if (!one || at > step || !lit.some(isReader)) return;
  pen.fillStyle = at === step ? colours.card : colours.ink;
  pen.beginPath();
  pen.arc(x + side / 2, y + side / 2, Math.max(1.5, cell / 8), 0, 7);
  pen.fill();
}

function paintOutput(pen, { out }, { step, colours }, seq, [x, middle], at) {
  const side = out - (out > 6 ? 2 : 1);
  const y = middle - side / 2;
  pen.fillStyle = colours.free;
  pen.fillRect(x, y, side, side);
  if (at <= step) {
    pen.globalAlpha = at === step ? 1 : PALE;
    pen.fillStyle = requestColour(colours, seq);
    pen.fillRect(x, y, side, side);
    pen.globalAlpha = 1;
  }
  if (at !== step) return;
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  pen.strokeRect(x - 0.75, y - 0.75, side + 1.5, side + 1.5);
}

// The blocks of a sequence; a bar below the number of one that is not full.
function paintTable(pen, list, { data, step, colours, lit }, seq) {
  const colour = requestColour(colours, seq);
  const now = data.programs[step - 1];
  const blocksRead = (programs) => {
    const mine = programs.filter((one) => one.kind === "decode" && one.seq === seq);
    return new Set(mine.flatMap((one) => one.reads.map(([block]) => block)));
  };
  const hot = blocksRead([now]);
  const known = blocksRead(data.programs.slice(0, step));
  data.tables[seq].forEach((block, place) => {
    const [x, y] = list.entry(list.rows[seq], place);
    const part = Math.min(data.block_size, data.seq_lens[seq] - place * data.block_size) / data.block_size;
    const box = roundBox(x, y, 34, 22, 5);
    const ink = hot.has(block) ? colours["on-accent"] : colours.ink;
    const marked = hot.has(block) || lit.includes(block);
    if (known.has(block)) tint(pen, box, colour, hot.has(block) ? 1 : 0.28);
    else tint(pen, box, colours.free);
    pen.strokeStyle = marked ? colours.ink : colour;
    pen.lineWidth = marked ? 2 : 1.2;
    pen.stroke(box);
    const look = { font: `600 12px ${colours.mono}`, colour: ink, align: "center" };
    write(pen, block, x + 17, y + (part < 1 ? 9.5 : 11.5), look);
    pen.fillStyle = hot.has(block) ? colours["on-accent"] : colour;
    if (part < 1) pen.fillRect(x + 3, y + 17, 28 * part, 2.5);
  });
}
