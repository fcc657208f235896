// The equations, by the names that the document calls them.

export const EQUATIONS = {
  1: "Attention(Q, K, V) = softmax(Q K^T / √d_k) V",
  2: "FFN(x) = max(0, x W_1 + b_1) W_2 + b_2",
  embedding: "x = E[id] √d_{model}",
  positions: "PE(pos, 2i) = sin(pos / 10000^{2i/d}), PE(pos, 2i+1) = cos(pos / 10000^{2i/d})",
  "embedding-sum": "x = E[id] √d_{model} + PE(pos)",
  "add-and-norm": "LayerNorm(x + Sublayer(x))",
  segments: "S[segment]",
  transform: "h̃ = LayerNorm(g(h W + b))",
  norm: "LayerNorm(x) = γ (x − μ) / σ + β",
  output: "p = softmax(h E^T)",
  labels: "p = softmax(h W + b)",
  recurrence: "h_t = f(x_t, h_{t−1})",
  "recurrent-attention": "a_t = softmax(score(h_t, h_s)), c_t = Σ_s a_{ts} h_s",
  attentional: "h̃_t = tanh(W_c [c_t; h_t])",
};
