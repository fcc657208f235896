"""Looked at or not, a model says the same: a few made-up sentences always, Multi30K's as a slow test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from clearhead.config import DecodingConfig, TokenizerConfig, TransformerConfig
from clearhead.decoding.translator import Translator
from clearhead.inspection.explain import explain
from clearhead.models.build import build_model
from clearhead.text.corpus import read_lines
from clearhead.text.tokenizer import TokenizerPair

from .checks import check_beam, check_numbers
from .small import LINES, recurrent, sharpened, transformer

SENTENCES = 1000 if "CLEARHEAD_RUN" in os.environ else 200
"""Of a trained run a thousand; random weights, which take no choice that matters, are looked at for minutes less."""


def check_the_same(translator, sentences, decoding, alone=True):
    """Translate, look at each sentence, translate once more: tokens and scores are the same.

    Sentences that are translated together are rounded in another order; ``alone`` asks for the same bits.
    """
    before = translator(sentences, decoding=decoding)
    for sentence, said in zip(sentences, before, strict=True):
        explanation = explain(translator, sentence, decoding=decoding)
        end = [translator.tokenizers.tgt.eos_id] if said.finished else []
        assert [token.id for token in explanation.tgt_outputs] == [*(token.id for token in said.tokens), *end]
        assert (explanation.tgt_text, explanation.score) == (said.text, pytest.approx(said.score, rel=1e-5))
        if alone:
            same = translator(sentence, decoding=decoding)
            assert (explanation.score, explanation.log_prob) == (same.score, same.log_prob)
    assert translator(sentences, decoding=decoding) == before


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("make", [transformer, recurrent])
def test_looked_at_or_not_the_same_tokens_and_scores(make, beam_size):
    check_the_same(make(), LINES[::30], DecodingConfig(beam_size=beam_size, max_tokens=4))


def real(beam_size):
    """A translator and real sentences: by the run that CLEARHEAD_RUN names, else by a model of random weights."""
    root = Path(os.environ.get("CLEARHEAD_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = root / "multi30k-en-de" / "tok"
    if not path.is_dir():
        pytest.skip(f"no real corpora: {path} is not there")
    torch.set_num_threads(1)
    lines = [line for _, line in read_lines(path / "train.en")][:SENTENCES]
    assert len(lines) == SENTENCES
    decoding = {"beam_size": beam_size}
    if "CLEARHEAD_RUN" in os.environ:
        translator = Translator.load(os.environ["CLEARHEAD_RUN"], device="cpu")
    else:
        tokenizers = TokenizerPair.train(lines, lines, TokenizerConfig(vocabulary_size=1000))
        sizes = {"d_model": 32, "d_ff": 64, "n_heads": 4, "n_encoder_layers": 2, "n_decoder_layers": 2}
        model = sharpened(build_model(TransformerConfig(**sizes, max_positions=200), 1000, 1000), 1)
        translator, decoding = Translator(model, tokenizers, device="cpu"), {**decoding, "max_tokens": 12}
    translator.decoding = DecodingConfig(**decoding)
    return translator, lines


@pytest.mark.slow
@pytest.mark.parametrize("beam_size", [1, 4])
def test_looked_at_or_not_the_same_of_real_sentences(beam_size):
    translator, lines = real(beam_size)
    check_the_same(translator, lines, translator.decoding, alone=False)


@pytest.mark.slow
def test_every_number_of_real_sentences_is_that_of_numpy():
    translator, lines = real(beam_size=4)
    for line in lines[:: SENTENCES // 10]:
        check_numbers(translator, line)
        check_beam(translator, line)
