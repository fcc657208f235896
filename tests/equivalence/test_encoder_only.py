"""The encoder alone and the classifier: padding, segments, heads and pooling against what they should amount to."""

from __future__ import annotations

import pytest
import torch

from clearhead.config import (
    ENCODER_PRESETS,
    BagConfig,
    ClassifierConfig,
    EncoderConfig,
    RecurrentEncoderConfig,
    make_config,
)
from clearhead.errors import ConfigError
from clearhead.models.build import build_model, make_model
from clearhead.models.classifier import Classifier, pool
from clearhead.models.interface import Memory

V = 19
SMALL = {"d_model": 16, "d_ff": 32, "n_heads": 4, "n_layers": 2, "max_positions": 16}


def moved(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():  # biases and norms away from 0 and 1, so that a mix-up shows
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return model.eval()


def make(**changes):
    return moved(build_model(EncoderConfig(**{**SMALL, **changes}), V, V, seed=3))


def classifier(body=None, **changes) -> Classifier:
    body = EncoderConfig(**SMALL) if body is None else body
    return moved(build_model(ClassifierConfig(body=body, labels=("a", "b", "c"), **changes), V, V, seed=3))


def texts(lengths=(7, 3, 5)):
    ids = torch.randint(4, V, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return ids * mask, mask, (torch.arange(max(lengths)) > 2).long().expand_as(ids) * mask


RUNS = {"longest": 3, "buckets": 500, "min_count": 1}
BODIES = {
    "encoder": EncoderConfig(**SMALL),
    "bag": BagConfig(d_model=16),
    "lstm": RecurrentEncoderConfig(cell="lstm", d_model=16),
    "gru": RecurrentEncoderConfig(cell="gru", d_model=16, direction="forward"),
    "rnn": RecurrentEncoderConfig(cell="rnn", d_model=16, n_layers=1, direction="backward"),
}
POOLINGS = [
    *((body, "first") for body in ("encoder", "bag")),
    *((body, pooling) for body in BODIES for pooling in ("mean", "max")),
    *((body, "final") for body in ("lstm", "gru", "rnn")),
]


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_padding_never_changes_anything(norm):
    model, (ids, mask, segments) = make(norm=norm), texts()
    hidden = model.encode(ids, mask, segments).hidden
    junk = model.encode(torch.where(mask, ids, 9), mask, segments).hidden
    assert torch.equal(hidden[mask], junk[mask])
    for row, length in enumerate(mask.sum(1)):
        one = model.encode(ids[row : row + 1, :length], mask[row : row + 1, :length], segments[row : row + 1, :length])
        torch.testing.assert_close(one.hidden[0], hidden[row, :length], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("body", "pooling"), POOLINGS)
def test_padding_never_changes_a_label(body, pooling):
    model, (ids, mask, segments) = classifier(BODIES[body], pooling=pooling), texts()
    logits = model(ids, mask, segments)
    assert torch.equal(logits, model(torch.where(mask, ids, 9), mask, segments))
    for row, length in enumerate(mask.sum(1)):
        one = (x[row : row + 1, :length] for x in (ids, mask, segments))
        torch.testing.assert_close(model(*one)[0], logits[row], atol=1e-5, rtol=1e-5)


def test_a_token_sees_both_sides():
    model, (ids, mask, segments) = make(), texts((6,))
    before = model.encode(ids, mask, segments).hidden
    for place in range(6):
        changed = ids.clone()
        changed[0, place] = (changed[0, place] + 3) % V
        after = model.encode(changed, mask, segments).hidden
        assert not torch.isclose(before, after).all(dim=-1).any()


def test_segments_are_told_apart_as_far_as_the_model_knows_them():
    ids, mask, segments = texts()
    two, one, none = make(), make(segments=1), make(segments=0)
    assert torch.equal(two.encode(ids, mask).hidden, two.encode(ids, mask, torch.zeros_like(ids)).hidden)
    assert not torch.allclose(two.encode(ids, mask).hidden, two.encode(ids, mask, segments).hidden)
    for model in (one, none):
        assert torch.equal(model.encode(ids, mask).hidden, model.encode(ids, mask, segments).hidden)
    assert one.body.segments is not None and none.body.segments is None


def test_candidates_are_a_slice_of_the_logits():
    model, hidden, some = make(), torch.randn(2, 3, 16), torch.tensor([5, 2, 18])
    torch.testing.assert_close(model.project(hidden, some), model.project(hidden)[..., some])
    torch.testing.assert_close(model.project(hidden), hidden @ model.output_weight.T + model.output_bias)


def test_heads_are_what_the_config_says():
    names = {head: {name for name, _ in make(head=head).named_parameters()} for head in ("masked", "pooler", "none")}
    assert names["pooler"] - names["none"] == {"w_pooler.weight", "w_pooler.bias"}
    masked = {"w_transform.weight", "w_transform.bias", "transform_norm.weight", "transform_norm.bias", "output_bias"}
    assert names["masked"] - names["none"] == masked
    hidden = torch.randn(2, 16)
    assert torch.equal(make(head="none").transform(hidden), hidden)
    # What a pooler has learnt has a place of the same name in a classifier.
    assert names["pooler"] <= {name for name, _ in classifier().named_parameters()}


def test_pooling_equals_a_loop_over_the_tokens():
    hidden, (_, mask, _) = torch.randn(3, 7, 4), texts()
    memory = Memory(hidden, mask)
    rows = [hidden[row, : mask[row].sum()] for row in range(3)]
    torch.testing.assert_close(pool(memory, "first"), torch.stack([row[0] for row in rows]))
    torch.testing.assert_close(pool(memory, "mean"), torch.stack([row.mean(0) for row in rows]))
    torch.testing.assert_close(pool(memory, "root"), torch.stack([row.sum(0) / len(row) ** 0.5 for row in rows]))
    torch.testing.assert_close(pool(memory, "max"), torch.stack([row.amax(0) for row in rows]))


def test_the_final_state_is_where_each_direction_stopped_reading():
    model, (ids, mask, _) = classifier(BODIES["lstm"], pooling="final"), texts()
    memory = model.body.encode(ids, mask)
    ends = [torch.cat([memory.hidden[row, n - 1, :8], memory.hidden[row, 0, 8:]]) for row, n in enumerate(mask.sum(1))]
    torch.testing.assert_close(pool(memory, "final"), torch.stack(ends))


@pytest.mark.parametrize(("body", "pooling"), [("encoder", "final"), ("bag", "final"), ("recurrent-encoder", "first")])
def test_a_pooling_that_does_not_go_with_the_body_is_refused(body, pooling):
    model = {"kind": "classifier", "body": {"kind": body}, "pooling": pooling}
    with pytest.raises(ConfigError, match=f"pooling = '{pooling}'"):
        make_config({"task": "classification", "model": model})


def test_n_grams_beside_the_body_are_a_bag_of_their_own():
    model, (ids, mask, _) = classifier(BODIES["gru"], pooling="final", ngram_evidence=RUNS), texts()
    model.ngram_evidence.count([(ids, mask, torch.arange(len(ids)) % 2)])
    logits = model(ids, mask)
    assert torch.equal(logits, model(torch.where(mask, ids, 9), mask))
    runs = [
        model.ngram_evidence(ids[row, None, :n], mask[row, None, :n])[0].sum(0) for row, n in enumerate(mask.sum(1))
    ]
    model.ngram_evidence = None
    torch.testing.assert_close(logits - model(ids, mask), torch.stack(runs), atol=1e-5, rtol=1e-5)


def test_a_bag_knows_no_order():
    model, (ids, mask, _) = classifier(BODIES["bag"], pooling="mean", pooler=False), texts((6, 6))
    torch.testing.assert_close(model(ids, mask), model(ids.flip(1), mask), atol=1e-6, rtol=1e-6)
    encoder = classifier(pooling="mean")
    assert not torch.allclose(encoder(ids, mask), encoder(ids.flip(1), mask), atol=1e-3)


@pytest.mark.parametrize(("name", "activation"), [("tanh", torch.tanh), ("relu", torch.relu)])
def test_the_pooler_is_one_more_layer(name, activation):
    model, (ids, mask, segments) = classifier(pooler_activation=name), texts()
    first = model.body.encode(ids, mask, segments).hidden[:, 0]
    expected = model.w_label(activation(model.w_pooler(first)))
    torch.testing.assert_close(model(ids, mask, segments), expected)


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("bert-base", 109_482_240), ("bert-large", 335_141_888), ("bert-tiny", 4_385_920)],
)
def test_parameter_counts_are_those_of_the_published_weights(preset, parameters):
    with torch.device("meta"):
        model = make_model(EncoderConfig(**ENCODER_PRESETS[preset], head="pooler"), 30_522, 30_522)
    assert sum(weight.numel() for weight in model.parameters()) == parameters
