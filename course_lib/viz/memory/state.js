// The memory after any step, from the changes of each step; model.py says what these are. No record is read here.
// Every 8th state is kept, so that any step is a few changes away.

const KEPT = 8;

const empty = (data) => ({
  ref: new Int32Array(data.num_blocks),
  hashed: new Uint8Array(data.num_blocks),
  tables: new Map(), // request (its number) -> {blocks, tokens}; block -1: the place of one that was given back
});

const copied = ({ ref, hashed, tables }) => ({
  ref: ref.slice(),
  hashed: hashed.slice(),
  tables: new Map([...tables].map(([one, { blocks, tokens }]) => [one, { blocks: blocks.slice(), tokens }])),
});

function apply(state, { counts = [], evicted = [], hashed = [], ended = [], grown = [], tables = [] }) {
  for (const [count, blocks] of counts) for (const block of blocks) state.ref[block] = count;
  for (const block of evicted) state.hashed[block] = 0;
  for (const block of hashed) state.hashed[block] = 1;
  for (const request of ended) state.tables.delete(request);
  for (const request of grown) state.tables.get(request).tokens += 1;
  for (const [request, kept, blocks, tokens] of tables) {
    if (!state.tables.has(request)) state.tables.set(request, { blocks: [], tokens: 0 });
    const table = state.tables.get(request);
    table.blocks.splice(kept, Infinity, ...blocks);
    table.tokens = tokens;
  }
}

// {block: [first slot, end]} that were written in a step.
function writtenSlots(state, { grown = [], tables = [] }, size) {
  const written = new Map();
  const spans = grown.map((request) => {
    const { tokens } = state.tables.get(request);
    return [request, tokens - 1, tokens];
  });
  for (const [request, , , , first, end] of tables) spans.push([request, first, end]);
  for (const [request, first, end] of spans)
    for (let at = first; at < end; at++) {
      const block = state.tables.get(request).blocks[Math.floor(at / size)];
      if (block === undefined || block < 0) continue;
      const [from, to] = written.get(block) ?? [size, 0];
      written.set(block, [Math.min(from, at % size), Math.max(to, (at % size) + 1)]);
    }
  return written;
}

// What follows from a state. holders: block -> [[request, place in its table], ...]; of each block `fill`, how many of
// its slots are full, and `kinds`: "in use", "cached" or "free".
function blocksOf(state, size) {
  const { ref, hashed } = state;
  const holders = new Map();
  const fill = new Int32Array(ref.length);
  const kinds = new Array(ref.length);
  for (const [request, { blocks, tokens }] of state.tables)
    blocks.forEach((block, place) => {
      if (block < 0) return; // the place of a block that was given back
      if (holders.has(block)) holders.get(block).push([request, place]);
      else holders.set(block, [[request, place]]);
      fill[block] = Math.max(fill[block], Math.max(0, Math.min(size, tokens - place * size)));
    });
  for (let block = 0; block < ref.length; block++) {
    kinds[block] = ref[block] > 0 ? "in use" : hashed[block] ? "cached" : "free";
    if (hashed[block]) fill[block] = size;
  }
  return { holders, fill, kinds };
}

// {stateAt(step), shapes}. shapes: how many blocks each table has, at every step.
export function memoryStates(data) {
  const { changes, block_size: size } = data;
  const kept = [empty(data)];
  const state = empty(data);
  const shapes = changes.map((change, index) => {
    apply(state, change);
    if ((index + 1) % KEPT === 0) kept.push(copied(state));
    return [...state.tables.values()].map((table) => table.blocks.length);
  });
  let last = { step: -1 };
  function stateAt(step) {
    if (step === last.step) return last;
    const before = Math.floor((step - 1) / KEPT);
    const now = copied(kept[before]);
    for (let index = before * KEPT; index < step; index++) apply(now, changes[index]);
    const { fresh = [], evicted = [], copies = [], wrong = [] } = changes[step - 1];
    const marks = { fresh, evicted, copies, wrong, written: writtenSlots(now, changes[step - 1], size) };
    last = { ...now, ...blocksOf(now, size), marks, step };
    return last;
  }
  return { stateAt, shapes };
}
