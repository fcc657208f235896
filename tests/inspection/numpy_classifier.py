"""Classifiers once more in NumPy, float64: what has read the text, one vector of it, the labels' logits."""

from __future__ import annotations

import math

import numpy as np

from .numpy_model import NumpyStack
from .numpy_recurrent import NumpyRecurrent

PRIME, FACTOR, SECOND, MARK = 2_147_483_629, 1_000_003, 48_271, 69_621


class NumpyClassifier(NumpyStack):
    def __init__(self, weights, config, traced=None):
        super().__init__(weights, config.body, traced)
        self.whole, self.body = config, config.body

    def __call__(self, ids):
        """Return the logits (C,) of ids."""
        hidden = {"encoder": self.stack, "recurrent-encoder": self.recurrent, "bag": self.vectors}[self.body.kind](ids)
        pooled = self.pooled(hidden, self.whole.pooling)
        text = self.at("pooling.output", pooled[None])
        if "w_pooler.weight" in self.weights:
            inner = self.at("pooler.inner", self.linear("w_pooler", text))
            bent = np.tanh(inner) if self.whole.pooler_activation == "tanh" else np.maximum(inner, 0)
            text = self.at("pooler.output", bent)
        logits = self.linear("w_label", text)
        if "ngram_evidence.weight" not in self.weights:
            return self.at("labels.logits", logits)[0]
        each = self.at("labels.ngrams", self.ngrams(ids, self.whole.ngram_evidence.longest))
        logits = self.at("labels.linear", logits) + each.sum(axis=0)
        return self.at("labels.logits", logits)[0]

    def stack(self, ids):
        return self.read("encoder", ids)

    def recurrent(self, ids):
        """What NumpyRecurrent reads is held against the trace from its start to its end."""
        reader = NumpyRecurrent(self.weights, self.body)
        x = self.vectors(ids)
        for layer in range(self.body.n_layers):
            x, _ = reader.read(f"encoder.layers.{layer}", x)
        self.values |= {name: np.stack(rows) for name, rows in reader.rows.items()}
        return x

    def vectors(self, ids):
        x = np.stack([self.weights["token_embedding.weight"][id] * math.sqrt(self.body.d_model) for id in ids])
        return self.at("src_embedding", x)

    def ngrams(self, ids, longest):
        """What the runs of 1 to ``longest`` tokens that end at each token say, zeros standing in front."""
        weight, evidence, marks = (self.weights[f"ngram_evidence.{name}"] for name in ("weight", "evidence", "mark"))
        seen, rows, square, ids = set(), [], 0.0, [0] * (longest - 1) + list(ids)
        for end in range(longest, len(ids) + 1):
            said = np.zeros(1 + weight.shape[1])
            for length in range(1, longest + 1):
                run = (ids[end - length] + 1) * FACTOR % PRIME
                for size, token in enumerate(ids[end - length + 1 : end], 2):
                    run = (run * FACTOR + token + size) % PRIME
                mark = run * MARK % PRIME % 254 - 127
                mark += mark >= 0
                places = [run % len(marks), run * SECOND % PRIME % len(marks)]
                place = next((each for each in places if marks[each, 0] == mark), None)
                if place is not None and run not in seen:
                    seen.add(run)
                    said[1:] += weight[place] * evidence[place]
                    square = square + evidence[place] ** 2
            rows.append(said)
        return self.weights["ngram_evidence.gain"] * np.stack(rows) / np.sqrt(np.append(1.0, square))

    def pooled(self, hidden, pooling):
        match pooling:
            case "first":
                return hidden[0]
            case "mean":
                return hidden.mean(axis=0)
            case "root":
                return hidden.sum(axis=0) / math.sqrt(len(hidden))
            case "max":
                return hidden.max(axis=0)
        half = self.body.d_model // 2
        if self.body.direction == "both":
            return np.concatenate([hidden[-1, :half], hidden[0, half:]])
        return hidden[-1 if self.body.direction == "forward" else 0]
