// What the data say: steps, programs, accesses and tensors.

import { listed, number, programIds } from "../kit/format.js";

const LOADS = [0, 2]; // op: 0 load, 1 store, 2 atomic, which does both
const STORES = [1, 2];
const OPS = { load: LOADS, store: STORES };

// The accesses by their names, as objects. touched, masked: boxes [row, end, column, end] of the tensor's matrix.
export const accessesOf = (data) =>
  data.accesses.map(([program, op, tensor, touched, masked, lanes, hidden, bytes]) => {
    const loads = LOADS.includes(op);
    const stores = STORES.includes(op);
    return { program, op, loads, stores, tensor, touched, masked, lanes, hidden, bytes };
  });

// What one step does: [what, bytes loaded, bytes stored, lanes masked]. The same as in model.py.
export function stepSums(data, accesses, [, begin, end]) {
  const names = { loads: new Set(), stores: new Set() };
  const bytes = { loads: 0, stores: 0 };
  let masked = 0;
  for (const access of accesses.slice(begin, end)) {
    for (const kind of ["loads", "stores"])
      if (access[kind]) {
        names[kind].add(data.tensors[access.tensor].name);
        bytes[kind] += access.bytes;
      }
    masked += access.hidden;
  }
  const parts = Object.entries(names).filter(([, found]) => found.size);
  const what = parts.map(([verb, found]) => `${verb} ${[...found].join(", ")}`).join("; ");
  return [what || "nothing", bytes.loads, bytes.stores, masked];
}

// A number of a tensor, selected as [name, index in the flattened tensor]: its place in the tensor's matrix.
export function placeOf(data, [name, flat]) {
  const tensor = data.tensors.findIndex((one) => one.name === name);
  const { cols } = data.tensors[tensor];
  return { tensor, row: Math.floor(flat / cols), column: flat % cols };
}

const isInside = ([r0, r1, c0, c1], row, column) => r0 <= row && row < r1 && c0 <= column && column < c1;

// Which programs touched a number up to a step: {load: Map(program -> times), store: Map}.
export function touchedBy(data, accesses, step, selected) {
  const { tensor, row, column } = placeOf(data, selected);
  const found = { load: new Map(), store: new Map() };
  for (const access of accesses.slice(0, data.steps[step - 1][2])) {
    if (access.tensor !== tensor || !access.touched.some((box) => isInside(box, row, column))) continue;
    for (const kind of ["load", "store"]) {
      const times = found[kind].get(access.program) ?? 0;
      if (OPS[kind].includes(access.op)) found[kind].set(access.program, times + 1);
    }
  }
  return found;
}

// One sentence about a number.
export function numberWords(data, accesses, step, selected) {
  const found = touchedBy(data, accesses, step, selected);
  const parts = [];
  for (const [kind, verb] of [
    ["load", "loaded"],
    ["store", "stored"],
  ]) {
    const programs = found[kind];
    if (!programs.size) continue;
    const times = [...programs.values()].reduce((sum, one) => sum + one, 0);
    const ids = [...programs.keys()].map((program) => programIds(data.programs[program]));
    const noun = programs.size === 1 ? "program" : "programs";
    parts.push(`${verb} ${times === 1 ? "once" : `${number(times)} times`} by ${noun} ${listed(ids, 5)}`);
  }
  const tensor = data.tensors[placeOf(data, selected).tensor];
  return `${nameOf(tensor, selected[1])}: ${parts.join(", ") || "touched by no program so far"}.`;
}

// x[1, 2]
function nameOf({ name, shape }, flat) {
  const index = [];
  let rest = flat;
  for (const size of [...shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `${name}[${index.join(", ")}]`;
}
