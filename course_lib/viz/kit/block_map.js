// Physical blocks laid out row by row: {columns, w, h, pad}, in CSS pixels. What the pointer and the keys find there.

import { clamp } from "./format.js";

// The block at a point of the layout, or null.
export function blockAt(layout, [x, y], numBlocks) {
  const column = Math.floor((x - layout.pad) / layout.w);
  const row = Math.floor((y - layout.pad) / layout.h);
  const block = row * layout.columns + column;
  return column >= 0 && column < layout.columns && row >= 0 && block < numBlocks ? block : null;
}

// The block that a key moves to from `block` (null: none yet).
export function blockByKey(key, block, columns, numBlocks) {
  if (block === null) return 0;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  return clamp({ Home: 0, End: numBlocks - 1 }[key] ?? block + by[key], 0, numBlocks - 1);
}
