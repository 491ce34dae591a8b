// What the data say: which program computes what, which blocks it reads, which sequences hold a block.

import { listed, number, programIds } from "../kit/format.js";

// Look-ups that do not change from step to step.
export function programsOf(data) {
  const group = data.heads / data.kv_heads;
  const byHead = data.across === "head";
  const steps = { decode: new Map(), merge: new Map() }; // of programs, by what they compute
  const key = (...ids) => ids.join();
  data.programs.forEach((one, index) => {
    const ids = one.kind === "decode" ? [one.seq, one.kv_head, one.part] : [one.seq, one.head];
    steps[one.kind].set(key(...ids), index + 1);
  });
  const merges = steps.merge.size > 0;
  const decodeStep = (seq, kvHead, part) => steps.decode.get(key(seq, kvHead, part));
  return {
    group,
    byHead,
    merges,
    // the step of the program that reads a part of a sequence for a KV head
    decodeStep,
    // the step in which a query head of the output is written
    outputStep(seq, head) {
      if (merges) return steps.merge.get(key(seq, head));
      return decodeStep(seq, Math.floor(head / group), byHead ? head % group : 0);
    },
    holders: holdersOf(data),
  };
}

// block -> {seqs: the sequences that hold it, tokens: how many are in it}
function holdersOf(data) {
  const found = new Map();
  data.tables.forEach((table, seq) =>
    table.forEach((block, place) => {
      const { seqs, tokens } = found.get(block) ?? { seqs: [], tokens: 0 };
      const own = Math.min(data.block_size, data.seq_lens[seq] - place * data.block_size);
      found.set(block, { seqs: seqs.includes(seq) ? seqs : [...seqs, seq], tokens: Math.max(tokens, own) });
    }),
  );
  return found;
}

// The programs that have read a block up to a step.
export const readersOf = (data, step, block) =>
  data.programs
    .slice(0, step)
    .filter((one) => one.kind === "decode" && one.reads.some(([read]) => read === block));

// One sentence or two about a block.
export function blockWords(data, holders, step, block) {
  const seqs = holders.get(block)?.seqs ?? [];
  const readers = readersOf(data, step, block);
  if (!seqs.length && !readers.length) return `Block ${block} is in no table, and no program reads it.`;
  const places = seqs.map((seq) => `R${seq} (block ${data.tables[seq].indexOf(block)} of its table)`);
  const belongs = `Block ${block} belongs to ${places.join(" and ") || "no sequence"}.`;
  if (!readers.length) return `${belongs} No program has read it yet.`;
  const ids = readers.map((one) => programIds(one.program));
  const who = ids.length === 1 ? "program" : `${ids.length} programs:`;
  const heads = [...new Set(readers.map((one) => one.kv_head))].sort((a, b) => a - b);
  const whose = heads.length > 1 ? `, for KV heads ${heads.slice(0, -1).join(", ")} and ${heads.at(-1)}` : "";
  return `${belongs} Read so far by ${who} ${listed(ids, 6)}${whose}.`;
}

// The rows of the table up to a step. The same as in model.py.
export function tableRows(data, step) {
  let soFar = 0;
  return data.programs.slice(0, step).map((one, index) => {
    soFar += one.bytes;
    const ids = [index + 1, programIds(one.program), `R${one.seq}`];
    const bytes = [one.bytes, soFar, data.again[index]];
    if (one.kind === "merge") return [...ids, `Q ${one.head}`, `merge ${one.parts.join(", ")}`, "", ...bytes];
    const byHead = data.across === "head";
    const head = byHead ? `Q ${one.kv_head * data.parts + one.part}` : `KV ${one.kv_head}`;
    return [...ids, head, byHead ? "" : one.part, listed(blocksOf(data, one)), ...bytes];
  });
}

// The blocks that a program reads, in the order of its sequence's table; what is not in the table at the end.
function blocksOf(data, { seq, reads }) {
  const read = new Set(reads.map(([block]) => block));
  const table = [...new Set(data.tables[seq])].filter((block) => read.has(block));
  const others = [...read].filter((block) => !table.includes(block));
  return [...table, ...others.sort((a, b) => a - b)];
}

// [[name, figure], ...] of the bytes up to a step.
export function byteFigures(data, step, merges) {
  const done = data.programs.slice(0, step);
  const sum = (value) => done.reduce((total, one, index) => total + value(one, index), 0);
  const of = (kind) => sum((one) => (one.kind === kind ? one.bytes : 0));
  const lines = [
    ["K and V read", of("decode")],
    ["of these read before", sum((_, index) => data.again[index])],
    ...(merges ? [["partial results read", of("merge")]] : []),
  ];
  return lines.map(([name, bytes]) => [name, `${number(bytes)} bytes`]);
}
