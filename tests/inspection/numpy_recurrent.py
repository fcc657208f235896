"""The recurrent encoder-decoder once more in NumPy, float64: position by position, gate by gate, from the papers."""

from __future__ import annotations

import math

import numpy as np

GATES = {
    "rnn": ("candidate",),
    "lstm": ("input", "forget", "candidate", "output"),
    "gru": ("reset", "update", "candidate"),
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class NumpyRecurrent:
    def __init__(self, weights, config):
        self.weights = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
        self.config = config
        self.rows = {}  # name -> a row a position, in the order of the source or of the target

    def __call__(self, src, tgt):
        """Return the logits (T, V) of ids, and all values by the trace's names."""
        embedding = self.weights["src_embedding.weight"] * math.sqrt(self.config.d_model)
        x, finals = embedding[src], []
        for layer in range(self.config.n_layers):
            x, final = self.read(f"encoder.layers.{layer}", x)
            finals.append(final)
        hidden = self.write(embedding[tgt] if self.config.tie == "three-way" else self.tgt_embedding()[tgt], finals, x)
        tied = {"three-way": "src_embedding", "two-way": "tgt_embedding", "none": "output"}[self.config.tie]
        values = {name: np.stack(rows) for name, rows in self.rows.items()}
        return hidden @ self.weights[f"{tied}.weight"].T, values

    def tgt_embedding(self):
        return self.weights["tgt_embedding.weight"] * math.sqrt(self.config.d_model)

    def read(self, path, x):
        parts, states = [], []
        for name, shown, order in (("forwards", "forward", 1), ("backwards", "backward", -1)):
            if f"{path}.{name}.w_input" not in self.weights:
                continue
            width = self.weights[f"{path}.{name}.w_hidden"].shape[1]
            state, values = np.zeros((2, width)), []
            for vector in x[::order]:
                state, gates = self.step(f"{path}.{name}", vector, state)
                values.append(gates)
            for gate in values[0]:
                self.rows[f"{path}.{shown}.{gate}"] = [each[gate] for each in values[::order]]
            parts.append(np.stack(self.rows[f"{path}.{shown}.hidden"]))
            states.append(state)
        return np.concatenate(parts, axis=-1), np.concatenate(states, axis=-1)

    def step(self, path, x, state):
        """Return the next (h, c) and everything by name."""
        h, c = state
        gates, cell = GATES[self.config.cell], self.config.cell
        bias = np.concatenate([self.weights[f"{path}.bias_{gate}"] for gate in gates])
        from_x = np.split(self.weights[f"{path}.w_input"] @ x + bias, len(gates))
        from_h = np.split(self.weights[f"{path}.w_hidden"] @ h, len(gates))
        a = {gate: (one, other) for gate, one, other in zip(gates, from_x, from_h)}
        made = {gate: sigmoid(sum(a[gate])) for gate in gates if gate != "candidate"}
        if cell == "gru":
            candidate = np.tanh(a["candidate"][0] + made["reset"] * a["candidate"][1])
            h = made["update"] * h + (1 - made["update"]) * candidate
        elif cell == "lstm":
            candidate = np.tanh(sum(a["candidate"]))
            c = made["forget"] * c + made["input"] * candidate
            h = made["output"] * np.tanh(c)
        else:
            h = candidate = np.tanh(sum(a["candidate"]))
        named = {f"{gate}_gate": value for gate, value in made.items()}
        named |= {"input": x, "candidate": candidate, "hidden": h, **({"cell": c} if cell == "lstm" else {})}
        return np.stack([h, c]), named

    def write(self, x, states, memory):
        config, attentional, hiddens = self.config, np.zeros(self.config.d_model), []
        for vector in x:
            context = None
            if config.attends == "before":
                context = self.attend(states[-1][0], memory)
                vector = np.concatenate([vector, context])
            elif config.attends == "input-feeding":
                vector = np.concatenate([vector, attentional])
            for layer in range(config.n_layers):
                states[layer], gates = self.step(f"decoder.layers.{layer}", vector, states[layer])
                for gate, value in gates.items():
                    self.rows.setdefault(f"decoder.layers.{layer}.{gate}", []).append(value)
                vector = gates["hidden"]
            if config.attention != "none":
                context = self.attend(vector, memory) if context is None else context
                joined = np.concatenate([context, vector])
                self.rows.setdefault("decoder.context_and_state", []).append(joined)
                combined = self.weights["decoder.w_c.weight"] @ joined
                self.rows.setdefault("decoder.combined", []).append(combined)
                vector = np.tanh(combined)
            attentional = vector
            hiddens.append(vector)
        return np.stack(hiddens)

    def attend(self, q, memory):
        def weight(name):
            return self.weights.get(f"decoder.attention.{name}.weight", np.eye(len(q)))

        q, keys = weight("w_q") @ q, memory @ weight("w_k").T
        if self.config.attention == "additive":
            scores = np.tanh(q + keys) @ self.weights["decoder.attention.core.w_score.weight"][0]
        else:
            scores = keys @ q
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        for name, value in {"q": q, "scores": scores, "weights": weights, "context": weights @ memory}.items():
            self.rows.setdefault(f"attention.{name}", []).append(value)
        self.rows["attention.k"], self.rows["attention.v"] = list(keys), list(memory)
        return weights @ memory
