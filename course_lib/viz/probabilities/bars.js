// A bar for each candidate: plain elements, made once and changed in place.

import { make } from "../kit/dom.js";

// The axis over the bars.
export function axisOf({ scale, plain }) {
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) =>
    make("span", { style: `left:${100 * part}%` }, `${+(100 * scale * part).toFixed(1)}`),
  );
  ticks.at(-1).textContent += " %";
  const columns = ["model", ...(plain ? [] : ["after cut"])].map((text) => make("span", {}, text));
  const nodes = [make("span"), make("span"), make("div", { class: "cl-ticks" }, ...ticks), ...columns];
  return make("div", { class: "cl-axis", "aria-hidden": "true" }, ...nodes);
}

// {node, show(row, selected)}: one bar, or nothing where there is no row.
export function barOf({ scale, plain }, index, id) {
  const mark = make("span", { class: "cl-mark", "aria-hidden": "true" });
  const word = make("span", { class: "cl-word", role: "gridcell" });
  const before = make("span", { class: "cl-before" });
  const after = make("span", { class: "cl-after" });
  const lane = make("span", { class: "cl-lane", "aria-hidden": "true" }, before, after);
  const p = make("span", { class: "cl-p", role: "gridcell" });
  const q = make("span", { class: "cl-q", role: "gridcell" });
  const about = { class: "cl-bar", role: "row", id, "aria-rowindex": index + 1 };
  const node = make("div", about, mark, word, lane, p, q);
  function show(row, selected) {
    const looks = { "cl-out": !row, "cl-cut": row?.cut, "cl-chosen": row?.chosen, "cl-rest": row?.others };
    for (const [look, on] of Object.entries({ ...looks, "cl-picked": selected }))
      node.classList.toggle(look, Boolean(on));
    if (!row) return;
    node.setAttribute("aria-selected", selected);
    mark.textContent = row.chosen ? "▶" : "";
    word.textContent = word.title = row.label;
    before.style.width = plain && !row.cut ? 0 : `${(100 * row.p) / scale}%`;
    after.style.width = `${(100 * row.q) / scale}%`;
    p.textContent = row.p_text;
    q.textContent = row.q_text;
  }
  return { node, show };
}
