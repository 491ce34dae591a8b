// Where the programs and the tensors lie, in CSS pixels.

const ROOM = 300; // height of the grid of programs, and of a tensor, at most
const HEAD = 22; // above a tensor: its name
const FOOT = 42; // below it: its bytes
const MARGIN = 24; // left of it: its numbers
const APART = 26; // between two tensors

// The programs: the first id down, the second across, a third across in groups; one id runs across in lines.
export function gridLayout(data, width) {
  const [a, b = 1, c = 1] = data.grid;
  const flat = data.grid.length === 1;
  const across = flat ? Math.min(a, Math.max(6, Math.ceil(Math.sqrt(a)))) : b * c;
  const down = flat ? Math.ceil(a / across) : a;
  const left = flat ? 2 : 22;
  const top = 26;
  const group = c > 1 ? 5 : 0; // between two groups
  const room = width - left - (b - 1) * group - 2; // the frame around a program needs 2 pixels
  const cell = Math.max(3, Math.min(26, room / across, ROOM / down));
  const place = (index) => {
    const [x, y = 0, z = 0] = data.programs[index];
    if (flat) return [left + (index % across) * cell, top + Math.floor(index / across) * cell];
    return [left + (y * c + z) * cell + y * group, top + x * cell];
  };
  return { flat, across, cell, place, width, height: top + down * cell + 4 };
}

// The program at a point, or -1.
export function programAt(data, grid, [x, y]) {
  return data.programs.findIndex((_, index) => {
    const [left, top] = grid.place(index);
    return left <= x && x < left + grid.cell && top <= y && y < top + grid.cell;
  });
}

// The tensors flow from left to right; each has a name above and its bytes below. places: of each {x, y, w, h, rows,
// columns}.
export function tensorLayout(data, width) {
  const wide = data.tensors.filter((tensor) => tensor.cols > 8).length;
  const beside = Math.max(1, Math.min(wide, Math.floor(width / 162)));
  const share = Math.max(112, Math.min(330, (width - APART * (beside - 1)) / beside - MARGIN));
  let [x, y, tall] = [0, 0, 0];
  const places = data.tensors.map((tensor) => {
    const columns = tensor.cols + tensor.aside;
    const rows = tensor.rows + tensor.over;
    const margin = tensor.rows > 1 ? MARGIN : 1;
    const w = Math.min(26, Math.min(share, width - margin) / columns);
    const h = Math.min(26, ROOM / rows, Math.max(w * 1.6, 3));
    const across = margin + Math.max(columns * w, 116);
    if (x && x + across > width + 1) [x, y, tall] = [0, y + tall + 14, 0];
    const place = { x: x + margin, y: y + HEAD, w, h, columns, rows };
    x += across + APART;
    tall = Math.max(tall, HEAD + rows * h + FOOT);
    return place;
  });
  return { places, width, height: y + tall };
}

// The number at a point, [name, index in the flattened tensor], or null.
export function numberAt(data, map, [x, y]) {
  const inside = ({ x: left, y: top, w, h }, { cols, rows }) =>
    x >= left && x < left + cols * w && y >= top && y < top + rows * h;
  const at = map.places.findIndex((place, index) => inside(place, data.tensors[index]));
  if (at < 0) return null;
  const { x: left, y: top, w, h } = map.places[at];
  const { name, cols, numel } = data.tensors[at];
  const flat = Math.floor((y - top) / h) * cols + Math.floor((x - left) / w);
  return flat < numel ? [name, flat] : null;
}
