"""The decoder alone: with its cache and without, alone and among others, dense and in bands; GPT's sizes."""

from __future__ import annotations

import pytest
import torch

from clearhead.config import DECODER_PRESETS, DecoderConfig
from clearhead.models.build import build_model, make_model
from clearhead.models.decoder_only import DecoderOnly
from clearhead.models.interface import Memory
from clearhead.nn.masks import causal_mask

from ..decoding.batcher import decode_continuously
from ..decoding.toy import EOS, PAD, START, sentences

V = 19
GPTS = {
    "gpt-1": {"norm": "post"},
    "gpt-2": {},
    "gpt-3": {"band": 2},
    "sinusoidal": {"positions": "sinusoidal", "band": 3, "activation": "swiglu"},
}


def make(seed=3, **changes) -> DecoderOnly:
    sizes = {"d_model": 16, "d_ff": 32, "n_heads": 4, "n_layers": 4, "max_positions": 32}
    model = build_model(DecoderConfig(**{**sizes, **changes}), V, V, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():  # biases and norms away from 0 and 1, and choices that differ
            weight.add_(torch.randn(weight.shape, generator=generator) * (0.3 if weight.dim() > 1 else 0.1))
    return model


def ids(rows=3, length=9, seed=0):
    return torch.randint(3, V, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("gpt", GPTS)
@pytest.mark.parametrize("pieces", [(1,) * 9, (9,), (4, 1, 1, 3)])
def test_cached_steps_equal_teacher_forcing(gpt, pieces):
    model = make(**GPTS[gpt])
    state = model.start(3, 9)
    hidden = []
    for tokens in ids().split(pieces, dim=1):
        out, state = model.step(tokens, state)
        hidden.append(out)
    torch.testing.assert_close(torch.cat(hidden, 1), model(ids()), atol=1e-5, rtol=1e-5)
    assert state.lengths.tolist() == [9, 9, 9]


@pytest.mark.parametrize("gpt", GPTS)
def test_future_tokens_never_change_earlier_hidden_vectors(gpt):
    model = make(**GPTS[gpt])
    before = model(ids())
    for cut in range(1, 9):
        changed = ids()
        changed[:, cut:] = (changed[:, cut:] + 5) % V
        after = model(changed)
        assert torch.equal(before[:, :cut], after[:, :cut])
        assert not torch.allclose(before[:, cut:], after[:, cut:])


def test_a_band_is_what_a_loop_over_queries_and_keys_says():
    for length, past, band in [(6, 0, 3), (4, 5, 2), (5, 0, 1), (3, 2, 9)]:
        mask = causal_mask(length, past, band=band)
        for query in range(length):
            for key in range(past + length):
                behind = past + query - key
                assert bool(mask[query, key]) == (0 <= behind < band)


def test_every_second_layer_sees_its_band_only():
    """Two layers of which the second sees itself only: what a token says then rests on what the first layer saw."""
    model, tokens = make(n_layers=2, band=1), ids(1, 8)
    seen = []
    for layer in model.decoder.layers:
        layer.self_attention.core.register_forward_hook(lambda core, given, out: seen.append(given[3]))
    model(tokens)
    assert torch.equal(seen[0].expand(1, 1, 8, 8)[0, 0], torch.ones(8, 8).tril().bool())
    assert torch.equal(seen[1].expand(1, 1, 8, 8)[0, 0], torch.eye(8).bool())


class Prompted:
    """A decoder-only model as a batcher sees a translator: the source is a prompt, which its state takes in first."""

    def __init__(self, model: DecoderOnly):
        self.model, self.step, self.project = model, model.step, model.project

    def encode(self, src, src_mask):
        return Memory(src, src_mask)

    def start(self, memory, max_length):
        state = None
        for row, mask in zip(memory.hidden, memory.mask):
            prompt = row[mask][None]
            _, one = self.model.step(prompt, self.model.start(1, prompt.shape[1] + max_length))
            state = one if state is None else state.join(one)
        return state


def greedy_without_a_cache(model, prompt, limit, forbidden):
    so_far = [*prompt, START]
    while len(so_far) - len(prompt) <= limit:
        logits = model.project(model(torch.tensor([so_far]))[0, -1])
        token = int(logits.index_fill(0, torch.tensor(forbidden), -torch.inf).argmax())
        if token == EOS:
            break
        so_far.append(token)
    return so_far[len(prompt) + 1 :]


@pytest.mark.parametrize("gpt", GPTS)
def test_rows_that_come_and_go_get_what_each_gets_alone(gpt):
    model, prompts, forbidden = make(seed=7, **GPTS[gpt]), sentences(9, 7), (PAD, START)
    arrivals = [prompts[:3], [], prompts[3:4], prompts[4:8], [], [], prompts[8:]]
    expected = [greedy_without_a_cache(model, prompt, 8, forbidden) for prompt in prompts]
    with torch.no_grad():
        assert decode_continuously(Prompted(model), arrivals, 8, forbidden) == expected
    assert len({tuple(tokens) for tokens in expected}) > 4


def test_rows_may_be_moved_and_doubled():
    model = make(band=2)
    state = model.start(3, 9)
    _, state = model.step(ids()[:, :5], state)
    rows = torch.tensor([2, 0, 0, 1])
    out, _ = model.step(ids()[rows, 5:], state.select(rows))
    torch.testing.assert_close(out, model(ids())[rows, 5:], atol=1e-5, rtol=1e-5)


def test_candidates_are_a_slice_of_the_logits():
    model, hidden, some = make(), torch.randn(2, 3, 16), torch.tensor([5, 2, 18])
    torch.testing.assert_close(model.project(hidden, some), model.project(hidden)[..., some])


@pytest.mark.parametrize(
    ("preset", "vocabulary_size", "parameters"),
    [
        ("gpt-1", 40_478, 116_534_784),
        ("gpt-2", 50_257, 124_439_808),
        ("gpt-2-medium", 50_257, 354_823_168),
        ("gpt-2-large", 50_257, 774_030_080),
        ("gpt-2-xl", 50_257, 1_557_611_200),
    ],
)
def test_parameter_counts_are_those_of_the_published_weights(preset, vocabulary_size, parameters):
    assert count(DECODER_PRESETS[preset], vocabulary_size) == parameters


def test_parameter_counts_of_gpt_3():
    """Brown et al. 2020, table 2.1: 125 million and 175 billion."""
    assert round(count(DECODER_PRESETS["gpt-3-small"], 50_257) / 1e6) == 125
    assert round(count(DECODER_PRESETS["gpt-3"], 50_257) / 1e9) == 175


def count(preset, vocabulary_size):
    with torch.device("meta"):
        model = make_model(DecoderConfig(**preset), vocabulary_size, vocabulary_size)
    return sum(weight.numel() for weight in model.parameters())
