// The frame of a view: title, legend, body, buttons, scrubber, words and table. It only makes nodes.

import { legend, make } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  first: "M3 2v10M12 2 5 7l7 5z",
  back: "M10 2 4 7l6 5z",
  play: "M4 2l7 5-7 5z",
  pause: "M4 2v10M10 2v10",
  forward: "M3.5 2v10M7 2l5 5-5 5z",
  last: "M11 2v10M2 2l7 5-7 5z",
};
const BUTTONS = { first: "first step", back: "step back", play: "play", forward: "step", last: "last step" };

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  const look = {
    width: 14,
    height: 14,
    viewBox: "0 0 14 14",
    fill: "currentColor",
    stroke: "currentColor",
    "stroke-width": name === "pause" ? 2.6 : 1.4,
    "stroke-linejoin": "round",
    "aria-hidden": "true",
  };
  for (const [key, value] of Object.entries(look)) svg.setAttribute(key, value);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// Words come from Python as [kind, text] pieces: "strong", "code" or "" for plain.
export function pieces(parts) {
  return parts.map(([kind, text]) => {
    if (kind === "strong") return make("b", {}, text);
    if (kind === "code") return make("span", { class: "cl-code" }, text);
    return document.createTextNode(text);
  });
}

// {root, body, buttons, scrub, count, say, table, rows}: the nodes of a view, put together.
export function frameOf(view, data) {
  const body = make("div", { class: `cl-${view.name}-body` });
  const { bar, buttons } = buttonBar();
  const range = { min: data.first, max: data.last, step: 1 };
  const scrub = make("input", { type: "range", class: "cl-scrub", ...range, "aria-label": "step" });
  const count = make("span", { class: "cl-count" });
  const player = make("div", { class: "cl-play", role: "group", "aria-label": "player" }, bar, scrub, count);
  const say = make("p", { class: "cl-say", role: "status", "aria-live": "polite" });
  const { table, rows } = tableOf(data.columns, view.still ? "The same as a table" : "This step as a table");
  const head = make(
    "header",
    { class: "cl-head" },
    make("h3", { class: "cl-title" }, data.title),
    make("p", { class: "cl-sub" }, data.subtitle),
    legend(view.legend(data)),
  );
  const inner = make("div", { class: "cl-inner" }, head, body, ...(view.still ? [] : [player]), say, table);
  const root = make(
    "section",
    { class: "cl cl-" + view.name, "aria-label": data.title, tabindex: "-1" },
    inner,
  );
  return { root, body, buttons, scrub, count, say, table, rows };
}

function buttonBar() {
  const buttons = {};
  const bar = make("div", { class: "cl-buttons" });
  for (const [name, label] of Object.entries(BUTTONS)) {
    const look = "cl-button" + (name === "play" ? " cl-main" : "");
    buttons[name] = make(
      "button",
      { type: "button", class: look, "aria-label": label, title: label },
      icon(name),
    );
    bar.append(buttons[name]);
  }
  return { bar, buttons };
}

function tableOf(columns, what) {
  const rows = make("tbody");
  const names = columns.map((name) => make("th", { scope: "col" }, name));
  const cells = make("table", { class: "cl-table" }, make("thead", {}, make("tr", {}, ...names)), rows);
  const scroll = make(
    "div",
    { class: "cl-scroll", tabindex: "0", role: "region", "aria-label": what },
    cells,
  );
  const table = make("details", { class: "cl-rows" }, make("summary", {}, what), scroll);
  return { table, rows };
}
