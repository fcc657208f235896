"""A recurrent model's gates, states and attention are those of NumPy; its beam is that of teacher forcing."""

from __future__ import annotations

import numpy as np
import pytest

from .checks import check_beam, check_rivals, check_step, close, look, stored
from .numpy_recurrent import NumpyRecurrent
from .small import recurrent

MODELS = {
    "lstm both ways, additive": {"cell": "lstm", "direction": "both", "attention": "additive"},
    "gru, general, before": {"cell": "gru", "direction": "backward", "attention": "general", "attends": "before"},
    "rnn, dot, input feeding": {"cell": "rnn", "direction": "forward", "attention": "dot", "attends": "input-feeding"},
    "lstm, no attention": {"cell": "lstm", "attention": "none"},
}


@pytest.mark.parametrize("name", MODELS)
def test_every_number_is_that_of_numpy(name):
    translator = recurrent(**MODELS[name])
    _, explanation = look(translator)
    src, tgt = ([token.id for token in tokens] for tokens in (explanation.src, explanation.tgt_inputs))
    logits, values = NumpyRecurrent(stored(translator.model), translator.model.config)(src, tgt)
    traced = dict(explanation.tensors)
    assert traced.pop("src_embedding").shape[0] == len(src) and traced.pop("tgt_embedding").shape[0] == len(tgt)
    if "attention.mask" in traced:
        assert traced.pop("attention.mask").all()
    assert set(values) == set(traced)
    for name, expected in values.items():
        close(name, traced[name], expected, 1e-4)
    for step, row in zip(explanation.steps, logits, strict=True):
        check_step(step, row, 1e-4 * np.abs(logits).max())


@pytest.mark.parametrize("name", ["lstm both ways, additive", "rnn, dot, input feeding", "lstm, no attention"])
def test_its_beam_is_that_of_teacher_forcing(name):
    check_beam(recurrent(**MODELS[name]))


def test_a_forced_rival_is_a_translation_with_that_prefix():
    check_rivals(recurrent(**MODELS["gru, general, before"]))
