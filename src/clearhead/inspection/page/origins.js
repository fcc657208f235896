// Where each number comes from: the numbers that it was computed of, and how.

import { activation, feedForward, normalisedBelow, SUMMANDS } from "./equations.js";
import { range, sum } from "./numbers.js";
import { parsed } from "./naming.js";

const ref = (name, ...index) => ({ name, index });

// What flows into a block: normalised first where the model is pre-norm.
function entering(store, block) {
  return store.has(`${block}_residual.normed`) ? `${block}_residual.normed` : `${block}_residual.input`;
}

// What was there before a residual connection: the one before it, the layer before it, or the sum with the positions.
function before(store, residual) {
  const { stack, layer, block } = parsed(residual);
  const order = ["self_attention", "cross_attention", "feed_forward"];
  const own = order.indexOf(block.replace("_residual", ""));
  const earlier = order
    .slice(0, own)
    .reverse()
    .map((each) => `${stack}.layers.${layer}.${each}_residual.output`);
  if (layer > 0) earlier.push(`${stack}.layers.${layer - 1}.feed_forward_residual.output`);
  const side = stack === "encoder" || !store.has("tgt_input") ? "src" : "tgt";
  return [...earlier, `${side}_input`].find((name) => store.has(name)) ?? null;
}

// How the numbers of a part come about, where its name says that.
function rules(part) {
  if (part === "attention") return RECURRENT_ATTENTION;
  if (part.endsWith("attention")) return ATTENTION;
  if (part.endsWith("_residual")) return RESIDUAL;
  return part.endsWith("feed_forward") ? FEED_FORWARD : null;
}

// {how: word, formula, head: words, terms: [[cell]], weights: {name, column}}; a cell is a reference, a number or a text.
// how names a sentence of the words; null where nothing of the document leads further back.
export function origin(store, { name, index }) {
  const cut = name.lastIndexOf(".");
  const [part, what] = [name.slice(0, cut), name.slice(cut + 1)];
  if (index.length === 1) return learned(); // of all that can be followed, γ and β alone are no matrices
  const rule = rules(part)?.[what] ?? OTHER[name] ?? RECURRENT[what];
  return rule ? rule(store, part, index, name) : null;
}

// y = x W + b: every entry of x has a part in it.
function linear(store, from, row, weights, column, formula) {
  const x = store.tensor(from);
  if (!x) return null;
  const terms = range(x.shape.at(-1)).map((d) => [ref(from, row, d)]);
  return { how: "how-linear", formula, head: ["term-input"], terms, weights: { name: weights, column } };
}

function product(store, a, b, formula, head) {
  const terms = a.map((left, place) => {
    const values = [left, b[place]].map((each) => store.tensor(each.name).at(...each.index));
    return [left, b[place], values[0] * values[1]];
  });
  return { how: "how-products", formula, head, terms, total: sum(terms.map((term) => term[2])) };
}

function projected(letter, query) {
  return (store, part, [head, row, column]) => {
    const width = store.tensor(`${part}.${letter}`).shape[2];
    const from = part.includes("cross_attention") && !query ? "encoder.output" : entering(store, part);
    return linear(
      store,
      from,
      row,
      `${part}.w_${letter}`,
      head * width + column,
      `${letter}_i = x_i W_${letter.toUpperCase()} + b`,
    );
  };
}

// A row of scores as shares; at(key): where a key's score stands.
function softmax(store, scores, at, chosen) {
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

const ATTENTION = {
  q: projected("q", true),
  k: projected("k", false),
  v: projected("v", false),
  scores: (store, part, [head, i, j]) => {
    const width = store.tensor(`${part}.q`).shape[2];
    const [a, b] = ["q", "k"].map((letter, side) =>
      range(width).map((c) => ref(`${part}.${letter}`, head, side ? j : i, c)),
    );
    return product(store, a, b, "q_i · k_j", ["q", "k", "q · k"]);
  },
  scaled: (store, part, index) => {
    const width = store.tensor(`${part}.q`).shape[2];
    return {
      how: "how-scaled",
      formula: "q_i · k_j / √d_k",
      head: ["q · k", "√d_k"],
      terms: [[ref(`${part}.scores`, ...index), Math.sqrt(width)]],
    };
  },
  masked: (store, part, [head, i, j]) => {
    const may = store.tensor(`${part}.mask`).at(i, j) === 1;
    return {
      how: may ? "how-seen" : "how-hidden",
      formula: "q_i · k_j / √d_k + mask_{ij}",
      head: ["term-scaled", "mask"],
      terms: [[ref(`${part}.scaled`, head, i, j), may ? 0 : -Infinity]],
    };
  },
  weights: (store, part, [head, i, j]) => {
    const masked = store.tensor(`${part}.masked`) ?? store.tensor(`${part}.scaled`);
    return softmax(store, masked, (key) => [head, i, key], j);
  },
  z: (store, part, [head, i, c]) => {
    const keys = range(store.tensor(`${part}.weights`).shape[2]);
    const a = keys.map((key) => ref(`${part}.weights`, head, i, key));
    const b = keys.map((key) => ref(`${part}.v`, head, key, c));
    const found = product(store, a, b, "z_i = Σ_j a_{ij} v_j", ["term-key", "a_{ij}", "v_j", "a_{ij} v_j"]);
    return { ...found, terms: found.terms.map((term, key) => [{ key }, ...term]) };
  },
  concatenated: (store, part, [row, column]) => {
    const width = store.tensor(`${part}.z`).shape[2];
    return {
      how: "how-concatenated",
      formula: "Concat(z^1, …, z^h)",
      head: ["z"],
      terms: [[ref(`${part}.z`, Math.floor(column / width), row, column % width)]],
    };
  },
  output: (store, part, [row, column]) =>
    linear(store, `${part}.concatenated`, row, `${part}.w_o`, column, "Concat(z) W_O + b"),
};

// LayerNorm: an entry against the mean and the spread of its vector, times γ, plus β, which are learned.
function normalised(store, from, [row, column], norm) {
  const x = store.tensor(from);
  const values = range(x.shape[1]).map((d) => x.at(row, d));
  const mean = sum(values) / values.length;
  const variance = sum(values.map((value) => (value - mean) ** 2)) / values.length;
  const spread = Math.sqrt(variance + (store.document.config.norm_epsilon ?? 0));
  const normal = (values[column] - mean) / spread;
  const found = { how: "how-normalised", formula: "γ (x − μ) / σ + β", head: ["x", "μ", "σ", "(x − μ) / σ"] };
  if (!store.has(`${norm}.gamma`)) return { ...found, terms: [[ref(from, row, column), mean, spread, normal]] };
  const [gamma, beta] = ["gamma", "beta"].map((each) => ref(`${norm}.${each}`, column));
  const total = store.tensor(gamma.name).at(column) * normal + store.tensor(beta.name).at(column);
  const terms = [[ref(from, row, column), mean, spread, normal, gamma, beta]];
  return { ...found, head: [...found.head, "γ", "β"], terms, total, made: found.formula };
}

const learned = () => ({ how: "how-learned", formula: "", head: [], terms: [] });

const same = (name, index) => ({ how: "how-same", formula: "x", head: ["x"], terms: [[ref(name, ...index)]] });

const RESIDUAL = {
  input: (store, part, index) => {
    const earlier = before(store, part);
    return earlier && same(earlier, index);
  },
  normed: (store, part, index) => normalised(store, `${part}.input`, index, part),
  sum: (store, part, index) => ({
    how: "how-sum",
    formula: "x + Sublayer(x)",
    head: ["x", "Sublayer(x)"],
    terms: [[ref(`${part}.input`, ...index), ref(`${part.replace(/_residual$/, "")}.output`, ...index)]],
  }),
  output: (store, part, index) =>
    store.has(`${part}.normed`) ? same(`${part}.sum`, index) : normalised(store, `${part}.sum`, index, part),
};

// The activation of a number, or of one times its gate.
function activated(store, terms) {
  const formula = activation(store.document.config, "x", "gate");
  return { how: "how-activated", formula, head: ["term-input", "gate"].slice(0, terms.length), terms: [terms] };
}

const FEED_FORWARD = {
  inner: (store, part, [row, unit]) => linear(store, entering(store, part), row, `${part}.w_1`, unit, "x W_1 + b_1"),
  gate: (store, part, [row, unit]) =>
    linear(store, entering(store, part), row, `${part}.w_gate`, unit, "x W_{gate} + b"),
  activated: (store, part, index) => {
    const gated = store.has(`${part}.gate`);
    return activated(store, [ref(`${part}.inner`, ...index), ...(gated ? [ref(`${part}.gate`, ...index)] : [])]);
  },
  output: (store, part, [row, column]) =>
    linear(store, `${part}.activated`, row, `${part}.w_2`, column, feedForward(store.document.config)),
};

// A recurrent layer's numbers at a place: of its gates, and of what was there before in the direction of reading.
const earlier = (store, part, what, [row, column]) => {
  const at = part.endsWith(".backward") ? row + 1 : row - 1;
  const tensor = store.tensor(`${part}.${what}`);
  if (at >= 0 && at < tensor.shape[0]) return { cell: ref(tensor.name, at, column), value: tensor.at(at, column) };
  return part.startsWith("encoder") ? { cell: 0, value: 0 } : null; // what a decoder starts from is not in the file
};

const gate = () => ({ how: "how-gate", formula: "", head: [], terms: [] });

const RECURRENT = {
  input_gate: gate,
  forget_gate: gate,
  output_gate: gate,
  reset_gate: gate,
  update_gate: gate,
  candidate: gate,
  cell: (store, part, index) => {
    const before = earlier(store, part, "cell", index);
    const [f, i, g] = ["forget_gate", "input_gate", "candidate"].map((each) => store.tensor(`${part}.${each}`));
    return (
      before && {
        how: "how-cell",
        formula: "f c_{t−1} + i g",
        head: ["f", "c_{t−1}", "i", "g"],
        terms: [[ref(f.name, ...index), before.cell, ref(i.name, ...index), ref(g.name, ...index)]],
        total: f.at(...index) * before.value + i.at(...index) * g.at(...index),
        made: "f c_{t−1} + i g",
      }
    );
  },
  hidden: (store, part, index) => {
    if (store.has(`${part}.cell`)) {
      const [o, c] = ["output_gate", "cell"].map((each) => store.tensor(`${part}.${each}`));
      const bent = Math.tanh(c.at(...index));
      const terms = [[ref(o.name, ...index), ref(c.name, ...index), bent]];
      const total = o.at(...index) * bent;
      return { how: "how-state", formula: "o tanh(c)", head: ["o", "c", "tanh(c)"], terms, total, made: "o tanh(c)" };
    }
    if (!store.has(`${part}.update_gate`)) return same(`${part}.candidate`, index);
    const before = earlier(store, part, "hidden", index);
    const [z, n] = ["update_gate", "candidate"].map((each) => store.tensor(`${part}.${each}`));
    const formula = "(1 − z) n + z h_{t−1}";
    const terms = before && [[ref(z.name, ...index), ref(n.name, ...index), before.cell]];
    const total = before && (1 - z.at(...index)) * n.at(...index) + z.at(...index) * before.value;
    return before && { how: "how-state", formula, head: ["z", "n", "h_{t−1}"], terms, total, made: formula };
  },
};

const RECURRENT_ATTENTION = {
  weights: (store, part, [i, j]) => softmax(store, store.tensor("attention.scores"), (key) => [i, key], j),
  context: (store, part, [i, c]) => {
    const keys = range(store.tensor("attention.weights").shape[1]);
    const a = keys.map((key) => ref("attention.weights", i, key));
    const b = keys.map((key) => ref("attention.v", key, c));
    const found = product(store, a, b, "c_i = Σ_j a_{ij} h_j", ["term-key", "a_{ij}", "h_j", "a_{ij} h_j"]);
    return { ...found, terms: found.terms.map((term, key) => [{ key }, ...term]) };
  },
  // The memory is what the top layer of the encoder says, both directions side by side.
  v: (store, part, [row, column]) => {
    const top = store.document.config.n_layers - 1;
    const names = ["", ".forward", ".backward"].map((each) => `encoder.layers.${top}${each}.hidden`);
    const there = names.filter((name) => store.has(name));
    const width = there.length ? store.tensor(there[0]).shape[1] : 1;
    const name = there[Math.floor(column / width)];
    return name ? same(name, [row, column % width]) : null;
  },
};

// What is added up before the first layer.
function summed(store, side, index) {
  const there = (each) => store.has(`${side}_${each}`);
  const summands = Object.keys(SUMMANDS).filter(there);
  return {
    how: "how-sum",
    formula: summands.map((each) => SUMMANDS[each](store.document.config)).join(" + "),
    head: summands.map((each) => TERMS[each]),
    terms: [summands.map((each) => ref(`${side}_${each}`, ...index))],
  };
}

const TERMS = { embedding: "term-embedding", segments: "term-segments", positions: "term-positions" };

const OTHER = {
  "transform.inner": (store, part, [row, column]) =>
    linear(store, "encoder.output", row, "w_transform", column, "h W + b"),
  "transform.activated": (store, part, index) => activated(store, [ref("transform.inner", ...index)]),
  "transform.output": (store, part, index) => normalised(store, "transform.activated", index, "transform"),
};
for (const [side, stack] of [
  ["src", "encoder"],
  ["tgt", "decoder"],
]) {
  OTHER[`${side}_input`] = (store, part, index) => {
    if (!normalisedBelow(store.document.config)) return summed(store, side, index);
    return normalised(store, `${side}_input.sum`, index, `${side}_input`);
  };
  OTHER[`${side}_input.sum`] = (store, part, index) => summed(store, side, index);
  OTHER[`${side}_segments`] = () => ({ how: "how-segment", formula: "S[segment]", head: [], terms: [] });
  OTHER[`${side}_positions`] = (store, part, [row, column]) => {
    if (store.document.config.positions !== "sinusoidal")
      return { how: "how-learned-position", formula: "P[pos]", head: [], terms: [] };
    const width = store.tensor(`${side}_positions`).shape[1];
    const even = column - (column % 2);
    return {
      how: "how-position",
      formula: `${column % 2 ? "cos" : "sin"}(pos / 10000^{2i / d})`,
      head: ["pos", "2i", "d", "term-angle"],
      terms: [[row, even, width, row / 10000 ** (even / width)]],
      plain: true,
    };
  };
  OTHER[`${side}_embedding`] = (store, part, [row]) => {
    const tokens = side === "src" ? store.document.src.tokens : store.document.tgt.inputs;
    return {
      how: "how-embedding",
      formula: SUMMANDS.embedding(store.document.config),
      head: ["term-id"],
      terms: [[tokens[row]?.id ?? 0]],
      plain: true,
    };
  };
  OTHER[`${stack}.output`] = (store, part, index) => {
    const layers = store.document.config[`n_${stack}_layers`] ?? store.document.config.n_layers;
    const last = `${stack}.layers.${layers - 1}.feed_forward_residual.output`;
    if (!store.has(last)) return null;
    return store.document.config.norm === "pre" ? normalised(store, last, index, stack) : same(last, index);
  };
}
