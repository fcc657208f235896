"""What the benchmark says of a model's inside is what its weights make by hand."""

from __future__ import annotations

import math

import ablations_inside
import numpy as np
import pytest
import torch

from clearhead.config import make_config
from clearhead.models.build import build_model

IDS = [5, 6, 7, 8, 9, 3]
SIZES = {"d_model": 16, "d_ff": 32, "n_heads": 2, "n_encoder_layers": 2, "n_decoder_layers": 1}


@pytest.mark.parametrize("scaled", [True, False])
def test_the_figures_are_those_of_the_formulas(scaled):
    model = build_model(make_config({"model": {**SIZES, "attention_scale": scaled}}).model, 20, 20, seed=1)
    found = ablations_inside.figures(model, IDS)
    with torch.no_grad():
        hidden = model.encode(torch.tensor([IDS]), torch.ones(1, len(IDS), dtype=torch.bool)).hidden[0].double().numpy()
        x = model.src_embedding(torch.tensor([IDS]))[0] + model.src_positions(torch.arange(len(IDS)))
        attention = model.encoder.layers[0].self_attention
        q, k = (each(x).double().numpy() for each in (attention.w_q, attention.w_k))
    largest = []
    for head in (slice(0, 8), slice(8, 16)):
        scores = np.exp(q[:, head] @ k[:, head].T / (math.sqrt(8) if scaled else 1.0))
        largest.append((scores / scores.sum(axis=1, keepdims=True)).max(axis=1))
    hidden /= np.linalg.norm(hidden, axis=1, keepdims=True)
    pairs = [hidden[i] @ hidden[j] for i in range(len(IDS)) for j in range(len(IDS)) if i != j]
    assert found["cosine"] == pytest.approx(np.mean(pairs), abs=1e-5)
    assert found["largest_weight"] == pytest.approx(np.mean(largest), abs=1e-5)


def test_without_residual_connections_positions_are_less_unlike():
    cosines = []
    for residual in (True, False):
        model = build_model(make_config({"model": {**SIZES, "residual": residual}}).model, 20, 20, seed=1)
        cosines.append(ablations_inside.figures(model, IDS)["cosine"])
    assert cosines[0] < 0.9 < cosines[1] <= 1.0 + 1e-6
