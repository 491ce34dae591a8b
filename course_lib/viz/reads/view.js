import { make, palette, sheet, hatch, replay } from "../kit/player.js";

// Left a row for each sequence: its programs (KV heads down, parts across), its outputs (query heads), its block table.
// Right the physical blocks, in each a line for every KV head and a column for every slot.
const number = value => value.toLocaleString("en");
const idsOf = program => program.program.length === 1 ? String(program.program[0]) : `(${program.program.join(", ")})`;
const tokens = n => n < 1000 ? String(n) : `${(n / 1000).toFixed(n < 10000 ? 1 : 0)}k`;
const listed = blocks => blocks.slice(0, 12).join(", ") + (blocks.length > 12 ? ` and ${blocks.length - 12} more` : "");

function rowsLayout(data, width) {
  const { parts, kv_heads: heads } = data, group = data.heads / heads, left = 84;
  const cell = Math.max(5, Math.min(22, (width * .42 - left) / parts, 112 / heads)), out = Math.max(4, Math.min(14, cell - 4, 84 / group));
  const outs = left + parts * cell + 16, beside = outs + group * out + 18, below = width - beside < 4 * 38, start = below ? left : beside, per = Math.max(1, Math.floor((width - start) / 38));
  let y = 20;
  const rows = data.tables.map(table => {
    const lines = Math.max(1, Math.ceil(table.length / per)), tall = heads * cell, top = y;
    y += (below ? tall + 8 + lines * 27 : Math.max(tall, lines * 27, 40)) + 16;
    return { top, pills: top + (below ? tall + 8 : 0), bottom: y - 8 };
  });
  return { left, cell, out, outs, start, per, rows, group, below, width, height: y };
}

function blocksLayout(data, width) {
  const count = data.num_blocks, large = count <= 48, pad = 10, inner = width - 2 * pad, lane = Math.max(3, Math.min(9, 36 / data.kv_heads));
  let columns = large ? Math.max(2, Math.floor(inner / 78)) : Math.max(8, Math.ceil(Math.sqrt(count * inner / 300)));
  if (columns >= 8) columns -= columns % (columns >= 16 ? 8 : 4);
  columns = Math.min(count, columns);
  const w = inner / columns, h = large ? 46 + data.kv_heads * lane : Math.max(5, Math.min(w, 16));
  return { large, pad, columns, w, h, lane, gap: large ? 6 : w > 7 ? 1.5 : 1, width, height: Math.ceil(count / columns) * h + 2 * pad, x: block => pad + block % columns * w, y: block => pad + Math.floor(block / columns) * h };
}

const shown = replay({
  name: "reads",
  legend: data => [["cl-new", "now"], ["cl-was-loaded", "before"], ["cl-coming", "not yet"],
    ...(data.programs.some(one => one.kind === "decode" && !one.reads.length) ? [["cl-spare", "nothing to read"]] : []), ["cl-pill", data.kv_heads > 1 ? "read by 2 programs, each for its KV head" : "read by 2 programs", "×2"]],
  build(body, data, player) {
    const id = "cl-cell-" + Math.random().toString(36).slice(2), size = data.block_size;
    const grid = (label, name) => { const canvas = make("canvas", { "aria-hidden": "true" }), cell = make("div", { role: "gridcell", id: `${id}-${name}` });
      return { canvas, cell, area: make("div", { class: `cl-sheet cl-${name}`, role: "grid", tabindex: "0", "aria-label": label, "aria-activedescendant": cell.id }, canvas, make("div", { class: "cl-hidden" }, make("div", { role: "row" }, cell))) }; };
    const left = grid("Programs: arrow keys go to one", "tables"), right = grid("Physical memory: arrow keys choose a block", "blocks"), sums = make("dl", { class: "cl-sums" });
    const titles = make("p", { class: "cl-cap" }, "Programs → outputs, block tables");
    body.append(make("div", { class: "cl-two" }, make("div", {}, titles, left.area), make("div", {}, make("p", { class: "cl-cap" }, "Physical memory"), right.area)), make("div", { class: "cl-below" }, sums));
    const owners = new Map(), fill = new Map();      // block -> its sequences; block -> tokens in it
    data.tables.forEach((table, seq) => table.forEach((block, place) => {
      if (!owners.has(block)) owners.set(block, []);
      if (!owners.get(block).includes(seq)) owners.get(block).push(seq);
      fill.set(block, Math.max(fill.get(block) ?? 0, Math.min(size, data.seq_lens[seq] - place * size)));
    }));
    const key = (seq, head, part) => `${seq},${head},${part}`, decodeAt = new Map(), outAt = new Map();      // -> step
    data.programs.forEach((one, index) => {
      if (one.kind === "decode") decodeAt.set(key(one.seq, one.kv_head, one.part), index + 1);
      else outAt.set(`${one.seq},${one.head}`, index + 1);
    });
    const merges = outAt.size > 0, group = data.heads / data.kv_heads;
    const writtenAt = (seq, head) => merges ? outAt.get(`${seq},${head}`) : decodeAt.get(key(seq, Math.floor(head / group), data.across === "head" ? head % group : 0));
    let list = null, map = null, over = null, met = 0;      // met: the step that was drawn last

    const readers = (step, block) => data.programs.slice(0, step).filter(one => one.kind === "decode" && one.reads.some(([at]) => at === block));
    function told(step, block) {
      const who = owners.get(block) ?? [], met = readers(step, block);
      if (!who.length && !met.length) return `Block ${block} is in no table, and no program reads it.`;
      const places = who.map(seq => `R${seq} (block ${data.tables[seq].indexOf(block)} of its table)`).join(" and ") || "no sequence";
      const names = met.map(idsOf), said = names.slice(0, 6).join(", ") + (names.length > 6 ? ` and ${names.length - 6} more` : ""), heads = [...new Set(met.map(one => one.kv_head))].sort((a, b) => a - b);
      const whose = heads.length > 1 ? `, for KV heads ${heads.slice(0, -1).join(", ")} and ${heads.at(-1)}` : "";
      return `Block ${block} belongs to ${places}. ${names.length ? `Read so far by ${names.length === 1 ? "program" : `${names.length} programs:`} ${said}${whose}.` : "Nobody has read it yet."}`;
    }
    function programs(pen, step, lit, colours) {
      const now = data.programs[step - 1], { cell, out } = list, gap = cell > 8 ? 3 : 1;
      pen.textBaseline = "middle"; pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textAlign = "left";
      if (data.parts > 1) pen.fillText(`${data.across} →`, list.left, 7);
      pen.textAlign = "center"; pen.fillText("out", list.outs + list.group * out / 2, 7);
      if (!list.below) { pen.textAlign = "left"; pen.fillText("block table", list.start, 7); }
      data.tables.forEach((table, seq) => {
        const row = list.rows[seq], colour = colours["r" + seq % 6], met = lit.length ? new Set(lit.flatMap(block => readers(step, block).filter(one => one.seq === seq).map(one => key(seq, one.kv_head, one.part)))) : null;
        if (seq) { pen.fillStyle = colours.line; pen.fillRect(0, row.top - 8, list.width, 1); }
        pen.fillStyle = colour; pen.beginPath(); pen.roundRect(0, row.top, 34, 20, 6); pen.fill();
        pen.font = `600 12px ${colours.mono}`; pen.textAlign = "center"; pen.fillStyle = colours["on-accent"]; pen.fillText(`R${seq}`, 17, row.top + 10.5);
        pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textAlign = "left"; pen.fillText(`${tokens(data.seq_lens[seq])} tok`, 1, row.top + 31);
        for (let head = 0; head < data.kv_heads; head++) {
          const y = row.top + head * cell;
          if (cell >= 13) { pen.font = `11px ${colours.mono}`; pen.textAlign = "right"; pen.fillStyle = colours.soft; pen.fillText(`KV${head}`, list.left - 6, y + (cell - gap) / 2 + .5); }
          for (let part = 0; part < data.parts; part++) {
            const at = decodeAt.get(key(seq, head, part)), x = list.left + part * cell, side = cell - gap, one = data.programs[at - 1], path = new Path2D();
            path.roundRect(x, y, side, side, Math.min(5, cell / 4));
            const merged = now.kind === "merge" && now.seq === seq && Math.floor(now.head / list.group) === head && now.parts.includes(part);
            pen.fillStyle = colours.free; pen.fill(path);
            if (one && at <= step) {
              if (!one.reads.length) hatch(pen, path, colours.faint, 4, 1);
              else { pen.globalAlpha = at === step || merged ? 1 : .34; pen.fillStyle = colour; pen.fill(path); pen.globalAlpha = 1; }
            }
            if (at === step || merged) { pen.strokeStyle = colours.ink; pen.lineWidth = 2; pen.beginPath(); pen.roundRect(x - 1, y - 1, side + 2, side + 2, Math.min(6, cell / 4)); pen.stroke(); }
            if (met?.has(key(seq, head, part))) { pen.fillStyle = at === step ? colours.card : colours.ink; pen.beginPath(); pen.arc(x + side / 2, y + side / 2, Math.max(1.5, cell / 8), 0, 7); pen.fill(); }
          }
          if (cell >= 13) { pen.fillStyle = colours.soft; pen.textAlign = "center"; pen.font = `11px ${colours.sans}`; pen.fillText("→", list.outs - 9, y + (cell - gap) / 2); }
          for (let g = 0; g < list.group; g++) {
            const at = writtenAt(seq, head * list.group + g), x = list.outs + g * out, o = out - (out > 6 ? 2 : 1), top = y + (cell - gap - o) / 2;
            pen.fillStyle = colours.free; pen.fillRect(x, top, o, o);
            if (at <= step) { pen.globalAlpha = at === step ? 1 : .34; pen.fillStyle = colour; pen.fillRect(x, top, o, o); pen.globalAlpha = 1; }
            if (at === step) { pen.strokeStyle = colours.ink; pen.lineWidth = 1.5; pen.strokeRect(x - .75, top - .75, o + 1.5, o + 1.5); }
          }
        }
        const mine = now.kind === "decode" && now.seq === seq ? new Set(now.reads.map(([block]) => block)) : new Set();
        const before = new Set(data.programs.slice(0, step).filter(one => one.kind === "decode" && one.seq === seq).flatMap(one => one.reads.map(([block]) => block)));
        table.forEach((block, place) => {
          const x = list.start + place % list.per * 38, y = row.pills + Math.floor(place / list.per) * 27, hot = mine.has(block), known = before.has(block), part = Math.min(size, data.seq_lens[seq] - place * size) / size;
          pen.beginPath(); pen.roundRect(x, y, 34, 22, 5);
          pen.fillStyle = known ? colour : colours.free; pen.globalAlpha = hot ? 1 : known ? .28 : 1; pen.fill(); pen.globalAlpha = 1;
          pen.strokeStyle = hot || lit.includes(block) ? colours.ink : colour; pen.lineWidth = hot || lit.includes(block) ? 2 : 1.2; pen.stroke();
          pen.font = `600 12px ${colours.mono}`; pen.textAlign = "center"; pen.fillStyle = hot ? colours["on-accent"] : colours.ink; pen.fillText(block, x + 17, y + (part < 1 ? 9.5 : 11.5));
          if (part < 1) { pen.fillStyle = hot ? colours["on-accent"] : colour; pen.fillRect(x + 3, y + 17, 28 * part, 2.5); }
        });
      });
    }
    function memory(pen, step, lit, colours) {
      const { w, h, gap, large } = map, W = w - gap, H = h - gap, now = data.programs[step - 1], lanes = new Map(), times = new Map();
      data.programs.slice(0, step).forEach((one, index) => { if (one.kind === "decode") {
        for (const read of one.reads) { if (!lanes.has(read[0])) lanes.set(read[0], []); lanes.get(read[0]).push([index === step - 1, one.seq, ...read.slice(1)]); }
        for (const block of new Set(one.reads.map(([block]) => block))) times.set(block, (times.get(block) ?? 0) + 1);
      } });
      pen.fillStyle = colours.well; pen.beginPath(); pen.roundRect(0, 0, map.width, map.height, 10); pen.fill();
      pen.textBaseline = "middle";
      for (let block = 0; block < data.num_blocks; block++) {
        const x = map.x(block) + gap / 2, y = map.y(block) + gap / 2, who = owners.get(block) ?? [], read = lanes.get(block) ?? [], hot = read.some(([fresh]) => fresh), colour = who.length ? colours["r" + who[0] % 6] : colours.faint;
        const outline = () => { pen.beginPath(); large ? pen.roundRect(x, y, W, H, 7) : pen.rect(x, y, W, H); };
        if (!large) {
          pen.fillStyle = who.length || read.length ? hot ? colours["r" + now.seq % 6] : colour : colours.free; pen.globalAlpha = hot ? 1 : read.length ? .45 : who.length ? .14 : 1; pen.fillRect(x, y, W, H); pen.globalAlpha = 1;
        } else {
          outline();
          if (who.length || read.length) { pen.fillStyle = colours.card; pen.fill(); }
          pen.strokeStyle = hot ? colours.ink : colour; pen.lineWidth = hot ? 2 : who.length ? 1.4 : 1; pen.setLineDash(who.length || read.length ? [] : [4, 3]); pen.stroke(); pen.setLineDash([]);
          pen.font = `500 10px ${colours.mono}`; pen.textAlign = "left"; pen.fillStyle = colours.soft; pen.fillText(block, x + 6, y + 11);
          if (who.length) { pen.font = `650 10px ${colours.mono}`; pen.textAlign = "right"; pen.fillStyle = colours.ink;
            const room = W - 14 - 6 * String(block).length; let said = who.map(seq => `R${seq}`), text = said.join(" "); while (said.length > 1 && pen.measureText(text).width > room) { said.pop(); text = said.join(" ") + "…"; } pen.fillText(text, x + W - 6, y + 11); }
          if (who.length || read.length) {
            const wide = W - 12, step1 = wide / size, thin = step1 > 4 ? 1.5 : .5, top = y + 21, tall = map.lane - (map.lane > 4 ? 2 : 1);
            const bar = (head, from, to) => { for (let slot = from; slot < to; slot++) pen.fillRect(x + 6 + slot * step1, top + head * map.lane, step1 - thin, tall); };
            for (let head = 0; head < data.kv_heads; head++) { pen.fillStyle = colours.free; bar(head, 0, size); pen.fillStyle = colours.line; bar(head, 0, fill.get(block) ?? 0); }
            for (const [fresh, seq, head, from, to] of [...read].sort((a, b) => a[0] - b[0])) {      // what is now lies over what was before
              pen.fillStyle = colours.card; bar(head, from, to);
              pen.globalAlpha = fresh ? 1 : .42; pen.fillStyle = fresh ? colours["r" + seq % 6] : colour; bar(head, from, to); pen.globalAlpha = 1;
            }
          }
          if ((times.get(block) ?? 0) > 1) { const text = `×${times.get(block)}`; pen.font = `600 10px ${colours.mono}`; const wide = pen.measureText(text).width + 8, px = x + W - wide - 5, py = y + H - 17;
            pen.fillStyle = colours.ink; pen.beginPath(); pen.roundRect(px, py, wide, 13, 6.5); pen.fill(); pen.fillStyle = colours.card; pen.textAlign = "center"; pen.fillText(text, px + wide / 2, py + 7); }
        }
        if (lit.includes(block)) { pen.strokeStyle = colours.ink; pen.lineWidth = large ? 3 : 1.5; outline(); pen.stroke(); }
      }
    }
    function draw(step, selected) {
      const colours = palette(body), lit = [...new Set([selected, over].filter(block => block !== null))], now = data.programs[step - 1];
      list = rowsLayout(data, Math.max(200, left.area.parentNode.clientWidth)); map = blocksLayout(data, Math.max(160, right.area.parentNode.clientWidth));
      programs(sheet(left.canvas, list.width, list.height), step, lit, colours);
      if (met !== step) { const row = list.rows[now.seq], box = left.area; met = step;      // a long list follows the step
        if (row.top < box.scrollTop || row.bottom > box.scrollTop + box.clientHeight) box.scrollTop = row.top - 24; }
      memory(sheet(right.canvas, map.width, map.height), step, lit, colours);
      const done = data.programs.slice(0, step), sum = of => done.reduce((total, one, index) => total + of(one, index), 0);
      const lines = [["K and V read", `${number(sum(one => one.kind === "decode" ? one.bytes : 0))} bytes`], ["of these read before", `${number(sum((_, index) => data.again[index]))} bytes`]];
      if (merges) lines.push(["partial results read", `${number(sum(one => one.kind === "merge" ? one.bytes : 0))} bytes`]);
      sums.replaceChildren(...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
      left.cell.textContent = `program ${idsOf(now)}`;
      right.cell.textContent = selected === null ? "nothing chosen" : told(step, selected); right.cell.setAttribute("aria-selected", selected !== null);
    }
    const spot = (event, canvas) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    const inMap = event => { const [x, y] = spot(event, right.canvas), column = Math.floor((x - map.pad) / map.w), row = Math.floor((y - map.pad) / map.h), block = row * map.columns + column;
      return column >= 0 && column < map.columns && row >= 0 && block < data.num_blocks ? block : null; };
    const inRow = event => { const [x, y] = spot(event, left.canvas), seq = list.rows.findIndex(row => row.top <= y && y < row.bottom); if (seq < 0) return {};
      const row = list.rows[seq], head = Math.floor((y - row.top) / list.cell), part = Math.floor((x - list.left) / list.cell), query = Math.floor((x - list.outs) / list.out), place = Math.floor((x - list.start) / 38) + Math.floor((y - row.pills) / 27) * list.per;
      if (head < data.kv_heads && part >= 0 && part < data.parts) return { step: decodeAt.get(key(seq, head, part)) };
      if (head < data.kv_heads && query >= 0 && query < list.group) return { step: writtenAt(seq, head * list.group + query) };
      return y >= row.pills && x >= list.start && x < list.start + list.per * 38 ? { block: data.tables[seq][place] } : {}; };
    const hover = block => { block ??= null; if (block !== over) { over = block; draw(player.step(), player.selected()); } };
    const toggle = block => player.select(block === player.selected() ? null : block ?? null);
    right.area.addEventListener("pointermove", event => hover(inMap(event)));
    left.area.addEventListener("pointermove", event => hover(inRow(event).block));
    for (const one of [left, right]) one.area.addEventListener("pointerleave", () => hover(null));
    right.area.addEventListener("click", event => toggle(inMap(event)));
    left.area.addEventListener("click", event => { const { step, block } = inRow(event); if (step) player.go(step); else toggle(block); });
    const keyed = (area, move) => area.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
      event.preventDefault(); move(event.key);
    });
    keyed(right.area, pressed => {
      const at = player.selected() ?? -1, last = data.num_blocks - 1, by = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - map.columns, ArrowDown: at + map.columns, Home: 0, End: last }[pressed];
      player.select(at < 0 ? 0 : Math.max(0, Math.min(last, by)));
    });
    keyed(left.area, pressed => {      // rows are (sequence, KV head); across them the parts, then the query heads where parts are merged
      const now = data.programs[player.step() - 1], decode = now.kind === "decode", across = data.parts + (merges ? group : 0), down = data.tables.length * data.kv_heads;
      let row = now.seq * data.kv_heads + (decode ? now.kv_head : Math.floor(now.head / group)), column = decode ? now.part : data.parts + now.head % group;
      const to = { ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], Home: [row, 0], End: [row, across - 1] }[pressed];
      row = Math.max(0, Math.min(down - 1, to[0])); column = Math.max(0, Math.min(across - 1, to[1]));
      const seq = Math.floor(row / data.kv_heads), head = row % data.kv_heads, step = column < data.parts ? decodeAt.get(key(seq, head, column)) : writtenAt(seq, head * group + column - data.parts);
      if (step) player.go(step);
    });

    return {
      draw,
      rows(step) {
        let soFar = 0;
        return data.programs.slice(0, step).map((one, index) => {
          soFar += one.bytes;
          const decode = one.kind === "decode", read = new Set((one.reads ?? []).map(([block]) => block)), table = [...new Set(data.tables[one.seq])].filter(block => read.has(block));
          const blocks = [...table, ...[...read].filter(block => !table.includes(block)).sort((a, b) => a - b)];
          const byHead = data.across === "head", head = !decode ? `Q ${one.head}` : byHead ? `Q ${one.kv_head * data.parts + one.part}` : `KV ${one.kv_head}`;
          return [index + 1, idsOf(one), `R${one.seq}`, head, decode ? (byHead ? "" : one.part) : `merge ${one.parts.join(", ")}`, decode ? listed(blocks) : "", one.bytes, soFar, data.again[index]];
        });
      },
      note: (step, selected) => selected === null ? "" : told(step, selected),
    };
  },
});
export default shown;
