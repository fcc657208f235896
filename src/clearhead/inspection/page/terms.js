// How numbers come about, whatever they are called: sums, products, shares.

import { activation } from "./equations.js";
import { range, sum } from "./numbers.js";

export const ref = (name, ...index) => ({ name, index });

// y = x W + b: every entry of x has a part in it.
export function linear(store, from, row, weights, column, formula) {
  const x = store.needed(from);
  const terms = range(x.shape.at(-1)).map((d) => [ref(from, row, d)]);
  return { how: "how-linear", formula, head: ["term-input"], terms, weights: { name: weights, column } };
}

export function product(store, a, b, formula, head) {
  const terms = a.map((left, place) => {
    const values = [left, b[place]].map((each) => store.needed(each.name).at(...each.index));
    return [left, b[place], values[0] * values[1]];
  });
  return { how: "how-products", formula, head, terms, total: sum(terms.map((term) => term[2])) };
}

// A row of scores as shares; at(key): where a key's score stands.
export function softmax(store, scores, at, chosen) {
  const keys = range(scores.shape.at(-1));
  const highest = Math.max(...keys.map((key) => scores.at(...at(key))));
  const powers = keys.map((key) => Math.exp(scores.at(...at(key)) - highest));
  const terms = keys.map((key) => [{ key }, ref(scores.name, ...at(key)), powers[key], powers[key] / sum(powers)]);
  return {
    how: "how-softmax",
    formula: "exp(s_j − max s) / Σ exp(s − max s)",
    head: ["term-key", "s_j", "exp(s_j − max s)", "term-share"],
    terms,
    mark: chosen,
  };
}

// LayerNorm: an entry against the mean and the spread of its vector, times γ, plus β, which are learned.
export function normalised(store, from, [row, column], norm) {
  const x = store.needed(from);
  const values = range(x.shape[1]).map((d) => x.at(row, d));
  const mean = sum(values) / values.length;
  const variance = sum(values.map((value) => (value - mean) ** 2)) / values.length;
  const spread = Math.sqrt(variance + (store.document.config.norm_epsilon ?? 0));
  const normal = (values[column] - mean) / spread;
  const found = { how: "how-normalised", formula: "γ (x − μ) / σ + β", head: ["x", "μ", "σ", "(x − μ) / σ"] };
  if (!store.has(`${norm}.gamma`)) return { ...found, terms: [[ref(from, row, column), mean, spread, normal]] };
  const [gamma, beta] = ["gamma", "beta"].map((each) => ref(`${norm}.${each}`, column));
  const total = store.needed(gamma.name).at(column) * normal + store.needed(beta.name).at(column);
  const terms = [[ref(from, row, column), mean, spread, normal, gamma, beta]];
  return { ...found, head: [...found.head, "γ", "β"], terms, total, made: found.formula };
}

export const learned = () => ({ how: "how-learned", formula: "", head: [], terms: [] });

export const same = (name, index) => ({ how: "how-same", formula: "x", head: ["x"], terms: [[ref(name, ...index)]] });

// The activation of a number, or of one times its gate.
export function activated(store, terms) {
  const formula = activation(store.document.config, "x", "gate");
  return { how: "how-activated", formula, head: ["term-input", "gate"].slice(0, terms.length), terms: [terms] };
}
