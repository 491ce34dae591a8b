// What requests and blocks look like in the live view. The same in pictures: looks.py; in legends: looks.css.

import { hatch } from "./canvas.js";

export const NUM_COLOURS = 6; // --cl-r0 to --cl-r5 in theme.css

// The colour of a request (or a client), by its number in the view.
export const requestColour = (colours, number) => colours[`r${number % NUM_COLOURS}`];

// Blocks that no table holds, and whose content can still be found. small: blocks of a few pixels.
export function paintCachedBlocks(pen, path, colours, small = false) {
  pen.fillStyle = colours.card;
  pen.fill(path);
  hatch(pen, path, colours.faint, small ? 3.6 : 6, small ? 0.8 : 1.2);
  pen.strokeStyle = colours.faint;
  pen.lineWidth = small ? 1 : 1.4;
  pen.stroke(path);
}

// The same in a chart over the steps.
export const paintCachedArea = (pen, path, colours) => hatch(pen, path, colours.faint, 6, 1);

// Empty blocks.
export function paintFreeBlocks(pen, path, colours, small = false) {
  pen.strokeStyle = colours.faint;
  pen.lineWidth = 1;
  pen.globalAlpha = small ? 0.5 : 0.8;
  pen.setLineDash(small ? [] : [4, 3]);
  pen.stroke(path);
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}
