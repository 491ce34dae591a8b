import { make, palette, sheet, hatch, replay } from "../kit/player.js";

// A row a step, a column a token. Canvas: 300 tokens by 250 steps are as quick as 5 by 4.
function layout(data, width) {
  const columns = data.tokens.length, rows = data.steps.length, narrow = width < 520;
  const left = narrow ? 80 : 92, right = narrow ? 44 : 78;
  const cell = Math.min(48, (width - left - right) / columns);
  const row = Math.max(1.2, Math.min(cell > 30 ? 26 : 22, 420 / rows));
  const longest = Math.max(...data.labels.map(text => Math.min(11, text.length)));
  const labels = cell < 11 ? "none" : longest * 7 + 4 < cell ? "flat" : "slanted";
  const slant = cell < 17 ? 1.15 : .87;      // closer columns, steeper words
  const top = 22 + { none: 18, flat: 20, slanted: 16 + longest * 7 * Math.sin(slant) }[labels];
  return { left, slant, steps: narrow ? 27 : 36, right, cell, row, labels, top, columns, rows, width: Math.min(width, left + cell * columns + right), height: top + rows * row + 5,
           gap: cell >= 9 && row >= 9 ? 2 : cell >= 6 && row >= 6 ? 1 : 0,
           x: position => left + position * cell, y: index => top + index * row };
}

// Cuts [start, end) of a step into stretches of new and of recomputed positions.
function stretches(data, index) {
  const [start, end] = data.steps[index], found = [];
  for (let at = start, cut = start; at < end; cut = at) {
    const fresh = data.first_pass[cut] === index;
    while (at < end && (data.first_pass[at] === index) === fresh) at++;
    found.push([cut, at, fresh]);
  }
  return found;
}

function cells(path, grid, index, start, end) {
  const { gap, cell, row } = grid, y = grid.y(index) + gap / 2;
  if (!gap) return path.rect(grid.x(start), y, (end - start) * cell, row);
  const radius = Math.min(4, cell / 4, row / 4);
  for (let at = start; at < end; at++) path.roundRect(grid.x(at) + gap / 2, y, cell - gap, row - gap, radius);
}

// What is new must stay in sight however small a cell gets.
function thin(path, grid, index, start, end) {
  const wide = Math.max(2.5, (end - start) * grid.cell);
  path.rect(grid.x(end) - wide, grid.y(index), wide, Math.max(2, grid.row));
}

const clip = (text, length) => text.length > length ? text.slice(0, length - 1) + "…" : text;

function rowsOfCells(pen, data, grid, colours, step) {
  const fresh = new Path2D(), again = new Path2D(), coming = new Path2D(), kept = new Path2D();
  data.steps.forEach(([start, end], index) => {
    if (index >= step) return cells(coming, grid, index, start, end);
    for (const [from, to, isNew] of stretches(data, index)) {
      if (isNew && !grid.gap) thin(fresh, grid, index, from, to);
      else cells(isNew ? fresh : again, grid, index, from, to);
    }
    if (grid.row >= 4) for (let at = 0; at < start; at++)
      if (data.first_pass[at] !== null && data.first_pass[at] < index) { kept.moveTo(grid.x(at) + grid.gap, grid.y(index + .5)); kept.lineTo(grid.x(at + 1) - grid.gap, grid.y(index + .5)); }
  });
  pen.fillStyle = colours.free; pen.fill(coming);
  pen.strokeStyle = colours.faint; pen.lineWidth = 1; pen.stroke(kept);
  pen.globalAlpha = .12; pen.fillStyle = colours.r1; pen.fill(again); pen.globalAlpha = 1;
  hatch(pen, again, colours.r1, 6, 1.1);
  if (grid.gap > 1) { pen.lineWidth = 1.1; pen.strokeStyle = colours.r1; pen.stroke(again); }
  pen.fillStyle = colours.r0; pen.fill(fresh);
}

function head(pen, data, grid, colours, marked) {
  const { cell, x, top } = grid, split = data.prompt_tokens;
  const say = (text, at, y, align, colour = colours.soft) => { pen.fillStyle = colour; pen.textAlign = align; pen.fillText(text, at, y); };
  pen.textBaseline = "alphabetic";
  pen.font = `11px ${colours.sans}`;
  say("step", grid.steps, top - 6, "right"); say("tokens", grid.left - 9, top - 6, "right");
  pen.font = `600 10px ${colours.sans}`;
  for (const [from, to, name] of [[0, split, "PROMPT"], [split, grid.columns, "GENERATED"]]) {
    if (to === from) continue;
    pen.fillStyle = colours.soft; pen.fillRect(x(from) + 1, 14, (to - from) * cell - 2, 1);
    if (pen.measureText(name).width < (to - from) * cell + (to === grid.columns ? grid.right - 8 : -6)) say(name, x(from) + 1, 10, "left");
  }
  pen.font = `11.5px ${colours.mono}`;
  if (grid.labels === "none") {
    const every = [5, 10, 20, 50, 100, 200, 500, 1e6].find(n => n * cell >= 34);
    for (let at = 0; at < grid.columns; at += every) if (Math.abs(at - marked) * cell > 90 || marked === null) say(String(at), x(at), top - 6, "left");
  } else data.labels.forEach((text, at) => {
    const colour = at < split && at !== marked ? colours.soft : colours.ink;
    if (grid.labels === "flat") return say(text, x(at + .5), top - 7, "center", colour);
    pen.save(); pen.translate(x(at + .5) + 3, top - 6); pen.rotate(-grid.slant); say(clip(text, 11), 0, 0, "left", colour); pen.restore();
  });
}

// Step number and count at the left of a row, the token that the step chose at its right.
function numbers(pen, data, grid, colours, index, now) {
  const y = grid.y(index + .5), [start, end] = data.steps[index];
  pen.textBaseline = "middle"; pen.textAlign = "right";
  pen.font = `${now ? 700 : 400} 11.5px ${colours.mono}`;
  if (now && grid.row < 12) { pen.fillStyle = colours.card; pen.fillRect(0, y - 8, grid.left - 6, 16); }
  pen.fillStyle = now ? colours.ink : colours.soft; pen.fillText(String(index + 1), grid.steps, y);
  pen.fillStyle = colours.ink; pen.fillText(String(end - start), grid.left - 10, y);
  if (end >= grid.columns) return;
  const at = grid.x(end) + 6, fit = Math.floor((grid.width - at) / 7) - 2;
  pen.textAlign = "left";
  if (fit >= 2) pen.fillText("→ " + clip(data.labels[end], fit), at, y);
}

function column(pen, data, grid, colours, step, position, firm) {
  const seen = data.first_pass[position];
  const text = `${position} ${clip(data.labels[position], 14)}`;
  pen.strokeStyle = colours.ink; pen.lineWidth = firm ? 1.5 : 1; pen.setLineDash(firm ? [] : [3, 3]);
  if (seen !== null && seen < step) pen.strokeRect(grid.x(position) - .5, grid.y(seen) - 1, Math.max(3, grid.cell + 1), (step - seen) * grid.row + 2);
  pen.setLineDash([]);
  pen.font = `600 11.5px ${colours.mono}`;
  const wide = pen.measureText(text).width + 12, at = Math.max(0, Math.min(grid.width - wide, grid.x(position + .5) - wide / 2));
  pen.fillStyle = colours.ink; pen.beginPath(); pen.roundRect(at, grid.top - 21, wide, 17, 5); pen.fill();
  pen.fillStyle = colours.card; pen.textAlign = "left"; pen.textBaseline = "middle"; pen.fillText(text, at + 6, grid.top - 12);
}

function chart(canvas, data, step, colours, width) {
  const height = 64, pen = sheet(canvas, width, height), most = data.pushed.at(-1), count = data.pushed.length;
  const x = index => count === 1 ? width : 1 + index * (width - 2) / (count - 1), y = value => height - 1 - (height - 6) * value / most;
  const area = (values, base) => { const path = new Path2D(); values.forEach((value, i) => path.lineTo(x(i), y(value))); if (count === 1) path.lineTo(0, y(values[0]));
    [...base].reverse().forEach((value, i) => path.lineTo(x(count - 1 - i), y(value))); if (count === 1) path.lineTo(width, y(base[0])); path.closePath(); return path; };
  const zero = data.pushed.map(() => 0), again = area(data.pushed, data.needed), needed = area(data.needed, zero);
  const line = x(step - 1);
  for (const [from, to, alpha] of [[0, line, 1], [line, width, .3]]) {      // what is still to come stands back
    pen.save(); pen.beginPath(); pen.rect(from, 0, to - from, height); pen.clip();
    pen.globalAlpha = alpha * .13; pen.fillStyle = colours.r1; pen.fill(again); pen.globalAlpha = alpha;
    hatch(pen, again, colours.r1, 6, 1.1);
    pen.fillStyle = colours.r0; pen.fill(needed); pen.strokeStyle = colours.r0; pen.lineWidth = 1.5; pen.stroke(needed);
    pen.restore();
  }
  pen.fillStyle = colours.line; pen.fillRect(0, height - 1, width, 1);
  pen.fillStyle = colours.ink; pen.fillRect(Math.max(0, Math.min(width - 1.5, line - .75)), 0, 1.5, height);
}

const shown = replay({
  name: "triangle",
  legend: data => [
    ["cl-new", "new"],
    ...(data.pushed.at(-1) > data.needed.at(-1) ? [["cl-hatch cl-again", "computed before"]] : []),
    ...(data.steps.some(([start]) => start > 0) ? [["cl-kept", "kept, not pushed"]] : []),
    ["cl-coming", "still to come"],
    ...(data.steps.some(([, end]) => end < data.tokens.length) ? [["cl-arrow", "token chosen", "→"]] : []),
  ],
  build(body, data, player) {
    const canvas = make("canvas", { "aria-hidden": "true" }), cell = make("div", { role: "gridcell", id: "cl-cell-" + Math.random().toString(36).slice(2) });
    const line = make("div", { role: "row" }, cell);
    const area = make("div", { class: "cl-sheet", role: "grid", tabindex: "0", "aria-label": "Steps by positions: left and right choose a token, up and down a step",
      "aria-rowcount": data.steps.length, "aria-colcount": data.tokens.length, "aria-activedescendant": cell.id }, canvas, make("div", { class: "cl-hidden" }, line));
    const graph = make("canvas", { role: "img" }), sums = make("dl", { class: "cl-sums" });
    body.append(area, make("div", { class: "cl-total" }, make("p", { class: "cl-cap" }, "Added up over the steps"), make("div", { class: "cl-chart" }, graph), sums));
    let grid = null, over = null;

    const passes = (step, position) => data.steps.slice(0, step).filter(([start, end]) => start <= position && position < end).length;
    const state = (step, position) => {
      const [start, end] = data.steps[step - 1], seen = data.first_pass[position];
      if (position >= start && position < end) return seen === step - 1 ? "new" : "computed before";
      return seen !== null && seen < step ? "kept, not pushed" : "not yet computed";
    };
    function draw(step, selected) {
      const colours = palette(body), [start, end] = data.steps[step - 1], marked = over ?? selected;
      grid = layout(data, body.clientWidth);
      const pen = sheet(canvas, grid.width, grid.height);
      head(pen, data, grid, colours, marked);
      rowsOfCells(pen, data, grid, colours, step);
      if (grid.row >= 12) for (let index = 0; index < step; index++) numbers(pen, data, grid, colours, index, index === step - 1);
      else {
        const every = [5, 10, 20, 50, 100, 200, 500, 1e6].find(n => n * grid.row >= 30);
        for (let index = every - 1; index < data.steps.length; index += every) if (Math.abs(index - step + 1) * grid.row > 16) {
          pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textAlign = "right"; pen.textBaseline = "middle";
          pen.fillText(String(index + 1), grid.steps, grid.y(index + .5));
        }
        numbers(pen, data, grid, colours, step - 1, true);
      }
      pen.strokeStyle = colours.ink; pen.lineWidth = 1.5; pen.beginPath();
      const out = grid.gap > 1 ? .5 : 2;
      pen.roundRect(grid.x(start) - out, grid.y(step - 1) - out, (end - start) * grid.cell + 2 * out, grid.row + 2 * out, Math.min(5, grid.row / 2 + out)); pen.stroke();
      if (selected !== null) column(pen, data, grid, colours, step, selected, true);
      if (over !== null && over !== selected) column(pen, data, grid, colours, step, over, false);
      totals(step, colours);
      const at = selected ?? 0;
      line.setAttribute("aria-rowindex", step); cell.setAttribute("aria-colindex", at + 1); cell.setAttribute("aria-selected", selected !== null);
      cell.textContent = `step ${step}, position ${at}, ${data.labels[at]}: ${state(step, at)}`;
    }
    function totals(step, colours) {
      const [start, end] = data.steps[step - 1], pushed = data.pushed[step - 1], needed = data.needed[step - 1];
      graph.setAttribute("aria-label", `Pushed so far ${pushed}, needed so far ${needed}; after the last step ${data.pushed.at(-1)} and ${data.needed.at(-1)}.`);
      const lines = [["this step", `${end - start} = ${data.fresh[step - 1]} new + ${end - start - data.fresh[step - 1]} again`], ["pushed so far", pushed.toLocaleString("en")], ["needed so far", needed.toLocaleString("en")]];
      sums.replaceChildren(...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
      chart(graph, data, step, colours, Math.max(60, graph.parentNode.clientWidth));
    }
    const point = event => {
      const box = canvas.getBoundingClientRect(), position = Math.floor((event.clientX - box.left - grid.left) / grid.cell);
      const step = Math.floor((event.clientY - box.top - grid.top) / grid.row) + 1;
      return { position: position >= 0 && position < grid.columns ? position : null, step: step >= 1 && step <= grid.rows ? step : null };
    };
    const hover = position => { if (position !== over) { over = position; draw(player.step(), player.selected()); } };
    area.addEventListener("pointermove", event => hover(point(event).position));
    area.addEventListener("pointerleave", () => hover(null));
    area.addEventListener("click", event => {
      const { position, step } = point(event);
      if (step) player.go(step);
      player.select(position === player.selected() && !step ? null : position);
    });
    area.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const at = player.selected(), go = to => player.select(Math.max(0, Math.min(data.tokens.length - 1, to)));
      const keys = { ArrowLeft: () => go((at ?? 1) - 1), ArrowRight: () => go((at ?? -1) + 1), Home: () => go(0), End: () => go(data.tokens.length - 1),
                     ArrowUp: () => player.go(player.step() - 1), ArrowDown: () => player.go(player.step() + 1) };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });

    return {
      draw,
      rows: step => data.steps.slice(0, step).map(([start, end], i) =>
        [i + 1, `${start}–${end - 1}`, end - start, data.fresh[i], end - start - data.fresh[i], data.pushed[i], data.needed[i]]),
      note(step, selected) {
        if (selected === null) return "";
        const times = passes(step, selected), name = `‘${data.labels[selected]}’ (position ${selected})`;
        if (!times) return `${name} has not been through the model yet.`;
        return `${name} has been through the model ${times === 1 ? "once" : times + " times"}; once was needed.`;
      },
    };
  },
});
export default shown;
