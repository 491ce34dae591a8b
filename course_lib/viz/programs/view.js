import { make, palette, sheet, hatch, replay } from "../kit/player.js";

// Left the grid of programs, right every tensor as a matrix of numbers. An access is
// [program, op (0 load, 1 store, 2 atomic), tensor, boxes touched, boxes masked, lanes, masked lanes, bytes, line].
const number = value => value.toLocaleString("en");
const idsOf = program => program.length === 1 ? String(program[0]) : `(${program.join(", ")})`;
const ROOM = 300, HEAD = 22, FOOT = 42, MARGIN = 24;

// The programs: the first id down, the second across, a third across in groups; one id runs across in lines.
function gridLayout(data, width) {
  const [a, b = 1, c = 1] = data.grid, flat = data.grid.length === 1, across = flat ? Math.min(a, Math.max(6, Math.ceil(Math.sqrt(a)))) : b * c, down = flat ? Math.ceil(a / across) : a;
  const left = flat ? 2 : 22, top = 26, gaps = c > 1 ? (b - 1) * 5 : 0, cell = Math.max(3, Math.min(26, (width - left - gaps - 2) / across, ROOM / down));      // a ring needs 2 px around
  const place = index => { const [x, y = 0, z = 0] = data.programs[index]; return flat ? [left + index % across * cell, top + Math.floor(index / across) * cell] : [left + (y * c + z) * cell + (c > 1 ? y * 5 : 0), top + x * cell]; };
  return { flat, across, down, left, top, cell, place, width, height: top + down * cell + 4 };
}

// The tensors flow from left to right; each has a caption above and its bytes below.
function tensorLayout(data, width) {
  const wide = data.tensors.filter(t => t.cols > 8).length, beside = Math.max(1, Math.min(wide, Math.floor(width / 162))), share = Math.max(112, Math.min(330, (width - 26 * (beside - 1)) / beside - MARGIN));
  let x = 0, y = 0, tall = 0;
  const places = data.tensors.map(t => {
    const columns = t.cols + t.aside, rows = t.rows + t.over, margin = t.rows > 1 ? MARGIN : 1, w = Math.min(26, Math.min(share, width - margin) / columns), h = Math.min(26, ROOM / rows, Math.max(w * 1.6, 3));
    const across = margin + Math.max(columns * w, 116);
    if (x && x + across > width + 1) { x = 0; y += tall + 14; tall = 0; }
    const place = { x: x + margin, y: y + HEAD, w, h, columns, rows, across };
    x += across + 26; tall = Math.max(tall, HEAD + rows * h + FOOT);
    return place;
  });
  return { places, width, height: y + tall };
}

const shown = replay({
  name: "programs",
  legend: data => [["cl-new", "loaded now"], ["cl-out-done", "stored now"], ["cl-loaded-before", "loaded before"], ["cl-stored-before", "stored before"],
    ...(data.accesses.some(access => access[4].length) ? [["cl-masked", "masked: not touched"]] : []), ["cl-untouched", "not touched yet"]],
  build(body, data, player) {
    const id = "cl-cell-" + Math.random().toString(36).slice(2);
    const area = (name, label) => { const canvas = make("canvas", { "aria-hidden": "true" }), cell = make("div", { role: "gridcell", id: `${id}-${name}` });
      return { canvas, cell, area: make("div", { class: "cl-sheet", role: "grid", tabindex: "0", "aria-label": label, "aria-activedescendant": cell.id }, canvas, make("div", { class: "cl-hidden" }, make("div", { role: "row" }, cell))) }; };
    const left = area("programs", "Programs: arrow keys go to one"), right = area("tensors", "Tensors: arrow keys choose a number"), moved = make("dl", { class: "cl-sums" });
    body.append(make("div", { class: "cl-programs-two" }, make("div", {}, make("p", { class: "cl-cap" }, "Programs"), left.area, make("p", { class: "cl-cap cl-second" }, "Bytes so far"), moved), make("div", {}, make("p", { class: "cl-cap" }, "Tensors"), right.area)));
    const stepOf = new Map();      // program -> its first step
    data.steps.forEach(([program], index) => { if (!stepOf.has(program)) stepOf.set(program, index + 1); });
    const stores = new Set(data.accesses.filter(access => access[1] > 0).map(access => access[0]));
    let grid = null, map = null;

    const inside = ([r0, r1, c0, c1], row, column) => r0 <= row && row < r1 && c0 <= column && column < c1;
    const matrix = selected => { const at = data.tensors.findIndex(t => t.name === selected[0]); return [at, Math.floor(selected[1] / data.tensors[at].cols), selected[1] % data.tensors[at].cols]; };
    const named = (t, flat) => { const index = []; for (const n of [...t.shape].reverse()) { index.unshift(flat % n); flat = Math.floor(flat / n); } return `${t.name}[${index.join(", ")}]`; };
    // who touched a number up to a step: {load: Map(program -> times), store: ...}
    function touchers(step, selected) {
      const [place, row, column] = matrix(selected), found = { load: new Map(), store: new Map() };
      data.accesses.slice(0, data.steps[step - 1][2]).forEach(([program, op, at, touched]) => {
        if (at !== place || !touched.some(box => inside(box, row, column))) return;
        for (const [kind, ops] of [["load", [0, 2]], ["store", [1, 2]]]) if (ops.includes(op)) found[kind].set(program, (found[kind].get(program) ?? 0) + 1);
      });
      return found;
    }
    const list = programs => { const all = [...programs.keys()].map(p => idsOf(data.programs[p])); return all.slice(0, 5).join(", ") + (all.length > 5 ? ` and ${all.length - 5} more` : ""); };
    function told(step, selected) {
      const { load, store } = touchers(step, selected), total = map => [...map.values()].reduce((sum, n) => sum + n, 0), times = n => n === 1 ? "once" : `${number(n)} times`;
      const parts = [[load, "loaded"], [store, "stored"]].filter(([found]) => found.size).map(([found, verb]) => `${verb} ${times(total(found))} by ${found.size === 1 ? "program" : "programs"} ${list(found)}`);
      return `${named(data.tensors[matrix(selected)[0]], selected[1])}: ${parts.join(", ") || "touched by no program so far"}.`;
    }

    function programs(step, selected, colours) {
      const pen = sheet(left.canvas, grid.width, grid.height), { cell } = grid, gap = cell > 7 ? 3 : 1, now = data.steps[step - 1][0], met = selected ? touchers(step, selected) : null;
      pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textBaseline = "middle"; pen.textAlign = "left";
      const ids = data.grid.length === 1 ? "program_id(0) →" : data.grid.length === 2 ? "id 0 ↓   id 1 →" : "id 0 ↓   id 1, id 2 →";
      pen.fillText(ids, 0, 8);
      data.programs.forEach((program, index) => {
        const [x, y] = grid.place(index), side = cell - gap, done = stepOf.has(index) && data.steps[step - 1][0] > index;
        const path = new Path2D(); path.roundRect(x, y, side, side, Math.min(5, cell / 4));
        pen.fillStyle = colours.free; pen.fill(path);
        const tone = stores.has(index) ? colours.r2 : colours.faint;
        if (done || index === now) { pen.globalAlpha = index === now ? 1 : cell > 7 ? .3 : .6; pen.fillStyle = tone; pen.fill(path); pen.globalAlpha = 1; }
        if (cell > 7) { pen.strokeStyle = done ? tone : colours.faint; pen.lineWidth = done ? 1.6 : 1; pen.stroke(path); }
        if (met && (met.load.has(index) || met.store.has(index))) { pen.fillStyle = index === now ? colours.card : colours.ink; pen.beginPath(); pen.arc(x + side / 2, y + side / 2, Math.max(1.5, cell / 7), 0, 7); pen.fill(); }
        if (index === now) { pen.strokeStyle = colours.ink; pen.lineWidth = 2; pen.beginPath(); pen.roundRect(x - 1, y - 1, side + 2, side + 2, Math.min(6, cell / 4)); pen.stroke(); }
        const [a, b = 0, c = 0] = program;
        if (cell >= 20 && (grid.flat || b + c === 0)) { pen.fillStyle = grid.flat ? (index === now ? colours.card : colours.ink) : colours.soft; pen.textAlign = grid.flat ? "center" : "right";
          if (grid.flat ? !met : true) pen.fillText(a, grid.flat ? x + side / 2 : x - 6, y + side / 2 + .5); }
      });
    }
    function tensor(pen, t, at, place, step, selected, colours) {
      const { x, y, w, h } = place, [now, begin, end] = data.steps[step - 1], gap = Math.min(w, h) >= 6 ? 1 : 0;
      const paths = Object.fromEntries(["loaded", "stored", "wasLoaded", "wasStored", "masked"].map(name => [name, new Path2D()]));
      const add = (path, [r0, r1, c0, c1]) => {
        const bottom = Math.min(r1, place.rows), right = Math.min(c1, place.columns), top = Math.max(0, r0);
        if (bottom > top && right > c0) path.rect(x + c0 * w, y + top * h, (right - c0) * w - gap, (bottom - top) * h - gap);
      };
      let read = 0, written = 0, readNow = 0, writtenNow = 0;
      data.accesses.slice(0, end).forEach(([, op, where, touched, masked, , , bytes], index) => {
        if (where !== at) return;
        const fresh = index >= begin;
        if (op !== 1) { read += bytes; if (fresh) readNow += bytes; touched.forEach(box => add(paths[fresh ? "loaded" : "wasLoaded"], box)); }
        if (op !== 0) { written += bytes; if (fresh) writtenNow += bytes; touched.forEach(box => add(paths[fresh ? "stored" : "wasStored"], box)); }
        if (fresh) masked.forEach(box => add(paths.masked, box));
      });
      const whole = Math.floor(t.numel / t.cols), rest = t.numel - whole * t.cols, ends = [[t.cols, 0, whole], ...(rest ? [[rest, whole, whole + 1]] : [])];      // [columns, first row, end]
      const edge = (c, r, end) => pen.fillRect(x + c * w - 1, y + r * h - 1, 1, (end - r) * h), under = (r, c) => pen.fillRect(x - 1, y + r * h - 1, c * w + 1, 1);
      pen.fillStyle = colours.free;
      for (const [columns, r, end] of ends) pen.fillRect(x, y + r * h, columns * w, (end - r) * h);
      pen.fillStyle = colours.faint;      // numbers stand apart where there is room
      if (gap) for (const [columns, first, end] of ends) { for (let c = 1; c < columns; c++) edge(c, first, end); for (let r = first + 1; r < end; r++) under(r, columns); }
      for (const [path, colour] of [[paths.wasLoaded, colours.r0], [paths.wasStored, colours.r1]]) { pen.fillStyle = colours.card; pen.fill(path); pen.globalAlpha = .14; pen.fillStyle = colour; pen.fill(path); pen.globalAlpha = 1; }
      hatch(pen, paths.wasLoaded, colours.r0, 4, 1.2, true);
      for (const mirrored of [false, true]) hatch(pen, paths.wasStored, colours.r1, 5.5, 1, mirrored);
      pen.fillStyle = colours.card; pen.fill(paths.masked); hatch(pen, paths.masked, colours.faint, 4, 1.1); pen.strokeStyle = colours.faint; pen.lineWidth = .8; pen.stroke(paths.masked);
      for (const [path, colour] of [[paths.loaded, colours.r0], [paths.stored, colours.r1]]) { pen.fillStyle = colour; pen.fill(path); }
      pen.fillStyle = colours.card;
      if (gap) { pen.save(); const filled = new Path2D(); Object.values(paths).forEach(path => filled.addPath(path)); pen.clip(filled);
        for (let c = 1; c < place.columns; c++) edge(c, 0, place.rows); for (let r = 1; r < place.rows; r++) under(r, place.columns); pen.restore(); }
      pen.fillStyle = colours.faint;      // the edge of the tensor
      for (const [columns, first, end] of ends) { pen.fillRect(x - 1, y + first * h - 1, 1, (end - first) * h + 1); edge(columns, first, end); under(end, columns); }
      under(0, ends[0][2] ? t.cols : rest);
      pen.fillStyle = colours.card;      // heads and blocks always
      const inner = t.shape.length > 2 ? t.shape.at(-1) : 0;
      if (inner && inner < t.cols && inner * w > 6) for (let c = inner; c < t.cols; c += inner) pen.fillRect(x + c * w - 1.5, y, 2.5, t.rows * h);
      if (t.unit > 1 && t.unit * h > 6) for (let r = t.unit; r < t.rows; r += t.unit) pen.fillRect(x, y + r * h - 1.5, t.cols * w, 2.5);
      if (t.rows > 1) {      // numbers in the margin: the first index, or in a broken line where it begins
        pen.font = `10px ${colours.mono}`; pen.fillStyle = colours.soft; pen.textAlign = "right"; pen.textBaseline = "middle";
        const every = t.unit * ([1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500].find(n => n * t.unit * h >= 15) ?? 1000);
        for (let r = 0; r < t.rows; r += every) pen.fillText(r / t.unit * t.worth, x - 5, y + (r + .5) * h);
      }
      if (place.rows > t.rows || place.columns > t.cols) { pen.strokeStyle = colours.ink; pen.lineWidth = 1; pen.setLineDash([3, 2]); pen.beginPath();      // where the tensor ends
        if (place.rows > t.rows) { pen.moveTo(x - 3, y + t.rows * h - gap / 2); pen.lineTo(x + t.cols * w + 3, y + t.rows * h - gap / 2); } else { pen.moveTo(x + t.cols * w - gap / 2, y - 3); pen.lineTo(x + t.cols * w - gap / 2, y + h + 3); }
        pen.stroke(); pen.setLineDash([]); }
      const past = (place.rows - t.rows) * h, over = begin < end && data.accesses.slice(begin, end).some(access => access[2] === at && access[4].some(box => box[1] > t.rows));
      if (past >= 15 && !over) { pen.font = `11px ${colours.sans}`; pen.textBaseline = "middle"; pen.textAlign = "left"; pen.fillStyle = colours.soft; pen.fillText("past its end", x, y + t.rows * h + Math.min(12, past / 2 + 1)); }
      if (selected?.[0] === t.name) { const [, row, column] = matrix(selected); pen.strokeStyle = colours.ink; pen.lineWidth = 2; pen.strokeRect(x + column * w - 1.5, y + row * h - 1.5, Math.max(4, w + 2), Math.max(4, h + 2)); }
      pen.textBaseline = "middle"; pen.textAlign = "left"; pen.fillStyle = colours.ink; pen.font = `650 12.5px ${colours.mono}`; pen.fillText(t.name, x, y - 12);
      const after = pen.measureText(t.name).width + 8; pen.fillStyle = colours.soft; pen.font = `11px ${colours.mono}`; pen.fillText(`[${t.shape.join(", ")}]`, x + after, y - 11.5);
      let below = y + place.rows * h + 11;
      for (const [verb, fresh, sum] of [["read", readNow, read], ["written", writtenNow, written]]) if (sum) {
        pen.fillStyle = fresh ? colours.ink : colours.soft; pen.font = `${fresh ? 600 : 400} 11px ${colours.mono}`; pen.fillText(`${verb} ${number(sum)} B`, x, below); below += 14;
        if (sum > t.bytes) { pen.font = `11px ${colours.mono}`; pen.fillStyle = colours.soft; pen.fillText(`= ${(sum / t.bytes).toFixed(1)} × ${t.name}`, x, below); below += 14; }
      }
      if (!read && !written) { pen.fillStyle = colours.soft; pen.fillText(`${number(t.bytes)} B`, x, below); }
    }
    function draw(step, selected) {
      const colours = palette(body);
      grid = gridLayout(data, Math.max(90, left.area.parentNode.clientWidth)); map = tensorLayout(data, Math.max(160, right.area.parentNode.clientWidth));
      programs(step, selected, colours);
      const pen = sheet(right.canvas, map.width, map.height);
      data.tensors.forEach((t, at) => tensor(pen, t, at, map.places[at], step, selected, colours));
      const sum = ops => data.accesses.slice(0, data.steps[step - 1][2]).reduce((total, access) => total + (ops.includes(access[1]) ? access[7] : 0), 0);
      moved.replaceChildren(...[["read", sum([0, 2])], ["written", sum([1, 2])]].flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, number(value))]));
      left.cell.textContent = `program ${idsOf(data.programs[data.steps[step - 1][0]])}`;
      right.cell.textContent = selected ? told(step, selected) : "nothing chosen"; right.cell.setAttribute("aria-selected", selected !== null);
    }
    const at = (event, canvas) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    left.area.addEventListener("click", event => {
      const [x, y] = at(event, left.canvas), index = data.programs.findIndex((_, one) => { const [px, py] = grid.place(one); return px <= x && x < px + grid.cell && py <= y && y < py + grid.cell; });
      if (stepOf.has(index)) player.go(stepOf.get(index));
    });
    right.area.addEventListener("click", event => {
      const [x, y] = at(event, right.canvas), place = map.places.findIndex((p, index) => { const t = data.tensors[index]; return x >= p.x && x < p.x + t.cols * p.w && y >= p.y && y < p.y + t.rows * p.h; });
      if (place < 0) { player.select(null); return; }
      const p = map.places[place], t = data.tensors[place], flat = Math.floor((y - p.y) / p.h) * t.cols + Math.floor((x - p.x) / p.w), chosen = [t.name, flat];
      player.select(flat >= t.numel || String(chosen) === String(player.selected()) ? null : chosen);
    });
    const keyed = (node, move) => node.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
      event.preventDefault(); move(event.key);
    });
    keyed(left.area, key => {
      const now = data.steps[player.step() - 1][0], last = data.programs.length - 1, by = grid.across, line = Math.floor(now / by);
      const to = { ArrowLeft: now - 1, ArrowRight: now + 1, ArrowUp: now - by, ArrowDown: now + by, Home: line * by, End: line * by + by - 1 }[key], up = key === "ArrowRight" || key === "ArrowDown" || key === "End";
      for (let one = Math.max(0, Math.min(last, to)); one >= 0 && one <= last; one += up ? 1 : -1) if (stepOf.has(one)) { player.go(stepOf.get(one)); return; }
    });
    keyed(right.area, key => {
      const chosen = player.selected();
      if (!chosen) { player.select([data.tensors[0].name, 0]); return; }
      const [place, row, column] = matrix(chosen), t = data.tensors[place], edge = key === "ArrowLeft" && column === 0 ? -1 : key === "ArrowRight" && column === t.cols - 1 ? 1 : 0;
      const next = data.tensors[place + edge];
      if (edge && next) { const r = Math.min(row, next.rows - 1), c = edge > 0 ? 0 : next.cols - 1; player.select([next.name, Math.min(next.numel - 1, r * next.cols + c)]); return; }
      const [r, c] = { ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], Home: [row, 0], End: [row, t.cols - 1] }[key];
      player.select([t.name, Math.min(t.numel - 1, Math.max(0, Math.min(t.rows - 1, r)) * t.cols + Math.max(0, Math.min(t.cols - 1, c)))]);
    });

    return {
      draw,
      rows(step) {
        let loaded = 0, stored = 0;
        return data.steps.slice(0, step).map(([program, begin, end], index) => {
          const names = [new Set(), new Set()], sums = [0, 0]; let masked = 0;
          for (const [, op, place, , , , hidden, bytes] of data.accesses.slice(begin, end)) {
            for (const [kind, ops] of [[0, [0, 2]], [1, [1, 2]]]) if (ops.includes(op)) { names[kind].add(data.tensors[place].name); sums[kind] += bytes; }
            masked += hidden;
          }
          loaded += sums[0]; stored += sums[1];
          const what = ["loads", "stores"].map((verb, kind) => names[kind].size ? `${verb} ${[...names[kind]].join(", ")}` : "").filter(Boolean).join("; ");
          return [index + 1, idsOf(data.programs[program]), what || "nothing", ...sums, masked, loaded, stored];
        });
      },
      note: (step, selected) => selected === null ? "" : told(step, selected),
    };
  },
});
export default shown;
