"""Additive and multiplicative attention against the formulas, number by number."""

from __future__ import annotations

import math

import pytest
import torch

from clearhead.nn.recurrent_attention import RecurrentAttention, additive_attention, multiplicative_attention

MASK = torch.tensor([[True, True, False, True, False], [True] * 5, [False] * 5])  # (N, S); nothing in the last row


def made(score: str) -> tuple[RecurrentAttention, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return RecurrentAttention(score, 4), torch.randn(3, 2, 4), torch.randn(3, 5, 4)


def by_hand(attention: RecurrentAttention, score: str, s: list[float], memory: list[list[float]], mask: list[bool]):
    """The context of one state and its weights, in plain Python."""

    def times(matrix, vector):
        return [sum(w * x for w, x in zip(row, vector)) for row in matrix.weight.tolist()]

    scores = []
    for h in memory:
        match score:
            case "dot":
                scores.append(sum(a * b for a, b in zip(s, h)))
            case "general":
                scores.append(sum(a * b for a, b in zip(s, times(attention.w_k, h))))
            case "additive":
                (v,) = attention.core.w_score.weight.tolist()
                sums = zip(times(attention.w_q, s), times(attention.w_k, h))
                scores.append(sum(each * math.tanh(a + b) for each, (a, b) in zip(v, sums)))
    total = sum(math.exp(x) for x, sees in zip(scores, mask) if sees)
    weights = [math.exp(x) / total if sees else 0.0 for x, sees in zip(scores, mask)]
    return [sum(w * h[d] for w, h in zip(weights, memory)) for d in range(4)], weights


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
def test_the_formulas_number_by_number(score):
    attention, states, memory = made(score)
    keys = attention.keys(memory)
    contexts = attention(states, keys, memory, MASK[:, None])
    if score == "additive":
        again, weights = additive_attention(
            attention.w_q(states), keys, memory, attention.core.w_score.weight, MASK[:, None]
        )
    else:
        again, weights = multiplicative_attention(states, keys, memory, MASK[:, None])
    assert torch.equal(contexts, again)
    for n in range(3):
        for t in range(2):
            context, expected = by_hand(attention, score, states[n, t].tolist(), memory[n].tolist(), MASK[n].tolist())
            assert contexts[n, t].tolist() == pytest.approx(context, abs=1e-6)
            assert weights[n, t].tolist() == pytest.approx(expected, abs=1e-6)
            assert all((w == 0) == (not sees) for w, sees in zip(weights[n, t].tolist(), MASK[n].tolist()))


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
def test_a_row_without_a_source_gives_zeros_and_no_nan_gradient(score):
    attention, states, memory = made(score)
    states.requires_grad_()
    memory.requires_grad_()
    contexts = attention(states, attention.keys(memory), memory, MASK[:, None])
    assert (contexts[2] == 0).all()
    contexts.square().sum().backward()
    for gradient in (states.grad, memory.grad, *(weight.grad for weight in attention.parameters())):
        assert gradient.isfinite().all() and (gradient != 0).any()
    assert (memory.grad[2] == 0).all() and (memory.grad[0, 2] == 0).all()


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
def test_a_hook_on_the_core_sees_what_the_weights_follow_from(score):
    attention, states, memory = made(score)
    seen = []
    attention.core.register_forward_hook(lambda core, given, output: seen.append((*given, output)))
    context = attention(states, attention.keys(memory), memory, MASK[:, None])
    (q, k, v, mask, output), w_score = seen[0], attention.core.w_score
    recomputed = (
        multiplicative_attention(q, k, v, mask)
        if w_score is None
        else additive_attention(q, k, v, w_score.weight, mask)
    )
    assert output is context and torch.equal(recomputed[0], context)
