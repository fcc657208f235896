// Where the numbers of recurrent models come from: gates and states, and the attention of their decoders.

import { range } from "./numbers.js";
import { parsed } from "./naming.js";
import { linear, product, ref, same, softmax } from "./terms.js";

// Where number ``column`` of what a layer of the encoder says stands: in the one direction, or in one of both.
export function sideOf(store, layer, what, column) {
  const names = ["", ".forward", ".backward"].map((each) => `encoder.layers.${layer}${each}.${what}`);
  let at = column;
  for (const name of names.filter((each) => store.has(each))) {
    const [rows, width] = store.tensor(name).shape;
    if (at < width) return { name, at, last: name.includes(".backward.") ? 0 : rows - 1 };
    at -= width;
  }
  return null;
}

// The number before that at a place, in the direction of reading: in front of the first one nothing, and of a decoder
// what the encoder's layer of the same height ended in.
function earlier(store, part, what, [row, column]) {
  const at = part.endsWith(".backward") ? row + 1 : row - 1;
  const tensor = store.needed(`${part}.${what}`);
  if (at >= 0 && at < tensor.shape[0]) return ref(tensor.name, at, column);
  if (part.startsWith("encoder")) return 0;
  const end = sideOf(store, parsed(part).layer, what, column);
  return end && ref(end.name, end.last, end.at);
}

const valueOf = (store, cell) => (typeof cell === "number" ? cell : store.needed(cell.name).at(...cell.index));

const FORMULAS = { true: "tanh(x W + h_{t−1} U + b)", false: "σ(x W + h_{t−1} U + b)" };

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// What comes in and the state before, each times a learned weight; the server has the weights one behind the other.
function gate(store, part, [row, unit], name) {
  const x = store.needed(`${part}.input`);
  const before = range(store.needed(`${part}.hidden`).shape[1]).map((d) => earlier(store, part, "hidden", [row, d]));
  if (before.includes(null)) return null;
  const inputs = range(x.shape[1]).map((d) => [ref(x.name, row, d)]);
  const candidate = name.endsWith(".candidate");
  const reset = candidate && store.has(`${part}.reset_gate`) ? store.tensor(`${part}.reset_gate`).at(row, unit) : null;
  return {
    how: reset === null ? "how-gate" : "how-gate-reset",
    formula: reset === null ? FORMULAS[candidate] : "tanh(x W + r (h_{t−1} U) + b)",
    head: ["x, h_{t−1}"],
    terms: [...inputs, ...before.map((cell) => [cell])],
    weights: { name, column: unit },
    factor: (place) => (reset === null || place < inputs.length ? 1 : reset),
    bend: candidate ? ["tanh", Math.tanh] : ["σ", sigmoid],
  };
}

export const RECURRENT = {
  input_gate: gate,
  forget_gate: gate,
  output_gate: gate,
  reset_gate: gate,
  update_gate: gate,
  candidate: gate,
  cell: (store, part, index) => {
    const before = earlier(store, part, "cell", index);
    const [f, i, g] = ["forget_gate", "input_gate", "candidate"].map((each) => ref(`${part}.${each}`, ...index));
    if (before === null) return null;
    const [forget, old, input, candidate] = [f, before, i, g].map((cell) => valueOf(store, cell));
    return {
      how: "how-cell",
      formula: "f c_{t−1} + i g",
      head: ["f", "c_{t−1}", "i", "g"],
      terms: [[f, before, i, g]],
      total: forget * old + input * candidate,
      made: "f c_{t−1} + i g",
    };
  },
  hidden: (store, part, index) => {
    if (store.has(`${part}.cell`)) {
      const [o, c] = ["output_gate", "cell"].map((each) => ref(`${part}.${each}`, ...index));
      const bent = Math.tanh(valueOf(store, c));
      const total = valueOf(store, o) * bent;
      const [head, terms] = [["o", "c", "tanh(c)"], [[o, c, bent]]];
      return { how: "how-state", formula: "o tanh(c)", head, terms, total, made: "o tanh(c)" };
    }
    if (!store.has(`${part}.update_gate`)) return same(`${part}.candidate`, index);
    const before = earlier(store, part, "hidden", index);
    if (before === null) return null;
    const [z, n] = ["update_gate", "candidate"].map((each) => ref(`${part}.${each}`, ...index));
    const [share, fresh, old] = [z, n, before].map((cell) => valueOf(store, cell));
    const formula = "(1 − z) n + z h_{t−1}";
    const total = (1 - share) * fresh + share * old;
    return { how: "how-state", formula, head: ["z", "n", "h_{t−1}"], terms: [[z, n, before]], total, made: formula };
  },
};

// The state with which a decoder asks: after the step or before it.
function asking(store, row) {
  const { n_layers, attends } = store.document.config;
  const part = `decoder.layers.${n_layers - 1}`;
  const width = store.needed(`${part}.hidden`).shape[1];
  return range(width).map((d) =>
    attends === "before" ? earlier(store, part, "hidden", [row, d]) : ref(`${part}.hidden`, row, d),
  );
}

export const RECURRENT_ATTENTION = {
  q: (store, part, [row, column]) => {
    const states = asking(store, row);
    if (states.includes(null)) return null;
    if (store.document.config.attention !== "additive") return same(states[column].name, states[column].index);
    const weights = { name: "decoder.attention.w_q", column };
    return { how: "how-linear", formula: "h W", head: ["h"], terms: states.map((cell) => [cell]), weights };
  },
  k: (store, part, [row, column]) =>
    store.document.config.attention === "dot"
      ? same("attention.v", [row, column])
      : linear(store, "attention.v", row, "decoder.attention.w_k", column, "h_s W"),
  scores: (store, part, [i, j]) => {
    const width = store.needed("attention.q").shape[1];
    const [a, b] = [i, j].map((row, side) => range(width).map((c) => ref(`attention.${"qk"[side]}`, row, c)));
    if (store.document.config.attention !== "additive") return product(store, a, b, "q_i · k_j", ["q", "k", "q · k"]);
    const terms = a.map((cell, c) => [cell, b[c], Math.tanh(valueOf(store, cell) + valueOf(store, b[c]))]);
    const weights = { name: "decoder.attention.core.w_score", column: 0 };
    return { how: "how-additive", formula: "Σ w tanh(q_i + k_j)", head: ["q", "k", "tanh(q + k)"], terms, weights };
  },
  weights: (store, part, [i, j]) => softmax(store, store.needed("attention.scores"), (key) => [i, key], j),
  context: (store, part, [i, c]) => {
    const keys = range(store.needed("attention.weights").shape[1]);
    const a = keys.map((key) => ref("attention.weights", i, key));
    const b = keys.map((key) => ref("attention.v", key, c));
    const found = product(store, a, b, "c_i = Σ_j a_{ij} h_j", ["term-key", "a_{ij}", "h_j", "a_{ij} h_j"]);
    return { ...found, terms: found.terms.map((term, key) => [{ key }, ...term]) };
  },
  // The memory is what the top layer of the encoder says, both directions side by side.
  v: (store, part, [row, column]) => {
    const side = sideOf(store, store.document.config.n_layers - 1, "hidden", column);
    return side && same(side.name, [row, side.at]);
  },
};
