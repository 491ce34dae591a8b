// The grid of programs: which ran, which runs now, which touched the number that is selected.

import { roundBox, tint, write } from "../kit/canvas.js";

const IDS = { 1: "program_id(0) →", 2: "id 0 ↓   id 1 →", 3: "id 0 ↓   id 1, id 2 →" };

// scene: {data, now: the program of this step, ran(program), stores: programs that store, touched: of touchedBy, or
// null}
export function paintGrid(pen, grid, colours, scene) {
  const { data } = scene;
  write(pen, IDS[data.grid.length], 0, 8, { font: `11px ${colours.mono}`, colour: colours.soft });
  data.programs.forEach((program, index) => paintProgram(pen, grid, colours, scene, index));
}

function paintProgram(pen, grid, colours, { data, now, ran, stores, touched }, index) {
  const { cell, flat } = grid;
  const [x, y] = grid.place(index);
  const side = cell - (cell > 7 ? 3 : 1);
  const [middle, centre] = [x + side / 2, y + side / 2];
  const done = ran(index) && index < now;
  const tone = stores.has(index) ? colours.r2 : colours.faint;
  const box = roundBox(x, y, side, side, Math.min(5, cell / 4));
  tint(pen, box, colours.free);
  if (done || index === now) tint(pen, box, tone, index === now ? 1 : cell > 7 ? 0.3 : 0.6);
  if (cell > 7) {
    pen.strokeStyle = done ? tone : colours.faint;
    pen.lineWidth = done ? 1.6 : 1;
    pen.stroke(box);
  }
  if (touched?.load.has(index) || touched?.store.has(index)) {
    pen.fillStyle = index === now ? colours.card : colours.ink;
    pen.beginPath();
    pen.arc(middle, centre, Math.max(1.5, cell / 7), 0, 7);
    pen.fill();
  }
  if (index === now) {
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    pen.stroke(roundBox(x - 1, y - 1, side + 2, side + 2, Math.min(6, cell / 4)));
  }
  const [first, ...others] = data.programs[index];
  if (cell < 20) return;
  const font = `11px ${colours.mono}`;
  const ink = index === now ? colours.card : colours.ink;
  if (flat && !touched) write(pen, first, middle, centre + 0.5, { font, colour: ink, align: "center" });
  if (!flat && others.every((id) => id === 0))
    write(pen, first, x - 6, centre + 0.5, { font, colour: colours.soft, align: "right" });
}
