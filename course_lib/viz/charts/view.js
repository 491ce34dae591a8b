import { palette } from "../kit/canvas.js";
import { make } from "../kit/dom.js";
import { replay } from "../kit/player.js";
import { withPlotly } from "./plotly.js";

const CONFIG = {
  displaylogo: false,
  responsive: false,
  displayModeBar: false,
  doubleClick: "reset",
  showTips: false,
};
const HINT = "Point at a mark for its values. Drag over an area to zoom in, double-click to zoom out.";
const WAITING = "This is the picture. The chart that answers comes when the kernel is free.";

function build(body, data, player, model) {
  const switches = switchesOf(data, player);
  const picture = make("img", {
    class: "cl-picture",
    src: `data:image/png;base64,${data.picture.png}`,
    alt: data.picture.alt,
  });
  const plot = make("div", { class: "cl-plot", role: "img", "aria-label": data.picture.alt });
  body.append(switches.node, picture);
  let plotly = null;
  const giveUp = withPlotly(model, (Plotly) => {
    plotly = Plotly;
    picture.replaceWith(plot);
    player.redraw();
  });

  function draw(step, selected) {
    switches.show(selected);
    if (!plotly || !body.clientWidth) return;
    const { data: traces, layout } = inTheme(data.figure, data.colours, palette(body));
    const shown = traces.map((trace) => ({ ...trace, visible: isShown(trace.meta?.series, selected) }));
    plotly.react(plot, shown, laidOut(layout, body.clientWidth), CONFIG);
  }
  const hint = () => (plotly ? HINT : WAITING);
  return {
    draw,
    say: () => [["", hint()]],
    note: () => (data.num_rows > data.rows.length ? `The table has ${data.rows.length} of the points.` : ""),
    rows: () => data.rows,
    remove() {
      giveUp();
      plotly?.purge(plot);
    },
  };
}

const isShown = (name, selected) => !name || !selected || selected.includes(name);

// The figure with each colour of the light palette exchanged for the page's.
function inTheme(value, names, colours) {
  if (typeof value === "string") return value in names ? colours[names[value]] : value;
  if (Array.isArray(value)) {
    const numbers = typeof value[0] === "number";
    return numbers ? value : value.map((one) => inTheme(one, names, colours));
  }
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inTheme(one, names, colours)]));
}

// Title and legend are the view's own; `uirevision` keeps the zoom when the chart is drawn again.
function laidOut(layout, width) {
  const { title, ...rest } = layout;
  const margin = { ...layout.margin, t: layout.annotations?.length ? 34 : 12 };
  return { ...rest, width, showlegend: false, uirevision: "same", margin, height: layout.height - 50 };
}

// A button for each series: pressed means shown.
function switchesOf(data, player) {
  const every = data.series.map(({ name }) => name);
  const shown = () => player.selected() ?? every;
  const toggle = (name) => {
    const next = every.filter((one) => (one === name) !== shown().includes(one));
    player.select(next.length === every.length ? null : next);
  };
  const buttons = data.series.map(({ name, colour, dash, kind }) => {
    const look = `--cl-mark: var(--cl-${data.colours[colour]})`;
    const mark = make("span", { class: `cl-mark cl-${kind} cl-${dash}`, style: look, "aria-hidden": "true" });
    const button = make("button", { type: "button", class: "cl-switch" }, mark, name);
    button.addEventListener("click", () => toggle(name));
    return button;
  });
  const node = make("div", { class: "cl-switches", role: "group", "aria-label": "Series shown" }, ...buttons);
  return {
    node,
    show(selected) {
      every.forEach((name, at) => buttons[at].setAttribute("aria-pressed", isShown(name, selected)));
    },
  };
}

export const view = {
  render(context) {
    let parts = null;
    const withModel = (body, data, player) => (parts = build(body, data, player, context.model));
    const remove = replay({ name: "charts", still: true, legend: () => [], build: withModel }).render(context);
    return () => {
      parts.remove();
      remove();
    };
  },
};
