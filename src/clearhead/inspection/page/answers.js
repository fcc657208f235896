// Where what a model says comes from: the logits of tokens and labels, and one vector for a whole text.

import { POOLED } from "./equations.js";
import { sideOf } from "./gates.js";
import { sum } from "./numbers.js";
import { label } from "./naming.js";
import { linear, ref, same, softmax } from "./terms.js";

// The vectors that are compared with each token's.
const before = (store) =>
  ["transform.output", "decoder.output", "decoder.attentional", "encoder.output"].find((name) => store.has(name)) ??
  `decoder.layers.${store.document.config.n_layers - 1}.hidden`;

// The logarithm of what the exponentials of all logits add up to: it makes the shares add up to 1.
function normaliser(store, step, id) {
  const [logit, logProb] = ["logits", "log_probs"].map((each) => store.needed(`output.${each}`).at(step, id));
  return logit - logProb;
}

function share(store, part, [step, id]) {
  const all = normaliser(store, step, id);
  const { top } = store.document.steps[step];
  const rows = top.map((each) => [{ text: label(each) }, ref("output.logits", step, each.id), Math.exp(each.log_prob)]);
  const rest = store.document.config.tgt_vocabulary - top.length;
  const others = 1 - sum(rows.map((row) => row[2]));
  if (rest > 0) rows.push([{ others: rest }, { text: "" }, Math.max(0, others)]);
  return {
    how: "how-share",
    formula: "exp(s − log Σ exp s)",
    head: ["term-token", "s", "term-share"],
    terms: rows,
    mark: top.findIndex((each) => each.id === id),
    total: all,
    made: "log Σ exp s",
  };
}

// Where a number of a token's vector stands, as what has read the text leaves it.
function ofToken(store, row, column) {
  if (store.has("encoder.output")) return ref("encoder.output", row, column);
  const layers = store.document.config.n_layers;
  const side = layers === undefined ? null : sideOf(store, layers - 1, "hidden", column);
  if (side) return ref(side.name, row, side.at);
  return ref(store.has("src_input") ? "src_input" : "src_embedding", row, column);
}

const POOLING = { mean: "how-pooled-mean", root: "how-pooled-root", max: "how-pooled-max" };

// One vector for the whole text.
function pooled(store, part, [, column]) {
  const { config, src } = store.document;
  const formula = POOLED[config.pooling];
  if (config.pooling === "first") return same("encoder.output", [0, column]);
  if (config.pooling === "final") {
    const side = sideOf(store, config.n_layers - 1, "hidden", column);
    return side && { ...same(side.name, [side.last, side.at]), how: "how-pooled-final" };
  }
  const cells = src.tokens.map((_, row) => ofToken(store, row, column));
  const values = cells.map((cell) => store.needed(cell.name).at(...cell.index));
  const found = {
    how: POOLING[config.pooling],
    formula,
    head: ["term-token", "h_i"],
    terms: cells.map((cell, row) => [{ text: label(src.tokens[row]) }, cell]),
    made: formula,
  };
  if (config.pooling === "max")
    return { ...found, mark: values.indexOf(Math.max(...values)), total: Math.max(...values) };
  return { ...found, total: sum(values) / (config.pooling === "root" ? Math.sqrt(values.length) : values.length) };
}

// What the labels' layer reads.
const read = (store) => (store.has("pooler.output") ? "pooler.output" : "pooling.output");

const ofLabel = (store, part, [, label]) => linear(store, read(store), 0, "w_label", label, "x W + b");

export const ANSWERS = {
  "output.logits": (store, part, [row, id]) => linear(store, before(store), row, "output", id, "h E^T"),
  "output.log_probs": share,
  "output.probabilities": share,
  "decoder.attentional": (store, part, index) => ({
    how: "how-activated",
    formula: "tanh(x)",
    head: ["x"],
    terms: [[ref("decoder.combined", ...index)]],
  }),
  "decoder.combined": (store, part, [row, column]) =>
    linear(store, "decoder.context_and_state", row, "decoder.w_c", column, "[c_t; h_t] W_c"),
  "decoder.context_and_state": (store, part, [row, column]) => {
    const width = store.needed("attention.context").shape[1];
    if (column < width) return same("attention.context", [row, column]);
    return same(`decoder.layers.${store.document.config.n_layers - 1}.hidden`, [row, column - width]);
  },
  "pooling.output": pooled,
  "pooler.inner": (store, part, [, column]) => linear(store, "pooling.output", 0, "w_pooler", column, "x W + b"),
  "pooler.output": (store, part, index) => {
    const relu = store.document.config.pooler_activation === "relu";
    const formula = relu ? "max(0, x)" : "tanh(x)";
    return { how: "how-activated", formula, head: ["x"], terms: [[ref("pooler.inner", ...index)]] };
  },
  "labels.logits": (store, part, index) => {
    if (!store.has("labels.ngrams")) return ofLabel(store, part, index);
    const terms = [["linear", "pooled_ngrams"].map((each) => ref(`labels.${each}`, ...index))];
    return { how: "how-sum", formula: "x W + b + Σ_i g_i", head: ["x W + b", "Σ_i g_i"], terms };
  },
  "labels.linear": ofLabel,
  "labels.pooled_ngrams": (store, part, [, column]) => ({
    how: "how-sum",
    formula: "Σ_i g_i",
    head: ["term-token", "g_i"],
    terms: store.document.src.tokens.map((token, row) => [{ text: label(token) }, ref("labels.ngrams", row, column)]),
    total: store.needed("labels.pooled_ngrams").at(0, column),
    made: "Σ_i g_i",
  }),
  "labels.ngrams": () => ({ how: "how-ngrams", formula: "c Σ_r v_r e_r / ‖e‖", head: [], terms: [] }),
  "labels.probabilities": (store, part, [, column]) => {
    const found = softmax(store, store.needed("labels.logits"), (each) => [0, each], column);
    const names = store.document.labels.map((each) => ({ text: each.label }));
    return {
      ...found,
      head: ["label", ...found.head.slice(1)],
      terms: found.terms.map((term, at) => [names[at], ...term.slice(1)]),
    };
  },
};
