// Drawing on a canvas. Colours come from the style sheet at every draw, so a change of theme needs only a redraw.

const COLOURS = ["ink", "soft", "faint", "line", "card", "well", "free", "accent", "on-accent"];
const FONTS = ["sans", "mono"];
const CATEGORIES = ["r0", "r1", "r2", "r3", "r4", "r5"];

// {name: colour or font} as the style sheet says for this node.
export function palette(node) {
  const style = getComputedStyle(node);
  const names = [...COLOURS, ...FONTS, ...CATEGORIES];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--cl-" + name).trim()]));
}

// Sizes a canvas in CSS pixels, sharp on any screen, and returns a cleared context.
export function sheet(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const w = Math.round(width * ratio);
  const h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Diagonal lines over everything inside `path`, gap apart: a small tile, repeated. Clipping lines to many cells is far
// slower.
const tiles = new Map();
export function hatch(context, path, colour, gap = 4.5, weight = 1.3, mirrored = false) {
  const ratio = window.devicePixelRatio || 1;
  const key = [colour, gap, weight, mirrored, ratio].join();
  if (!tiles.has(key))
    tiles.set(key, hatchTile(context, colour, gap * ratio, weight * ratio, mirrored, ratio));
  context.fillStyle = tiles.get(key);
  context.fill(path);
}

function hatchTile(context, colour, gap, weight, mirrored, ratio) {
  const tile = document.createElement("canvas");
  const side = Math.max(2, Math.round(gap));
  tile.width = tile.height = side;
  const pen = tile.getContext("2d");
  if (mirrored) {
    pen.translate(side, 0);
    pen.scale(-1, 1);
  }
  pen.strokeStyle = colour;
  pen.lineWidth = weight;
  for (const shift of [-side, 0, side]) {
    pen.moveTo(shift - side, 2 * side);
    pen.lineTo(shift + 2 * side, -side);
  }
  pen.stroke();
  const pattern = context.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}

// Fills a path; alpha is multiplied with what the context has.
export function tint(pen, path, colour, alpha = 1) {
  const before = pen.globalAlpha;
  pen.globalAlpha = before * alpha;
  pen.fillStyle = colour;
  pen.fill(path);
  pen.globalAlpha = before;
}

// Draws twice: what is before x as it is, what is after it (still to come) pale.
export function fadedAfter(pen, x, width, height, pale, draw) {
  for (const [from, to, alpha] of [
    [0, x, 1],
    [x, width, pale],
  ]) {
    pen.save();
    pen.beginPath();
    pen.rect(from, 0, to - from, height);
    pen.clip();
    pen.globalAlpha = alpha;
    draw(alpha);
    pen.restore();
  }
}

export function roundBox(x, y, width, height, radius) {
  const path = new Path2D();
  path.roundRect(x, y, width, height, radius);
  return path;
}

// Text at (x, y). look: {font, colour, align, baseline}
export function write(pen, text, x, y, { font, colour, align = "left", baseline = "middle" }) {
  if (font) pen.font = font;
  if (colour) pen.fillStyle = colour;
  pen.textAlign = align;
  pen.textBaseline = baseline;
  pen.fillText(text, x, y);
}

export function dashedLine(pen, x0, y0, x1, y1, colour, dash = [3, 3], weight = 1) {
  pen.strokeStyle = colour;
  pen.lineWidth = weight;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
  pen.setLineDash([]);
}

export function cross(pen, x, y, r) {
  pen.moveTo(x - r, y - r);
  pen.lineTo(x + r, y + r);
  pen.moveTo(x + r, y - r);
  pen.lineTo(x - r, y + r);
}
