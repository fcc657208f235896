"""What a file leaves out: in what order, and that what is left is whole and small enough."""

import json

import numpy as np
import pytest

from clearhead.config import PRESETS, DecodingConfig, TransformerConfig
from clearhead.inspection import page, room
from clearhead.inspection.checkpoints import Moment
from clearhead.inspection.document import document, pack, unpack
from clearhead.inspection.explain import explain
from clearhead.inspection.explanation import Outcome

from .documents import RUN, classified, continued, hidden, translated
from .small import recurrent, transformer
from .small import translator as spoken_by

KINDS = [translated, lambda: translated("recurrent"), lambda: translated(norm="pre"), classified, continued, hidden]


def stages(left):
    return [each.what for each in left]


@pytest.mark.parametrize("make", KINDS)
def test_what_weighs_most_and_matters_least_goes_first(make):
    found = make()
    arrays = unpack(found["tensors"], found["blob"])
    _, blob, left = pack(arrays, 10**9)
    assert left == []
    whole, order = len(blob), [what for what, _ in room.ORDER]
    before = set(arrays)
    for share in np.linspace(1.0, 0.0, 21):
        size = int(whole * share)
        table, blob, left = pack(arrays, size)
        assert set(table) <= before and (len(blob) <= size or not table)
        assert stages(left) == sorted(stages(left), key=order.index)
        for each in left[:-1]:  # a stage begins where the one before it is at its end
            assert each.left == each.of
        for name, array in unpack(table, blob).items():
            assert np.abs(array * 1.0 - arrays[name]).max(initial=0) <= np.abs(arrays[name]).max(initial=0) / 32767
        before = set(table)
    assert before == set() and stages(left)[-1] == "rest"


def test_upper_layers_go_before_lower_ones_and_every_second_checkpoint_before_the_others():
    names = [f"{stack}.layers.{n}.feed_forward.inner" for stack in ("encoder", "decoder") for n in range(3)]
    names += [f"checkpoints.{step}.cross" for step in (0, 10, 20, 30, 40, "final")]
    gone = []
    for size in range(len(names), -1, -1):
        leave, left = room.leaving(names, len, size)
        gone += sorted(leave - set(gone))
    assert gone[:6] == [f"checkpoints.{step}.cross" for step in (10, 30, 20, 40, 0, "final")]
    assert gone[6:] == [f"{stack}.layers.{n}.feed_forward.inner" for n in (2, 1, 0) for stack in ("decoder", "encoder")]
    assert left == [room.Left("checkpoints", 6, 6), room.Left("units", 3, 3)]
    assert room.leaving(names, len, 11)[1] == [room.Left("checkpoints", 1, 6)]


@pytest.mark.parametrize("make", [transformer, recurrent])
def test_every_tensor_of_a_model_has_its_place_in_the_order(make):
    config = make().model.config.model_dump(mode="json")
    found = document(explain(make(), "My sister reads."), RUN, config)
    rest = {name for name in found["tensors"] if not any(room.re.fullmatch(each, name) for _, each in room.ORDER[:-1])}
    last = ("encoder.output", "decoder.output", "encoder.gamma", "encoder.beta", "decoder.gamma", "decoder.beta")
    assert all(name.startswith(("src_", "tgt_")) or name in last for name in rest)


def test_bytes_that_two_tensors_share_are_counted_once():
    x = np.random.default_rng(1).normal(size=(50, 50))
    one = pack({"src_input": x})[1]
    table, blob, left = pack({"src_input": x, "src_embedding": x}, len(one) + 300)
    assert set(table) == {"src_input", "src_embedding"} and left == [] and blob == one
    assert pack({"src_input": x}, len(one) - 10)[0] == {}


@pytest.mark.parametrize("in_file", [1, 2])
def test_a_document_keeps_within_its_share_of_the_file(in_file, monkeypatch):
    explanation = explain(transformer(), "My sister reads.")
    config = {**transformer().model.config.model_dump(mode="json"), "tgt_vocabulary": 400}
    lefts = []
    for size in (20_000, 60_000, 100_000, 200_000):
        monkeypatch.setattr(room, "LEAST_LIMIT", in_file * (room.PAGE + size))
        made = document(explanation, RUN, config, in_file)
        assert len(json.dumps(made, ensure_ascii=False).encode()) <= size or not made["tensors"]
        lefts.append(len(made["left_out"]))
    assert lefts == sorted(lefts, reverse=True) and lefts[0] > 2 and lefts[-1] == 0
    assert document(explanation, RUN, config)["left_out"] == []


def test_how_large_a_file_may_be():
    assert room.limit(30, 256) == 3_000_000 - room.PAGE
    assert room.limit(31, 256) == room.limit(30, 512) == 10_000_000 - room.PAGE
    assert room.limit(30, 512, documents=2) == 5_000_000 - room.PAGE


def long_explanation(translator, tokens):
    tokenizers = translator.tokenizers
    translator.model.tgt_embedding.weight.data[tokenizers.tgt.eos_id] = 0.0  # it goes on to the limit
    text = "My sister reads the old book at school. " * tokens
    while len(tokenizers.src.encode(text)) > tokens - 1:
        text = text[: -1 - (len(tokenizers.src.encode(text)) - tokens) // 2]
    found = explain(translator, text, decoding=DecodingConfig(beam_size=4, max_tokens=tokens))
    assert len(found.src) == len(found.tgt_inputs) == tokens
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "tokens", "moments", "megabytes"),
    [("tiny", 30, 13, 3), ("small", 30, 13, 3), ("small", 30, 200, 3), ("paper-base", 30, 13, 10)]
    + [(preset, 256, 13, 10) for preset in ("tiny", "small")],
)
def test_a_page_keeps_its_size_whatever_it_shows(preset, tokens, moments, megabytes, capsys):
    translator = spoken_by(TransformerConfig(**PRESETS[preset]), spread=0.0)
    found = long_explanation(translator, tokens)
    draw = np.random.default_rng(1)
    crosses = draw.dirichlet(np.ones(tokens), size=(moments, *found.cross_attention.shape[:3]))
    outcome = Outcome(found.tgt_text, (), -1.0, -1.0)
    checkpoints = [Moment(step, outcome, -1.0, 2.0, cross) for step, cross in enumerate(crosses)]
    config = translator.model.config.model_dump(mode="json")
    made = document(found, RUN, config, 1, checkpoints=checkpoints)
    size = len(page.render(made, "ko").encode()) / 1e6
    with capsys.disabled():
        print(f"\n{preset}, {tokens} tokens, {moments} checkpoints: {size:.2f} MB", made["left_out"])
    assert megabytes * 0.6 < size + 3 * (not made["left_out"]) and size <= megabytes
