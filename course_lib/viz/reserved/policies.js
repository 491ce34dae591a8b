// A card for each policy, with its shares at this step; one of them is chosen.

import { make, onKeys } from "../kit/dom.js";
import { PARTS, partsAt, share } from "./pieces.js";

const LOOKS = { used: "cl-new", reserved: "cl-later", internal: "cl-hatch cl-again", external: "cl-small" };

// {node, show(step, run)}. shown(): the run that is shown; choose(run): called where another one is chosen.
export function policyCards(data, shown, choose) {
  const node = make("div", { class: "cl-policies", role: "radiogroup", "aria-label": "policy" });
  const cards = data.runs.map((run) => {
    const parts = PARTS.slice(0, 4).map((part) => make("i", { class: LOOKS[part] }));
    const bar = make("span", { class: "cl-strip", "aria-hidden": "true" }, ...parts);
    const use = make("span", { class: "cl-use" });
    const about = { type: "button", class: "cl-policy", role: "radio" };
    const button = make("button", about, make("b", {}, run.policy), use, bar);
    button.addEventListener("click", () => choose(run));
    return { run, button, use, parts };
  });
  node.append(...cards.map((card) => card.button));
  const turn = (by) => () => {
    const next = cards[(data.runs.indexOf(shown()) + by + cards.length) % cards.length];
    choose(next.run);
    next.button.focus();
  };
  onKeys(node, { ArrowLeft: turn(-1), ArrowUp: turn(-1), ArrowRight: turn(1), ArrowDown: turn(1) });
  function show(step, chosen) {
    for (const { run, button, use, parts } of cards) {
      const slots = partsAt(data, run, step);
      parts.forEach((part, at) => {
        part.style.width = `${(100 * slots[at]) / data.capacity}%`;
        part.hidden = !slots[at];
      });
      use.textContent = `${share(slots[0], data.capacity)} used`;
      button.setAttribute("aria-checked", run === chosen);
      button.tabIndex = run === chosen ? 0 : -1;
    }
  }
  return { node, show };
}
