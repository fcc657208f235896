// Matrices on canvas: where their cells and labels lie, and painting them.

import { h } from "./dom.js";
import { range } from "./numbers.js";

const LABEL = 92; // pixels that a label may take
const LETTERS = 60;
const FONT = 12;
const SLANT = 0.95; // of the labels above the columns, in radians

let colours = null;

export function forgetColours() {
  colours = null;
}

function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => {
      const hex = style.getPropertyValue(name).trim().slice(1);
      return [0, 2, 4].map((place) => parseInt(hex.slice(place, place + 2), 16));
    };
    colours = Object.fromEntries(["card", "ink", "soft", "line", "s0", "s1"].map((name) => [name, read(`--${name}`)]));
    colours.font = getComputedStyle(document.body).fontFamily;
    widths.clear();
  }
  return colours;
}

const css = (rgb) => `rgb(${rgb.join()})`;

// The values of {rows, columns, value(i, j)}, read once: the largest magnitude, whether any is negative or hidden.
export function read({ rows, columns, value }) {
  const values = new Float64Array(rows * columns);
  let [most, negative, hidden] = [0, false, false];
  for (let i = 0; i < rows; i += 1) {
    for (let j = 0; j < columns; j += 1) {
      const each = value(i, j);
      values[i * columns + j] = each;
      if (each === -Infinity) hidden = true;
      else if (each < 0) [negative, most] = [true, Math.max(most, -each)];
      else if (each > most) most = each;
    }
  }
  return { rows, columns, values, most, negative, hidden };
}

function shade(value, most) {
  const { card, s0, s1 } = palette();
  const share = most ? Math.min(1, Math.abs(value) / most) : 0;
  const full = value < 0 ? s1 : s0;
  return [0, 1, 2].map((place) => Math.round(card[place] + (full[place] - card[place]) * share));
}

// One pixel a cell, enlarged as it is drawn.
function image({ rows, columns, values }, most) {
  const pixels = new ImageData(columns, rows);
  const { line } = palette();
  values.forEach((value, place) => {
    const [red, green, blue] = value === -Infinity ? line : shade(value, most);
    pixels.data.set([red, green, blue, 255], 4 * place);
  });
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns, rows];
  small.getContext("2d").putImageData(pixels, 0, 0);
  return small;
}

function sized(canvas, width, height) {
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
}

function pen(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.ceil(width * ratio), Math.ceil(height * ratio)];
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.imageSmoothingEnabled = false;
  context.textBaseline = "middle";
  return context;
}

const widths = new Map();
let ruler = null;

function widthOf(text) {
  const { font } = palette();
  if (!widths.has(text)) {
    ruler ??= document.createElement("canvas").getContext("2d");
    ruler.font = `600 ${FONT}px ${font}`;
    widths.set(text, ruler.measureText(text).width);
  }
  return widths.get(text);
}

// The text, cut where it is wider than a label may be.
function shortened(text) {
  const letters = [...text.slice(0, 2 * LETTERS)].slice(0, LETTERS);
  if (letters.length === [...text.slice(0, 2 * LETTERS)].length && widthOf(text) <= LABEL) return text;
  while (letters.length > 1 && widthOf(`${letters.join("")}…`) > LABEL) letters.pop();
  return `${letters.join("")}…`;
}

const widest = (texts) => Math.max(0, ...texts.map(widthOf));

// Where things lie on a canvas that may be ``room`` pixels wide: the cells' corner and size, and the labels.
export function layout({ rows, columns }, labels, room, largest) {
  const left = (labels.rows ?? range(rows).map((i) => String(i + 1))).map(shortened);
  const top = labels.columns?.map(shortened);
  const beyond = top ? LABEL / 2 : 4; // the last label above leans over
  const corner = { x: Math.ceil(widest(left)) + 8, y: top ? Math.ceil(widest(top) * Math.sin(SLANT)) + 16 : 18 };
  const least = top && columns <= 64 ? 9 : 2;
  const width = Math.max(least, Math.min(largest, (Math.max(room, 160) - corner.x - beyond) / columns));
  const high = Math.max(width, rows > 96 ? 2 : rows > 40 ? 6 : 14);
  const height = top ? high : Math.min(high, 22);
  return { left, top, corner, width, height, all: [corner.x + width * columns + beyond, corner.y + height * rows + 2] };
}

const SLICE = 12; // milliseconds of painting before the page may answer again
const waiting = [];
let later = []; // out of sight, and not painted yet
let turn = 0;

// Pictures are laid out once they stand on the page, all widths read before any is set; those in sight are painted at
// once, the others as soon as there is time.
export function paintAll() {
  const now = waiting.splice(0);
  now.forEach((each) => each.measure?.());
  now.forEach((each) => each.size());
  turn += 1;
  const mine = turn;
  const all = [...later.filter(({ canvas }) => canvas.isConnected), ...now];
  const sight = all.map(({ canvas }) => canvas.getBoundingClientRect());
  later = all.filter((_, place) => sight[place].top > innerHeight || sight[place].bottom < 0);
  all.filter((each) => !later.includes(each)).forEach((each) => each.paint());
  const next = () => {
    const end = performance.now() + SLICE;
    while (mine === turn && later.length && performance.now() < end) later.shift().paint();
    if (mine === turn && later.length) setTimeout(next);
    else if (mine === turn) document.documentElement.dataset.painted = "true";
  };
  delete document.documentElement.dataset.painted;
  setTimeout(next);
}

// A picture that waits for its place: {canvas, measure(), size(), paint()}.
export const wait = (picture) => waiting.push(picture);

// A matrix without labels, so many pixels wide and high.
export function thumbnail(matrix, width, height, most) {
  const canvas = h("canvas.thumbnail", { "aria-hidden": "true" });
  const paint = () => pen(canvas, width, height).drawImage(image(read(matrix), most), 0, 0, width, height);
  wait({ canvas, size: () => sized(canvas, width, height), paint });
  return canvas;
}

export function size(canvas, place) {
  sized(canvas, ...place.all);
}

// chosen: [i, j], either may be null.
export function paint(canvas, cells, place, most, chosen) {
  const { corner, width, height } = place;
  const context = pen(canvas, ...place.all);
  context.drawImage(image(cells, most), corner.x, corner.y, width * cells.columns, height * cells.rows);
  rowLabels(context, place, chosen[0]);
  if (place.top) columnLabels(context, place, chosen[1]);
  else columnNumbers(context, place, cells.columns);
  if (width >= 32) figures(context, cells, place, most);
  else if (cells.hidden && width >= 6) strokes(context, cells, place);
  outline(context, cells, place, chosen);
}

const font = (bold) => `${bold ? "600 " : ""}${FONT}px ${palette().font}`;

function rowLabels(context, { left, corner, height }, chosen) {
  context.fillStyle = css(palette().ink);
  context.textAlign = "right";
  for (let i = 0; i < left.length; i += Math.ceil(13 / height)) {
    context.font = font(i === chosen);
    context.fillText(left[i], corner.x - 6, corner.y + (i + 0.5) * height);
  }
}

function columnLabels(context, { top, corner, width }, chosen) {
  context.textAlign = "left";
  for (let j = 0; j < top.length; j += Math.ceil(14 / width)) {
    context.save();
    context.translate(corner.x + (j + 0.5) * width, corner.y - 5);
    context.rotate(-SLANT);
    context.font = font(j === chosen);
    context.fillText(top[j], 0, 0);
    context.restore();
  }
}

function columnNumbers(context, { corner, width }, columns) {
  context.fillStyle = css(palette().soft);
  context.textAlign = "center";
  context.font = font(false);
  const every = columns > 8 ? 8 * Math.ceil(44 / (8 * width)) : 1;
  for (let j = 0; j < columns; j += every) context.fillText(String(j + 1), corner.x + (j + 0.5) * width, corner.y - 8);
}

// What may not be seen, where there is no room to write minus infinity.
function strokes(context, { columns, values }, { corner, width, height }) {
  context.strokeStyle = css(palette().soft);
  context.lineWidth = 0.7;
  context.beginPath();
  values.forEach((value, place) => {
    if (value !== -Infinity) return;
    const [x, y] = [corner.x + (place % columns) * width, corner.y + Math.floor(place / columns) * height];
    context.moveTo(x + 2, y + height - 2);
    context.lineTo(x + width - 2, y + 2);
  });
  context.stroke();
}

function figures(context, { columns, values }, { corner, width, height }, most) {
  const { card, ink, line } = palette();
  context.font = `${width < 40 ? 10 : 11}px ${palette().font}`;
  context.textAlign = "center";
  const dark = (rgb) => 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2] < 128;
  values.forEach((value, place) => {
    const ground = value === -Infinity ? line : shade(value, most);
    context.fillStyle = css(dark(ground) === dark(ink) ? card : ink);
    const [i, j] = [Math.floor(place / columns), place % columns];
    context.fillText(brief(value), corner.x + (j + 0.5) * width, corner.y + (i + 0.5) * height);
  });
}

// As many digits as a cell has room for.
function brief(value) {
  if (value === -Infinity) return "−∞";
  const size = Math.abs(value);
  const text = value.toFixed(size >= 99.5 ? 0 : size >= 9.95 ? 1 : size >= 0.9995 ? 2 : 3);
  return text
    .replace(/^(-?)0\./, "$1.")
    .replace(/^-(\.?0*)$/, "$1")
    .replace("-", "−");
}

function outline(context, { columns }, { corner, width, height }, [i, j]) {
  if (i === null || i === undefined) return;
  context.strokeStyle = css(palette().s1);
  context.lineWidth = 2;
  const [x, wide] = j === null || j === undefined ? [0, columns * width] : [j * width, width];
  context.strokeRect(corner.x + x, corner.y + i * height, wide, height);
}
