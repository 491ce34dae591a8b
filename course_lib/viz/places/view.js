import { make, onArrows } from "../kit/dom.js";
import { replay } from "../kit/player.js";

const HEADS = ["mechanism · your part", "course_lib", "vLLM, vllm/v1/", "SGLang, sglang/srt/"];

function linkTo(place) {
  const name = make("span", { class: "cl-map-name" }, place.name);
  const file = make("span", { class: "cl-map-file" }, place.file);
  return make("a", { href: place.url, target: "_blank", rel: "noopener" }, name, file);
}

function rowOf(row, isMine) {
  const mark = isMine ? [make("span", { class: "cl-swatch cl-map-mine", "aria-hidden": "true" })] : [];
  const own = make("span", { class: "cl-map-file" }, ...mark, row.exercise);
  const title = make("span", { class: "cl-map-title" }, row.title);
  const cells = row.places.map((place) => make("div", { role: "gridcell" }, linkTo(place)));
  return make("div", { role: "row", class: "cl-map-row" }, make("div", { role: "rowheader" }, title, own), ...cells);
}

function build(body, data, player) {
  const heads = HEADS.map((text) => make("div", { role: "columnheader" }, text));
  const rows = data.mechanisms.map((row, at) => rowOf(row, data.mine[at]));
  const grid = make(
    "div",
    {
      class: "cl-map",
      role: "grid",
      tabindex: "0",
      "aria-label": "Mechanisms: up and down go to the next; Tab goes to the links",
    },
    make("div", { role: "row", class: "cl-map-head" }, ...heads),
    ...rows,
  );
  body.append(grid);
  rows.forEach((row, at) => row.addEventListener("click", () => player.go(at + 1)));
  rows.forEach((row, at) => row.addEventListener("focusin", () => player.go(at + 1)));
  onArrows(grid, (key) => {
    const to = { Home: data.first, End: data.last }[key];
    const by = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 }[key];
    player.go(to ?? player.step() + by);
  });

  function draw(step) {
    rows.forEach((row, at) => {
      row.classList.toggle("cl-map-now", at === step - 1);
      row.setAttribute("aria-selected", at === step - 1);
    });
  }

  return { draw, rows: () => data.rows, note: () => "" };
}

const legendOf = ({ mine }) => (mine.some(Boolean) ? [["cl-map-mine", "your part passed its check"]] : []);

export const view = replay({ name: "places", legend: legendOf, build });
