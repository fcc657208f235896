"""From a run folder: what the page and the server ask, checkpoints, and a translator that explains itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from clearhead import Translator
from clearhead.config import DecodingConfig
from clearhead.errors import UsageError
from clearhead.inspection.document import unpack
from clearhead.inspection.inspector import Inspector
from clearhead.models.build import build_model, named_weights
from clearhead.runs.checkpoints import save_checkpoint
from clearhead.runs.folder import RunFolder

GOLDEN = Path(__file__).parents[1] / "golden/format-1"
SENTENCE = "나는 학생입니다"
TOLD = []


@pytest.fixture(scope="module")
def inspector(tmp_path_factory):
    """The golden run with two checkpoints: the model as it was made, and as it is used."""
    path = shutil.copytree(GOLDEN, tmp_path_factory.mktemp("runs") / "run")
    run = RunFolder.open(path)
    new = build_model(run.config.model, 400, 400, seed=run.config.training.seed)
    save_checkpoint(run, 150, named_weights(new), {}, {})
    save_checkpoint(run, 300, run.weights(), {}, {})
    return Inspector(path, "cpu", ("decoding.beam_size=2", "decoding.max_tokens=15"))


@pytest.fixture(scope="module")
def full(inspector):
    return inspector.document(SENTENCE, full=True, on_progress=lambda *told: TOLD.append(told))


def test_a_document_is_json_and_has_all_sections(full, inspector):
    assert json.loads(json.dumps(full, allow_nan=False)) == full
    assert full["kind"] == "transformer" and full["tgt"]["text"] == "I am a student"
    assert full["run"]["name"] == "run" and len(full["run"]["weights_sha256"]) == 64
    assert full["config"]["src_vocabulary"] == 400 and full["config"]["d_model"] == 32
    assert [part["kind"] for part in full["parts"] if part["name"].startswith("decoder.layers.0")] == [
        "attention", "residual", "attention", "residual", "feed_forward", "residual",
    ]  # fmt: skip
    heads = [(each["part"], each["head"]) for each in full["ablations"]]
    assert len(heads) == len(set(heads)) == 6
    steps = len(full["tgt"]["outputs"])
    assert {rival["step"] for rival in full["rivals"]} == set(range(steps)) and len(full["rivals"]) == 3 * steps


def test_it_is_told_how_far_it_is(full):
    last = {what: (done, of) for what, done, of in TOLD}
    assert last == {what: (len(full[what]),) * 2 for what in ("rivals", "ablations", "checkpoints")}
    assert [done for what, done, _ in TOLD if what == "checkpoints"] == [1, 2, 3, 4]


def test_the_checkpoints_lead_from_the_untrained_model_to_the_final_one(full, inspector):
    untrained, first, last, final = full["checkpoints"]
    assert [each["step"] for each in full["checkpoints"]] == [0, 150, 300, None]
    arrays = unpack(full["tensors"], full["blob"])
    assert untrained["translation"] == first["translation"] != "I am a student"
    for one, other in ((untrained, first), (last, final)):
        assert (arrays[one["cross"]] == arrays[other["cross"]]).all()
    assert last["translation"] == final["translation"] == full["tgt"]["text"]
    assert (
        abs(final["reference_log_prob"] - full["tgt"]["log_prob"]) < 1e-5 < full["tgt"]["log_prob"] - first["log_prob"]
    )
    assert np.allclose(arrays[final["cross"]][0], arrays["decoder.layers.0.cross_attention.weights"], atol=1 / 500)
    assert np.abs(arrays[first["cross"]] - arrays[final["cross"]]).max() > 0.05


def test_a_rival_a_head_and_a_column_on_demand_are_those_of_the_document(full, inspector):
    rival = full["rivals"][4]
    before = [token["id"] for token in full["tgt"]["outputs"][: rival["step"]]]
    asked = inspector.rival(SENTENCE, [*before, rival["id"]])
    assert asked["translation"] == rival["translation"] and abs(asked["score"] - rival["score"]) < 1e-5
    head = full["ablations"][3]
    again = inspector.ablation(SENTENCE, head["part"], head["head"])
    assert again["translation"] == head["translation"]
    assert abs(again["delta_log_prob"] - head["delta_log_prob"]) < 1e-5
    column = inspector.column("encoder.layers.0.self_attention.w_o", 5)
    arrays = unpack(full["tensors"], full["blob"])
    z = arrays["encoder.layers.0.self_attention.z"].transpose(1, 0, 2).reshape(-1, 32)
    expected = arrays["encoder.layers.0.self_attention.output"][:, 5]
    assert np.allclose(z @ column["weights"] + column["bias"], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("question", "arguments", "code"),
    [
        ("rival", (SENTENCE, [400]), "no-such-token"),
        ("rival", (SENTENCE, [4] * 50), "prefix-too-long"),
        ("ablation", (SENTENCE, "encoder.layers.0.self_attention", 2), "no-such-head"),
        ("ablation", (SENTENCE, "encoder.layers.9.self_attention", 0), "no-such-head"),
        ("column", ("encoder.layers.0.self_attention.w_q", 32), "no-such-column"),
        ("column", ("encoder.layers.0", 0), "no-such-column"),
        ("document", ("",), "nothing-to-inspect"),
    ],
)
def test_what_is_not_there_is_refused(inspector, question, arguments, code):
    with pytest.raises(UsageError) as refused:
        getattr(inspector, question)(*arguments)
    assert refused.value.code == code


def test_a_translator_explains_itself():
    translator = Translator.load(GOLDEN, "cpu", overrides=("decoding.beam_size=2",))
    plain = translator([SENTENCE, "", SENTENCE], prefix=["", "", "You"])
    found = translator([SENTENCE, "", SENTENCE], prefix=["", "", "You"], explain=True)
    assert [each.text for each in found] == [each.text for each in plain] and found[1].explanation is None
    assert [each.score for each in found] == [each.score for each in plain]
    one = translator(SENTENCE, explain=True)
    explanation = one.explanation
    assert (explanation.tgt_text, one.text) == ("I am a student", "I am a student")
    assert found[2].explanation.tgt_text.startswith("You")
    layers, heads = explanation.cross_attention.shape[:2]
    assert (layers, heads) == (1, 2)
    assert explanation.cross_attention[0, 1].shape == (len(explanation.tgt_outputs), len(explanation.src))
    assert explanation.encoder_attention.shape[2] == explanation.encoder_attention.shape[3] == len(explanation.src)
    spans = [SENTENCE[token.start : token.end] for token in explanation.src if token.start is not None]
    assert "".join(spans) == SENTENCE
    drawn = DecodingConfig(sampling=True)
    with pytest.raises(UsageError) as refused:
        translator(SENTENCE, explain=True, decoding=drawn)
    assert refused.value.code == "inspect-samples"
