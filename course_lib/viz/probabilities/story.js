// The text so far: plain elements, made once and changed in place.

import { make } from "../kit/dom.js";

// {node, show(position)}: the text up to the token at a position, which is marked. What follows is still unknown.
export function storyOf(data, player) {
  const stepOf = new Map(data.steps.map((step, index) => [step.position, index + player.first]));
  const lines = make("div", {
    class: "cl-lines",
    tabindex: "0",
    role: "region",
    "aria-label": "the text so far, with the next token",
  });
  const words = data.tokens.map((token, position) => {
    const step = stepOf.get(position);
    if (step === undefined) return make("span", {}, token);
    const word = make("span", { class: "cl-made", title: `chosen in step ${step}` }, token);
    word.addEventListener("click", () => player.go(step));
    return word;
  });
  lines.append(...words);
  let shown = null;
  function show(position) {
    if (shown === position) return;
    words.forEach((word, at) => {
      word.hidden = at > position;
      word.classList.toggle("cl-place", at === position);
    });
    if (shown !== null) words[shown].textContent = data.tokens[shown];
    words[position].textContent = data.labels[position];
    shown = position;
    lines.scrollTop = lines.scrollHeight;
  }
  return { node: make("div", { class: "cl-story" }, lines), show };
}
