import { make, palette, sheet, hatch, replay } from "../kit/player.js";

// Two rows of tokens through the model, without a cache and with it; below them a row for each layer and KV head.
const MODEL_ROW = 17, BEYOND = 6;

const keptBy = (data, index, layer) => index < 0 ? 0 : Array.isArray(data.kept[index]) ? data.kept[index][layer] : data.kept[index];

// What the columns of a layer are after a step: [start, end, state]. The same cuts as in filling.py.
function stretches(data, index, layer) {
  const [first, end] = data.pushed[index], due = data.due[index], known = index ? data.due[index - 1] : 0, kept = keptBy(data, index, layer);
  const begin = known && kept <= end - first && kept < due ? end - kept : 0;
  const edges = [...new Set([0, first, end, due, known, begin, begin + kept])].sort((a, b) => a - b), found = [];
  for (let i = 0; i + 1 < edges.length && edges[i] < Math.max(kept, due); i++) {
    const a = edges[i];
    found.push([a, edges[i + 1], a < begin || a >= begin + kept ? "missing" : a >= due ? "surplus" : first <= a && a < end ? (a < known ? "again" : "new") : "kept"]);
  }
  return found;
}

function layout(data, width) {
  const most = Math.max(...data.kept.map(kept => Array.isArray(kept) ? Math.max(...kept) : kept), 0);
  const columns = Math.max(data.tokens.length, Math.min(most, data.tokens.length + BEYOND)), narrow = width < 520;
  const rows = data.layers * data.kv_heads, row = Math.max(1.2, Math.min(20, 300 / rows));
  const faulty = data.kept.some((kept, i) => Array.isArray(kept) || kept !== data.due[i]);      // then it says what is due as well
  const left = row < 12 || narrow ? 74 : 148, right = faulty ? 76 : 38, cell = Math.min(40, (width - left - right) / columns);
  const longest = Math.max(...data.labels.map(text => Math.min(11, text.length)));
  const labels = cell < 11 ? "none" : longest * 7 + 4 < cell ? "flat" : "slanted", slant = cell < 17 ? 1.15 : .87;
  const model = 22 + { none: 18, flat: 20, slanted: 16 + longest * 7 * Math.sin(slant) }[labels];
  const top = model + 2 * MODEL_ROW + 34, between = row >= 6 ? 6 : row >= 3 ? 2 : .6;
  const y = (layer, head) => top + layer * (data.kv_heads * row + between) + head * row;
  return { columns, row, left, right, cell, labels, slant, model, top, between, y, narrow, bottom: y(data.layers, 0) - between,
           gap: cell >= 9 ? 2 : cell >= 6 ? 1 : 0, rise: row >= 9 ? 2 : row >= 5 ? 1 : 0,
           width: Math.min(width, left + columns * cell + right), height: y(data.layers, 0) + 3, x: position => left + Math.min(position, columns) * cell };
}

function cells(path, grid, y, height, start, end, rise = grid.rise) {
  const { gap, cell } = grid, w = cell - gap, h = height - rise, stop = Math.min(end, grid.columns);
  if (!gap || h < 3) return path.rect(grid.x(start), y + rise / 2, Math.max(stop > start ? 1.6 : 0, (stop - start) * cell - gap), Math.max(h, .8));
  const radius = Math.min(3.5, w / 4, h / 4);
  for (let at = start; at < stop; at++) path.roundRect(grid.x(at) + gap / 2, y + rise / 2, w, h, radius);
}

function paint(pen, colours, paths, edges) {
  pen.fillStyle = colours.free; pen.fill(paths.free);
  pen.globalAlpha = .2; pen.fillStyle = colours.r0; pen.fill(paths.kept);
  pen.globalAlpha = .13; pen.fillStyle = colours.r1; pen.fill(paths.again); pen.fill(paths.surplus); pen.globalAlpha = 1;
  if (edges) { pen.lineWidth = 1; pen.strokeStyle = colours.r0; pen.stroke(paths.kept); }
  hatch(pen, paths.again, colours.r1, 6, 1.1);
  hatch(pen, paths.surplus, colours.r1, 5, 1.1);
  hatch(pen, paths.surplus, colours.r1, 5, 1.1, true);
  pen.lineWidth = 1.1; pen.strokeStyle = colours.r1;
  if (edges) pen.stroke(paths.again);
  pen.stroke(paths.surplus);
  pen.setLineDash([3, 2]); pen.stroke(paths.missing); pen.setLineDash([]);
  pen.fillStyle = colours.r0; pen.fill(paths.new);
}

const fresh = () => Object.fromEntries(["free", "kept", "again", "surplus", "missing", "new"].map(name => [name, new Path2D()]));

function throughTheModel(pen, data, grid, colours, index) {
  const paths = fresh(), [first, end] = data.pushed[index], known = index ? data.due[index - 1] : 0, naive = Math.min(data.naive[index], grid.columns);
  const y = [grid.model, grid.model + MODEL_ROW];
  const was = Math.min(known, naive);
  cells(paths.again, grid, y[0], MODEL_ROW, 0, was, 4); cells(paths.new, grid, y[0], MODEL_ROW, was, naive, 4);
  cells(paths.again, grid, y[1], MODEL_ROW, first, Math.min(end, Math.max(first, known)), 4); cells(paths.new, grid, y[1], MODEL_ROW, Math.max(first, known), end, 4);
  paint(pen, colours, paths, grid.gap > 0);
  pen.textBaseline = "middle";
  [["naive", naive, data.naive[index]], [grid.left < 120 ? "cache" : "with the cache", end, end - first]].forEach(([name, at, number], i) => {
    const middle = y[i] + MODEL_ROW / 2;
    pen.font = `12px ${colours.sans}`; pen.textAlign = "right"; pen.fillStyle = i ? colours.ink : colours.soft; pen.fillText(name, grid.left - 9, middle);
    pen.font = `${i ? 700 : 400} 11.5px ${colours.mono}`; pen.textAlign = "left"; pen.fillStyle = colours.ink; pen.fillText(number.toLocaleString("en"), grid.x(at) + 6, middle);
  });
}

function head(pen, data, grid, colours, marked) {
  const { x, cell, model } = grid, split = data.prompt_tokens, count = data.tokens.length;
  pen.textBaseline = "alphabetic"; pen.font = `600 10px ${colours.sans}`; pen.textAlign = "left"; pen.fillStyle = colours.soft;
  for (const [from, to, name] of [[0, split, "PROMPT"], [split, count, "GENERATED"]]) if (to > from) {
    pen.fillRect(x(from) + 1, 14, (to - from) * cell - 2, 1);
    if (pen.measureText(name).width < (to - from) * cell + (to === count ? grid.right - 8 : -6)) pen.fillText(name, x(from) + 1, 10);
  }
  pen.font = `11.5px ${colours.mono}`;
  if (grid.labels === "none") {
    const every = [5, 10, 20, 50, 100, 200, 500, 1e6].find(n => n * cell >= 34);
    for (let at = 0; at < count; at += every) pen.fillText(String(at), x(at), model - 6);
  } else data.labels.forEach((text, at) => {
    pen.fillStyle = at < split && at !== marked ? colours.soft : colours.ink;
    if (grid.labels === "flat") { pen.textAlign = "center"; pen.fillText(text, x(at + .5), model - 7); return; }
    pen.save(); pen.translate(x(at + .5) + 3, model - 6); pen.rotate(-grid.slant);
    pen.fillText(text.length > 11 ? text.slice(0, 10) + "…" : text, 0, 0); pen.restore();
  });
  pen.textAlign = "left"; pen.textBaseline = "middle"; pen.fillStyle = colours.soft; pen.font = `600 10px ${colours.sans}`;
  pen.fillText("THE CACHE", 0, grid.top - 13);
  pen.textAlign = "left"; pen.font = `11px ${colours.sans}`; pen.fillText("held", grid.x(grid.columns) + 8, grid.top - 13);
}

function rows(pen, data, grid, colours, index) {
  const paths = fresh(), group = data.heads / data.kv_heads;
  for (let layer = 0; layer < data.layers; layer++) {
    const found = stretches(data, index, layer), held = Math.max(keptBy(data, index, layer), data.due[index]);
    const thin = grid.row < 3, tall = thin ? grid.row * data.kv_heads : grid.row;      // heads too thin to be told apart are one piece
    for (let head = 0; head < (thin ? 1 : data.kv_heads); head++) {
      const y = grid.y(layer, head);
      for (const [a, b, state] of found) if (a < grid.columns) cells(paths[state], grid, y, tall, a, b);
      if (held < grid.columns) cells(paths.free, grid, y, tall, held, grid.columns);
    }
  }
  paint(pen, colours, paths, grid.gap > 0 && grid.rise > 0);
  if (grid.row >= 14 && grid.gap) {                 // the key above the value
    pen.fillStyle = colours.card; pen.globalAlpha = .8;
    for (let layer = 0; layer < data.layers; layer++) for (let head = 0; head < data.kv_heads; head++)
      pen.fillRect(grid.left, grid.y(layer, head) + grid.row / 2 - .5, grid.columns * grid.cell, 1);
    pen.globalAlpha = 1;
  }
  pen.textBaseline = "middle";
  const block = data.kv_heads * grid.row + grid.between, every = [1, 2, 4, 5, 10, 20, 50].find(n => n * block >= 15) ?? 100;
  for (let layer = 0; layer < data.layers; layer++) {
    const middle = (grid.y(layer, 0) + grid.y(layer, data.kv_heads)) / 2, kept = keptBy(data, index, layer), wrong = kept !== data.due[index];
    const said = layer % every === 0;
    if (said) {
      pen.font = `12px ${colours.sans}`; pen.textAlign = "left"; pen.fillStyle = colours.soft;
      pen.fillText(`layer ${layer}`, 0, grid.row >= 12 && !grid.narrow ? grid.y(layer, .5) : middle);
    }
    if (grid.row >= 12 && !grid.narrow) for (let head = 0; head < data.kv_heads; head++) {
      const y = grid.y(layer, head + .5), heads = group === 1 ? `Q ${head}` : `Q ${head * group}–${head * group + group - 1}`;
      pen.font = `11px ${colours.mono}`; pen.textAlign = "left"; pen.fillStyle = colours.soft; pen.fillText(heads, 54, y);
      pen.textAlign = "right"; pen.fillStyle = colours.ink; pen.fillText(`KV ${head}`, grid.left - 9, y);
    }
    if (said || wrong && block >= 9) {
      pen.font = `${wrong ? 700 : 400} 11.5px ${colours.mono}`; pen.textAlign = "left"; pen.fillStyle = colours.ink;
      pen.fillText(`${kept.toLocaleString("en")}${wrong ? " ≠ " + data.due[index] : ""}`, grid.x(grid.columns) + 8, middle);
    }
  }
}

function bars(canvas, colours, width, { count, at, most, front, back, mark }) {
  const height = 66, pen = sheet(canvas, width, height), step = width / count, gap = step > 5 ? 2 : step > 3 ? 1 : 0;
  const tall = value => value ? Math.max(1.6, (height - 4) * value / most) : 0;
  for (const [from, to, alpha] of [[0, at, 1], [at, count, .35]]) {
    const solid = new Path2D(), behind = new Path2D(), rest = i => back ? Math.max(tall(front[i]), tall(back[i])) : tall(front[i]);
    if (gap) for (let i = from; i < to; i++) {
      const f = tall(front[i]);
      solid.rect(i * step, height - 1 - f, step - gap, f);
      behind.rect(i * step, height - 1 - rest(i), step - gap, rest(i) - f);
    } else for (const [path, top, base] of [[solid, i => tall(front[i]), () => 0], [behind, rest, i => tall(front[i])]]) {      // bars that touch are one shape
      for (let i = from; i < to; i++) { path.lineTo(i * step, height - 1 - top(i)); path.lineTo((i + 1) * step, height - 1 - top(i)); }
      for (let i = to - 1; i >= from; i--) { path.lineTo((i + 1) * step, height - 1 - base(i)); path.lineTo(i * step, height - 1 - base(i)); }
      path.closePath();
    }
    pen.globalAlpha = .13 * alpha; pen.fillStyle = colours.r1; pen.fill(behind); pen.globalAlpha = alpha;
    hatch(pen, behind, colours.r1, 6, 1.1);
    pen.fillStyle = colours.r0; pen.fill(solid);
  }
  pen.globalAlpha = 1; pen.fillStyle = colours.line; pen.fillRect(0, height - 1, width, 1);
  if (mark) {
    pen.strokeStyle = colours.ink; pen.lineWidth = 1.5; pen.setLineDash([4, 3]); pen.beginPath();
    mark.slice(0, at).forEach((value, i) => { const y = height - 1 - tall(value); pen.moveTo(i * step, y); pen.lineTo((i + 1) * step - gap, y); });
    pen.stroke(); pen.setLineDash([]);
  }
  const x = (at - 1) * step + (step - gap) / 2, up = tall(Math.max(front[at - 1], back ? back[at - 1] : 0));
  pen.fillStyle = colours.ink; pen.beginPath();
  if (gap) { pen.strokeStyle = colours.ink; pen.lineWidth = 1.5; pen.strokeRect(Math.max(.75, x - (step - gap) / 2 - .75), Math.max(.75, height - 1 - up - .75), step - gap + (at === count ? .5 : 1.5), up + 1); }
  else pen.fillRect(x - .75, 0, 1.5, height);
}

const number = value => value.toLocaleString("en");

const shown = replay({
  name: "filling",
  legend: data => {
    const seen = new Set(data.pushed.flatMap((_, index) => [...Array(data.layers).keys()].flatMap(layer => stretches(data, index, layer).map(found => found[2]))));
    return [["cl-new", "new"], ["cl-held", data.layers * data.kv_heads < 22 ? "kept: key above value" : "kept"], ["cl-hatch cl-again", "pushed again"], ["cl-coming", "still to come"],
      ...(seen.has("missing") ? [["cl-missing", "due, not held"]] : []), ...(seen.has("surplus") ? [["cl-surplus", "held, never pushed"]] : [])];
  },
  build(body, data, player) {
    const canvas = make("canvas", { "aria-hidden": "true" }), cell = make("div", { role: "gridcell", id: "cl-cell-" + Math.random().toString(36).slice(2) });
    const area = make("div", { class: "cl-sheet", role: "grid", tabindex: "0", "aria-activedescendant": cell.id, "aria-rowcount": data.layers * data.kv_heads,
      "aria-colcount": data.tokens.length, "aria-label": "The cache, layers and KV heads by tokens: arrow keys choose a cell" },
      canvas, make("div", { class: "cl-hidden" }, make("div", { role: "row" }, cell)));
    const work = make("canvas", { role: "img" }), memory = make("canvas", { role: "img" }), pushed = make("dl", { class: "cl-sums" }), bytes = make("dl", { class: "cl-sums" });
    const panel = (title, chart, sums) => make("div", { class: "cl-panel" }, make("p", { class: "cl-cap" }, title), make("div", { class: "cl-chart" }, chart), sums);
    body.append(area, make("div", { class: "cl-panels" }, panel("Tokens pushed, step by step", work, pushed), panel("Memory of the cache, step by step", memory, bytes)));
    const fill = (list, lines) => list.replaceChildren(...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    const dueBytes = data.due.map(due => due * data.layers * data.column_bytes), faulty = data.held.some((held, i) => held !== dueBytes[i]);
    let grid = null, over = null;

    function state(step, [layer, , position]) {
      const found = stretches(data, step - 1, layer).find(([a, b]) => a <= position && position < b);
      return { new: "written in this step", again: "pushed again and written again", kept: "kept from an earlier step", missing: "due, but not held",
               surplus: "held, though no such token was pushed" }[found?.[2]] ?? "not yet written";
    }
    const name = ([layer, head, position]) => `layer ${layer}, KV head ${head}, position ${position}, ${data.labels[position]}`;

    function ring(pen, colours, [layer, head, position], firm) {
      pen.strokeStyle = colours.ink; pen.lineWidth = firm ? 2 : 1.2; pen.setLineDash(firm ? [] : [3, 3]);
      pen.strokeRect(grid.x(position) - .5, grid.y(layer, head) - .5, Math.max(3, grid.cell + 1), Math.max(3, grid.row + 1)); pen.setLineDash([]);
      const text = `${position} ${data.labels[position].slice(0, 14)}`;
      pen.font = `600 11.5px ${colours.mono}`;
      const wide = pen.measureText(text).width + 12, at = Math.max(0, Math.min(grid.width - wide, grid.x(position + .5) - wide / 2));
      pen.fillStyle = colours.ink; pen.beginPath(); pen.roundRect(at, grid.model - 20, wide, 17, 5); pen.fill();
      pen.fillStyle = colours.card; pen.textAlign = "left"; pen.textBaseline = "middle"; pen.fillText(text, at + 6, grid.model - 11);
    }
    function draw(step, selected) {
      const colours = palette(body), index = step - 1, [first, end] = data.pushed[index], marked = (over ?? selected)?.[2] ?? null;
      grid = layout(data, body.clientWidth);
      const pen = sheet(canvas, grid.width, grid.height);
      head(pen, data, grid, colours, marked);
      throughTheModel(pen, data, grid, colours, index);
      rows(pen, data, grid, colours, index);
      pen.strokeStyle = colours.ink; pen.lineWidth = 1.5; pen.beginPath();      // this step, from the model down through every layer
      const out = grid.gap ? .5 : 2.5;
      pen.roundRect(grid.x(first) - out, grid.model + MODEL_ROW + .5, (end - first) * grid.cell + 2 * out, grid.bottom - grid.model - MODEL_ROW + 1.5, grid.gap ? 5 : 2); pen.stroke();
      if (selected) ring(pen, colours, selected, true);
      if (over && String(over) !== String(selected)) ring(pen, colours, over, false);
      const now = selected ?? [0, 0, first];
      cell.setAttribute("aria-colindex", now[2] + 1); cell.parentNode.setAttribute("aria-rowindex", now[0] * data.kv_heads + now[1] + 1); cell.setAttribute("aria-selected", selected !== null);
      cell.textContent = `${name(now)}: ${state(step, now)}`;
      figures(step, colours);
    }
    function figures(step, colours) {
      const index = step - 1, [first, end] = data.pushed[index], wide = node => Math.max(60, node.parentNode.clientWidth), most = Math.max(...data.naive, ...data.pushed.map(([a, b]) => b - a));
      bars(work, colours, wide(work), { count: data.last, at: step, most, front: data.pushed.map(([a, b]) => b - a), back: data.naive });
      bars(memory, colours, wide(memory), { count: data.last, at: step, most: Math.max(...data.held, ...dueBytes), front: data.held, mark: faulty ? dueBytes : null });
      const mine = data.pushed_so_far[index], naive = data.naive_so_far[index];
      fill(pushed, [["this step", `${number(end - first)} of naive ${number(data.naive[index])}`], ["so far", `${number(mine)} of naive ${number(naive)}`],
                    ["naive pushes", `${(naive / mine).toFixed(1)} × as many`]]);
      fill(bytes, [["held now", `${number(data.held[index])} bytes`], ...(faulty ? [["due now", `${number(dueBytes[index])} bytes`]] : []),
                   ["one token", `${number(data.layers * data.column_bytes)} bytes`], ["one cell", `2 × ${data.head_dim} × ${data.bytes} bytes`]]);
      work.setAttribute("aria-label", `So far ${mine} tokens pushed, naive decoding ${naive}; after the last step ${data.pushed_so_far.at(-1)} and ${data.naive_so_far.at(-1)}.`);
      memory.setAttribute("aria-label", `The cache holds ${number(data.held[index])} bytes, after the last step ${number(data.held.at(-1))}.`);
    }
    const point = event => {
      const box = canvas.getBoundingClientRect(), position = Math.floor((event.clientX - box.left - grid.left) / grid.cell), y = event.clientY - box.top - grid.top;
      const block = data.kv_heads * grid.row + grid.between, layer = Math.floor(y / block), head = Math.min(data.kv_heads - 1, Math.floor((y - layer * block) / grid.row));
      return position >= 0 && position < data.tokens.length && layer >= 0 && layer < data.layers ? [layer, head, position] : null;
    };
    const hover = cell => { if (String(cell) !== String(over)) { over = cell; draw(player.step(), player.selected()); } };
    area.addEventListener("pointermove", event => hover(point(event)));
    area.addEventListener("pointerleave", () => hover(null));
    area.addEventListener("click", event => { const cell = point(event); player.select(String(cell) === String(player.selected()) ? null : cell); });
    area.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const last = data.tokens.length - 1, rows = data.layers * data.kv_heads - 1;
      const [layer, head, position] = player.selected() ?? [0, 0, data.pushed[player.step() - 1][0]], row = layer * data.kv_heads + head, fresh = player.selected() === null;
      const go = (row, position) => { row = Math.max(0, Math.min(rows, row)); player.select([Math.floor(row / data.kv_heads), row % data.kv_heads, Math.max(0, Math.min(last, position))]); };
      const keys = { ArrowLeft: () => go(row, position - 1), ArrowRight: () => go(row, position + 1), ArrowUp: () => go(row - 1, position), ArrowDown: () => go(row + 1, position),
                     Home: () => go(row, 0), End: () => go(row, last) };
      if (!keys[event.key]) return;
      event.preventDefault();
      if (fresh) go(row, position); else keys[event.key]();
    });

    return {
      draw,
      rows(step) {
        const list = [...Array(data.layers).keys()].map(layer => {
          const kept = keptBy(data, step - 1, layer), written = stretches(data, step - 1, layer).filter(one => one[2] === "new" || one[2] === "again").reduce((sum, [a, b]) => sum + b - a, 0);
          return [layer, kept, data.due[step - 1], written, kept * data.column_bytes];
        });
        return [...list, ["all", ...[1, 2, 3, 4].map(i => list.reduce((sum, row) => sum + row[i], 0))]];
      },
      note(step, selected) {
        if (selected === null) return "";
        const group = data.heads / data.kv_heads, [layer, head, position] = selected, size = 2 * data.head_dim * data.bytes;
        const readers = group === 1 ? `query head ${head} reads it` : `query heads ${head * group}–${head * group + group - 1} read it`;
        return `Layer ${layer}, KV head ${head}, ‘${data.labels[position]}’ (position ${position}): ${state(step, selected)}. A key and a value of ${data.head_dim} numbers each, ${number(size)} bytes; ${readers}.`;
      },
    };
  },
});
export default shown;
