"""The arithmetic is counted by hand, and by multiplying out what a model really does."""

import arithmetic
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from clearhead.config import TransformerConfig
from clearhead.data.batch import Batch
from clearhead.models.build import build_model

BASE = arithmetic.Shape(d_model=512, d_ff=2048, n_encoder_layers=6, n_decoder_layers=6, vocabulary_size=8192)


def test_one_pair_by_hand():
    # d 2, f 3, one layer each, V 5; S = 3, T = 2: E = 4*4 + 2*6 = 28, X = 8, D = 6*4 + 12 = 36, O = 10
    shape = arithmetic.Shape(2, 3, 1, 1, 5)
    weights = 6 * ((28 + 8) * 3 + (36 + 10) * 2)
    attention = 12 * 2 * (3 * 3 + 2 * 2 + 3 * 2)
    assert arithmetic.training_flop(shape, arithmetic.Lengths.of([(3, 2)])) == weights + attention == 1656


def test_the_base_model_needs_292_mflop_a_target_token_at_25_tokens_a_sentence():
    lengths = arithmetic.Lengths.of([(25, 25)] * 7)
    assert arithmetic.training_flop(BASE, lengths) / lengths.tgt == pytest.approx(292e6, rel=0.002)


def test_pairs_add_up():
    pairs = [(3, 2), (7, 11), (1, 1)]
    each = sum(arithmetic.training_flop(BASE, arithmetic.Lengths.of([pair])) for pair in pairs)
    assert arithmetic.training_flop(BASE, arithmetic.Lengths.of(pairs)) == each


def test_it_is_what_the_model_multiplies():
    d, f, layers, vocabulary_size, s, t, sentences = 16, 24, (2, 3), 40, 5, 4, 3
    config = TransformerConfig(
        d_model=d, d_ff=f, n_heads=2, n_encoder_layers=layers[0], n_decoder_layers=layers[1], dropout=0.0
    )
    model = build_model(config, vocabulary_size, vocabulary_size)
    src, tgt = torch.ones(sentences, s, dtype=torch.int64), torch.ones(sentences, t, dtype=torch.int64)
    batch = Batch(src, src.bool(), tgt, tgt, tgt.bool())
    with FlopCounterMode(display=False) as counter:
        model.project(model(batch)).sum().backward()
    shape = arithmetic.Shape(d, f, *layers, vocabulary_size)
    assert counter.get_total_flops() == arithmetic.training_flop(shape, arithmetic.Lengths.of([(s, t)] * sentences))


def test_a_large_product_has_a_rate():
    assert 1e6 < arithmetic.large_product("fp32", 64, "cpu", 0.01) < 1e14
