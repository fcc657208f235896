// Where each number comes from: the numbers that it was computed of, and how.

import { ANSWERS } from "./answers.js";
import { feedForward, normalisedBelow, SUMMANDS } from "./equations.js";
import { RECURRENT, RECURRENT_ATTENTION } from "./gates.js";
import { range } from "./numbers.js";
import { parsed } from "./naming.js";
import { Absent } from "./store.js";
import { activated, learned, linear, normalised, product, ref, same, softmax } from "./terms.js";

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
  const there = (name) => store.document.parts.some((part) => `${part.name}.output`.startsWith(name));
  const side = stack === "encoder" || !there("tgt_input") ? "src" : "tgt";
  return [...earlier, `${side}_input`].find(there) ?? null;
}

// How the numbers of a part come about, where its name says that.
function rules(part) {
  if (part === "attention") return RECURRENT_ATTENTION;
  if (part.endsWith("attention")) return ATTENTION;
  if (part.endsWith("_residual")) return RESIDUAL;
  return part.endsWith("feed_forward") ? FEED_FORWARD : null;
}

// {how: word, formula, head: words, terms: [[cell]], weights: {name, column}}; a cell is a reference, a number, a token or
// a text. how names a sentence of the words; weights are learned, the term's last cell is what each is multiplied by;
// null where nothing of the document leads further back.
export function origin(store, { name, index }) {
  const cut = name.lastIndexOf(".");
  const [part, what] = [name.slice(0, cut), name.slice(cut + 1)];
  if (index.length === 1) return learned(); // of all that can be followed, γ and β alone are no matrices
  const rule = rules(part)?.[what] ?? OTHER[name] ?? ANSWERS[name] ?? RECURRENT[what];
  try {
    return rule ? rule(store, part, index, name) : null;
  } catch (problem) {
    if (problem instanceof Absent) return null;
    throw problem;
  }
}

function projected(letter, query) {
  return (store, part, [head, row, column]) => {
    const width = store.needed(`${part}.${letter}`).shape[2];
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

const ATTENTION = {
  q: projected("q", true),
  k: projected("k", false),
  v: projected("v", false),
  scores: (store, part, [head, i, j]) => {
    const width = store.needed(`${part}.q`).shape[2];
    const [a, b] = ["q", "k"].map((letter, side) =>
      range(width).map((c) => ref(`${part}.${letter}`, head, side ? j : i, c)),
    );
    return product(store, a, b, "q_i · k_j", ["q", "k", "q · k"]);
  },
  scaled: (store, part, index) => {
    const width = store.needed(`${part}.q`).shape[2];
    return {
      how: "how-scaled",
      formula: "q_i · k_j / √d_k",
      head: ["q · k", "√d_k"],
      terms: [[ref(`${part}.scores`, ...index), Math.sqrt(width)]],
    };
  },
  masked: (store, part, [head, i, j]) => {
    const may = store.needed(`${part}.mask`).at(i, j) === 1;
    return {
      how: may ? "how-seen" : "how-hidden",
      formula: "q_i · k_j / √d_k + mask_{ij}",
      head: ["term-scaled", "mask"],
      terms: [[ref(`${part}.scaled`, head, i, j), may ? 0 : -Infinity]],
    };
  },
  weights: (store, part, [head, i, j]) => {
    return softmax(store, store.needed(`${part}.masked`), (key) => [head, i, key], j);
  },
  z: (store, part, [head, i, c]) => {
    const keys = range(store.needed(`${part}.weights`).shape[2]);
    const a = keys.map((key) => ref(`${part}.weights`, head, i, key));
    const b = keys.map((key) => ref(`${part}.v`, head, key, c));
    const found = product(store, a, b, "z_i = Σ_j a_{ij} v_j", ["term-key", "a_{ij}", "v_j", "a_{ij} v_j"]);
    return { ...found, terms: found.terms.map((term, key) => [{ key }, ...term]) };
  },
  concatenated: (store, part, [row, column]) => {
    const width = store.needed(`${part}.z`).shape[2];
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

const TERMS = {
  embedding: "term-embedding",
  segments: "term-segments",
  positions: "term-positions",
};

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
    const width = store.needed(`${side}_positions`).shape[1];
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
