// Controls: what is looked at is chosen the same way everywhere.

import { h } from "./dom.js";
import { attentions, heads, keysOf, named, rowsOf } from "./naming.js";
import { range } from "./numbers.js";
import { go, state } from "./state.js";
import { t } from "./words.js";

export function select(id, name, options, chosen, change) {
  const field = h(
    "select",
    { id, onchange: (event) => change(event.target.value) },
    options.map(([value, text]) => h("option", { value, selected: String(value) === String(chosen) }, text)),
  );
  return h("label.choice", { for: id }, h("span", null, name), field);
}

export function buttons(name, options, chosen, change) {
  return h(
    "div.toggle",
    { role: "group", "aria-label": name },
    options.map(([value, text]) =>
      h(
        `button#choose-${value}`,
        { type: "button", "aria-pressed": String(value === chosen), onclick: () => change(value) },
        text,
      ),
    ),
  );
}

// The attention that is looked at; what does not fit the document gives way.
export function chosenAttention(document) {
  const all = attentions(document);
  const { part, head, i, j } = state();
  const found = all.includes(part) ? part : all[0];
  const count = heads(document, found);
  const [rows, keys] = [rowsOf(document, found), keysOf(document, found)];
  return {
    part: found,
    head: head === "mean" ? "mean" : Math.min(head ?? 0, count - 1),
    count,
    rows,
    keys,
    i: Math.min(i ?? 0, rows.length - 1),
    j: j === null || j === undefined ? null : Math.min(j, keys.length - 1),
  };
}

export function attentionChoices(document, chosen, mean) {
  const options = attentions(document).map((part) => [part, named(part)]);
  const all = range(chosen.count).map((head) => [head, t("head-number", { number: head + 1 })]);
  return [
    select("choose-part", t("attention"), options, chosen.part, (part) => go({ part })),
    select("choose-head", t("head"), mean ? [["mean", t("heads-mean")], ...all] : all, chosen.head, (head) =>
      go({ head: head === "mean" ? head : Number(head) }),
    ),
  ];
}

export function tokenChoice(id, name, words, chosen, change) {
  return select(
    id,
    name,
    words.map((word, place) => [place, `${place + 1} ${word}`]),
    chosen,
    (place) => change(Number(place)),
  );
}
