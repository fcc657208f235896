// From text to vectors: tokens over their characters, embeddings, positions, and their sum.

import { buttons } from "../choices.js";
import { data, h, math, table } from "../dom.js";
import { below } from "../equations.js";
import { follow } from "../follow.js";
import { picture } from "../matrix.js";
import { missing } from "../left.js";
import { label, labels } from "../naming.js";
import { cosine, range } from "../numbers.js";
import { go, state } from "../state.js";
import { t } from "../words.js";

export function tokens(store) {
  const { document } = store;
  const there = (name) => document.parts.some((part) => part.name === name);
  const sides = [
    ["src", t("source"), document.src.tokens],
    ["tgt", t("target"), document.tgt.inputs],
  ].filter(([side, , list]) => list.length && (side === "src" || there(`${side}_input`)));
  const side = sides.find(([each]) => each === state().side) ?? sides[0];
  return [
    h("p.lead", null, t("tokens-lead")),
    sides.length > 1 &&
      h(
        "div.choices",
        null,
        buttons(
          t("side"),
          sides.map(([each, name]) => [each, name]),
          side[0],
          (each) => go({ side: each }),
        ),
      ),
    cut(side[0] === "src" ? document.src.text : document.tgt.text, side[2]),
    vectors(store, side[0], side[2]),
    positions(store, side[0], side[2]),
  ];
}

// The text's characters in the order of the tokens; a token without a place is something that the model is told.
export function cut(text, list) {
  const letters = [...text];
  const pieces = list.map((token, place) => {
    const placed = token.start !== null && token.start !== undefined;
    const own = placed ? letters.slice(token.start, token.end).join("") || "␣" : token.text;
    const byte = /^<0x(..)>$/.exec(token.text)?.[1];
    return h(
      "span.token",
      { class: placed ? `tone${place % 4}` : "special" },
      h("span.characters.data", null, own.replace(/^ | $/g, "␣")),
      h("span.id.data", null, byte ? `${byte}₁₆ · ${token.id}` : String(token.id)),
    );
  });
  const rows = list.map((token, place) => [
    String(place + 1),
    data(token.text),
    String(token.id),
    token.start === null ? t("no-characters") : `${token.start}–${token.end}`,
  ]);
  return h(
    "section.card",
    null,
    h("h3", null, t("tokens-title")),
    h("p.hint", null, t("tokens-words")),
    h("p.tokens", null, pieces),
    h(
      "details.behind",
      null,
      h("summary", null, t("as-table")),
      table(["", t("token"), t("id"), t("characters")], rows, { label: t("tokens-title") }),
    ),
  );
}

function vectors(store, side, list) {
  const words = labels(list);
  const { src, tgt } = store.document;
  const alone = !src.tokens.length || !tgt.inputs.length; // one side needs no name
  const strip = (name) => {
    const matrix = store.matrix(name);
    return (
      matrix &&
      picture({
        id: name,
        matrix,
        labels: { rows: words },
        name: !alone ? t(`tensor-${name}`) : name.endsWith("input") ? t(`part-${name}`) : t(`tensor-${name.slice(4)}`),
        pick: (i, d) => follow(name, i, d),
        cell: 12,
      })
    );
  };
  return h(
    "section.card",
    null,
    h("h3", null, t("embedding-title")),
    h("p.hint", null, t("embedding-words")),
    h("p.formula", null, math(`x = ${below(store.document.config, (each) => store.has(`${side}_${each}`))}`)),
    missing(store, `${side}_embedding`),
    strip(`${side}_embedding`),
    strip(`${side}_segments`),
    strip(`${side}_positions`),
    strip(`${side}_input`),
  );
}

function positions(store, side, list) {
  const matrix = store.matrix(`${side}_positions`);
  if (!matrix) return null;
  const rows = range(matrix.rows).map((i) => matrix.row(i));
  const like = { rows: matrix.rows, columns: matrix.rows, value: (i, j) => cosine(rows[i], rows[j]) };
  const fixed = store.document.config.positions === "sinusoidal";
  const many = 64;
  const wave = {
    rows: many,
    columns: matrix.columns,
    value: (pos, d) => (d % 2 ? Math.cos : Math.sin)(pos / 10000 ** ((d - (d % 2)) / matrix.columns)),
  };
  const numbers = range(matrix.rows).map((i) => `${i} ${label(list[i])}`);
  return h(
    "section.card",
    null,
    h("h3", null, t("positions-title")),
    h("p.hint", null, t(fixed ? "positions-words" : "positions-learned-words")),
    fixed &&
      h("p.formula", null, math("PE(pos, 2i) = sin(pos / 10000^{2i/d}),  PE(pos, 2i+1) = cos(pos / 10000^{2i/d})")),
    h(
      "div.pair",
      null,
      fixed &&
        picture({
          id: "waves",
          matrix: wave,
          labels: { rows: range(many).map(String) },
          name: t("waves"),
          most: 1,
          cell: 8,
        }),
      picture({
        id: "position-likeness",
        matrix: like,
        labels: { rows: numbers, columns: numbers },
        name: t("position-likeness"),
        most: 1,
      }),
    ),
  );
}
