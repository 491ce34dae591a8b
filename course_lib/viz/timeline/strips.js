// Below the lanes: blocks in use, the clients, and all steps where not all are in sight.

import { dashedLine, roundBox, sheet, tint, write } from "../kit/canvas.js";
import { make } from "../kit/dom.js";
import { number } from "../kit/format.js";
import { paintCachedArea, requestColour } from "../kit/looks.js";
import { markStep, paintStack, rowCaption } from "./columns.js";

const CLIENTS = 12; // so many are named

const filled = (colour, alpha) => (pen, path) => tint(pen, path, colour, alpha);

// scene: as in budget.js
export function paintBlocksInUse(canvas, layer, scene) {
  const { columns, colours, key, width, at, split } = scene;
  const { num_blocks: most, sums } = scene.data.memory;
  const tall = 34;
  const pen = sheet(canvas, width, tall + 8);
  layer.paint(key, width, tall + 8, (pen) => {
    const bars = [
      { value: (step) => sums[step][0], fill: filled(colours.accent, 0.45) },
      { value: (step) => sums[step][1], fill: (pen, path) => paintCachedArea(pen, path, colours) },
    ];
    paintStack(pen, bars, columns, 5, tall, most, colours);
  });
  layer.copy(pen, split);
  rowCaption(pen, colours, "blocks", 5 + tall - 7);
  dashedLine(pen, columns.left, 5.5, columns.left + columns.plot, 5.5, colours.faint);
  markStep(pen, columns, at, colours, 3, tall + 3);
}

// How many requests of each client wait, stacked; below them the service that each got. list: names and figures.
export function paintClients(canvas, list, layer, scene) {
  const { data, columns, colours, key, width, at, split } = scene;
  const [high, tall] = [30, 56];
  const base = 12 + high + tall;
  const height = base + 10;
  const pen = sheet(canvas, width, height);
  const queue = data.sums.reduce((most, [, , waiting]) => Math.max(most, waiting), 1);
  const richest = Math.max(1, ...data.clients.map(({ service }) => service.at(-1)));
  const y = (service) => base - ((tall - 2) * service) / richest;
  const x = (step) => columns.x(step) + columns.w / 2;
  const colourOf = ({ client }) => requestColour(colours, client);
  layer.paint(key, width, height, (pen) => {
    const bars = data.clients.map((one) => ({
      value: (step) => one.waiting[step],
      fill: filled(colourOf(one), 0.75),
    }));
    paintStack(pen, bars, columns, 4, high, queue, colours);
    for (const one of data.clients) {
      pen.strokeStyle = colourOf(one);
      pen.lineWidth = 2;
      pen.lineJoin = "round";
      pen.beginPath();
      for (let step = Math.max(0, columns.from - 1); step < columns.to; step++)
        pen.lineTo(Math.max(columns.left, x(step)), y(one.service[step]));
      pen.stroke();
    }
    pen.fillStyle = colours.line;
    pen.fillRect(columns.left, base, columns.plot, 1);
  });
  layer.copy(pen, split);
  rowCaption(pen, colours, "waiting", 4 + high - 6);
  rowCaption(pen, colours, "service", base - 6);
  write(pen, number(richest), columns.left - 4, 12 + high + 5, { align: "right" });
  markStep(pen, columns, at, colours, 2, high + tall + 12);
  for (const one of data.clients) {
    pen.fillStyle = colourOf(one);
    pen.beginPath();
    pen.arc(x(at), y(one.service[at]), 3.5, 0, 7);
    pen.fill();
  }
  listClients(list, data, at, colourOf);
}

function listClients(list, data, at, colourOf) {
  const items = data.clients.slice(0, CLIENTS).map((one) => {
    const swatch = make("span", { class: "cl-swatch", style: `background:${colourOf(one)}` });
    const name = make("dt", {}, swatch, data.client_names[one.client]);
    const figures = `service ${number(one.service[at])} · ${number(one.waiting[at])} wait`;
    return make("div", {}, name, make("dd", {}, figures));
  });
  const rest = data.clients.length - CLIENTS;
  list.replaceChildren(...items, rest > 0 ? `and ${rest} more` : "");
}

// All steps, with a frame around those in sight. A bin is a step, or the fullest of several.
export function paintAllSteps(canvas, layer, scene) {
  const { data, columns, colours, width, look, at } = scene;
  const tall = 20;
  const { left, plot } = columns;
  const most = data.sums.reduce((high, [tokens]) => Math.max(high, tokens), 1);
  const bins = Math.min(data.last, Math.floor(plot));
  const x = (step) => left + (step * plot) / data.last;
  const fullest = (bin) => {
    let found = 0;
    const end = Math.floor(((bin + 1) * data.last) / bins);
    for (let step = Math.floor((bin * data.last) / bins); step < end; step++)
      found = Math.max(found, data.sums[step][0]);
    return found;
  };
  const pen = sheet(canvas, width, tall + 10);
  layer.paint([width, look].join(), width, tall + 10, (pen) => {
    const own = { plot, left, from: 0, to: bins, count: bins, gap: 0, w: plot / bins };
    const all = { ...own, x: (bin) => left + (bin * plot) / bins };
    paintStack(pen, [{ value: fullest, fill: filled(colours.faint, 0.7) }], all, 4, tall, most, colours);
  });
  layer.copy(pen, x(at + 1));
  rowCaption(pen, colours, "all steps", tall - 3);
  pen.strokeStyle = colours.accent;
  pen.lineWidth = 1.5;
  const wide = (columns.count * plot) / data.last;
  pen.stroke(roundBox(x(columns.from), 2, Math.max(4, wide), tall + 4, 4));
  pen.fillStyle = colours.ink;
  pen.fillRect(x(at), 2, 1.5, tall + 4);
}
