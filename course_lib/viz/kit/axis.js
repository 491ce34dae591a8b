// An axis of time below rows of requests.

import { write } from "./canvas.js";
import { number } from "./format.js";

// Ticks from 0 to `last` milliseconds, at most one in 80 pixels: 1, 2 or 5 times a power of ten apart. x(ms) -> pixels;
// left: where the axis begins; width: of the whole chart; y: the upper end of the ticks.
export function timeAxis(pen, { x, left, width, last, y, colours }) {
  const look = { font: `11px ${colours.mono}`, colour: colours.soft, align: "center" };
  const most = Math.max(2, Math.floor((width - left) / 80));
  let every = 1;
  for (let power = 1; every * most < last; power *= 10)
    for (const unit of [1, 2, 5]) if (every * most < last) every = unit * power;
  pen.fillStyle = colours.faint;
  for (let time = 0; time <= last; time += every) {
    pen.fillRect(x(time) - 0.5, y, 1, 5);
    write(pen, number(time), x(time), y + 15, look);
  }
  write(pen, "ms", left - 8, y + 15, { ...look, align: "right" });
}
