import { make } from "../kit/dom.js";
import { number } from "../kit/format.js";
import { replay } from "../kit/player.js";

// A box to write into, what was said, and the memory. The model is asked for its newest data at every draw: Python
// sends it while an answer streams. What is written goes to Python as `asked`.
function build(body, model, player) {
  const log = make("ol", { class: "cl-chat-talk", "aria-label": "what was said", tabindex: "0" });
  const field = make("input", { class: "cl-chat-ask", type: "text", "aria-label": "your message" });
  const send = make("button", { type: "submit", class: "cl-chat-act cl-main" }, "Send");
  const stop = make("button", { type: "button", class: "cl-chat-act" }, "Hang up");
  const form = make("form", { class: "cl-chat-write" }, field, send, stop);
  const used = make("div", { class: "cl-chat-used" });
  const most = make("div", { class: "cl-chat-most" });
  const bar = make("div", { class: "cl-chat-store", role: "img" }, used, most);
  body.append(log, form, bar);
  field.placeholder = "Once upon a time";
  let count = 0;

  function tell(what) {
    count += 1;
    model.set("asked", { ...what, number: count });
    model.save_changes();
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text || model.get("data").state === "streams") return;
    field.value = "";
    tell({ text });
  });
  stop.addEventListener("click", () => {
    if (model.get("data").state === "streams") tell({ stop: true });
  });

  const item = ({ who, text }) =>
    make(
      "li",
      { class: who === "you" ? "cl-chat-mine" : "cl-chat-theirs" },
      make("span", { class: "cl-chat-who" }, who),
      make("span", { class: "cl-chat-text" }, text || "…"),
    );

  function draw() {
    const { messages, state, memory, most: peak } = model.get("data");
    log.replaceChildren(...messages.map(item));
    log.scrollTop = log.scrollHeight;
    const streams = state === "streams";
    send.setAttribute("aria-disabled", streams);
    stop.setAttribute("aria-disabled", !streams);
    bar.hidden = memory === null;
    if (memory === null) return;
    const [inUse, blocks] = memory;
    used.style.width = `${(100 * inUse) / blocks}%`;
    most.style.left = `${(100 * peak) / blocks}%`;
    most.hidden = peak === 0;
    bar.setAttribute("aria-label", `${number(inUse)} of ${number(blocks)} blocks in use`);
  }
  model.on("change:data", player.redraw);
  return {
    draw,
    say: () => model.get("data").say[0],
    note: () => "",
    rows: () => model.get("data").messages.map(({ who, text }) => [who, text]),
    forget: () => model.off("change:data", player.redraw),
  };
}

const LEGEND = [
  ["cl-new", "blocks in use"],
  ["cl-empty", "free"],
  ["cl-arrow", "most during the answer", "|"],
];

export const view = {
  render(given) {
    let parts = null;
    const made = (body, data, player) => (parts = build(body, given.model, player));
    const remove = replay({ name: "chat", still: true, legend: () => LEGEND, build: made }).render(given);
    return () => {
      parts.forget();
      remove();
    };
  },
};
