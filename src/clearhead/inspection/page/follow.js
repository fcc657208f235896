// The panel that says where a number comes from; each number in it can be followed in turn.

import { data, h, math, table } from "./dom.js";
import { keysOf, labels, named, rowsOf } from "./naming.js";
import { exact, sum, written } from "./numbers.js";
import { origin } from "./origins.js";
import { ask, served } from "./server.js";
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
  const learned = found.weights && served() ? h("div", null, h("p.hint", null, t("asking"))) : null;
  const shown = found.terms.slice(0, SHOWN);
  const rows = () =>
    shown.map((term, place) => ({
      mark: place === found.mark ? "chosen" : null,
      ...[String(place + 1), ...term.map((cell) => written_cell(store, cell, found))],
    }));
  const list = (extra, titles) => {
    const each = rows().map((row, place) => {
      const cells = Object.keys(row)
        .filter((key) => key !== "mark")
        .map((key) => row[key]);
      return Object.assign([...cells, ...(extra ? extra(place) : [])], { mark: row.mark });
    });
    return table(["", ...found.head, ...titles].map(heading), each, { label: t("follow-title") });
  };
  if (learned) {
    ask("column", found.weights).then((answer) => {
      if (!answer.weights) {
        learned.replaceChildren(h("p.note", null, t("not-answered")), list(null, []));
        return;
      }
      const value = (place) => {
        const { name, index } = found.terms[place][0];
        return store.tensor(name).at(...index);
      };
      const products = found.terms.map((_, place) => value(place) * answer.weights[place]);
      learned.replaceChildren(
        list((place) => [written(answer.weights[place]), written(products[place])], ["W", "x · W"]),
        h("p.total", null, math(`Σ + b = ${exact(sum(products) + (answer.bias ?? 0))}`)),
      );
    });
  }
  return h(
    "div",
    null,
    h("p", null, t(found.how)),
    h("p.formula", null, math(found.formula)),
    found.weights &&
      !learned &&
      h(
        "p.hint",
        null,
        sentence("weights-of", {
          name: h("code", null, found.weights.name),
          column: data(String(found.weights.column + 1)),
        }),
      ),
    learned ?? (found.terms.length > 0 && list(null, [])),
    found.total !== undefined && h("p.total", null, math(`Σ = ${exact(found.total)}`)),
  );
}

const heading = (text) => (text.startsWith("term-") ? t(text) : text && math(text));

function written_cell(store, cell, found) {
  if (typeof cell === "number") return found.plain ? String(Number(cell.toPrecision(6))) : written(cell);
  if (cell.key !== undefined) {
    const [name] = String(state().follow).split(":");
    return data(keysOf(store.document, name.slice(0, name.lastIndexOf(".")))[cell.key] ?? "");
  }
  return number(store, cell.name, ...cell.index);
}
