import { make, palette, sheet, hatch, replay } from "../kit/player.js";

// Queries down, keys across. The strips around the matrix say what lies in fast memory (q, k, v) and what was written (out).
function layout(data, width) {
  const rows = data.rows.length, columns = data.cols.length, left = 62, right = 34, top = 42, room = Math.min(width, 480) - left - right;
  const cell = Math.max(rows, columns) === 1 ? Math.min(200, room) : Math.min(46, room / columns, 380 / rows);
  return { rows, columns, left, right, top, cell, width: left + columns * cell + right, height: top + rows * cell + 6, gap: cell >= 8 ? 2 : cell >= 4 ? 1 : 0,
           x: j => left + j * cell, y: i => top + i * cell };
}

// For each tile, row by row, its visits in order: [step, kind, number among the computed]. The same as visits() in tiles.py.
function visits(data) {
  const columns = data.cols.length, met = data.rows.flatMap(() => data.cols.map(() => []));
  let computed = 0;
  data.events.forEach(([kind, i, iEnd, j, jEnd], index) => {
    if (kind === "store" || kind === "merge") return;
    if (kind !== "skip") computed++;
    for (let a = i; a < iEnd; a++) for (let b = j; b < jEnd; b++) met[a * columns + b].push([index + 1, kind, computed]);
  });
  return met;
}

const span = (cuts, first, end) => { const a = cuts[first][0], b = cuts[end - 1][1] - 1; return b > a ? `${a}–${b}` : String(a); };
const bytes = value => value.toLocaleString("en");
const real = value => value === null || value === -Infinity ? "−∞" : value.toFixed(3);

function piece(path, grid, x, y, w, h) {
  const { gap } = grid;
  if (Math.min(w, h) < 8) return path.rect(x, y, Math.max(.8, w - gap), Math.max(.8, h - gap));
  const radius = Math.min(4, w / 5, h / 5);
  path.roundRect(x + gap / 2, y + gap / 2, Math.max(1, w - gap), Math.max(1, h - gap), radius);
}

function chart(canvas, data, step, colours, width) {
  const height = 74, pen = sheet(canvas, width, height), n = data.read.length, most = Math.max(1, data.read.at(-1) + data.written.at(-1));
  const x = index => index * width / n, y = value => height - 1 - (height - 6) * value / most;
  const under = (top, base) => { const path = new Path2D();
    for (let i = 0; i < n; i++) { path.lineTo(x(i), y(top(i))); path.lineTo(x(i + 1), y(top(i))); }
    for (let i = n - 1; i >= 0; i--) { path.lineTo(x(i + 1), y(base(i))); path.lineTo(x(i), y(base(i))); }
    path.closePath(); return path; };
  const line = top => { const path = new Path2D(); for (let i = 0; i < n; i++) { path.lineTo(x(i), y(top(i))); path.lineTo(x(i + 1), y(top(i))); } return path; };
  const all = i => data.read[i] + data.written[i], looks = [[i => data.read[i], () => 0, colours.faint], [all, i => data.read[i], colours.ink]];
  for (const [from, to, alpha] of [[0, x(step), 1], [x(step), width, .16]]) {      // filled so far, outlined to come
    pen.save(); pen.beginPath(); pen.rect(from, 0, to - from, height); pen.clip();
    for (const [top, base, colour] of looks) { pen.globalAlpha = alpha; pen.fillStyle = colour; pen.fill(under(top, base)); pen.globalAlpha = 1; }
    for (const [top, , colour] of alpha < 1 ? looks : []) { pen.strokeStyle = colour; pen.lineWidth = 1.2; pen.stroke(line(top)); }
    pen.restore();
  }
  pen.fillStyle = colours.line; pen.fillRect(0, height - 1, width, 1);
  pen.fillStyle = colours.ink; pen.fillRect(Math.min(width - 1.5, x(step) - .75), 0, 1.5, height);
}

const shown = replay({
  name: "tiles",
  legend: data => [
    ["cl-new", "computed, in this order"],
    ...(data.events.some(([kind]) => kind === "skip") ? [["cl-spare", "skipped"]] : []),
    ["cl-coming", "to come"], ["cl-one", "in fast memory now"],
    ...(String(data.begun) !== String(data.done) ? [["cl-hatch cl-again", "output written, unfinished"]] : []),
    ["cl-out-done", "output written"],
  ],
  build(body, data, player) {
    const canvas = make("canvas", { "aria-hidden": "true" }), cell = make("div", { role: "gridcell", id: "cl-cell-" + Math.random().toString(36).slice(2) });
    const line = make("div", { role: "row" }, cell);
    const area = make("div", { class: "cl-sheet", role: "grid", tabindex: "0", "aria-label": "Tiles, queries by keys: arrow keys choose one",
      "aria-rowcount": data.rows.length, "aria-colcount": data.cols.length, "aria-activedescendant": cell.id }, canvas, make("div", { class: "cl-hidden" }, line));
    const graph = make("canvas", { role: "img" }), moved = make("dl", { class: "cl-sums" }), row = make("dl", { class: "cl-sums" });
    body.append(area, make("div", { class: "cl-side" },
      make("p", { class: "cl-cap" }, "Bytes moved, step by step"), make("div", { class: "cl-chart" }, graph), moved,
      make("p", { class: "cl-cap cl-second" }, `Row ${data.watch} (dotted)`), row));
    const fill = (list, lines) => list.replaceChildren(...lines.flatMap(([name, value, look = ""]) => {
      const wide = { class: look === "cl-whole" ? look : "" }, swatch = look && !wide.class ? [make("span", { class: "cl-swatch " + look, "aria-hidden": "true" })] : [];
      return [make("dt", wide, ...swatch, name), make("dd", wide, value)];
    }));
    const met = visits(data);
    const listed = index => { const said = data.output[index].replace(/^output,? ?/, ""), values = data.row[index][2].map(real).join(", "); return said ? `${values} (${said})` : values; };
    let grid = null;

    const last = (step, i, j) => met[i * data.cols.length + j].findLast(([at]) => at <= step);
    const place = ([i, j]) => `queries ${span(data.rows, i, i + 1)}, keys ${span(data.cols, j, j + 1)}`;
    function state(step, [i, j]) {
      const found = last(step, i, j);
      return !found ? "still to come" : `${found[1] === "skip" ? "skipped" : "computed"} in step ${found[0]}`;
    }
    function strips(pen, step, colours) {
      const [, i, iEnd, j, jEnd] = data.events[step - 1], [queriesIn, keysIn] = data.fast[step - 1], fast = new Path2D(), rest = new Path2D(), done = new Path2D(), open = new Path2D();
      const right = grid.x(grid.columns);
      for (let n = 0; n < grid.columns; n++) piece(keysIn && j <= n && n < jEnd ? fast : rest, grid, grid.x(n), grid.top - 20, grid.cell, 15);
      for (let n = 0; n < grid.rows; n++) {
        piece(queriesIn && i <= n && n < iEnd ? fast : rest, grid, grid.left - 20, grid.y(n), 15, grid.cell);
        const end = data.done[n], begin = data.begun[n];
        piece(end && end <= step ? done : begin && begin <= step ? open : rest, grid, right + 5, grid.y(n), 15, grid.cell);
      }
      pen.fillStyle = colours.free; pen.fill(rest);
      pen.fillStyle = colours.r2; pen.fill(fast);
      pen.fillStyle = colours.r1; pen.fill(done);
      pen.globalAlpha = .13; pen.fill(open); pen.globalAlpha = 1;
      hatch(pen, open, colours.r1, 5, 1.1); pen.strokeStyle = colours.r1; pen.lineWidth = 1; pen.stroke(open);
      pen.font = `12px ${colours.sans}`; pen.textBaseline = "middle"; pen.fillStyle = colours.soft;
      pen.textAlign = "center"; pen.fillText("q", grid.left - 12.5, grid.top - 12); pen.fillText("out", right + 14, grid.top - 12);
      pen.textAlign = "right"; pen.fillText("k, v", grid.left - 26, grid.top - 12);
      pen.font = `11px ${colours.mono}`;
      const every = [1, 2, 4, 8, 16, 32].find(n => n * grid.cell >= 15) ?? 64;
      for (let n = 0; n < grid.rows; n += every) pen.fillText(data.rows[n][0], grid.left - 26, grid.y(n + .5));
      pen.textAlign = "center";
      const wide = [1, 2, 4, 8, 16, 32].find(n => n * grid.cell >= 26) ?? 64;
      for (let n = 0; n < grid.columns; n += wide) pen.fillText(data.cols[n][0], grid.x(n + .5), grid.top - 30);
    }
    function draw(step, selected) {
      const colours = palette(body), [, i, iEnd, j, jEnd] = data.events[step - 1];
      grid = layout(data, body.clientWidth);
      const pen = sheet(canvas, grid.width, grid.height), made = new Path2D(), left = new Path2D(), coming = new Path2D();
      for (let a = 0; a < grid.rows; a++) for (let b = 0; b < grid.columns; b++) {
        const found = last(step, a, b);
        piece(!found ? coming : found[1] === "skip" ? left : made, grid, grid.x(b), grid.y(a), grid.cell, grid.cell);
      }
      pen.fillStyle = colours.free; pen.fill(coming); pen.fill(left);
      hatch(pen, left, colours.faint, 5, 1);
      pen.fillStyle = colours.r0; pen.fill(made);
      strips(pen, step, colours);
      const [first, end] = data.rows[data.watched], at = grid.y(data.watched + (data.watch - first + .5) / (end - first));
      pen.strokeStyle = colours.ink; pen.lineWidth = 1; pen.setLineDash([2, 2]); pen.beginPath(); pen.moveTo(grid.left - 4, at); pen.lineTo(grid.x(grid.columns) + 4, at); pen.stroke(); pen.setLineDash([]);
      if (grid.cell >= 20) {
        pen.font = `11.5px ${colours.mono}`; pen.textAlign = "center"; pen.textBaseline = "middle"; pen.fillStyle = colours.card;
        for (let a = 0; a < grid.rows; a++) for (let b = 0; b < grid.columns; b++) {
          const found = last(step, a, b);
          if (found && found[1] !== "skip") pen.fillText(found[2], grid.x(b + .5), grid.y(a + .5));
        }
      }
      pen.strokeStyle = colours.ink; pen.lineWidth = 2; pen.beginPath();
      pen.roundRect(grid.x(j) - .5, grid.y(i) - .5, (jEnd - j) * grid.cell + 1, (iEnd - i) * grid.cell + 1, 4); pen.stroke();
      if (selected) { pen.lineWidth = 1.5; pen.setLineDash([4, 3]); pen.strokeRect(grid.x(selected[1]) + 3, grid.y(selected[0]) + 3, Math.max(3, grid.cell - 6), Math.max(3, grid.cell - 6)); pen.setLineDash([]); }
      const now = selected ?? [i, j];
      line.setAttribute("aria-rowindex", now[0] + 1); cell.setAttribute("aria-colindex", now[1] + 1); cell.setAttribute("aria-selected", selected !== null);
      cell.textContent = `${place(now)}: ${state(step, now)}`;
      chart(graph, data, step, colours, Math.max(60, graph.parentNode.clientWidth));
      const known = data.row[step - 1];
      graph.setAttribute("aria-label", `So far ${bytes(data.read[step - 1])} bytes read and ${bytes(data.written[step - 1])} written; at the end ${bytes(data.read.at(-1))} and ${bytes(data.written.at(-1))}.`);
      const later = data.read.at(-1) - data.read[step - 1] + data.written.at(-1) - data.written[step - 1];
      fill(moved, [["read", `${bytes(data.read[step - 1])} of ${bytes(data.read.at(-1))}`, "cl-moved-read"],
        ["written", `${bytes(data.written[step - 1])} of ${bytes(data.written.at(-1))}`, "cl-moved-written"], ["still to move", bytes(later), "cl-moved-later"]]);
      fill(row, known ? [["maximum", real(known[0])], ["sum", real(known[1])], [data.output[step - 1], known[2].map(real).join(", "), "cl-whole"]] : [["", "not met yet"]]);
    }
    area.addEventListener("click", event => {
      const box = canvas.getBoundingClientRect(), i = Math.floor((event.clientY - box.top - grid.top) / grid.cell), j = Math.floor((event.clientX - box.left - grid.left) / grid.cell);
      const inside = i >= 0 && i < grid.rows && j >= 0 && j < grid.columns;
      player.select(inside && String([i, j]) !== String(player.selected()) ? [i, j] : null);
    });
    area.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const now = player.selected(), [, i0, , j0] = data.events[player.step() - 1], [i, j] = now ?? [i0, j0], fit = (x, n) => Math.max(0, Math.min(n - 1, x));
      const keys = { ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1], ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], Home: [i, 0], End: [i, grid.columns - 1] };
      if (!keys[event.key]) return;
      event.preventDefault();
      const [a, b] = now ? keys[event.key] : [i, j];
      player.select([fit(a, grid.rows), fit(b, grid.columns)]);
    });

    return {
      draw,
      rows: step => data.events.slice(0, step).map(([kind, i, iEnd, j, jEnd], index) => [index + 1, kind, span(data.rows, i, iEnd), span(data.cols, j, jEnd),
        data.read[index], data.written[index], ...(data.row[index] ? [...data.row[index].slice(0, 2).map(real), listed(index)] : ["", "", ""])]),
      note(step, selected) {
        if (selected === null) return "";
        const text = place(selected);
        return `${text[0].toUpperCase()}${text.slice(1)}: ${state(step, selected)}.`;
      },
    };
  },
});
export default shown;
