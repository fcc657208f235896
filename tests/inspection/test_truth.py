"""What is shown is what the model computed: every number against NumPy in float64, operation by operation and whole."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load, save

from clearhead.inspection.explain import explain
from clearhead.models.build import named_weights

from .numpy_model import NumpyTransformer
from .small import TEXT, transformer

MODELS = {
    "post-norm": {"norm": "post"},
    "pre-norm": {"norm": "pre"},
    "post-norm, no ties": {"norm": "post", "tie": "none"},
}


def stored(translator):
    """The weights as they lie in a run folder."""
    return load(save({name: weight.numpy() for name, weight in named_weights(translator.model).items()}))


def check_numbers(translator, explanation):
    weights, config, traced = stored(translator), translator.model.config, explanation.tensors
    src, tgt = ([token.id for token in tokens] for tokens in (explanation.src, explanation.tgt_inputs))
    for given, within in ((traced, 1e-5), (None, 1e-4)):
        model = NumpyTransformer(weights, config, given)
        logits = model(src, tgt)
        assert set(model.values) == set(traced)
        for name, expected in model.values.items():
            assert traced[name].shape == expected.shape, name
            if expected.dtype == bool:
                assert traced[name].dtype == bool and (traced[name] == expected).all(), name
            else:
                apart = np.abs(traced[name].astype(np.float64) - expected).max()
                assert apart <= within * np.abs(expected).max(), f"{name}: {apart}"
        check_steps(explanation.steps, logits, within)
    for name in traced:
        if name.endswith(".weights"):
            check_weights(traced[name], traced[name.replace(".weights", ".mask")])


def check_weights(weights, mask):
    assert np.abs(weights.astype(np.float64).sum(-1) - 1).max() <= 1e-6
    assert (weights[:, ~mask] == 0).all() and (weights[:, mask] > 0).all()


def check_steps(steps, logits, within):
    assert len(steps) == len(logits)
    size = np.abs(logits).max()
    for step, row in zip(steps, logits):
        log_probs = row - row.max() - np.log(np.exp(row - row.max()).sum())
        assert [each.id for each in step.top] == list(np.argsort(-row, kind="stable")[:10])
        for each in step.top:
            assert abs(each.logit - row[each.id]) <= within * size
            assert abs(each.log_prob - log_probs[each.id]) <= within * size
        assert abs(step.entropy + (np.exp(log_probs) * log_probs).sum()) <= within * size
        assert abs(step.log_prob - log_probs[step.chosen]) <= within * size


@pytest.mark.parametrize("name", MODELS)
def test_every_number_is_that_of_numpy(name):
    translator = transformer(**MODELS[name])
    check_numbers(translator, explain(translator, TEXT))


def test_looking_on_changes_nothing():
    translator = transformer()
    before = translator(TEXT)
    explanation = explain(translator, TEXT)
    after = translator(TEXT)
    assert before == after
    assert explanation.tgt_text == before.text and explanation.score == before.score
    assert [token.id for token in explanation.tgt_outputs if token.start is not None] == [
        token.id for token in before.tokens
    ]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in translator.model.modules())
