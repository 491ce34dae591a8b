import { make, palette, sheet, hatch, replay } from "../kit/player.js";

// The trace is replayed here as replay.py does it: blocks and tables after each record. Every 8th step is kept, so that
// any step is a few records away.
const KEPT = 8, number = value => value.toLocaleString("en");
const nameOf = request => /^\d/.test(request) ? `R${request}` : String(request);

const empty = data => ({ ref: new Int32Array(data.num_blocks), hashed: new Uint8Array(data.num_blocks), tables: new Map() });
const copied = state => ({ ref: state.ref.slice(), hashed: state.hashed.slice(), tables: new Map([...state.tables].map(([request, table]) => [request, { blocks: table.blocks.slice(), tokens: table.tokens }])) });

function apply(state, [event, ...fields], size, marks) {
  if (event === "append" && Array.isArray(fields[0])) return fields[0].forEach(request => apply(state, [event, request], size, marks));
  const { ref, hashed, tables } = state;
  const add = (blocks, by) => blocks.forEach(block => { ref[block] += by; });
  if (event === "allocate") { fields[0].forEach(block => { marks?.fresh.add(block); if (ref[block] > 0) marks?.twice.add(block); }); add(fields[0], 1); }
  else if (event === "share") add(fields[0], 1);
  else if (event === "free") { add(fields[0], -1); fields[0].forEach(block => marks?.left.add(block)); }
  else if (event === "cache") hashed[fields[0]] = 1;
  else if (event === "evict") fields[0].forEach(block => { hashed[block] = 0; marks?.evicted.add(block); });
  else if (event === "append" || event === "hit") {
    const [request] = fields, blocks = fields.at(-1), plain = event === "append" && fields.length === 1;
    if (!tables.has(request)) tables.set(request, { blocks: [], tokens: 0 });
    const table = tables.get(request), from = table.tokens;
    if (!plain) table.blocks.push(...blocks);
    table.tokens += event === "hit" ? blocks.length * size : plain ? 1 : fields[1];
    if (marks && event === "append") for (let at = from; at < table.tokens; at++) {
      const block = table.blocks[Math.floor(at / size)];
      if (block !== undefined) { const [a, b] = marks.written.get(block) ?? [size, 0]; marks.written.set(block, [Math.min(a, at % size), Math.max(b, at % size + 1)]); }
    }
  } else if (event === "fork") { const { blocks, tokens } = tables.get(fields[1]); tables.set(fields[0], { blocks: blocks.slice(), tokens }); }
  else if (event === "copy") { tables.get(fields[0]).blocks.splice(-1, 1, fields[2]); marks?.copies.push([fields[1], fields[2]]); }
  else if (event === "shrink") { const table = tables.get(fields[0]); table.tokens = fields[1]; table.blocks.length = Math.min(table.blocks.length, Math.ceil(fields[1] / size)); }
  else if (event === "end") tables.delete(fields[0]);
}

// stateAt(step): blocks, tables, who holds what, how full each block is, and what this step did.
function replayer(data) {
  const { rows, cuts, block_size: size } = data, kept = [empty(data)], state = empty(data);
  const run = (state, from, to, marks) => { for (let at = Math.max(1, from); at < to; at++) apply(state, rows[at], size, marks); };
  const shapes = [];      // how many blocks each table has, at every step: the list is as tall as it will ever be
  cuts.forEach((cut, i) => { run(state, i ? cuts[i - 1] : 0, cut); shapes.push([...state.tables.values()].map(table => table.blocks.length)); if ((i + 1) % KEPT === 0) kept.push(copied(state)); });
  let held = null, step = -1;
  const stateAt = wanted => {
    if (wanted === step) return held;
    const before = Math.floor((wanted - 1) / KEPT), now = copied(kept[before]), marks = { fresh: new Set(), left: new Set(), evicted: new Set(), twice: new Set(), copies: [], written: new Map() };
    run(now, before ? cuts[before * KEPT - 1] : 0, wanted > 1 ? cuts[wanted - 2] : 0);
    run(now, wanted > 1 ? cuts[wanted - 2] : 0, cuts[wanted - 1], marks);
    const holders = new Map(), fill = new Int32Array(data.num_blocks);
    for (const [request, { blocks, tokens }] of now.tables) blocks.forEach((block, place) => {
      if (holders.has(block)) holders.get(block).push([request, place]); else holders.set(block, [[request, place]]);
      fill[block] = Math.max(fill[block], Math.max(0, Math.min(size, tokens - place * size)));
    });
    for (let block = 0; block < data.num_blocks; block++) if (now.hashed[block]) fill[block] = size;
    step = wanted;
    return held = { ...now, holders, fill, marks };
  };
  return { stateAt, shapes };
}

const kindOf = (state, block) => state.ref[block] > 0 ? "live" : state.hashed[block] ? "cached" : "free";
const wrongAt = (state, block) => state.marks.twice.has(block) || state.ref[block] < 0 || state.tables.size > 0 && (state.holders.get(block)?.length ?? 0) > state.ref[block];

function gridLayout(data, width) {
  const count = data.num_blocks, kind = count <= 48 ? "large" : count <= 320 ? "middle" : "small", pad = 10, inner = width - 2 * pad;
  const widest = { large: 66, middle: 42, small: 0 }[kind];
  let columns = kind === "small" ? Math.ceil(Math.sqrt(count * inner / 330)) : Math.max(2, Math.floor(inner / widest));
  const round = columns >= 64 ? 16 : columns >= 16 ? 8 : columns >= 8 ? 4 : 1;      // columns that are easy to count by
  columns = Math.min(count, Math.max(1, Math.floor(columns / round) * round));
  const w = inner / columns, rows = Math.ceil(count / columns), h = { large: 60, middle: 27, small: Math.max(5, Math.min(w, 12)) }[kind];
  return { kind, pad, columns, rows, w, h, gap: kind === "large" ? 6 : kind === "middle" ? 3 : w > 7 ? 1.5 : 1, width, height: rows * h + 2 * pad,
           x: block => pad + block % columns * w, y: block => pad + Math.floor(block / columns) * h };
}

function physical(pen, data, grid, colours, state, colourOf, lit) {
  const { kind, w, h, gap } = grid, size = data.block_size, free = new Path2D(), cached = new Path2D(), W = w - gap, H = h - gap, radius = { large: 7, middle: 4, small: 0 }[kind];
  pen.fillStyle = colours.well; pen.beginPath(); pen.roundRect(0, 0, grid.width, grid.height, 10); pen.fill();
  const small = kind === "small", kinds = Array.from({ length: data.num_blocks }, (_, block) => kindOf(state, block));
  for (let block = 0, next; block < data.num_blocks; block = next) {     // small ones in stretches: thousands of single outlines are slow
    next = block + 1;
    while (small && next % grid.columns && kinds[next] === kinds[block]) next++;
    const path = { free, cached }[kinds[block]], x = grid.x(block) + gap / 2, y = grid.y(block) + gap / 2;
    if (path) radius ? path.roundRect(x, y, W, H, radius) : path.rect(x, y, (next - block) * w - gap, H);
  }
  pen.strokeStyle = colours.faint; pen.lineWidth = 1; pen.globalAlpha = small ? .5 : .8;
  pen.setLineDash(small ? [] : [4, 3]); pen.stroke(free); pen.setLineDash([]); pen.globalAlpha = 1;
  pen.fillStyle = colours.card; pen.fill(cached);
  hatch(pen, cached, colours.faint, small ? 3.6 : 6, small ? .8 : 1.2);
  pen.strokeStyle = colours.faint; pen.lineWidth = small ? 1 : 1.4; pen.stroke(cached);
  pen.fillStyle = colours.well;
  if (small) for (let column = 1; column < grid.columns; column++) pen.fillRect(grid.x(column) - gap / 2, grid.pad, gap, grid.height - 2 * grid.pad);
  for (let block = 0; block < data.num_blocks; block++) if (kinds[block] === "live") {
    const x = grid.x(block) + gap / 2, y = grid.y(block) + gap / 2, owners = state.holders.get(block);
    const colour = owners ? colourOf(owners[0][0]) : colours.soft, part = owners ? state.fill[block] / size : 1;
    if (small) {                                           // as high as it is full, on a pale ground
      const tall = Math.max(1, H * part);
      pen.fillStyle = colour;
      if (part < 1) { pen.globalAlpha = .28; pen.fillRect(x, y, W, H); pen.globalAlpha = 1; }
      pen.fillRect(x, y + H - tall, W, tall);
      if (state.ref[block] > 1) { pen.fillStyle = colours.card; pen.fillRect(x + W / 4, y + H / 4, W / 2, H / 2); }
      continue;
    }
    pen.fillStyle = colours.card; pen.beginPath(); pen.roundRect(x, y, W, H, radius); pen.fill();
    pen.globalAlpha = .1; pen.fillStyle = colour; pen.fill(); pen.globalAlpha = 1;
    pen.strokeStyle = colour; pen.lineWidth = 1.5; pen.stroke();
    if (kind === "large") slots(pen, data, colours, state, block, x, y, W, H, colour, owners);
    else { pen.fillStyle = colours.line; pen.fillRect(x + 4, y + H - 6, W - 8, 3); pen.fillStyle = colour; pen.fillRect(x + 4, y + H - 6, (W - 8) * part, 3); }
  }
  pen.textBaseline = "middle";
  if (!small) for (let block = 0; block < data.num_blocks; block++) labels(pen, grid, colours, state, block, colourOf);
  for (const block of state.marks.evicted) cross(pen, grid, colours, block);
  for (const block of state.marks.fresh) ring(pen, grid, colours.ink, block, small ? 1 : 1.5, 0);
  for (const [source, to] of state.marks.copies) arrow(pen, grid, colours, source, to);
  for (let block = 0; block < data.num_blocks; block++) if (wrongAt(state, block)) { pen.setLineDash([3, 2]); ring(pen, grid, colours.r1, block, 2.5, 1.5); pen.setLineDash([]); }
  for (const block of lit) ring(pen, grid, state.holders.has(block) ? colourOf(state.holders.get(block)[0][0]) : colours.ink, block, 3, 1.5);
}

function slots(pen, data, colours, state, block, x, y, W, H, colour, owners) {
  const size = data.block_size, wide = W - 12, filled = owners ? state.fill[block] : 0, [from, to] = state.marks.written.get(block) ?? [0, 0];
  if (!owners) return;
  if (size > 16) { pen.fillStyle = colours.line; pen.fillRect(x + 6, y + H - 13, wide, 7); pen.fillStyle = colour; pen.fillRect(x + 6, y + H - 13, wide * filled / size, 7);
    if (to > from) { pen.strokeStyle = colours.ink; pen.lineWidth = 1.3; pen.strokeRect(x + 6 + wide * from / size, y + H - 14, Math.max(2, wide * (to - from) / size), 9); } return; }
  const step = wide / size, thin = step < 4 ? .6 : 2;
  for (let at = 0; at < size; at++) { pen.fillStyle = at < filled ? colour : colours.line; pen.fillRect(x + 6 + at * step, y + H - 13, step - thin, 7); }
  if (to > from && from < filled) { pen.strokeStyle = colours.ink; pen.lineWidth = 1.4; pen.strokeRect(x + 6 + from * step - 1.2, y + H - 14.2, (to - from) * step - thin + 2.4, 9.4); }
}

function labels(pen, grid, colours, state, block, colourOf) {
  const { kind, w, h, gap } = grid, x = grid.x(block) + gap / 2, y = grid.y(block) + gap / 2, W = w - gap, owners = state.holders.get(block), large = kind === "large";
  pen.font = `500 10px ${colours.mono}`; pen.textAlign = "left"; pen.fillStyle = colours.soft;
  const text = String(block), long = pen.measureText(text).width;
  if (kindOf(state, block) === "cached") { pen.fillStyle = colours.card; pen.fillRect(x + 3, y + (large ? 4 : 3), long + 4, 12); pen.fillStyle = colours.soft; }
  pen.fillText(text, x + 5, y + (large ? 10.5 : 9));
  if (state.ref[block] <= 0) return;
  pen.font = `650 ${large ? 12 : 10}px ${colours.mono}`; pen.textAlign = "right";
  if (!large && state.ref[block] > 1) { pen.fillStyle = colours.ink; pen.fillText(`×${state.ref[block]}`, x + W - 4, y + 9); return; }      // room for one of the two
  if (owners) {
    const names = [...new Set(owners.map(([request]) => nameOf(request)))], room = W - long - 14;
    let said = names.join(" ");
    while (names.length > 1 && pen.measureText(said).width > room) { names.pop(); said = names.join(" ") + "…"; }
    while (said.length > 3 && pen.measureText(said).width > room) said = said.replace(/.…?$/, "") + "…";
    if (pen.measureText(said).width <= room) { pen.fillStyle = colours.ink; pen.fillText(said, x + W - 5, y + (large ? 11 : 9)); }
  }
  if (state.ref[block] > 1 && large) {
    const times = `×${state.ref[block]}`; pen.font = `600 10px ${colours.mono}`;
    const wide = pen.measureText(times).width + 8;
    pen.fillStyle = colours.ink; pen.beginPath(); pen.roundRect(x + W - 5 - wide, y + 19, wide, 14, 7); pen.fill(); pen.fillStyle = colours.card; pen.fillText(times, x + W - 9, y + 26.5);
  }
}

function ring(pen, grid, colour, block, weight, out) {
  const { w, h, gap, kind } = grid;
  pen.strokeStyle = colour; pen.lineWidth = weight; pen.beginPath();
  pen.roundRect(grid.x(block) + gap / 2 - out, grid.y(block) + gap / 2 - out, w - gap + 2 * out, h - gap + 2 * out, kind === "large" ? 8 : kind === "middle" ? 5 : 1); pen.stroke();
}

function cross(pen, grid, colours, block) {
  const x = grid.x(block) + grid.w / 2, y = grid.y(block) + grid.h / 2, r = grid.kind === "large" ? 7 : grid.kind === "middle" ? 5 : 2;
  pen.strokeStyle = colours.r1; pen.lineWidth = 2; pen.beginPath(); pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r); pen.moveTo(x + r, y - r); pen.lineTo(x - r, y + r); pen.stroke();
}

function arrow(pen, grid, colours, source, to) {
  const at = block => [grid.x(block) + grid.w / 2, grid.y(block) + grid.h / 2], [a, b] = at(source), [c, d] = at(to), far = Math.hypot(c - a, d - b) || 1, cut = Math.min(far / 3, grid.h / 2.4);
  const [x, y, u, v] = [a + (c - a) * cut / far, b + (d - b) * cut / far, c - (c - a) * cut / far, d - (d - b) * cut / far], bow = far > 1.5 * grid.w ? Math.min(18, far / 6) : 0;
  const p = (x + u) / 2 + bow * (d - b) / far, q = (y + v) / 2 - bow * Math.abs(c - a) / far, angle = Math.atan2(v - q, u - p), head = grid.kind === "small" ? 4 : 7;
  for (const [colour, weight] of [[colours.card, 5], [colours.ink, 1.8]]) {
    pen.strokeStyle = colour; pen.lineWidth = weight; pen.lineCap = "round"; pen.beginPath(); pen.moveTo(x, y); pen.quadraticCurveTo(p, q, u, v);
    for (const turn of [2.6, -2.6]) { pen.moveTo(u, v); pen.lineTo(u + head * Math.cos(angle + turn), v + head * Math.sin(angle + turn)); }
    pen.stroke(); pen.lineCap = "butt";
  }
}

// The tables, a row each; where there is much to show, entries shrink to cells without numbers.
function listLook(data, counts, width) {
  const small = counts.reduce((sum, count) => sum + count, 0) > 160 || counts.length > 16, w = small ? 9 : data.num_blocks > 1000 ? 42 : 36, h = small ? 12 : 23, gap = small ? 1.5 : 4;
  const left = 44, per = Math.max(1, Math.floor((width - left) / (w + gap))), head = !small && data.texts.length > 0 ? 20 : 0;
  const tall = count => 7 + head + Math.max(1, Math.ceil(count / per)) * (h + gap) + (small ? 3 : 6);
  return { small, w, h, gap, left, per, head, tall, width, height: Math.max(40, counts.reduce((sum, count) => sum + tall(count), 4)) };
}

function tableLayout(data, state, width) {
  const look = listLook(data, [...state.tables.values()].map(table => table.blocks.length), width);
  let y = 0;
  const rows = [...state.tables].map(([request, table]) => { const top = y + 7; y += look.tall(table.blocks.length); return { request, table, top, bottom: y }; });
  return { ...look, rows, x: place => look.left + place % look.per * (look.w + look.gap), y: (row, place) => row.top + look.head + Math.floor(place / look.per) * (look.h + look.gap) };
}

function tables(pen, data, list, colours, state, colourOf, texts, lit) {
  pen.textBaseline = "middle";
  if (!list.rows.length) { pen.font = `12px ${colours.sans}`; pen.fillStyle = colours.soft; pen.textAlign = "left"; pen.fillText("No request holds anything.", 0, 16); }
  list.rows.forEach((row, index) => {
    const colour = colourOf(row.request), { blocks, tokens } = row.table, tag = nameOf(row.request).slice(0, 5);
    if (index) { pen.fillStyle = colours.line; pen.fillRect(0, row.top - 7, list.width, 1); }
    pen.fillStyle = colour; pen.beginPath(); pen.roundRect(0, row.top, 34, list.small ? 14 : 21, 6); pen.fill();
    pen.font = `600 ${tag.length > 4 ? 9 : tag.length > 3 || list.small ? 10 : 12}px ${colours.mono}`; pen.textAlign = "center"; pen.fillStyle = colours["on-tag"]; pen.fillText(tag, 17, row.top + (list.small ? 7.5 : 11));
    if (list.head) words(pen, colours, texts.get(row.request)?.slice(0, tokens) ?? [], list.left, row.top + 9, list.width - list.left, colour, tokens);
    blocks.forEach((block, place) => {
      const x = list.x(place), y = list.y(row, place), hot = lit.includes(block), filled = Math.max(0, Math.min(data.block_size, tokens - place * data.block_size)) / data.block_size;
      if (list.small) {
        pen.globalAlpha = hot ? 1 : .2 + .55 * filled; pen.fillStyle = colour; pen.fillRect(x, y, list.w, list.h); pen.globalAlpha = 1;
        if (hot) { pen.strokeStyle = colours.ink; pen.lineWidth = 2; pen.strokeRect(x, y, list.w, list.h); }
        return;
      }
      pen.beginPath(); pen.roundRect(x, y, list.w, list.h, 5);
      pen.globalAlpha = hot ? 1 : .13; pen.fillStyle = colour; pen.fill(); pen.globalAlpha = 1;
      pen.strokeStyle = hot ? colours.ink : colour; pen.lineWidth = 1.4; pen.stroke();
      pen.font = `600 12px ${colours.mono}`; pen.textAlign = "center"; pen.fillStyle = hot ? colours["on-tag"] : colours.ink; pen.fillText(String(block), x + list.w / 2, y + (filled < 1 ? 10 : 12));
      if (filled < 1) { pen.fillStyle = hot ? colours["on-tag"] : colour; pen.fillRect(x + 3, y + list.h - 5.5, (list.w - 6) * filled, 3); }
    });
  });
}

function words(pen, colours, text, x, y, room, colour, tokens) {
  pen.font = `12px ${colours.mono}`; pen.textAlign = "left";
  if (!text.length) { pen.fillStyle = colours.soft; pen.fillText(`${number(tokens)} tokens`, x, y); return; }
  const wide = pen.measureText("m").width, last = text.at(-1).replace(/\n/g, "⏎"), fit = Math.max(4, Math.floor(room / wide) - last.length - 1);
  let before = text.slice(0, -1).join("").replace(/\n/g, "⏎");
  if (before.length > fit) before = "…" + before.slice(1 - fit);
  pen.fillStyle = colours.soft; pen.fillText(before, x, y);
  const at = x + pen.measureText(before).width, clean = last.trimStart(), lead = pen.measureText(last.slice(0, last.length - clean.length)).width;
  pen.fillStyle = colours.ink; pen.fillText(clean, at + lead, y); pen.fillStyle = colour; pen.fillRect(at + lead, y + 8, pen.measureText(clean).width, 2);
}

function chart(canvas, data, step, colours, width, kept) {
  const height = 52, pen = sheet(canvas, width, height), most = data.num_blocks * data.block_size, last = data.last, x = at => 1 + (last === 1 ? width : at * (width - 2) / (last - 1)), y = slots => height - 2 - (height - 8) * slots / most;
  const area = value => { const path = new Path2D(); path.moveTo(0, y(0)); data.sums.forEach((sum, i) => path.lineTo(x(i), y(value(sum)))); path.lineTo(width, y(value(data.sums[last - 1]))); path.lineTo(width, y(0)); path.closePath(); return path; };
  if (kept.width !== width) Object.assign(kept, { width, use: area(sum => sum[0] * data.block_size), cached: area(sum => (sum[0] + sum[1]) * data.block_size), waste: area(sum => sum[2]) });
  const { use, cached, waste } = kept, now = x(step - 1);
  for (const [from, to, alpha] of [[0, now, 1], [now, width, .4]]) {
    pen.save(); pen.beginPath(); pen.rect(from, 0, to - from, height); pen.clip(); pen.globalAlpha = alpha;
    hatch(pen, cached, colours.faint, 6, 1);
    pen.globalAlpha = 1; pen.fillStyle = colours.card; pen.fill(use); pen.globalAlpha = alpha * .28; pen.fillStyle = colours.accent; pen.fill(use); pen.globalAlpha = alpha;
    pen.strokeStyle = colours.accent; pen.lineWidth = 1.3; pen.stroke(use); pen.fillStyle = colours.r1; pen.fill(waste); pen.restore();
  }
  pen.fillStyle = colours.line; pen.fillRect(0, height - 1, width, 1);
  pen.fillStyle = colours.ink; pen.fillRect(Math.max(0, Math.min(width - 1.5, now - .75)), 0, 1.5, height);
}

// linked: what another view that shows this one beside itself says and hears: colour(request) -> 0, 1, ..., requests() to light,
// over(requests) under the pointer. It draws the chart itself.
export const memory = {
  name: "memory",
  legend: () => [["cl-live", "in use"], ["cl-pill", "shared", "×2"], ["cl-hatch", "cached"], ["cl-empty", "free"], ["cl-written", "new in this step"], ["cl-evicted", "evicted", "✕"], ["cl-arrow", "copied", "→"]],
  build(body, data, player, linked = null) {
    const id = "cl-cell-" + Math.random().toString(36).slice(2), { stateAt, shapes } = replayer(data), texts = new Map(data.texts), order = new Map();
    for (const [event, who] of data.rows) if (["append", "hit", "fork"].includes(event)) [who].flat().forEach(one => { if (!order.has(one)) order.set(one, order.size); });
    const grid = (label, name) => { const canvas = make("canvas", { "aria-hidden": "true" }), cell = make("div", { role: "gridcell", id: `${id}-${name}` });
      return { canvas, cell, area: make("div", { class: `cl-sheet cl-${name}`, role: "grid", tabindex: "0", "aria-label": label, "aria-activedescendant": cell.id }, canvas, make("div", { class: "cl-hidden" }, make("div", { role: "row" }, cell))) }; };
    const left = grid("Block tables: arrow keys choose an entry", "tables"), right = grid("Physical memory: arrow keys choose a block", "blocks");
    const graph = make("canvas", { role: "img" }), sums = make("dl", { class: "cl-sums" });
    body.append(make("div", { class: "cl-two" }, make("div", {}, make("p", { class: "cl-cap" }, "Block tables"), left.area), make("div", {}, make("p", { class: "cl-cap" }, "Physical memory"), right.area)));
    if (!linked) body.append(make("div", { class: "cl-panel cl-below" }, make("p", { class: "cl-cap" }, "Use and waste over the steps"), make("div", { class: "cl-chart" }, graph), sums));
    const areas = {};      // of the chart, at a width
    let tallest = [0, 0];      // of the list, at a width: what is below it stays where it is
    let over = null, cursor = null, list = null, map = null;      // cursor: [request, place] among the entries

    function draw(step, selected) {
      const state = stateAt(step), colours = palette(body), asked = (linked?.requests() ?? []).flatMap(request => state.tables.get(request)?.blocks ?? []);
      const lit = [...new Set([selected, over, ...asked].filter(block => block !== null))];
      colours["on-tag"] = colours["on-accent"];
      const colourOf = request => colours["r" + (linked ? linked.colour(request) : order.get(request) ?? 0) % 6];
      const wide = node => Math.max(160, node.clientWidth);
      list = tableLayout(data, state, wide(left.area)); map = gridLayout(data, wide(right.area));
      if (tallest[0] !== list.width) { tallest = [list.width, Math.max(...shapes.map(counts => listLook(data, counts, list.width).height))]; left.area.style.minHeight = `${Math.min(420, tallest[1])}px`; }
      tables(sheet(left.canvas, list.width, list.height), data, list, colours, state, colourOf, texts, lit);
      physical(sheet(right.canvas, map.width, map.height), data, map, colours, state, colourOf, lit);
      for (const one of [left, right]) { one.cell.textContent = selected === null ? "nothing chosen" : told(state, selected); one.cell.setAttribute("aria-selected", selected !== null); }
      if (linked) return;
      chart(graph, data, step, colours, Math.max(80, graph.parentNode.clientWidth), areas);
      const [used, cached, waste] = data.sums[step - 1], share = used ? (100 * waste / (used * data.block_size)).toFixed(1) : "0";
      const lines = [["in use", `${number(used)} / ${number(data.num_blocks)} blocks`], ["cached", `${number(cached)} block${cached === 1 ? "" : "s"}`], ["wasted", `${number(waste)} slot${waste === 1 ? "" : "s"}, ${share} %`]];
      sums.replaceChildren(...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
      graph.setAttribute("aria-label", `In use ${used} of ${data.num_blocks} blocks, cached ${cached}, wasted ${waste} slots.`);
    }
    function told(state, block) {
      const owners = state.holders.get(block) ?? [], kind = kindOf(state, block), start = `Block ${block}`;
      if (kind === "free") return `${start} is free.`;
      const full = `${state.fill[block]} of ${data.block_size} slots`;
      if (kind === "cached") return `${start} is cached: nobody holds it, its ${data.block_size} tokens can still be found until it is evicted.`;
      const who = owners.map(([request, place]) => `${nameOf(request)} (block ${place} of its table)`);
      const text = owners.length && texts.has(owners[0][0]) ? texts.get(owners[0][0]).slice(owners[0][1] * data.block_size, owners[0][1] * data.block_size + state.fill[block]).join("").trim().replace(/\n/g, "⏎") : "";
      return `${start}: reference count ${state.ref[block]}` + (who.length ? `, held by ${who.slice(0, 4).join(" and ")}${who.length > 4 ? ` and ${who.length - 4} more` : ""}, ${full}` : "") + (state.hashed[block] ? ", hashed" : "") + "." + (text ? ` ‘${text}’` : "");
    }
    const inMap = event => { const box = right.canvas.getBoundingClientRect(), column = Math.floor((event.clientX - box.left - map.pad) / map.w), row = Math.floor((event.clientY - box.top - map.pad) / map.h), block = row * map.columns + column;
      return column >= 0 && column < map.columns && row >= 0 && block < data.num_blocks ? block : null; };
    const inList = event => { const box = left.canvas.getBoundingClientRect(), y = event.clientY - box.top, row = list.rows.find(one => one.top <= y && y < one.bottom);
      if (!row) return null;
      const column = Math.floor((event.clientX - box.left - list.left) / (list.w + list.gap)), line = Math.floor((y - list.y(row, 0)) / (list.h + list.gap)), place = line * list.per + column;
      return column >= 0 && column < list.per && line >= 0 && place < row.table.blocks.length ? [row.request, place] : null; };
    const blockOf = entry => entry && stateAt(player.step()).tables.get(entry[0])?.blocks[entry[1]];
    const hover = block => { block ??= null; if (block !== over) { over = block; linked?.over((stateAt(player.step()).holders.get(block) ?? []).map(([request]) => request)); draw(player.step(), player.selected()); } };
    const toggle = block => player.select(block === player.selected() ? null : block ?? null);
    right.area.addEventListener("pointermove", event => hover(inMap(event)));
    left.area.addEventListener("pointermove", event => hover(blockOf(inList(event))));
    for (const one of [left, right]) one.area.addEventListener("pointerleave", () => hover(null));
    right.area.addEventListener("click", event => toggle(inMap(event)));
    left.area.addEventListener("click", event => { cursor = inList(event); toggle(blockOf(cursor)); });
    const keyed = (area, move) => area.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
      event.preventDefault(); move(event.key);
    });
    keyed(right.area, key => {
      const at = player.selected() ?? -1, last = data.num_blocks - 1, by = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - map.columns, ArrowDown: at + map.columns, Home: 0, End: last }[key];
      player.select(at < 0 ? 0 : Math.max(0, Math.min(last, by)));
    });
    keyed(left.area, key => {
      const requests = [...stateAt(player.step()).tables].filter(([, table]) => table.blocks.length), clamp = (value, high) => Math.max(0, Math.min(high, value));
      if (!requests.length) return;
      const found = cursor ? requests.findIndex(([request]) => request === cursor[0]) : -1, fresh = found < 0;
      const row = fresh ? 0 : clamp(found + ({ ArrowUp: -1, ArrowDown: 1 }[key] ?? 0), requests.length - 1), [request, { blocks }] = requests[row];
      const place = fresh ? 0 : clamp(key === "Home" ? 0 : key === "End" ? Infinity : cursor[1] + ({ ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0), blocks.length - 1);
      cursor = [request, place]; player.select(blocks[place]);
    });

    const listed = blocks => blocks.slice(0, 12).join(", ") + (blocks.length > 12 ? ` and ${blocks.length - 12} more` : "");
    return {
      draw,
      rows(step) {
        const state = stateAt(step), all = [...Array(data.num_blocks).keys()], sets = { shared: all.filter(block => state.ref[block] > 1), cached: all.filter(block => kindOf(state, block) === "cached"), free: all.filter(block => kindOf(state, block) === "free") };
        return [...[...state.tables].map(([request, { blocks, tokens }]) => [nameOf(request), tokens, blocks.length, listed(blocks)]), ...Object.entries(sets).map(([who, blocks]) => [who, "", blocks.length, listed(blocks)])];
      },
      note: (step, selected) => selected === null ? "" : told(stateAt(step), selected),
      holders: (step, block) => (stateAt(step).holders.get(block) ?? []).map(([request]) => request),
    };
  },
};
const shown = replay(memory);
export default shown;
