// The bytes moved, step by step: filled so far, outlined to come.

import { fadedAfter, sheet } from "../kit/canvas.js";

const HEIGHT = 74;

export function paintBytes(canvas, data, step, colours, width) {
  const pen = sheet(canvas, width, HEIGHT);
  const steps = data.read.length;
  const most = Math.max(1, data.read.at(-1) + data.written.at(-1));
  const x = (index) => (index * width) / steps;
  const y = (value) => HEIGHT - 1 - ((HEIGHT - 6) * value) / most;
  const stairs = (path, value) => {
    for (let at = 0; at < steps; at++) {
      path.lineTo(x(at), y(value(at)));
      path.lineTo(x(at + 1), y(value(at)));
    }
    return path;
  };
  const area = (top, base) => {
    const path = stairs(new Path2D(), top);
    for (let at = steps - 1; at >= 0; at--) {
      path.lineTo(x(at + 1), y(base(at)));
      path.lineTo(x(at), y(base(at)));
    }
    path.closePath();
    return path;
  };
  const read = (at) => data.read[at];
  const all = (at) => data.read[at] + data.written[at];
  const parts = [
    { top: read, base: () => 0, colour: colours.faint },
    { top: all, base: read, colour: colours.ink },
  ];
  fadedAfter(pen, x(step), width, HEIGHT, 0.16, (alpha) => {
    for (const { top, base, colour } of parts) {
      pen.fillStyle = colour;
      pen.fill(area(top, base));
    }
    pen.globalAlpha = 1;
    pen.lineWidth = 1.2;
    for (const { top, colour } of alpha < 1 ? parts : []) {
      pen.strokeStyle = colour;
      pen.stroke(stairs(new Path2D(), top));
    }
  });
  pen.fillStyle = colours.line;
  pen.fillRect(0, HEIGHT - 1, width, 1);
  pen.fillStyle = colours.ink;
  pen.fillRect(Math.min(width - 1.5, x(step) - 0.75), 0, 1.5, HEIGHT);
}
