"""Masked language models: their numbers, what they put in the place of hidden words, and where those stood."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clearhead.config import EncoderConfig
from clearhead.device import choose_device
from clearhead.errors import CorpusError, UsageError
from clearhead.inspection.document import document
from clearhead.inspection.parts import parts
from clearhead.inspection.texts import explain_masked
from clearhead.models.build import build_model

from .checks import check_stack
from .small import TEXT, sharpened, tokenizers

HIDDEN = "My [MASK] reads the <mask> book."
CPU = choose_device("cpu")


def model(**choices):
    sizes = {"d_model": 16, "d_ff": 32, "n_heads": 4, "n_layers": 2, "max_positions": 40, "norm_epsilon": 1e-5}
    return sharpened(build_model(EncoderConfig(**{**sizes, **choices}), 400, 400, seed=3), 3)


def explained(text=HIDDEN, max_tokens=40, **choices):
    return explain_masked(model(**choices), tokenizers().src, CPU, max_tokens, text)


@pytest.mark.parametrize(
    "choices",
    [
        {"norm": "post"},
        {"norm": "pre"},
        {"head": "none", "activation": "relu", "segments": 0},
        {"activation": "gelu-tanh"},
    ],
    ids=str,
)
def test_every_number_is_what_the_stored_weights_amount_to(choices):
    check_stack(model(**choices), explained(**choices), "encoder")


def test_hidden_words_are_foretold_each_by_itself_and_the_others_stay():
    explanation, tokenizer = explained(), tokenizers().src
    ids = [token.id for token in explanation.src]
    places = [place for place, id in enumerate(ids) if id == tokenizer.mask_id]
    spelt = [(token.text.strip(), HIDDEN[token.start : token.end].strip()) for token in explanation.src[1:-1]]
    assert all(text == there for text, there in spelt) and "".join(text for text, _ in spelt) == HIDDEN.replace(" ", "")
    assert [explanation.src[place][1:] for place in places] == [("[MASK]", 3, 9), ("<mask>", 20, 26)]
    assert len(explanation.steps) == len(ids) and explanation.src[0].start is explanation.src[-1].start is None
    chosen = [step.chosen for step in explanation.steps]
    assert [a for place, a in enumerate(chosen) if place not in places] == [id for id in ids if id != tokenizer.mask_id]
    net, mask = model(), torch.ones(1, len(ids), dtype=torch.bool)
    with torch.no_grad():
        logits = net.project(net.transform(net.encode(torch.tensor([ids]), mask).hidden[0])).double().log_softmax(-1)
    ordinary, total = tokenizer.ordinary_ids, 0.0
    for place in places:
        best = int(logits[place, ordinary.start : ordinary.stop].argmax()) + ordinary.start
        assert chosen[place] == best
        total += float(logits[place, best])
    assert abs(explanation.log_prob - total) <= 1e-5
    assert explanation.tgt_text == tokenizer.decode(chosen[1:-1])


def test_a_text_that_hides_nothing_is_looked_at_too():
    explanation = explained(TEXT)
    assert (explanation.tgt_text, explanation.log_prob) == ("", 0.0)
    assert [token.id for token in explanation.src[1:-1]] == tokenizers().src.encode(TEXT)
    assert [step.chosen for step in explanation.steps] == [token.id for token in explanation.src]
    assert np.abs(explanation.encoder_attention.sum(-1) - 1).max() <= 1e-6


def test_the_drawing_and_the_document_have_all_of_it():
    explanation = explained()
    names = [part["name"] for part in parts(explanation)]
    assert names[:4] == ["src_embedding", "src_segments", "src_positions", "src_input"]
    assert names[-2:] == ["transform", "output"] and len(set(names)) == len(names)
    made = document(explanation, {}, {})
    assert made["kind"] == "masked-language-model" and len(made["steps"]) == len(made["src"]["tokens"])


def test_what_cannot_be_read_is_refused():
    with pytest.raises(UsageError) as blank:
        explained(" ")
    assert blank.value.code == "nothing-to-inspect"
    with pytest.raises(CorpusError) as long:
        explained("[MASK] " * 39)
    assert long.value.code == "too-long-to-inspect" and long.value.fields == {"tokens": 39, "limit": 38}
