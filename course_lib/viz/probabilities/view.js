import { make, replay } from "../kit/player.js";

// A dozen rows and the text so far: plain elements, written once and changed in place.
function bar(index, id) {
  const parts = { mark: make("span", { class: "cl-mark", "aria-hidden": "true" }), word: make("span", { class: "cl-word" }),
    lane: make("span", { class: "cl-lane", "aria-hidden": "true" }), p: make("span", { class: "cl-p" }), q: make("span", { class: "cl-q" }) };
  const before = make("span", { class: "cl-before" }), after = make("span", { class: "cl-after" });
  parts.lane.append(before, after);
  for (const name of ["word", "p", "q"]) parts[name].setAttribute("role", "gridcell");
  const node = make("div", { class: "cl-bar", role: "row", id: `${id}-${index}`, "aria-rowindex": index + 1 }, parts.mark, parts.word, parts.lane, parts.p, parts.q);
  return { node, before, after, ...parts };
}

const shown = replay({
  name: "probabilities",
  legend: data => [
    ...(data.plain ? [["cl-after", "the model's probability"]] : [["cl-before", "from the model"], ["cl-after", "after temperature and cut"]]),
    ...(data.steps.some(step => step.rows.some(row => row.cut)) ? [["cl-hatch", "cut"]] : []),
    ["cl-mark", "chosen", "▶"],
  ],
  build(body, data, player) {
    body.classList.toggle("cl-plain", data.plain);
    const byPosition = new Map(data.steps.map((step, i) => [step.position, i + player.first]));
    const story = make("div", { class: "cl-lines", tabindex: "0", role: "region", "aria-label": "the text so far, with the next place" });
    const words = data.tokens.map((token, position) => {
      const word = make("span", byPosition.has(position) ? { class: "cl-made", title: `chosen in step ${byPosition.get(position)}` } : {}, token);
      if (byPosition.has(position)) word.addEventListener("click", () => player.go(byPosition.get(position)));
      return word;
    });
    story.append(...words);

    const most = Math.max(...data.steps.map(step => step.rows.length)), id = "cl-bars-" + Math.random().toString(36).slice(2);
    const bars = make("div", { class: "cl-bars", role: "grid", tabindex: "0", "aria-label": "candidates for the next place: up and down choose one", "aria-rowcount": most });
    const lines = Array.from({ length: most }, (_, index) => bar(index, id));
    bars.append(...lines.map(line => line.node));
    const ticks = [0, .25, .5, .75, 1].map(part => make("span", { style: `left:${100 * part}%` }, `${+(100 * data.scale * part).toFixed(1)}`));
    ticks[4].textContent += " %";
    const axis = make("div", { class: "cl-axis", "aria-hidden": "true" }, make("span"), make("span"), make("div", { class: "cl-ticks" }, ...ticks),
      make("span", {}, "model"), ...(data.plain ? [] : [make("span", {}, "after cut")]));
    body.append(make("div", { class: "cl-story" }, story), axis, bars);

    lines.forEach((line, index) => line.node.addEventListener("click", () => player.select(player.selected() === index ? null : index)));
    bars.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const count = data.steps[player.step() - player.first].rows.length, at = player.selected();
      const keys = { ArrowUp: (at ?? count) - 1, ArrowDown: (at ?? -1) + 1 };
      if (!(event.key in keys)) return;
      event.preventDefault();
      player.select(Math.max(0, Math.min(count - 1, keys[event.key])));
    });

    let place = null;
    function tell(position) {      // everything from the next place on is still unknown
      if (place === position) return;
      words.forEach((word, at) => { word.hidden = at > position; word.classList.toggle("cl-place", at === position); });
      if (place !== null) words[place].textContent = data.tokens[place];
      words[position].textContent = data.labels[position];
      place = position;
      story.scrollTop = story.scrollHeight;
    }
    function draw(step, selected) {
      const { rows, position } = data.steps[step - player.first];
      tell(position);
      lines.forEach((line, index) => {
        const row = rows[index], look = line.node.classList;
        look.toggle("cl-out", !row);
        if (!row) return;
        look.toggle("cl-cut", row.cut); look.toggle("cl-chosen", row.chosen); look.toggle("cl-rest", row.others); look.toggle("cl-picked", index === selected);
        line.node.setAttribute("aria-selected", index === selected);
        line.mark.textContent = row.chosen ? "▶" : "";
        line.word.textContent = row.label; line.word.title = row.label;
        line.before.style.width = data.plain && !row.cut ? 0 : `${100 * row.p / data.scale}%`;
        line.after.style.width = `${100 * row.q / data.scale}%`;
        line.p.textContent = row.p_text; line.q.textContent = row.q_text;
      });
      if (selected === null) bars.removeAttribute("aria-activedescendant"); else bars.setAttribute("aria-activedescendant", `${id}-${selected}`);
    }

    return {
      draw,
      rows: step => data.steps[step - player.first].rows.map((row, rank) => [row.others ? "" : rank + 1, row.label, row.p_text, row.q_text, row.chosen ? "chosen" : ""]),
      note(step, selected) {
        const row = selected === null ? null : data.steps[step - player.first].rows[selected];
        if (!row) return "";
        return `${row.others ? "All others together" : `‘${row.label}’`}: ${row.p_text} from the model, ${row.cut ? "cut" : row.q_text + " after temperature and cut"}.`;
      },
    };
  },
});
export default shown;
