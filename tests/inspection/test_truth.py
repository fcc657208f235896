"""What is shown is what the model computed, and would not be believed otherwise."""

from __future__ import annotations

import threading

import pytest

from clearhead.inspection.ablation import heads_of, without_heads
from clearhead.inspection.explain import explain
from clearhead.inspection.parts import parts
from clearhead.inspection.trace import tracing

from .checks import CHECKS
from .small import TEXT, transformer

MODELS = {
    "post-norm": {"norm": "post"},
    "pre-norm": {"norm": "pre"},
    "one matrix for all": {"tie": "three-way", "seed": 3},
    "early ends": {"seed": 8},
}


@pytest.mark.parametrize(
    ("model", "check"),
    [
        *[(model, check) for model in ("post-norm", "pre-norm") for check in CHECKS],
        ("one matrix for all", "numbers"),
        ("early ends", "beam"),
    ],
)
def test_what_is_shown_is_what_is_computed(model, check):
    CHECKS[check](transformer(**MODELS[model]))


def test_looking_on_changes_nothing():
    translator = transformer()
    before = translator(TEXT)
    explanation = explain(translator, TEXT)
    assert translator(TEXT) == before
    assert (explanation.tgt_text, explanation.score) == (before.text, before.score)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in translator.model.modules())


def test_another_threads_computation_is_neither_recorded_nor_changed():
    translator = transformer()
    before, found = translator(TEXT), []
    other = threading.Thread(target=lambda: found.append(translator(TEXT)))
    model = translator.model
    with tracing(model) as trace, without_heads(model, heads_of(model)):
        other.start()
        other.join()
        assert not trace.calls
    assert found == [before]


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_the_drawing_has_each_part_once_in_order(norm):
    names = [part["name"] for part in parts(explain(transformer(norm=norm), TEXT))]
    ends = ["encoder.norm", "decoder.norm"] if norm == "pre" else []
    assert [name for name in names if name.endswith(".norm")] == ends and len(set(names)) == len(names)
    assert names[:3] == ["src_embedding", "src_positions", "src_input"] and names[-1] == "output"
    assert names.index("tgt_input") > names.index("encoder.layers.0.feed_forward_residual")
    own = [name.removeprefix("decoder.layers.1.") for name in names if name.startswith("decoder.layers.1.")]
    both = [(f"{kind}_attention", f"{kind}_attention_residual") for kind in ("self", "cross")]
    assert own == [*both[0], *both[1], "feed_forward", "feed_forward_residual"]
