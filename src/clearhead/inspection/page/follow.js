// The panel that says where a number comes from; each number in it can be followed in turn.

import { data, h, math, table } from "./dom.js";
import { keysOf, label, named, ofWholeText, rowsOf } from "./naming.js";
import { leftOut } from "./left.js";
import { exact, sum, whole, written } from "./numbers.js";
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

// A number that leads to where it comes from, written as ``write`` does; where the file does not hold it, it leads nowhere.
export function number(store, name, ...index) {
  return numberAs(written, store, name, ...index);
}

export function numberAs(write, store, name, ...index) {
  const value = store.tensor(name)?.at(...index) ?? null;
  if (value === null) return h("span", null, written(null));
  return h(
    "button.number",
    { type: "button", onclick: () => follow(name, ...index), title: t("follow") },
    write(value),
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
    index.some((place, axis) => !(place >= 0 && place < tensor.shape[axis])) ||
    tensor.at(...index) === null
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
    found ? explained(store, found) : [h("p.hint", null, t("how-nothing")), leftOut(store)],
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
  if (ofWholeText(name) && part === "labels") return data(store.document.labels[column].label);
  if (part === "output") {
    const { top } = store.document.steps[row];
    words.push(t("step-number", { number: row + 1 }), " · ");
    return [...words, data(label(top.find((each) => each.id === column)))];
  }
  if (index.length === 3) words.push(t("head-number", { number: index[0] + 1 }), " · ");
  const text = rowsOf(store.document, name)[row];
  if (ofWholeText(name)) words.push(text, " · ");
  else words.push(t("row-number", { number: row + 1 }), " ", data(text ?? ""), " · ");
  const keys = /\.(scores|scaled|masked|weights|mask)$/.test(name) ? keysOf(store.document, part) : null;
  if (name === "labels.ngrams") words.push(data(store.document.labels[column].label));
  else if (keys) words.push(t("key-number", { number: column + 1 }), " ", data(keys[column] ?? ""));
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
  const rest = found.terms.length - SHOWN;
  return [
    table(["", ...found.head, ...titles].map(heading), rows, { label: t("follow-title") }),
    rest > 0 && h("p.hint", null, t("terms-more", { count: whole(rest) })),
  ];
}

// A single row of many numbers, one below the other: so they stay in sight.
function upright(store, found) {
  const rows = found.terms[0].map((cell, place) => [heading(found.head[place]), shown(store, cell, found)]);
  return table(null, rows, { label: t("follow-title") });
}

// With the learned weights, which the server knows; of a term its last cell is what is multiplied.
function learned(store, found) {
  ask("column", found.weights);
  return answered("column", found.weights, ({ weights: all, bias }) => {
    const weights = found.factor ? all.map((weight, place) => weight * found.factor(place)) : all;
    const products = found.terms.map((term, place) => valueOf(store, term.at(-1)) * weights[place]);
    const total = sum(products) + (bias ?? 0);
    const name = bias === null ? "Σ" : "Σ + b";
    return [
      terms(store, found, ["W", "x · W"], (place) => [written(weights[place]), written(products[place])]),
      h("p.total", null, math(`${name} = ${exact(total)}`)),
      found.bend && h("p.total", null, math(`${found.bend[0]}(${name}) = ${exact(found.bend[1](total))}`)),
    ];
  });
}

const valueOf = (store, cell) => (typeof cell === "number" ? cell : store.needed(cell.name).at(...cell.index));

const heading = (text) => (text.startsWith("term-") || text === "label" ? t(text) : text && math(text));

function shown(store, cell, found) {
  if (typeof cell === "number") return found.plain ? String(Number(cell.toPrecision(6))) : written(cell);
  if (cell.key !== undefined) {
    const [name] = String(state().follow).split(":");
    return data(keysOf(store.document, name.slice(0, name.lastIndexOf(".")))[cell.key] ?? "");
  }
  if (cell.text !== undefined) return data(cell.text);
  if (cell.others !== undefined) return t("term-others", { count: whole(cell.others) });
  return number(store, cell.name, ...cell.index);
}
