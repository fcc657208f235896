// Recurrent models: gates and hidden states over time, the context vector, additive attention.

import { select } from "../choices.js";
import { data, h, math } from "../dom.js";
import { follow } from "../follow.js";
import { lines } from "../lines.js";
import { missing } from "../left.js";
import { picture } from "../matrix.js";
import { labels, rowsOf } from "../naming.js";
import { entropy, range, sum, written } from "../numbers.js";
import { go, state } from "../state.js";
import { sentence, t } from "../words.js";

// The order in which a step computes them.
const INSIDE = ["input_gate", "forget_gate", "output_gate", "reset_gate", "update_gate", "candidate", "cell", "hidden"];

export function recurrent(store) {
  const { document } = store;
  const units = document.parts.filter((part) => part.kind === "recurrent").map((part) => part.name);
  const unit = units.includes(state().unit) ? state().unit : units[0];
  return [
    h("p.lead", null, t("recurrent-lead")),
    units.length > 0 &&
      h(
        "div.choices",
        null,
        select(
          "choose-unit",
          t("recurrent-layer"),
          units.map((each) => [each, unitName(each)]),
          unit,
          (each) => go({ unit: each }),
        ),
      ),
    unit && gates(store, unit),
    document.parts.some((part) => part.kind === "recurrent_attention") &&
      (missing(store, "attention.weights") ?? attends(store)),
    combined(store),
  ];
}

function unitName(unit) {
  const [, stack, layer, direction] = /^(\w+)\.layers\.(\d+)(?:\.(\w+))?$/.exec(unit) ?? [null, unit, "0"];
  return [
    t(`part-${stack}`),
    t("layer-number", { number: Number(layer) + 1 }),
    direction && t(`direction-${direction}`),
  ]
    .filter(Boolean)
    .join(" · ");
}

function gates(store, unit) {
  const words = rowsOf(store.document, unit);
  const found = INSIDE.filter((what) => store.has(`${unit}.${what}`));
  const { cell } = store.document.config;
  return h(
    "section.card",
    null,
    h("h3", null, unitName(unit)),
    h("p.hint", null, t(`cell-${cell}-words`)),
    CELLS[cell].map((formula) => h("p.formula", null, math(formula))),
    h(
      "div.pair",
      null,
      missing(store, `${unit}.candidate`, `${unit}.hidden`),
      found.map((what) =>
        picture({
          id: `gate-${what}`,
          matrix: store.matrix(`${unit}.${what}`),
          labels: { rows: words },
          name: t(`tensor-${what}`),
          most: 1,
          pick: (i, d) => follow(`${unit}.${what}`, i, d),
          cell: 12,
        }),
      ),
    ),
  );
}

const CELLS = {
  lstm: ["i, f, o = σ(W x_t + U h_{t−1} + b)", "c_t = f c_{t−1} + i g", "h_t = o tanh(c_t)"],
  gru: ["r, z = σ(W x_t + U h_{t−1} + b)", "n = tanh(W x_t + r (U h_{t−1}) + b)", "h_t = (1 − z) n + z h_{t−1}"],
  rnn: ["h_t = tanh(W x_t + U h_{t−1} + b)"],
};

function attends(store) {
  const matrix = store.matrix("attention.weights");
  const [rows, columns] = [labels(store.document.tgt.inputs), labels(store.document.src.tokens)];
  const word = state().word ?? null;
  const spread = sum(range(matrix.rows).map((i) => entropy(matrix.row(i)))) / matrix.rows;
  return h(
    "section.card",
    null,
    h("h3", null, t("recurrent-attention")),
    h("p.hint", null, t("recurrent-attention-words"), " ", sentence("mean-entropy", { value: data(written(spread)) })),
    h("p.formula", null, math("a_t = softmax(score(h_t, h_s)),  c_t = Σ_s a_{ts} h_s")),
    h(
      "div.pair",
      null,
      picture({
        id: "recurrent-weights",
        matrix,
        labels: { rows, columns },
        name: t("matrix-weights"),
        most: 1,
        pick: (i, j) => follow("attention.weights", i, j),
      }),
      lines({
        matrix,
        left: rows,
        right: columns,
        chosen: word !== null && word < rows.length ? word : null,
        pick: (place) => go({ word: place }),
        name: t("lines"),
      }),
    ),
    store.has("attention.context") &&
      picture({
        id: "context",
        matrix: store.matrix("attention.context"),
        labels: { rows },
        name: t("context"),
        pick: (i, d) => follow("attention.context", i, d),
        cell: 12,
      }),
  );
}

function combined(store) {
  const matrix = store.matrix("decoder.combined");
  return (
    matrix &&
    h(
      "section.card",
      null,
      h("h3", null, t("combined")),
      h("p.formula", null, math("tanh(W_c [c_t; h_t])")),
      picture({
        id: "combined",
        matrix,
        labels: { rows: labels(store.document.tgt.inputs) },
        name: t("combined"),
        pick: (i, d) => follow("decoder.combined", i, d),
        cell: 12,
      }),
    )
  );
}
