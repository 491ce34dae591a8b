// plotly.js, once for a page. It comes from the kernel, packed, as the file of the installed plotly package.

const AGAIN = 30_000; // milliseconds after which a page that has no answer asks again

const shared = () => (globalThis.courseCharts ??= { asked: -AGAIN, waiting: new Set() });

// Calls ready(Plotly) once it is there, never before this returns. Returns what gives up waiting.
export function withPlotly(model, ready) {
  const { waiting } = shared();
  waiting.add(ready);
  if (globalThis.Plotly) {
    queueMicrotask(tellAll);
    return () => waiting.delete(ready);
  }
  const take = (content, buffers) => {
    if (content?.kind === "plotly") unpack(buffers[0]).then(run);
  };
  let timer = 0;
  const ask = () => {
    const now = performance.now();
    if (now - shared().asked >= AGAIN) {
      shared().asked = now;
      model.send({ want: "plotly" });
    }
    timer = setTimeout(ask, AGAIN);
  };
  model.on("msg:custom", take);
  ask();
  return () => {
    clearTimeout(timer);
    waiting.delete(ready);
    model.off("msg:custom", take);
  };
}

function unpack(buffer) {
  const unpacked = new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).text();
}

// The file makes itself known in one of three ways; with these names hidden it is a global.
function run(text) {
  if (!globalThis.Plotly) new Function("module", "exports", "define", text).call(globalThis);
  tellAll();
}

function tellAll() {
  const { waiting } = shared();
  for (const ready of waiting) ready(globalThis.Plotly);
  waiting.clear();
}
