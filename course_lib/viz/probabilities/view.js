import { freshId, make, onKeys } from "../kit/dom.js";
import { clamp } from "../kit/format.js";
import { replay } from "../kit/player.js";
import { axisOf, barOf } from "./bars.js";
import { storyOf } from "./story.js";

function legendOf({ plain, steps }) {
  const cuts = steps.some((step) => step.rows.some((row) => row.cut));
  const both = [
    ["cl-before", "from the model"],
    ["cl-after", "after temperature and cut"],
  ];
  return [
    ...(plain ? [["cl-after", "the model's probability"]] : both),
    ...(cuts ? [["cl-hatch", "cut"]] : []),
    ["cl-mark", "chosen", "▶"],
  ];
}

function build(body, data, player) {
  body.classList.toggle("cl-plain", data.plain);
  const story = storyOf(data, player);
  const most = Math.max(...data.steps.map((step) => step.rows.length));
  const id = freshId("cl-bars");
  const bars = make("div", {
    class: "cl-bars",
    role: "grid",
    tabindex: "0",
    "aria-label": "candidates for the next token: up and down choose one",
    "aria-rowcount": most,
  });
  const lines = Array.from({ length: most }, (_, index) => barOf(data, index, `${id}-${index}`));
  bars.append(...lines.map((line) => line.node));
  body.append(story.node, axisOf(data), bars);

  const rowsAt = (step) => data.steps[step - player.first].rows;
  lines.forEach((line, index) => {
    line.node.addEventListener("click", () => player.select(player.selected() === index ? null : index));
  });
  const choose = (rank) => player.select(clamp(rank, 0, rowsAt(player.step()).length - 1));
  onKeys(bars, {
    ArrowUp: () => choose((player.selected() ?? Infinity) - 1),
    ArrowDown: () => choose((player.selected() ?? -1) + 1),
  });

  return {
    draw(step, selected) {
      story.show(data.steps[step - player.first].position);
      lines.forEach((line, index) => line.show(rowsAt(step)[index], index === selected));
      if (selected === null) bars.removeAttribute("aria-activedescendant");
      else bars.setAttribute("aria-activedescendant", `${id}-${selected}`);
    },
    rows: (step) =>
      rowsAt(step).map((row, index) => {
        const rank = row.others ? "" : index + 1;
        return [rank, row.label, row.p_text, row.q_text, row.chosen ? "chosen" : ""];
      }),
    note(step, selected) {
      const row = selected === null ? null : rowsAt(step)[selected];
      if (!row) return "";
      const name = row.others ? "All others together" : `‘${row.label}’`;
      return `${name}: ${row.p_text} from the model, ${row.cut ? "cut" : row.q_text + " after temperature and cut"}.`;
    },
  };
}

export const view = replay({ name: "probabilities", legend: legendOf, build });
