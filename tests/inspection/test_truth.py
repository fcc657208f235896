"""What is shown is what the model computed, and would not be believed otherwise."""

from __future__ import annotations

import pytest

from clearhead.inspection.explain import explain

from .checks import CHECKS
from .small import TEXT, transformer

MODELS = {
    "post-norm": {"norm": "post"},
    "pre-norm": {"norm": "pre"},
    "one matrix for all": {"tie": "three-way", "seed": 3},
    "early ends": {"seed": 8},
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("model", MODELS)
def test_what_is_shown_is_what_is_computed(model, check):
    CHECKS[check](transformer(**MODELS[model]))


def test_looking_on_changes_nothing():
    translator = transformer()
    before = translator(TEXT)
    explanation = explain(translator, TEXT)
    assert translator(TEXT) == before
    assert (explanation.tgt_text, explanation.score) == (before.text, before.score)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in translator.model.modules())
