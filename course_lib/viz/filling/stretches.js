// What the columns of a layer are after a step, from what it holds and what it should hold. The same as in model.py.

// How many columns a layer holds after step `index`; before the first: none.
export function keptBy(data, index, layer) {
  if (index < 0) return 0;
  const kept = data.kept[index];
  return Array.isArray(kept) ? kept[layer] : kept;
}

// [[start, end, state], ...] in order. States: new, again, kept, missing, surplus.
export function stretches(data, index, layer) {
  const [first, end] = data.computed[index];
  const due = data.due[index];
  const known = index ? data.due[index - 1] : 0;
  const kept = keptBy(data, index, layer);
  const begin = known && kept <= end - first && kept < due ? end - kept : 0;
  const edges = [...new Set([0, first, end, due, known, begin, begin + kept])].sort((a, b) => a - b);
  const stateOf = (at) => {
    if (at < begin || at >= begin + kept) return "missing";
    if (at >= due) return "surplus";
    if (at < first || at >= end) return "kept";
    return at < known ? "again" : "new";
  };
  const found = [];
  for (let i = 0; i + 1 < edges.length && edges[i] < Math.max(kept, due); i++)
    found.push([edges[i], edges[i + 1], stateOf(edges[i])]);
  return found;
}
