// The player that every view shares: it owns the frame, the keys and the clock. A view draws one step and answers for
// its own body; it never keeps a step of its own.
//
// A view is   replay({ name, legend(data), build(body, data, player) })   where build returns
//   draw(step, selected)  paint this step;  called again after a resize or a change of theme
//   rows(step, selected)  the same state as rows of text, for the table
//   note(step, selected)  one sentence about what is selected, or ""
//   say(step, selected)   the words, where they depend on what is selected; else they are data.say
//   below                 a node that stands under the player and the words, if there is one
// and player offers go(step), select(value), step(), selected(), first, last, and redraw() for what came later.
// With `still: true` there are no steps: no player is shown, and keys belong to the view's own controls.
//
// `data` comes from Python once. Only `step` and `selected` are ever written back.

import { make } from "./dom.js";
import { clamp } from "./format.js";
import { frameOf, icon, pieces } from "./frame.js";

const THEME = ["class", "theme", "style", "data-jp-theme-light", "data-jp-theme-name"]; // attributes that hosts set

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function replay(view) {
  return { render: ({ model, el }) => render(view, model, el) };
}

function render(view, model, el) {
  const data = model.get("data");
  const frame = frameOf(view, data);
  const undo = [];
  const listen = (target, event, handler) => {
    target.addEventListener(event, handler);
    undo.push(() => target.removeEventListener(event, handler));
  };
  el.append(frame.root);

  const player = playerOf(model, data);
  const clock = clockOf(player, frame);
  player.redraw = () => draw();
  const parts = view.build(frame.body, data, player);
  if (parts.below) frame.say.after(parts.below);

  const fill = (step) => {
    const cells = (row) => row.map((cell) => make("td", {}, String(cell)));
    frame.rows.replaceChildren(
      ...parts.rows(step, player.selected()).map((row) => make("tr", {}, ...cells(row))),
    );
  };
  function draw() {
    const step = player.step();
    const selected = player.selected();
    if (frame.body.clientWidth) parts.draw(step, selected);
    showStep(frame, player, step);
    const words = parts.say ? parts.say(step, selected) : data.say[step - data.first];
    const note = make("span", { class: "cl-note" }, parts.note(step, selected));
    frame.say.replaceChildren(...pieces(words), " ", note);
    if (frame.table.open) fill(step);
  }

  const acts = {
    first: () => player.go(player.first),
    back: () => player.go(player.step() - 1),
    play: clock.toggle,
    forward: () => player.go(player.step() + 1),
    last: () => player.go(player.last),
  };
  for (const name of Object.keys(acts)) listen(frame.buttons[name], "click", acts[name]);
  listen(frame.scrub, "input", () => player.go(Number(frame.scrub.value)));
  listen(frame.table, "toggle", () => fill(player.step()));
  listenToKeys(frame.root, listen, view.still, {
    Home: acts.first,
    ArrowLeft: acts.back,
    " ": acts.play,
    ArrowRight: acts.forward,
    End: acts.last,
    Escape: () => player.select(null),
  });
  for (const name of ["change:step", "change:selected"]) {
    model.on(name, draw);
    undo.push(() => model.off(name, draw));
  }
  undo.push(clock.stop, redrawOnChange(frame.body, draw));
  draw();
  return () => {
    undo.forEach((one) => one());
    frame.root.remove();
  };
}

// The model's step and selection, nothing else. `stop` is set by the clock.
function playerOf(model, { first, last }) {
  const write = (name, value) => {
    if (model.get(name) === value) return;
    model.set(name, value);
    model.save_changes();
  };
  const player = {
    first,
    last,
    step: () => clamp(model.get("step"), first, last),
    selected: () => model.get("selected") ?? null,
    select: (value) => write("selected", value ?? null),
    move: (target) => write("step", clamp(target, first, last)), // by the clock
    go(target) {
      player.stop();
      player.move(target);
    },
    stop() {},
  };
  return player;
}

function showStep({ scrub, count, buttons }, { first, last }, step) {
  scrub.value = step;
  scrub.setAttribute("aria-valuetext", `step ${step} of ${last}`);
  count.textContent = `step ${String(step).padStart(String(last).length)} / ${last}`;
  for (const name of ["first", "back"]) buttons[name].setAttribute("aria-disabled", step === first);
  for (const name of ["forward", "last"]) buttons[name].setAttribute("aria-disabled", step === last);
}

// It runs once to the end and stops there.
function clockOf(player, { buttons, say }) {
  const { first, last } = player;
  let timer = 0;
  const pause = () => (calm() ? 900 : clamp(14000 / (last - first + 1), 60, 800));
  function face(playing) {
    const label = playing ? "pause" : "play";
    buttons.play.replaceChildren(icon(label));
    buttons.play.setAttribute("aria-label", label);
    buttons.play.title = label;
    say.setAttribute("aria-live", playing ? "off" : "polite"); // a screen reader hears where it stops, not every step
  }
  function stop() {
    clearTimeout(timer);
    if (timer) face(false);
    timer = 0;
  }
  function tick() {
    if (player.step() + 1 >= last) {
      stop();
      player.move(last);
      return;
    }
    player.move(player.step() + 1);
    timer = setTimeout(tick, pause());
  }
  function toggle() {
    if (timer) {
      stop();
      return;
    }
    if (player.step() === last) player.move(first);
    if (first === last) return;
    face(true);
    timer = setTimeout(tick, pause());
  }
  player.stop = stop;
  return { stop, toggle };
}

// What is pressed inside a view stays there; the notebook around it would delete cells on "d d".
function listenToKeys(root, listen, still, keys) {
  listen(root, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    const native = event.target.closest("button, summary") && event.key === " ";
    if (event.defaultPrevented || native || !keys[event.key] || (still && event.key !== "Escape")) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const name of ["keyup", "keypress"]) listen(root, name, (event) => event.stopPropagation());
}

// Draws again when the width or the theme changes; returns what ends that.
function redrawOnChange(body, draw) {
  let [waiting, looks, drawn] = [0, 0, coloursOf(body)];
  const later = () => {
    if (waiting) return;
    waiting = requestAnimationFrame(() => {
      waiting = 0;
      drawn = coloursOf(body);
      draw();
    });
  };
  const look = () => {
    if (coloursOf(body) !== drawn) later();
    if (--looks > 0) setTimeout(look, 200);
  };
  const size = new ResizeObserver(later);
  size.observe(body);
  const theme = new MutationObserver(() => {
    later();
    const runs = looks > 0;
    looks = 50; // hosts load a theme's colours after they name it, on a busy machine seconds later
    if (!runs) setTimeout(look, 200);
  });
  for (const node of [document.documentElement, document.body])
    theme.observe(node, { attributes: true, attributeFilter: THEME });
  return () => {
    looks = 0;
    size.disconnect();
    theme.disconnect();
    cancelAnimationFrame(waiting);
  };
}

// What a change of theme changes.
function coloursOf(body) {
  const style = getComputedStyle(body);
  return `${style.color} ${style.getPropertyValue("--cl-card")}`;
}
