"""The recurrent encoder-decoder: all positions at once against one by one; padding, the future and other rows."""

from __future__ import annotations

import copy

import pytest
import torch

from clearhead.config import RecurrentConfig
from clearhead.data.batch import Batch
from clearhead.models.build import build_model, load_weights, named_weights
from clearhead.models.recurrent import RecurrentSeq2Seq

from .test_transformer import V, batch, check_padding_and_other_rows_change_nothing, expected_hidden

KINDS = [
    {"attention": "none", "cell": "lstm", "direction": "backward"},
    {"attention": "none", "cell": "gru"},
    {"attention": "general", "cell": "lstm"},
    {"attention": "dot", "cell": "rnn"},
    {"attention": "additive", "cell": "gru"},
    {"attention": "general", "cell": "lstm", "attends": "input-feeding"},
    {"attention": "dot", "cell": "gru", "attends": "input-feeding", "direction": "forward"},
    {"attention": "additive", "cell": "gru", "attends": "before"},
    {"attention": "general", "cell": "lstm", "attends": "before", "tie": "none"},
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))


def make(**changes) -> RecurrentSeq2Seq:
    model = build_model(RecurrentConfig(**{"d_model": 16, **changes}), V, V, seed=3).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():  # biases away from 0 and 1, so that a mix-up shows
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.3)
    return model


@each_kind
@pytest.mark.parametrize("pieces", [(1, 1, 1, 1, 1, 1), (3, 1, 2)])
def test_steps_equal_teacher_forcing(kind, pieces):
    model, b = make(**kind), batch(tgt_lengths=(6, 6, 6))
    state = model.start(model.encode(b.src, b.src_mask), 6)
    hidden = []
    for tokens in b.tgt_input.split(pieces, dim=1):
        out, state = model.step(tokens, state)
        hidden.append(out)
    torch.testing.assert_close(torch.cat(hidden, 1), model(b), atol=1e-5, rtol=1e-5)
    assert state.lengths.tolist() == [6, 6, 6]


@pytest.mark.parametrize("attends", ["after", "input-feeding", "before"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_decoder_attends_when_the_papers_do(attends, cell):
    """One sentence, two layers, one position after the other as the equations stand."""
    model, b = make(attention="general", attends=attends, cell=cell), batch(src_lengths=(5,), tgt_lengths=(6,))
    first, second = model.decoder.layers
    w_c, w_k = model.decoder.w_c.weight, model.decoder.attention.w_k.weight
    memory = model.encode(b.src, b.src_mask)
    h = memory.hidden[0]  # (S, D)

    def context(s):
        return (h @ w_k.T @ s).softmax(0) @ h

    low, top = memory.final  # (P, 1, D)
    attentional = torch.zeros(16)
    for y, expected in zip(model.tgt_embedding(b.tgt_input)[0], model(b)[0]):
        match attends:
            case "after":
                low, _ = first.step(y[None], low)
            case "input-feeding":
                low, _ = first.step(torch.cat([y, attentional])[None], low)
            case "before":
                c = context(top[0, 0])
                low, _ = first.step(torch.cat([y, c])[None], low)
        top, _ = second.step(low[0], top)
        if attends != "before":
            c = context(top[0, 0])
        attentional = torch.tanh(w_c @ torch.cat([c, top[0, 0]]))
        torch.testing.assert_close(attentional, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_without_attention_the_last_hidden_vector_is_the_answer(cell):
    model, b = make(attention="none", cell=cell), batch(src_lengths=(5,), tgt_lengths=(6,))
    low, top = model.encode(b.src, b.src_mask).final
    for y, expected in zip(model.tgt_embedding(b.tgt_input)[0], model(b)[0]):
        low, _ = model.decoder.layers[0].step(y[None], low)
        top, _ = model.decoder.layers[1].step(low[0], top)
        torch.testing.assert_close(top[0, 0], expected, atol=1e-5, rtol=1e-5)


@each_kind
def test_padding_and_the_rest_of_the_batch_change_nothing(kind):
    check_padding_and_other_rows_change_nothing(make(**kind))


@each_kind
def test_future_tokens_never_change_earlier_hidden_vectors_and_every_past_one_does(kind):
    model, b = make(**kind), batch(tgt_lengths=(6, 6, 6))
    for cut in range(1, 6):
        changed = b.tgt_input.clone()
        changed[:, cut] = (changed[:, cut] + 5) % V
        other = model(Batch(b.src, b.src_mask, changed, b.tgt_output, b.tgt_mask))
        assert torch.equal(model(b)[:, :cut], other[:, :cut])
        assert ((model(b)[:, cut:] - other[:, cut:]).abs().amax(-1) > 1e-7).all()


@each_kind
def test_every_source_token_is_heard(kind):
    """The last state alone carries all of them; attention or not, a changed token changes what is written."""
    model, b = make(**kind), batch(src_lengths=(5, 5, 5))
    for place in range(5):
        changed = b.src.clone()
        changed[:, place] = (changed[:, place] + 5) % V
        other = model(Batch(changed, b.src_mask, b.tgt_input, b.tgt_output, b.tgt_mask))
        assert ((model(b)[:, 0] - other[:, 0]).abs().amax(-1) > 1e-6).all()


@each_kind
def test_gradients_reach_every_weight(kind):
    model, b = make(**kind, dropout=0.2).train(), batch()
    model.project(model(b)[b.tgt_mask]).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and (weight.grad != 0).any(), name


@each_kind
def test_rows_may_be_moved_doubled_dropped_and_joined(kind):
    """Any sequence of select and join gives what each row alone gives."""
    model, b = make(**kind), batch()
    generator = torch.Generator().manual_seed(1)
    state = model.start(model.encode(b.src, b.src_mask), 12, rows_per_sentence=2)
    rows = [(sentence, []) for sentence in (0, 0, 1, 1, 2, 2)]  # (sentence, tokens so far)

    def step(state, rows):
        tokens = torch.randint(4, V, (len(rows), 1), generator=generator)
        hidden, state = model.step(tokens, state)
        rows = [(s, [*so_far, int(t)]) for (s, so_far), t in zip(rows, tokens[:, 0])]
        for out, (s, so_far) in zip(hidden[:, 0], rows):
            torch.testing.assert_close(out, expected_hidden(model, b, s, so_far), atol=1e-5, rtol=1e-5)
        assert state.lengths.tolist() == [len(so_far) for _, so_far in rows]
        return state, rows

    def select(state, rows, chosen):
        return state.select(torch.tensor(chosen)), [rows[i] for i in chosen]

    with torch.no_grad():
        state, rows = step(state, rows)
        state, rows = select(state, rows, [1, 0, 2, 2, 5, 4])  # beams move within their sentences
        state, rows = step(state, rows)
        state, rows = select(state, rows, [5, 0, 1])  # a sentence leaves, no order at all
        assert not state.crosses.grouped and len(state.crosses.layers[0].keys) == 2
        state, rows = step(state, rows)
        fresh = model.start(model.encode(b.src[1:2, :4], b.src_mask[1:2, :4]), 12)
        state, rows = state.join(fresh), [*rows, (1, [])]  # one enters while the others are in mid-decode
        state, rows = step(state, rows)


def test_without_attention_a_state_keeps_nothing_of_the_memory():
    model, b = make(attention="none"), batch()
    cross = model.start(model.encode(b.src, b.src_mask), 6).crosses.layers[0]
    assert cross.keys.numel() == cross.values.numel() == 0


def test_the_memorys_projection_is_made_once_a_sentence():
    model, b = make(attention="additive"), batch()
    calls = []
    model.decoder.attention.w_k.register_forward_hook(lambda *_: calls.append(1))
    state = model.start(model.encode(b.src, b.src_mask), 6, rows_per_sentence=2)
    for _ in range(3):
        _, state = model.step(torch.full((6, 1), 5), state)
    assert len(calls) == 1


def test_candidates_are_a_slice_of_the_logits():
    model = make()
    hidden, ids = torch.randn(2, 3, 16), torch.tensor([5, 2, 19])
    torch.testing.assert_close(model.project(hidden, ids), model.project(hidden)[..., ids])


@pytest.mark.parametrize("tie, matrices", [("three-way", 1), ("two-way", 2), ("none", 3)])
def test_ties_share_one_matrix(tie, matrices):
    model = make(tie=tie)
    assert sum(weight.shape[0] == V for weight in model.parameters()) == matrices
    assert (model.output_weight is model.tgt_embedding.weight) == (tie != "none")


@each_kind
def test_nothing_is_remembered_of_weights_that_have_changed(kind):
    """An update writes into the weights' memory, and its workers have copies of the model over the same memory."""
    model, b = make(**kind), batch()
    replica = copy.deepcopy(model)
    for weight, shared in zip(replica.parameters(), model.parameters()):
        weight.data = shared.data
    before = model(b), replica(b)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.9)
    fresh = make(**kind)
    load_weights(fresh, named_weights(model))
    for ours, old in zip((model(b), replica(b)), before):
        assert torch.equal(ours, fresh(b)) and not torch.equal(ours, old)
