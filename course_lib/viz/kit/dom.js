// The nodes that views are made of.

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export const freshId = (prefix) => `${prefix}-${Math.random().toString(36).slice(2)}`;

export const caption = (text, more = "") => make("p", { class: `cl-cap${more}` }, text);

// What each mark means. entries: [[class of the swatch, text, character in the swatch], ...]
export function legend(entries, label = "Legend") {
  const items = entries.map(([look, text, mark = ""]) =>
    make("li", {}, make("span", { class: `cl-swatch ${look}`, "aria-hidden": "true" }, mark), text),
  );
  return make("ul", { class: "cl-key", "aria-label": label }, ...items);
}

// A canvas that can be focused and moved in by keys: a screen reader hears `cell`, whose text the view sets.
export function cellGrid(label, attributes = {}, more = "") {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const cell = make("div", { role: "gridcell", id: freshId("cl-cell") });
  const row = make("div", { role: "row" }, cell);
  const area = make(
    "div",
    {
      class: `cl-sheet${more}`,
      role: "grid",
      tabindex: "0",
      "aria-label": label,
      "aria-activedescendant": cell.id,
      ...attributes,
    },
    canvas,
    make("div", { class: "cl-hidden" }, row),
  );
  return { area, canvas, row, cell };
}

// A list of figures: [[name, value], ...]
export function fillFigures(list, lines) {
  list.replaceChildren(...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

// Where in a node the pointer is, in CSS pixels from its top left.
export function pointIn(event, node) {
  const box = node.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

// keys: {"ArrowLeft": handler, ...}, or a function (key) -> handler or undefined. Keys of the host are left alone.
export function onKeys(node, keys) {
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const handler = typeof keys === "function" ? keys(event.key) : keys[event.key];
    if (!handler) return;
    event.preventDefault();
    handler();
  });
}

const ARROWS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];

// move(key) for the arrow keys, Home and End.
export function onArrows(node, move) {
  onKeys(node, (key) => (ARROWS.includes(key) ? () => move(key) : undefined));
}
