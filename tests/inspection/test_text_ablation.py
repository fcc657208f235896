"""Heads of classifiers and language models switched off: all at once is each by itself, by a W_O with zeros."""

from __future__ import annotations

import pytest
import torch

from clearhead.config import ClassifierConfig, DecoderConfig, EncoderConfig
from clearhead.device import choose_device
from clearhead.errors import UsageError
from clearhead.inspection.ablation import heads_of
from clearhead.inspection.parts import parts
from clearhead.inspection.text_ablation import text_ablations
from clearhead.inspection.texts import explain_label, explain_masked, explain_next
from clearhead.models.build import build_model

from .small import TEXT, sharpened, tokenizers

SIZES = {"d_model": 16, "d_ff": 32, "n_heads": 4, "n_layers": 2, "max_positions": 40}
LABELS = ("bad", "fair", "good")
CPU = choose_device("cpu")
HIDDEN = TEXT.replace("sister", "[MASK]").replace("old", "[MASK]")


def label(model, text=TEXT):
    return explain_label(model, tokenizers().src, LABELS, CPU, 40, text)


def following(model):
    return explain_next(model, tokenizers().src, CPU, TEXT)


def hidden(model, text=HIDDEN):
    return explain_masked(model, tokenizers().src, CPU, 40, text)


CASES = {
    "classifier": (ClassifierConfig(body=EncoderConfig(**SIZES), labels=LABELS, pooling="first"), label),
    "two texts": (
        ClassifierConfig(body=EncoderConfig(**SIZES), labels=LABELS, pooling="first"),
        lambda model: label(model, f"{TEXT}\t{TEXT}"),
    ),
    "language model": (DecoderConfig(**SIZES), following),
    "masked language model": (EncoderConfig(**SIZES), hidden),
    "nothing hidden": (EncoderConfig(**SIZES), lambda model: hidden(model, TEXT)),
}


@torch.no_grad()
def log_prob_of(model, alone, before):
    """What came out with all heads, as the model without one holds it."""
    if alone.kind == "classifier":
        return torch.tensor([each.logit for each in alone.labels]).log_softmax(0)[LABELS.index(before.tgt_text)].item()
    if alone.kind == "language-model":
        return alone.log_prob
    ids = torch.tensor([[token.id for token in before.src]])
    hidden = model.encode(ids, torch.ones_like(ids, dtype=torch.bool)).hidden
    log_probs = model.project(model.transform(hidden))[0].log_softmax(-1)
    chosen = [step.chosen for step in before.steps]
    places = [place for place, id in enumerate(chosen) if id != ids[0, place]] or range(1, len(chosen) - 1)
    return sum(float(log_probs[place, chosen[place]]) for place in places)


@pytest.mark.parametrize("name", CASES)
def test_all_at_once_is_each_by_itself(name):
    config, explain = CASES[name]
    model = sharpened(build_model(config, 400, 400, seed=3), 3)
    before, changed = explain(model), 0
    told = []
    found = text_ablations(model, tokenizers().src, CPU, before, on_progress=lambda *counts: told.append(counts))
    shown = [part["name"] for part in parts(before) if part["kind"] == "attention"]
    assert [(each.part, each.head) for each in found] == [(part, head) for part in shown for head in range(4)]
    assert told[-1] == (8, 8)
    for each, (path, _) in zip(found, heads_of(model), strict=True):
        weight = model.get_submodule(path).w_o.weight
        kept = weight.detach().clone()
        with torch.no_grad():
            weight[:, each.head * 4 : each.head * 4 + 4] = 0.0
        alone = explain(model)
        expected = log_prob_of(model, alone, before)
        with torch.no_grad():
            weight.copy_(kept)
        assert abs(each.log_prob - expected) <= 1e-4
        said = alone.steps[-1].top[0].text if alone.kind == "language-model" else alone.tgt_text
        assert each.outcome.text == said
        changed += abs(each.delta_log_prob) > 1e-6
    assert changed == 8


def test_a_head_that_is_not_there_is_refused():
    model = sharpened(build_model(CASES["language model"][0], 400, 400, seed=3), 3)
    with pytest.raises(UsageError) as refused:
        text_ablations(model, tokenizers().src, CPU, following(model), [("decoder.layers.2.self_attention", 0)])
    assert refused.value.code == "no-such-head"
