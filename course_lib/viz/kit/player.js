// The player that every view shares: it owns the frame (title, legend, buttons, words, table), the keys and the
// clock. A view draws one step and answers for its own body; it never keeps a step of its own.
//
// A view is   replay({ name, legend(data), build(body, data, player) })   where build returns
//   draw(step, selected)  paint this step;  called again after a resize or a change of theme
//   rows(step, selected)  the same state as rows of text, for the table
//   note(step, selected)  one sentence about what is selected, or ""
//   say(step, selected)   the words, where they depend on what is selected; else they are data.say
//   below                 a node that stands under the player and the words, if there is one
// With `still: true` there are no steps: no player is shown, and keys belong to the view's own controls.
// and player offers go(step), select(value), first, last.
//
// `data` comes from Python once. Only `step` and `selected` are ever written back.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  first: "M3 2v10M12 2 5 7l7 5z", back: "M10 2 4 7l6 5z", play: "M4 2l7 5-7 5z", pause: "M4 2v10M10 2v10",
  forward: "M3.5 2v10M7 2l5 5-5 5z", last: "M11 2v10M2 2l7 5-7 5z",
};

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  const look = { width: 14, height: 14, viewBox: "0 0 14 14", fill: "currentColor", stroke: "currentColor",
                 "stroke-width": name === "pause" ? 2.6 : 1.4, "stroke-linejoin": "round", "aria-hidden": "true" };
  for (const [key, value] of Object.entries(look)) svg.setAttribute(key, value);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// A model for a page without Jupyter: the four calls that a view makes of a widget's model.
export function plainModel(state) {
  const listeners = {};
  return {
    get: key => state[key],
    set(key, value) {
      if (state[key] === value) return;
      state[key] = value;
      (listeners["change:" + key] || []).forEach(listener => listener());
    },
    save_changes() {},
    on(event, listener) { (listeners[event] ||= []).push(listener); },
    off(event, listener) { listeners[event] = (listeners[event] || []).filter(one => one !== listener); },
  };
}

// Canvas: colours come from the stylesheet at every draw, so a change of theme needs only a redraw.
export function palette(node) {
  const style = getComputedStyle(node);
  return Object.fromEntries(["ink", "soft", "faint", "line", "card", "well", "free", "accent", "on-accent", "sans", "mono",
    "r0", "r1", "r2", "r3", "r4", "r5"].map(name => [name, style.getPropertyValue("--cl-" + name).trim()]));
}

// Sizes a canvas in CSS pixels, sharp on any screen, and hands back a cleared context.
export function sheet(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w; canvas.height = h;
    canvas.style.width = width + "px"; canvas.style.height = height + "px";
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Diagonal lines over everything inside `path`, gap apart: a small tile, repeated. Clipping lines to many cells is far slower.
const tiles = new Map();
export function hatch(context, path, colour, gap = 4.5, weight = 1.3, mirrored = false) {
  const ratio = window.devicePixelRatio || 1, key = [colour, gap, weight, mirrored, ratio].join();
  if (!tiles.has(key)) {
    const tile = document.createElement("canvas"), side = tile.width = tile.height = Math.max(2, Math.round(gap * ratio)), pen = tile.getContext("2d");
    if (mirrored) { pen.translate(side, 0); pen.scale(-1, 1); }
    pen.strokeStyle = colour; pen.lineWidth = weight * ratio;
    for (const shift of [-side, 0, side]) { pen.moveTo(shift - side, 2 * side); pen.lineTo(shift + 2 * side, -side); }
    pen.stroke();
    const pattern = context.createPattern(tile, "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / ratio));
    tiles.set(key, pattern);
  }
  context.fillStyle = tiles.get(key);
  context.fill(path);
}

// Words come from Python as [kind, text] pieces: "strong", "code" or "" for plain.
function pieces(parts) {
  return parts.map(([kind, text]) => kind === "strong" ? make("b", {}, text)
    : kind === "code" ? make("span", { class: "cl-code" }, text) : document.createTextNode(text));
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function replay(view) {
  return { render({ model, el }) {
    const data = model.get("data"), { first, last } = data;
    const undo = [];
    const listen = (target, event, handler) => {
      target.addEventListener(event, handler);
      undo.push(() => target.removeEventListener(event, handler));
    };
    let timer = 0, waiting = 0;

    // the frame
    const root = make("section", { class: "cl cl-" + view.name, "aria-label": data.title, tabindex: "-1" });
    const inner = make("div", { class: "cl-inner" });
    const body = make("div", { class: `cl-${view.name}-body` });
    const key = make("ul", { class: "cl-key", "aria-label": "Legend" }, ...view.legend(data).map(([look, text, mark = ""]) =>
      make("li", {}, make("span", { class: "cl-swatch " + look, "aria-hidden": "true" }, mark), text)));
    const buttons = {}, bar = make("div", { class: "cl-buttons" });
    const labels = { first: "first step", back: "step back", play: "play", forward: "step", last: "last step" };
    for (const [name, label] of Object.entries(labels)) {
      buttons[name] = make("button", { type: "button", class: "cl-button" + (name === "play" ? " cl-main" : ""), "aria-label": label, title: label }, icon(name));
      bar.append(buttons[name]);
    }
    const scrub = make("input", { type: "range", class: "cl-scrub", min: first, max: last, step: 1, "aria-label": "step" });
    const count = make("span", { class: "cl-count" });
    const say = make("p", { class: "cl-say", role: "status", "aria-live": "polite" });
    const rows = make("tbody"), what = view.still ? "The same as a table" : "This step as a table";
    const table = make("details", { class: "cl-rows" }, make("summary", {}, what),
      make("div", { class: "cl-scroll", tabindex: "0", role: "region", "aria-label": what },
        make("table", { class: "cl-table" }, make("thead", {}, make("tr", {}, ...data.columns.map(name => make("th", { scope: "col" }, name)))), rows)));
    const bottom = make("div", { class: "cl-play", role: "group", "aria-label": "player" }, bar, scrub, count);
    inner.append(
      make("header", { class: "cl-head" }, make("h3", { class: "cl-title" }, data.title), make("p", { class: "cl-sub" }, data.subtitle), key),
      body, ...(view.still ? [] : [bottom]), say, table);
    root.append(inner);
    el.append(root);

    // state: the model's step and selection, nothing else
    const step = () => clamp(model.get("step"), first, last);
    const write = (name, value) => { if (model.get(name) !== value) { model.set(name, value); model.save_changes(); } };
    const go = target => { stop(); write("step", clamp(target, first, last)); };
    const player = { first, last, go, select: value => write("selected", value ?? null), step, selected: () => model.get("selected") ?? null };
    const parts = view.build(body, data, player);
    if (parts.below) say.after(parts.below);

    function draw() {
      const now = step(), selected = player.selected();
      if (body.clientWidth) parts.draw(now, selected);
      scrub.value = now;
      scrub.setAttribute("aria-valuetext", `step ${now} of ${last}`);
      count.textContent = `step ${String(now).padStart(String(last).length)} / ${last}`;
      for (const name of ["first", "back"]) buttons[name].setAttribute("aria-disabled", now === first);
      for (const name of ["forward", "last"]) buttons[name].setAttribute("aria-disabled", now === last);
      say.replaceChildren(...pieces(parts.say ? parts.say(now, selected) : data.say[now - first]), " ", make("span", { class: "cl-note" }, parts.note(now, selected)));
      if (table.open) fill(now);
    }
    const fill = now => rows.replaceChildren(...parts.rows(now, player.selected()).map(row => make("tr", {}, ...row.map(cell => make("td", {}, String(cell))))));
    const later = () => { if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; draw(); }); };

    // the clock: it runs once to the end and stops there
    const pause = () => calm() ? 900 : clamp(14000 / (last - first + 1), 60, 800);
    function face(playing) {
      buttons.play.replaceChildren(icon(playing ? "pause" : "play"));
      buttons.play.setAttribute("aria-label", playing ? "pause" : "play");
      buttons.play.title = playing ? "pause" : "play";
      say.setAttribute("aria-live", playing ? "off" : "polite");      // a screen reader hears where it stops, not every frame
    }
    function stop() { clearTimeout(timer); if (timer) face(false); timer = 0; }
    function tick() {
      if (step() + 1 >= last) { stop(); write("step", last); return; }
      write("step", step() + 1);
      timer = setTimeout(tick, pause());
    }
    function toggle() {
      if (timer) { stop(); return; }
      if (step() === last) write("step", first);
      if (first === last) return;
      face(true);
      timer = setTimeout(tick, pause());
    }
    const acts = { first: () => go(first), back: () => go(step() - 1), play: toggle, forward: () => go(step() + 1), last: () => go(last) };
    for (const name of Object.keys(acts)) listen(buttons[name], "click", acts[name]);
    listen(scrub, "input", () => go(Number(scrub.value)));
    listen(table, "toggle", () => fill(step()));

    // keys: what is pressed inside a view stays there; the notebook around it would delete cells on "d d"
    const keys = { Home: acts.first, ArrowLeft: acts.back, " ": acts.play, ArrowRight: acts.forward, End: acts.last, Escape: () => player.select(null) };
    listen(root, "keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      event.stopPropagation();
      const native = event.target.closest("button, summary") && event.key === " ";
      if (event.defaultPrevented || native || !keys[event.key] || view.still && event.key !== "Escape") return;
      event.preventDefault();
      keys[event.key]();
    });
    for (const name of ["keyup", "keypress"]) listen(root, name, event => event.stopPropagation());

    // redraw when the state, the width or the theme changes
    for (const name of ["change:step", "change:selected"]) { model.on(name, draw); undo.push(() => model.off(name, draw)); }
    const size = new ResizeObserver(later);
    size.observe(body);
    const theme = new MutationObserver(() => { later(); setTimeout(later, 400); });      // hosts load a theme's colours after they name it
    for (const node of [document.documentElement, document.body])
      theme.observe(node, { attributes: true, attributeFilter: ["class", "theme", "style", "data-jp-theme-light", "data-jp-theme-name"] });
    undo.push(stop, () => size.disconnect(), () => theme.disconnect(), () => cancelAnimationFrame(waiting));
    draw();
    return () => { undo.forEach(one => one()); root.remove(); };
  } };
}
