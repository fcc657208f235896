// The panel that says where a number comes from; each number in it can be followed in turn.

import { data, h, math, table } from "./dom.js";
import { keysOf, labels, named, rowsOf } from "./naming.js";
import { exact, sum, written } from "./numbers.js";
import { origin } from "./origins.js";
import { answered, ask, served } from "./server.js";
import { go, state } from "./state.js";
import { sentence, t } from "./words.js";

const trail = [];
const SHOWN = 600;

export const address = (name, ...index) => `${name}:${index.join(".")}`;

export function follow(name, ...index) {
  if (state().follow) trail.push(state().follow);
  go({ follow: address(name, ...index) });
}

// A number that leads to where it comes from.
export function number(store, name, ...index) {
  const tensor = store.tensor(name);
  const value = tensor ? tensor.at(...index) : null;
  return h(
    "button.number",
    { type: "button", onclick: () => follow(name, ...index), title: t("follow") },
    written(value),
  );
}

function close() {
  trail.length = 0;
  go({ follow: null });
}

function back() {
  go({ follow: trail.pop() ?? null });
}

export function panel(store) {
  const [name, places] = String(state().follow).split(":");
  const index = (places ?? "").split(".").map(Number);
  const tensor = store.tensor(name);
  if (
    !tensor ||
    index.length !== tensor.shape.length ||
    index.some((place, axis) => !(place >= 0 && place < tensor.shape[axis]))
  ) {
    return null;
  }
  const found = origin(store, { name, index });
  return h(
    "aside.follow",
    { "aria-label": t("follow-title") },
    h(
      "div.bar",
      null,
      h("h2", null, t("follow-title")),
      trail.length > 0 && h("button", { type: "button", onclick: back }, t("back")),
      h("button", { type: "button", onclick: close, "aria-label": t("close") }, "×"),
    ),
    h("p.where", null, title(name)),
    h("p.value", null, math(exact(tensor.at(...index)))),
    h("p.hint", null, coordinates(store, name, tensor, index)),
    found ? explained(store, found) : h("p.hint", null, t("how-nothing")),
  );
}

function title(name) {
  const cut = name.lastIndexOf(".");
  if (cut < 0) return [h("b", null, t(`tensor-${name}`)), " ", h("code", null, name)];
  const what = name.slice(cut + 1);
  return [
    h("span", null, `${named(name.slice(0, cut))} · `),
    h("b", null, t(`tensor-${what}`)),
    " ",
    h("code", null, name),
  ];
}

function coordinates(store, name, tensor, index) {
  const words = [];
  const part = name.slice(0, name.lastIndexOf("."));
  if (index.length === 1) return t("dimension-number", { number: index[0] + 1, count: tensor.shape[0] });
  const [row, column] = index.slice(-2);
  if (index.length === 3) words.push(t("head-number", { number: index[0] + 1 }), " · ");
  const text = rowsOf(store.document, name)[row];
  words.push(t("row-number", { number: row + 1 }), " ", data(text ?? ""), " · ");
  const keys = /\.(scores|scaled|masked|weights|mask)$/.test(name) ? keysOf(store.document, part) : null;
  if (keys) words.push(t("key-number", { number: column + 1 }), " ", data(keys[column] ?? ""));
  else words.push(t("dimension-number", { number: column + 1, count: tensor.shape.at(-1) }));
  return words;
}

function explained(store, found) {
  return h(
    "div",
    null,
    h("p", null, t(found.how)),
    found.formula && h("p.formula", null, math(found.formula)),
    found.weights && served() ? learned(store, found) : [found.weights && columnOf(found.weights), terms(store, found)],
    found.total !== undefined && h("p.total", null, math(`${found.made ?? "Σ"} = ${exact(found.total)}`)),
  );
}

const columnOf = ({ name, column }) =>
  h("p.hint", null, sentence("weights-of", { name: h("code", null, name), column: data(String(column + 1)) }));

// The numbers that a number was computed of, one a row; more(place) adds cells to a row.
function terms(store, found, titles = [], more = () => []) {
  if (!found.terms.length) return null;
  if (found.terms.length === 1 && found.terms[0].length > 3) return upright(store, found);
  const rows = found.terms.slice(0, SHOWN).map((term, place) => {
    const cells = [String(place + 1), ...term.map((cell) => shown(store, cell, found)), ...more(place)];
    return Object.assign(cells, { mark: place === found.mark ? "chosen" : null });
  });
  return table(["", ...found.head, ...titles].map(heading), rows, { label: t("follow-title") });
}

// A single row of many numbers, one below the other: so they stay in sight.
function upright(store, found) {
  const rows = found.terms[0].map((cell, place) => [heading(found.head[place]), shown(store, cell, found)]);
  return table(null, rows, { label: t("follow-title") });
}

// With the learned weights, which the server knows.
function learned(store, found) {
  ask("column", found.weights);
  return answered("column", found.weights, ({ weights, bias }) => {
    const products = found.terms.map(([{ name, index }], place) => store.tensor(name).at(...index) * weights[place]);
    return [
      terms(store, found, ["W", "x · W"], (place) => [written(weights[place]), written(products[place])]),
      h("p.total", null, math(`Σ + b = ${exact(sum(products) + (bias ?? 0))}`)),
    ];
  });
}

const heading = (text) => (text.startsWith("term-") ? t(text) : text && math(text));

function shown(store, cell, found) {
  if (typeof cell === "number") return found.plain ? String(Number(cell.toPrecision(6))) : written(cell);
  if (cell.key !== undefined) {
    const [name] = String(state().follow).split(":");
    return data(keysOf(store.document, name.slice(0, name.lastIndexOf(".")))[cell.key] ?? "");
  }
  return number(store, cell.name, ...cell.index);
}
