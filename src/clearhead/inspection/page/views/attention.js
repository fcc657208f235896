// Self-attention in six steps with this sentence's numbers, the matrix form beside it, then the heads together.

import { attentionChoices, chosenAttention, tokenChoice } from "../choices.js";
import { data, h, kept, math } from "../dom.js";
import { follow, number } from "../follow.js";
import { missing } from "../left.js";
import { picture } from "../matrix.js";
import { range } from "../numbers.js";
import { go } from "../state.js";
import { sentence, spoken, t } from "../words.js";

// What the steps are made of.
const INSIDE = ["q", "k", "v", "scores", "weights", "z", "output"];

export function attention(store) {
  const chosen = chosenAttention(store.document);
  if (chosen.head === "mean") chosen.head = 0;
  const { part, head, rows, keys, i } = chosen;
  const j = chosen.j ?? (store.has(`${part}.weights`) ? best(store, part, head, i) : 0);
  const all = { ...chosen, j };
  const gone = missing(store, ...INSIDE.map((what) => `${part}.${what}`));
  const front = [
    h("p.lead", null, t("attention-lead")),
    h(
      "div.choices",
      null,
      attentionChoices(store.document, chosen, false),
      tokenChoice("choose-query", t("query"), rows, i, (place) => go({ i: place })),
      tokenChoice("choose-key", t("key"), keys, j, (place) => go({ j: place })),
    ),
  ];
  if (gone) return [...front, gone];
  return [
    ...front,
    h(
      "div.twin",
      null,
      h("div", null, stepVectors(store, all), stepScores(store, all), stepSum(store, all)),
      matrices(store, all),
    ),
    kept("together", [spoken(), part, i], () => together(store, all)),
  ];
}

// The key that the query looks at most.
function best(store, part, head, i) {
  const row = store.matrix(`${part}.weights`, head).row(i);
  return row.indexOf(Math.max(...row));
}

function step(place, title, words, ...rest) {
  return h(
    "section.card.step",
    null,
    h("h3", null, h("span.count", { "aria-hidden": "true" }, String(place)), title),
    h("p.hint", null, words),
    rest,
  );
}

function stepVectors(store, { part, head, rows, keys, i, j }) {
  const strip = (letter, words, row) => {
    const matrix = store.matrix(`${part}.${letter}`, head);
    return picture({
      id: `step-${letter}`,
      matrix,
      labels: { rows: words },
      name: t(`vectors-${letter}`),
      chosen: [row, null],
      pick: (a, c) => follow(`${part}.${letter}`, head, a, c),
      cell: 14,
    });
  };
  return step(1, t("step-vectors"), sentence("step-vectors-words", { query: data(rows[i]), key: data(keys[j]) }), [
    h("p.formula", null, math("q_i = x_i W_Q + b"), math("k_j = x_j W_K + b"), math("v_j = x_j W_V + b")),
    strip("q", rows, i),
    strip("k", keys, j),
    strip("v", keys, j),
  ]);
}

// Steps two to five: a row a step, a column a key, every number a way to where it comes from.
function stepScores(store, { part, head, rows, keys, i, j }) {
  const width = store.tensor(`${part}.q`).shape[2];
  const lines = [
    [2, "scores", "step-scores", "q_i · k_j"],
    [3, "scaled", "step-scaled", "÷ √d_k"],
    [4, "masked", "step-masked", "+ mask"],
    [5, "weights", "step-weights", "softmax"],
  ];
  const cells = (what) =>
    keys.map((_, key) => {
      const cell = h("td", { class: key === j ? "chosen" : null }, number(store, `${part}.${what}`, head, i, key));
      if (what === "weights")
        cell.style.setProperty("--share", store.tensor(`${part}.weights`).at(head, i, key).toFixed(3));
      return cell;
    });
  const grid = h(
    "table.ladder",
    null,
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        h("th", { scope: "col" }, sentence("ladder-head", { query: data(rows[i]) })),
        keys.map((word, key) => h("th", { scope: "col", class: key === j ? "chosen" : null }, data(word))),
      ),
    ),
    h(
      "tbody",
      null,
      lines.map(([place, what, words, formula]) =>
        h(
          "tr",
          { class: what },
          h(
            "th",
            { scope: "row" },
            h("span.count", { "aria-hidden": "true" }, String(place)),
            h("span", null, t(words)),
            math(formula),
          ),
          cells(what),
        ),
      ),
    ),
  );
  return h(
    "section.card.step",
    null,
    h("h3", null, h("span.count", { "aria-hidden": "true" }, "2–5"), t("steps-scores")),
    h(
      "p.hint",
      null,
      sentence("steps-scores-words", { root: math(`√d_k = √${width} = ${Math.sqrt(width).toFixed(2)}`) }),
    ),
    h("div.scroll", { tabindex: 0, role: "region", "aria-label": t("steps-scores") }, grid),
  );
}

function stepSum(store, { part, head, rows, keys, i }) {
  const weights = store.matrix(`${part}.weights`, head);
  const values = store.matrix(`${part}.v`, head);
  const parts = {
    rows: keys.length,
    columns: values.columns,
    value: (key, c) => weights.value(i, key) * values.value(key, c),
  };
  const z = store.matrix(`${part}.z`, head);
  const one = { rows: 1, columns: z.columns, value: (_, c) => z.value(i, c) };
  return step(6, t("step-sum"), t("step-sum-words"), [
    h("p.formula", null, math("z_i = Σ_j a_{ij} v_j")),
    picture({
      id: "step-parts",
      matrix: parts,
      labels: { rows: keys },
      name: t("weighted-values"),
      pick: (_, c) => follow(`${part}.z`, head, i, c),
      cell: 14,
    }),
    picture({
      id: "step-z",
      matrix: one,
      labels: { rows: [rows[i]] },
      name: t("vector-z"),
      pick: (_, c) => follow(`${part}.z`, head, i, c),
      cell: 14,
    }),
  ]);
}

function matrices(store, { part, head, rows, keys, i, j }) {
  const square = (what, formula, most) => [
    h("p.formula", null, math(formula)),
    picture({
      id: `matrix-${what}`,
      matrix: store.matrix(`${part}.${what}`, head),
      labels: { rows, columns: keys },
      name: t(`matrix-${what}`),
      chosen: [i, j],
      most,
      pick: (a, b) => {
        go({ i: a, j: b });
        follow(`${part}.${what}`, head, a, b);
      },
    }),
  ];
  return h(
    "section.card.form",
    null,
    h("h3", null, t("matrix-form")),
    h("p.hint", null, t("matrix-form-words")),
    h("p.formula.whole", null, math("Attention(Q, K, V) = softmax(Q K^T / √d_k) V")),
    square("scaled", "Q K^T / √d_k"),
    square("masked", "Q K^T / √d_k + mask"),
    square("weights", "A = softmax(Q K^T / √d_k + mask)", 1),
    h("p.formula", null, math("Z = A V")),
    picture({
      id: "matrix-z",
      matrix: store.matrix(`${part}.z`, head),
      labels: { rows },
      name: t("matrix-z"),
      chosen: [i, null],
      pick: (a, c) => follow(`${part}.z`, head, a, c),
      cell: 14,
    }),
  );
}

// Concatenation and W_O.
function together(store, { part, rows, i, count }) {
  const joined = store.matrix(`${part}.concatenated`);
  const output = store.matrix(`${part}.output`);
  const width = joined.columns / count;
  const byHead = { rows: count, columns: width, value: (head, c) => joined.value(i, head * width + c) };
  const names = range(count).map((head) => t("head-number", { number: head + 1 }));
  return h(
    "section.card",
    null,
    h("h3", null, t("together")),
    h(
      "p.hint",
      null,
      sentence("together-words", {
        word: data(rows[i]),
        count: data(String(count)),
        width: data(String(width)),
        all: data(String(joined.columns)),
      }),
    ),
    h("p.formula", null, math("MultiHead = Concat(z^1, …, z^h) W_O + b")),
    h(
      "div.pair",
      null,
      picture({
        id: "together-heads",
        matrix: byHead,
        labels: { rows: names },
        name: t("concatenated-row"),
        pick: (head, c) => follow(`${part}.concatenated`, i, head * width + c),
        cell: 14,
      }),
      picture({
        id: "together-output",
        matrix: output,
        labels: { rows },
        name: t("output-matrix"),
        chosen: [i, null],
        pick: (a, c) => follow(`${part}.output`, a, c),
        cell: 14,
      }),
    ),
  );
}
