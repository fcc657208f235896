"""Draws against the exact distribution, and against themselves in another batch."""

from __future__ import annotations

import pytest
import torch

from clearhead.decoding.greedy import greedy_search
from clearhead.decoding.sampling import sampler, uniforms

from .test_greedy import close
from .toy import EOS, KINDS, PAD, START, TableModel, V, model_of, problem, sentences

DRAWS = 20_000


@pytest.fixture(scope="module")
def draws():
    return uniforms(1, [(i,) for i in range(DRAWS // 10)], 10).view(-1, 1)


def exact(log_probs, temperature, top_k, top_p):
    """The distribution that is drawn from, by the definitions."""
    weights = {t: p ** (1 / temperature) for t, p in enumerate(log_probs.exp().tolist())}
    ranked = sorted(weights, key=lambda t: -weights[t])[: top_k or None]
    total, so_far, kept = sum(weights[t] for t in ranked), 0.0, []
    for token in ranked:
        if so_far >= top_p:
            break
        kept.append(token)
        so_far += weights[token] / total
    total = sum(weights[t] for t in kept)
    return {t: weights[t] / total for t in kept if weights[t]}


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (1.0, 0, 1.0),
        (0.5, 0, 1.0),
        (2.0, 0, 1.0),
        (1.0, 3, 1.0),
        (1.0, 0, 0.7),
        (1.3, 5, 0.8),
        (1.0, 1, 1.0),
        (1, 99, 0.01),
    ],
)
def test_the_draws_have_the_exact_distribution(draws, temperature, top_k, top_p):
    log_probs = torch.randn(V, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    log_probs[[0, 4]] = -torch.inf
    choose = sampler(draws, temperature, top_k, top_p)
    tokens = choose(log_probs.expand(DRAWS, V), torch.arange(DRAWS), 0)
    counts = torch.bincount(tokens, minlength=V).tolist()
    expected = exact(log_probs, temperature, top_k, top_p)
    assert {t for t, count in enumerate(counts) if count} == set(expected)
    chi_square = sum((counts[t] - DRAWS * p) ** 2 / (DRAWS * p) for t, p in expected.items())
    assert chi_square < 35  # at most 8 degrees of freedom: exceeded once in 30,000


def test_the_ends_of_the_interval_hit_tokens_of_some_probability():
    log_probs = torch.tensor([[-torch.inf, 0.25, 0.75, -torch.inf]]).log_softmax(-1)
    for draw, token in [(0.0, 1), (1 - 2**-24, 2)]:
        assert sampler(torch.tensor([[draw]]))(log_probs, torch.tensor([0]), 0).tolist() == [token]


def test_a_draw_depends_on_seed_and_key_alone():
    several = uniforms(7, [(0, 0), (1, 0), (1, 1)], 9)
    assert torch.equal(uniforms(7, [(1, 0)], 5), several[1:2, :5])
    assert len(several.flatten().unique()) == several.numel()
    assert not torch.equal(uniforms(8, [(0, 0)], 9), several[:1])
    assert several.min() >= 0
    assert several.max() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_around_a_sentence_changes_nothing(kind):
    model, sources = model_of(kind, V, 2), sentences(9, 3)

    def draw(which, samples=2):
        asked = problem(model, [sources[i] for i in which], [8] * len(which))
        draws = uniforms(5, [(i, sample) for i in which for sample in range(samples)], asked.max_length)
        found = greedy_search(model, asked, choose=sampler(draws, 1.2, 6, 0.95), rows_per_sentence=samples)
        return {i: found[samples * place : samples * (place + 1)] for place, i in enumerate(which)}

    together, backwards = draw(range(9)), draw(range(9)[::-1])
    assert any(first.tokens != second.tokens for first, second in together.values())
    for i in range(9):
        for one, two, three in zip(draw([i])[i], together[i], backwards[i]):
            close(two, one)
            close(three, one)


def test_every_position_is_a_draw_of_its_own():
    """Among 8 equally likely tokens the token is the draw's eighth of the interval."""
    model = TableModel(V, lambda source, so_far: torch.zeros(V))
    asked = problem(model, [[EOS]] * 3, [20] * 3, forbidden=(PAD, START, EOS))
    draws = uniforms(3, [(i,) for i in range(3)], asked.max_length)
    for row, hypothesis in zip(draws, greedy_search(model, asked, choose=sampler(draws))):
        assert list(hypothesis.tokens) == [3 + int(8 * draw) for draw in row[:20].tolist()]
