"""The Transformer once more in NumPy, float64, written from the paper and the stored weights alone.

``values`` holds what it computes under the trace's names. Given what was traced, each operation starts from the traced
inputs: then one operation's mistake is not another's.
"""

from __future__ import annotations

import math

import numpy as np

ACTIVATIONS = {
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "gelu-tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}


class NumpyTransformer:
    def __init__(self, weights, config, traced=None):
        self.weights = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
        self.config, self.traced = config, traced
        self.values = {}

    def at(self, name, value):
        """Keep what ``name`` should be; go on with what it was, where that is given."""
        self.values[name] = value
        return value if self.traced is None else np.asarray(self.traced[name], np.float64)

    def __call__(self, src, tgt):
        """Return the logits (T, V) of ids."""
        memory = self.embed("src", src)
        everywhere = np.ones((len(src), len(src)), bool)
        for layer in range(self.config.n_encoder_layers):
            path = f"encoder.layers.{layer}"
            memory = self.attended(f"{path}.self_attention", memory, None, everywhere)
            memory = self.fed_forward(path, memory)
        memory = self.ended("encoder", memory)
        x = self.embed("tgt", tgt)
        causal = np.array([[key <= query for key in range(len(tgt))] for query in range(len(tgt))])
        for layer in range(self.config.n_decoder_layers):
            path = f"decoder.layers.{layer}"
            x = self.attended(f"{path}.self_attention", x, None, causal)
            x = self.attended(f"{path}.cross_attention", x, memory, np.ones((len(tgt), len(src)), bool))
            x = self.fed_forward(path, x)
        x = self.ended("decoder", x)
        tied = "src_embedding.weight" if self.config.tie == "three-way" else "tgt_embedding.weight"
        return x @ self.weights["output.weight" if self.config.tie == "none" else tied].T

    def embed(self, side, ids):
        matrix = self.weights["src_embedding.weight" if self.config.tie == "three-way" else f"{side}_embedding.weight"]
        d = self.config.d_model
        embedding = self.at(f"{side}_embedding", np.stack([matrix[id] * math.sqrt(d) for id in ids]))
        table = np.zeros((len(ids), d))
        for position in range(len(ids)):
            for i in range(d):
                angle = position / 10000 ** ((i - i % 2) / d)
                table[position, i] = math.cos(angle) if i % 2 else math.sin(angle)
        return self.at(f"{side}_input", embedding + self.at(f"{side}_positions", table))

    def attended(self, path, x, memory, mask):
        def attention(x):
            return self.multi_head(path, x, x if memory is None else memory, mask)

        return self.residual(f"{path}_residual", x, attention)

    def fed_forward(self, path, x):
        def feed_forward(x):
            name = f"{path}.feed_forward"
            inner = self.at(f"{name}.inner", self.linear(f"{name}.w_1", x))
            activated = self.at(f"{name}.activated", ACTIVATIONS[self.config.activation](inner))
            return self.at(f"{name}.output", self.linear(f"{name}.w_2", activated))

        return self.residual(f"{path}.feed_forward_residual", x, feed_forward)

    def residual(self, path, x, sublayer):
        x = self.at(f"{path}.input", x)
        if self.config.norm == "pre":
            normed = self.at(f"{path}.normed", self.layer_norm(f"{path}.norm", x, path))
            total = self.at(f"{path}.sum", x + sublayer(normed))
            return self.at(f"{path}.output", total)
        total = self.at(f"{path}.sum", x + sublayer(x))
        return self.at(f"{path}.output", self.layer_norm(f"{path}.norm", total, path))

    def multi_head(self, path, x, memory, mask):
        d_k = self.config.d_model // self.config.n_heads
        heads = range(self.config.n_heads)

        def by_heads(name, of):
            projected = self.linear(f"{path}.w_{name}", of)
            return self.at(f"{path}.{name}", np.stack([projected[:, h * d_k : (h + 1) * d_k] for h in heads]))

        q, k, v = by_heads("q", x), by_heads("k", memory), by_heads("v", memory)
        scores = self.at(f"{path}.scores", np.einsum("htk,hsk->hts", q, k))
        scaled = self.at(f"{path}.scaled", scores / math.sqrt(d_k))
        mask = self.at(f"{path}.mask", mask).astype(bool)
        masked = np.where(mask, scaled, -np.inf)
        exponentials = np.exp(masked - masked.max(axis=-1, keepdims=True))
        weights = self.at(f"{path}.weights", exponentials / exponentials.sum(axis=-1, keepdims=True))
        z = self.at(f"{path}.z", np.einsum("hts,hsk->htk", weights, v))
        joined = self.at(f"{path}.concatenated", np.concatenate([z[h] for h in heads], axis=-1))
        return self.at(f"{path}.output", self.linear(f"{path}.w_o", joined))

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def layer_norm(self, name, x, shown):
        """Normalise by the weights under ``name``; γ and β are traced under ``shown``."""
        mean = x.mean(axis=-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
        normal = (x - mean) / np.sqrt(variance + self.config.norm_epsilon)
        gamma = self.at(f"{shown}.gamma", self.weights[f"{name}.weight"])
        return normal * gamma + self.at(f"{shown}.beta", self.weights[f"{name}.bias"])

    def ended(self, stack, x):
        x = self.at(f"{stack}.stack", x)
        if self.config.norm == "pre":
            x = self.layer_norm(f"{stack}.norm", x, stack)
        return self.at(f"{stack}.output", x)


class NumpyStack(NumpyTransformer):
    """BERT and GPT: one stack of self-attention over learned positions, and BERT's own layers below and above it."""

    def __init__(self, weights, config, traced=None):
        super().__init__({name.removeprefix("body."): weight for name, weight in weights.items()}, config, traced)

    def __call__(self, ids, stack):
        """Return the logits (T, V) of ids; stack: "encoder", or "decoder", which sees nothing that comes later."""
        x = self.read(stack, ids)
        if "w_transform.weight" in self.weights:
            inner = self.at("transform.inner", self.linear("w_transform", x))
            activated = self.at("transform.activated", ACTIVATIONS[self.config.activation](inner))
            x = self.at("transform.output", self.layer_norm("transform_norm", activated, "transform"))
        return x @ self.weights["token_embedding.weight"].T + self.weights.get("output_bias", 0.0)

    def read(self, stack, ids):
        """Return the stack's vectors (T, D) of ids."""
        x = self.embed({"encoder": "src", "decoder": "tgt"}[stack], ids)
        everywhere = np.ones((len(ids), len(ids)), bool)
        for layer in range(self.config.n_layers):
            path = f"{stack}.layers.{layer}"
            mask = everywhere if stack == "encoder" else np.tril(everywhere)
            x = self.fed_forward(path, self.attended(f"{path}.self_attention", x, None, mask))
        return self.ended(stack, x)

    def embed(self, side, ids):
        x = self.at(f"{side}_embedding", np.stack([self.weights["token_embedding.weight"][id] for id in ids]))
        x = x + self.at(f"{side}_positions", self.weights["positions.table"][: len(ids)])
        if "segments.weight" in self.weights:
            x = x + self.at(f"{side}_segments", np.stack([self.weights["segments.weight"][0] for _ in ids]))
        if "norm.weight" in self.weights:
            x = self.layer_norm("norm", x, f"{side}_input")
        return self.at(f"{side}_input", x)
