// The equations, by the names that the document calls them, as the model of a config has them.

// Whether token vectors are multiplied by √d: not those of BERT and GPT, which have one stack and no say in it.
const scaled = ({ scale_embedding, n_heads, n_layers }) => scale_embedding ?? !(n_heads && n_layers);

// Whether the sum below the first layer is normalised, as BERT's is.
export const normalisedBelow = ({ embedding_norm, segments, norm }) =>
  embedding_norm ?? (segments !== undefined && norm === "post");

// What a token's vector is before the first layer: its own, its segment's, its place's.
export const SUMMANDS = {
  embedding: (config) => (scaled(config) ? "E[id] √d_{model}" : "E[id]"),
  segments: () => "S[segment]",
  positions: (config) => (config.positions === "sinusoidal" ? "PE(pos)" : "P[pos]"),
};

// What the vectors of all tokens become one of.
export const POOLED = {
  first: "h_1",
  mean: "Σ_i h_i / n",
  root: "Σ_i h_i / √n",
  max: "max_i h_i",
  final: "h_n",
};

// The sum of those that there are.
export function below(config, there) {
  const total = Object.keys(SUMMANDS)
    .filter(there)
    .map((each) => SUMMANDS[each](config))
    .join(" + ");
  return normalisedBelow(config) ? `LayerNorm(${total})` : total;
}

// What is done to a number by the activation.
export const activation = ({ activation: name }, x, gate = "x W_{gate} + b") =>
  ({ relu: `max(0, ${x})`, swiglu: `silu(${x}) · (${gate})` })[name] ?? `${name}(${x})`;

export const feedForward = (config) => `FFN(x) = ${braced(activation(config, "x W_1 + b_1"))} W_2 + b_2`;

const braced = (text) => (text.includes("·") ? `(${text})` : text);

// Which summands a model of such a config has, where not all do.
const summands = ({ segments, positions }) => ({
  segments: segments > 0,
  positions: positions !== undefined,
});

const FORMULAS = {
  1: () => "Attention(Q, K, V) = softmax(Q K^T / √d_k) V",
  2: feedForward,
  embedding: (config) => `x = ${SUMMANDS.embedding(config)}`,
  positions: ({ positions }) =>
    positions === "sinusoidal"
      ? "PE(pos, 2i) = sin(pos / 10000^{2i/d}), PE(pos, 2i+1) = cos(pos / 10000^{2i/d})"
      : "P[pos]",
  segments: SUMMANDS.segments,
  "embedding-sum": (config) => `x = ${below(config, (each) => summands(config)[each] ?? true)}`,
  "add-and-norm": ({ norm }) => (norm === "pre" ? "x + Sublayer(LayerNorm(x))" : "LayerNorm(x + Sublayer(x))"),
  transform: (config) => `h̃ = LayerNorm(${activation(config, "h W + b")})`,
  norm: () => "LayerNorm(x) = γ (x − μ) / σ + β",
  output: () => "p = softmax(h E^T)",
  pooling: ({ pooling }) => POOLED[pooling],
  pooler: ({ pooler_activation: name }) => (name === "relu" ? "max(0, x W + b)" : `${name}(x W + b)`),
  labels: ({ ngram_evidence: ngrams }) => `p = softmax(x W + b${ngrams?.longest > 0 ? " + Σ_i g_i" : ""})`,
  recurrence: () => "h_t = f(x_t, h_{t−1})",
  "recurrent-attention": () => "a_t = softmax(score(h_t, h_s)), c_t = Σ_s a_{ts} h_s",
  attentional: () => "h̃_t = tanh(W_c [c_t; h_t])",
};

// The formula, or nothing where there is none of that name.
export const equation = (name, config) => FORMULAS[name]?.(config);
