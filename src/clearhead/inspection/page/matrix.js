// A matrix as a picture: one canvas with its labels, read by pointer or arrow keys, and a table behind it.

import { behind, data, h, table } from "./dom.js";
import { range, written } from "./numbers.js";
import { t } from "./words.js";

const waiting = [];

// Pictures are painted when they stand on the page, where their width is known.
export function paintAll() {
  for (const paint of waiting.splice(0)) paint();
}

export const later = (paint) => waiting.push(paint);

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
  }
  return colours;
}

const css = (rgb) => `rgb(${rgb.join()})`;

function shade(value, most) {
  const { card, s0, s1 } = palette();
  const share = most ? Math.min(1, Math.abs(value) / most) : 0;
  return card.map((from, place) => Math.round(from + ((value < 0 ? s1 : s0)[place] - from) * share));
}

// The largest magnitude, minus infinity aside.
export function extent(matrix) {
  let [most, negative] = [0, false];
  for (let i = 0; i < matrix.rows; i += 1) {
    for (let j = 0; j < matrix.columns; j += 1) {
      const value = matrix.value(i, j);
      if (value === -Infinity) continue;
      most = Math.max(most, Math.abs(value));
      negative ||= value < 0;
    }
  }
  return { most, negative };
}

// One pixel a cell, enlarged as it is drawn.
function image(matrix, most) {
  const { rows, columns } = matrix;
  const pixels = new ImageData(columns, rows);
  const { line } = palette();
  for (let i = 0; i < rows; i += 1) {
    for (let j = 0; j < columns; j += 1) {
      const value = matrix.value(i, j);
      const [red, green, blue] = value === -Infinity ? line : shade(value, most);
      pixels.data.set([red, green, blue, 255], 4 * (i * columns + j));
    }
  }
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns, rows];
  small.getContext("2d").putImageData(pixels, 0, 0);
  return small;
}

function ready(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.ceil(width * ratio), Math.ceil(height * ratio)];
  [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.imageSmoothingEnabled = false;
  return context;
}

// A matrix without labels: {rows, columns, value(i, j)}, width in pixels.
export function thumbnail(matrix, width, height = (width * matrix.rows) / matrix.columns, most = extent(matrix).most) {
  const canvas = h("canvas.thumbnail", { "aria-hidden": "true" });
  later(() => ready(canvas, width, height).drawImage(image(matrix, most), 0, 0, width, height));
  return canvas;
}

const LABEL = 92;
const FONT = 12;

function shortened(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  const letters = [...text].slice(0, 60);
  while (letters.length > 1 && context.measureText(`${letters.join("")}…`).width > room) letters.pop();
  return `${letters.join("")}…`;
}

// matrix: {rows, columns, value(i, j)}; labels: {rows, columns}, lists of texts or nothing; most: what is full colour;
// chosen: [i, j], either may be null; pick(i, j): a cell was chosen; cell: the largest cell; name: what it is.
export function picture({ matrix, labels = {}, name, chosen = [], pick, most, cell = 34, id, steps }) {
  const { most: found, negative } = extent(matrix);
  const full = most ?? found;
  const said = h("output.said", null, "\u00a0");
  const canvas = h("canvas", {
    id,
    tabindex: 0,
    role: "img",
    "aria-label": t("picture-label", { name, rows: matrix.rows, columns: matrix.columns }),
  });
  const frame = h("div.canvas", null, canvas);
  const at = [chosen[0] ?? 0, chosen[1] ?? 0];
  const place = {};

  const label = (axis, index) => labels[axis]?.[index] ?? String(index + 1);
  const say = (i, j) => {
    const value = written(matrix.value(i, j));
    said.replaceChildren(data(`${label("rows", i)} · ${label("columns", j)}`), h("b", null, value));
  };

  const paint = () => {
    const { ink, soft, s1, font } = palette();
    const context = ready(canvas, 1, 1);
    context.font = `${FONT}px ${font}`;
    const widest = (texts) =>
      Math.min(LABEL, Math.max(0, ...texts.map((text) => context.measureText(text.slice(0, 60)).width)));
    const names = labels.rows ?? range(matrix.rows).map((i) => String(i + 1));
    place.left = Math.ceil(widest(names)) + 8;
    place.top = labels.columns ? Math.ceil(widest(labels.columns) * 0.82) + 18 : 18;
    const room = Math.max(120, (frame.parentElement?.clientWidth ?? 400) - place.left - (labels.columns ? 46 : 8));
    place.width = Math.max(labels.columns ? 9 : 2, Math.min(cell, room / matrix.columns));
    if (matrix.columns > 64) place.width = Math.max(2, Math.min(cell, room / matrix.columns));
    place.height = Math.max(place.width, matrix.rows > 96 ? 2 : matrix.rows > 40 ? 6 : 14);
    if (place.height > 22 && !labels.columns) place.height = 22;
    const [wide, high] = [place.width * matrix.columns, place.height * matrix.rows];
    const pen = ready(canvas, place.left + wide + (labels.columns ? 46 : 4), place.top + high + 2);
    pen.font = `${FONT}px ${font}`;
    pen.drawImage(image(matrix, full), place.left, place.top, wide, high);
    pen.fillStyle = css(ink);
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const every = Math.ceil(13 / place.height);
    for (let i = 0; i < matrix.rows; i += every) {
      pen.font = `${i === chosen[0] ? "600 " : ""}${FONT}px ${font}`;
      pen.fillText(shortened(pen, names[i], LABEL), place.left - 6, place.top + (i + 0.5) * place.height);
    }
    pen.textAlign = "left";
    pen.font = `${FONT}px ${font}`;
    if (labels.columns) {
      const skip = Math.ceil(14 / place.width);
      for (let j = 0; j < matrix.columns; j += skip) {
        pen.save();
        pen.translate(place.left + (j + 0.5) * place.width, place.top - 5);
        pen.rotate(-0.95);
        pen.font = `${j === chosen[1] ? "600 " : ""}${FONT}px ${font}`;
        pen.fillText(shortened(pen, labels.columns[j], LABEL), 0, 0);
        pen.restore();
      }
    } else {
      pen.fillStyle = css(soft);
      pen.textAlign = "center";
      const skip = steps ?? (matrix.columns > 8 ? 8 * Math.ceil(44 / (8 * place.width)) : 1);
      for (let j = 0; j < matrix.columns; j += skip) {
        pen.fillText(String(j + 1), place.left + (j + 0.5) * place.width, place.top - 8);
      }
    }
    masked(pen, matrix, place);
    if (place.width >= 32) figures(pen, matrix, place, full);
    outline(pen, place, matrix, chosen, css(s1));
  };

  const find = (event) => {
    const box = canvas.getBoundingClientRect();
    const i = Math.floor((event.clientY - box.top - place.top) / place.height);
    const j = Math.floor((event.clientX - box.left - place.left) / place.width);
    return i >= 0 && j >= 0 && i < matrix.rows && j < matrix.columns ? [i, j] : null;
  };
  canvas.addEventListener("pointermove", (event) => {
    const cellAt = find(event);
    if (cellAt) say(...cellAt);
  });
  canvas.addEventListener("click", (event) => {
    const cellAt = find(event);
    if (cellAt && pick) pick(...cellAt);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) {
      at[0] = Math.min(matrix.rows - 1, Math.max(0, at[0] + step[0]));
      at[1] = Math.min(matrix.columns - 1, Math.max(0, at[1] + step[1]));
      say(...at);
      paint();
      outline(canvas.getContext("2d"), place, matrix, at, css(palette().s1));
      event.preventDefault();
    } else if (event.key === "Enter" && pick) pick(...at);
  });
  later(paint);
  return h(
    "figure.matrix",
    null,
    h("figcaption", null, h("span", null, name), scale(full, negative)),
    frame,
    said,
    behind(t("as-table"), () =>
      table(
        ["", ...range(matrix.columns).map((j) => data(label("columns", j)))],
        range(matrix.rows).map((i) => [
          data(label("rows", i)),
          ...range(matrix.columns).map((j) => written(matrix.value(i, j))),
        ]),
        { label: name },
      ),
    ),
  );
}

// What the colours mean, from the least to the most.
function scale(most, negative) {
  return h(
    "span.scale",
    { "aria-hidden": "true" },
    negative ? written(-most) : "0",
    h("i", { class: negative ? "signed" : "share" }),
    written(most),
  );
}

function masked(pen, matrix, place) {
  if (place.width < 6) return;
  pen.strokeStyle = css(palette().soft);
  pen.lineWidth = 0.7;
  for (let i = 0; i < matrix.rows; i += 1) {
    for (let j = 0; j < matrix.columns; j += 1) {
      if (matrix.value(i, j) !== -Infinity || place.width >= 32) continue;
      const [x, y] = [place.left + j * place.width, place.top + i * place.height];
      pen.beginPath();
      pen.moveTo(x + 2, y + place.height - 2);
      pen.lineTo(x + place.width - 2, y + 2);
      pen.stroke();
    }
  }
}

function figures(pen, matrix, place, most) {
  const { card, ink, font } = palette();
  pen.font = `${place.width < 40 ? 10 : 11}px ${font}`;
  pen.textAlign = "center";
  const dark = (rgb) => 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2] < 128;
  for (let i = 0; i < matrix.rows; i += 1) {
    for (let j = 0; j < matrix.columns; j += 1) {
      const value = matrix.value(i, j);
      const ground = value === -Infinity ? palette().line : shade(value, most);
      pen.fillStyle = css(dark(ground) === dark(ink) ? card : ink);
      const text =
        value === -Infinity
          ? "−∞"
          : written(value)
              .replace(/^(−?)0\./, "$1.")
              .slice(0, 5);
      pen.fillText(text, place.left + (j + 0.5) * place.width, place.top + (i + 0.5) * place.height);
    }
  }
}

function outline(pen, place, matrix, [i, j], colour) {
  if (i === null || i === undefined) return;
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  const one = j !== null && j !== undefined;
  const [x, width] = one ? [j * place.width, place.width] : [0, matrix.columns * place.width];
  pen.strokeRect(place.left + x, place.top + i * place.height, width, place.height);
}
