"""Our Transformer against PyTorch's, with copied weights; padding, causality, cache and state against the plain way."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clearhead.config import TransformerConfig
from clearhead.data.batch import Batch
from clearhead.models.build import build_model
from clearhead.models.transformer import Transformer
from clearhead.nn.masks import causal_mask

V = 23
SMALL = {"d_model": 16, "d_ff": 32, "n_heads": 4, "n_encoder_layers": 2, "n_decoder_layers": 2}


def make(**changes) -> Transformer:
    model = build_model(TransformerConfig(**{**SMALL, **changes}), V, V, seed=3).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():  # biases and norms away from 0 and 1, so that a mix-up shows
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return model


def batch(src_lengths=(7, 3, 5), tgt_lengths=(4, 6, 2), seed=0) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def padded(lengths):
        ids = torch.randint(4, V, (len(lengths), max(lengths)), generator=generator)
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return ids * mask, mask

    src, src_mask = padded(src_lengths)
    tgt, tgt_mask = padded(tgt_lengths)
    return Batch(src, src_mask, tgt, tgt.roll(-1, 1), tgt_mask)


def copy_attention(theirs: nn.MultiheadAttention, ours) -> None:
    theirs.in_proj_weight.copy_(torch.cat([ours.w_q.weight, ours.w_k.weight, ours.w_v.weight]))
    theirs.in_proj_bias.copy_(torch.cat([ours.w_q.bias, ours.w_k.bias, ours.w_v.bias]))
    theirs.out_proj.load_state_dict(ours.w_o.state_dict())


def copy_layer(theirs, ours) -> None:
    copy_attention(theirs.self_attn, ours.self_attention)
    theirs.linear1.load_state_dict(ours.feed_forward.w_1.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.w_2.state_dict())
    norms = [ours.self_attention_residual.norm, ours.feed_forward_residual.norm]
    if hasattr(theirs, "multihead_attn"):
        copy_attention(theirs.multihead_attn, ours.cross_attention)
        norms.insert(1, ours.cross_attention_residual.norm)
    for number, norm in enumerate(norms, 1):
        getattr(theirs, f"norm{number}").load_state_dict(norm.state_dict())


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_stacks_equal_torch_nn_transformer(norm, activation):
    ours = make(norm=norm, activation=activation)
    theirs = nn.Transformer(
        16, 4, 2, 2, 32, dropout=0.0, activation=activation, batch_first=True, norm_first=norm == "pre"
    ).train()  # train: its eval path is another, fused one
    with torch.no_grad():
        for pair in (
            *zip(theirs.encoder.layers, ours.encoder.layers),
            *zip(theirs.decoder.layers, ours.decoder.layers),
        ):
            copy_layer(*pair)
        if norm == "pre":
            theirs.encoder.norm.load_state_dict(ours.encoder.norm.state_dict())
            theirs.decoder.norm.load_state_dict(ours.decoder.norm.state_dict())
        else:
            theirs.encoder.norm = theirs.decoder.norm = None
        b = batch()
        length = b.tgt_input.shape[1]
        src = ours.src_embedding(b.src) + ours.src_positions(torch.arange(b.src.shape[1]))
        tgt = ours.tgt_embedding(b.tgt_input) + ours.tgt_positions(torch.arange(length))
        expected = theirs(
            src,
            tgt,
            tgt_mask=~causal_mask(length),
            src_key_padding_mask=~b.src_mask,
            memory_key_padding_mask=~b.src_mask,
        )
        torch.testing.assert_close(ours(b)[b.tgt_mask], expected[b.tgt_mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_future_tokens_never_change_earlier_hidden_vectors(norm):
    model, b = make(norm=norm), batch(tgt_lengths=(6, 6, 6))
    for cut in range(1, 6):
        changed = b.tgt_input.clone()
        changed[:, cut:] = (changed[:, cut:] + 5) % V
        other = Batch(b.src, b.src_mask, changed, b.tgt_output, b.tgt_mask)
        assert torch.equal(model(b)[:, :cut], model(other)[:, :cut])
        assert not torch.allclose(model(b)[:, cut:], model(other)[:, cut:])


def check_padding_and_other_rows_change_nothing(model) -> None:
    b = batch()
    junk = Batch(
        torch.where(b.src_mask, b.src, 9), b.src_mask, torch.where(b.tgt_mask, b.tgt_input, 9), b.tgt_output, b.tgt_mask
    )
    assert torch.equal(model(b)[b.tgt_mask], model(junk)[b.tgt_mask])
    for row in range(3):
        s, t = int(b.src_mask[row].sum()), int(b.tgt_mask[row].sum())
        one = slice(row, row + 1)
        alone = Batch(
            b.src[one, :s], b.src_mask[one, :s], b.tgt_input[one, :t], b.tgt_output[one, :t], b.tgt_mask[one, :t]
        )
        torch.testing.assert_close(model(alone)[0], model(b)[row, :t], atol=1e-5, rtol=1e-5)


def test_padding_never_changes_anything():
    check_padding_and_other_rows_change_nothing(make())


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize("pieces", [(1, 1, 1, 1, 1, 1), (6,), (3, 1, 2)])
def test_cached_steps_equal_teacher_forcing(norm, positions, pieces):
    model, b = make(norm=norm, positions=positions), batch(tgt_lengths=(6, 6, 6))
    state = model.start(model.encode(b.src, b.src_mask), 6)
    hidden = []
    for tokens in b.tgt_input.split(pieces, dim=1):
        out, state = model.step(tokens, state)
        hidden.append(out)
    torch.testing.assert_close(torch.cat(hidden, 1), model(b), atol=1e-5, rtol=1e-5)
    assert state.lengths.tolist() == [6, 6, 6]


def expected_hidden(model, b, row, tokens):
    one = slice(row, row + 1)
    t = torch.tensor([tokens])
    return model(Batch(b.src[one], b.src_mask[one], t, t, t > 0))[0, -1]


def test_rows_may_be_moved_doubled_dropped_and_joined():
    """Any sequence of select and join gives what each row alone gives."""
    model, b = make(), batch()
    generator = torch.Generator().manual_seed(1)
    state = model.start(model.encode(b.src, b.src_mask), 12, rows_per_sentence=2)
    rows = [(sentence, []) for sentence in (0, 0, 1, 1, 2, 2)]  # (sentence, tokens so far)

    def step(state, rows):
        tokens = torch.randint(4, V, (len(rows), 1), generator=generator)
        hidden, state = model.step(tokens, state)
        rows = [(s, [*so_far, int(t)]) for (s, so_far), t in zip(rows, tokens[:, 0])]
        for out, (s, so_far) in zip(hidden[:, 0], rows):
            torch.testing.assert_close(out, expected_hidden(model, b, s, so_far), atol=1e-5, rtol=1e-5)
        return state, rows

    def select(state, rows, chosen):
        return state.select(torch.tensor(chosen)), [rows[i] for i in chosen]

    state, rows = step(state, rows)
    state, rows = select(state, rows, [1, 0, 2, 2, 5, 4])  # beams move within their sentences
    assert state.crosses.grouped
    state, rows = step(state, rows)
    state, rows = select(state, rows, [0, 1, 4, 5])  # a sentence leaves
    assert state.crosses.grouped and len(state.crosses.layers[0].keys) == 2
    state, rows = step(state, rows)
    state, rows = select(state, rows, [3, 0, 1])  # no order at all
    assert not state.crosses.grouped
    state, rows = step(state, rows)
    newcomers = Batch(b.src[1:2], b.src_mask[1:2], b.tgt_input, b.tgt_output, b.tgt_mask)
    fresh = model.start(model.encode(newcomers.src, newcomers.src_mask), 12)
    state, rows = state.join(fresh), [*rows, (1, [])]  # one enters while the others are in mid-decode
    assert state.past.common is None
    for _ in range(3):
        state, rows = step(state, rows)
    state, rows = select(state, rows, [3])
    assert state.past.common == 3
    state, rows = step(state, rows)


def test_candidates_are_a_slice_of_the_logits():
    model = make()
    hidden, ids = torch.randn(2, 3, 16), torch.tensor([5, 2, 19])
    torch.testing.assert_close(model.project(hidden, ids), model.project(hidden)[..., ids])


@pytest.mark.parametrize("tie, matrices", [("three-way", 1), ("two-way", 2), ("none", 3)])
def test_ties_share_one_matrix(tie, matrices):
    model = make(tie=tie)
    assert sum(weight.shape[0] == V for weight in model.parameters()) == matrices
    assert (model.output_weight is model.tgt_embedding.weight) == (tie != "none")


def test_parameter_counts_of_the_paper():
    """Base and big with a shared vocabulary of 37,000 are the paper's 65 and 213 million (table 3)."""
    from clearhead.config import PRESETS

    with torch.device("meta"):
        base = Transformer(TransformerConfig(**PRESETS["paper-base"]), 37_000, 37_000)
        big = Transformer(TransformerConfig(**PRESETS["paper-big"]), 37_000, 37_000)
    assert round(sum(p.numel() for p in base.parameters()) / 1e6) == 63  # the paper rounds 63.1 up
    assert round(sum(p.numel() for p in big.parameters()) / 1e6) in (213, 214)
