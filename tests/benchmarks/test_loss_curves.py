"""The plain way is plain PyTorch over the same model; a stop changes nothing; gaps are what they are called."""

import json
from xml.etree import ElementTree

import loss_curves
import pytest
import torch
from curves import draw
from loss_curves import Plan

from clearhead.config import TransformerConfig
from clearhead.data.batch import Batch
from clearhead.models.build import build_model
from clearhead.nn.attention import AttentionCore
from clearhead.nn.dropout import Dropout
from clearhead.training.loss import linear_cross_entropy


@pytest.fixture
def model_and_batch():
    model = build_model(TransformerConfig(d_model=16, d_ff=24, n_heads=2), 30, 30).eval()
    tokens = torch.randint(4, 30, (3, 6), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(6) < torch.tensor([[6], [3], [5]])
    return model, Batch(tokens, mask, tokens, tokens.roll(1, 0), mask)


def test_the_plain_loss_is_the_fused_one(model_and_batch):
    model, batch = model_and_batch
    plain = loss_curves.plain_loss(model, batch, 0.1)
    hidden, targets = model(batch)[batch.tgt_mask], batch.tgt_output[batch.tgt_mask]
    fused, _ = linear_cross_entropy(hidden, model.output_weight, targets, 0.1)
    assert float(plain.detach()) == pytest.approx(float(fused.detach()), rel=1e-5)


def test_the_plain_parts_are_pytorchs_and_are_given_back(model_and_batch):
    model, batch = model_and_batch
    before, ours = model(batch), (Dropout.forward, AttentionCore.forward)
    with loss_curves.plain_parts():
        assert torch.allclose(model(batch), before, atol=1e-5)
        x, dropout = torch.ones(50, 50), Dropout(0.3).train()
        torch.manual_seed(1)
        found = dropout(x)
        torch.manual_seed(1)
        assert torch.equal(found, torch.nn.functional.dropout(x, 0.3))
    assert (Dropout.forward, AttentionCore.forward) == ours


def test_a_stopped_plain_training_goes_on_as_if_it_had_not_stopped(recipe_data, tmp_path, monkeypatch):
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))

    def run(folder: str, updates: int) -> list[dict]:
        plan = Plan(updates, 2, 1, True)
        with loss_curves.plain_parts():
            loss_curves.train_plainly(tmp_path / folder, plan.settings(1, "plain"))
        log = loss_curves.events(tmp_path / folder, "plain")
        return [{name: value for name, value in event.items() if name != "time"} for event in log]

    whole = run("whole", 4)
    first = run("stopped", 2)
    with open(tmp_path / "stopped" / "plain.jsonl", "a") as log:  # a kill after the checkpoint
        log.write('{"event": "Progress", "step": 3, "loss": 9}\n{"torn')
    assert run("stopped", 4) == whole
    assert whole[: len(first)] == first
    assert [event["step"] for event in whole if event["event"] == "Validated"] == [2, 4]
    assert loss_curves.finished(tmp_path / "whole", "plain", Plan(4, 2, 1, True))
    assert not loss_curves.finished(tmp_path / "whole", "plain", Plan(6, 2, 1, True))


@pytest.fixture
def recipe_data(tmp_path, monkeypatch):
    """A corpus where the recipe looks for Multi30K."""
    folder = tmp_path / "data" / "multi30k-en-de" / "tok"
    folder.mkdir(parents=True)
    words = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    for part, lines in (("train", 300), ("val", 6)):
        for language, step in (("en", 7), ("de", 11)):
            sentences = (" ".join(words[(i * step + j * i) % 60] * 2 for j in range(2 + i % 7)) for i in range(lines))
            (folder / f"{part}.{language}").write_text("".join(f"{text}\n" for text in sentences))
    monkeypatch.setenv("CLEARHEAD_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(loss_curves, "SMALL", [*loss_curves.SMALL, "tokenizer.vocabulary_size=400"])


def log_of(losses: list[float], bleu: float) -> list[dict]:
    progress = [{"event": "Progress", "step": 10 * n, "loss": loss} for n, loss in enumerate(losses, 1)]
    return [*progress, {"event": "Validated", "step": 40, "scores": {"loss": losses[-1] + 1, "bleu": bleu}}]


def test_gaps_between_ways_and_between_seeds():
    logs = {
        ("clearhead", 1): log_of([5.0, 4.0, 3.0, 2.0, 1.0], 30.0),
        ("plain", 1): log_of([5.0, 4.0, 3.0, 2.5, 1.5], 31.0),
        ("clearhead", 2): log_of([6.0, 4.0, 3.0, 2.0, 1.2], 29.0),
        ("plain", 2): log_of([6.0, 4.0, 3.0, 2.0, 1.0], 33.0)[:-1],
    }
    found = loss_curves.compare(logs, [1, 2], 40)
    assert found["validated_at"] is None  # one has not come so far
    assert found["between_ways"][1] == pytest.approx({"loss": -0.5 / 4, "late_loss": -0.5})
    logs["plain", 2] = log_of([6.0, 4.0, 3.0, 2.0, 1.0], 33.0)
    found = loss_curves.compare(logs, [1, 2], 50)
    expected = {"loss": 0.2 / 5, "late_loss": 0.2, "valid_loss": 0.2, "valid_bleu": -4.0}
    assert found["between_ways"][2] == pytest.approx(expected)
    assert found["between_seeds"]["plain 1 2"]["valid_bleu"] == 2.0
    assert json.dumps(found)


def test_what_is_there_is_shown_before_all_is_there(tmp_path, capsys):
    (tmp_path / "plain-1").mkdir()
    (tmp_path / "plain-1" / "plain.jsonl").write_text("".join(json.dumps(each) + "\n" for each in log_of([2.0], 1.0)))
    result = loss_curves.write(tmp_path, Plan(40, 20, 10, True), [1, 2], {"command": "python"})
    loss_curves.show(result)
    nothing = {"loss": None, "late_loss": None}
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["between_ways"] == {"1": nothing, "2": nothing}
    assert json.loads((tmp_path / "result.json").read_text())["curves"]["plain, seed 1"] == [[10, 2.0]]


def test_the_picture_is_whole_even_before_there_is_a_point():
    curves = {"one & two": [(10, 5.0), (20, 4.0)], "none yet": []}
    for picture in (draw("loss", curves), draw("loss", {"none yet": []})):
        lines = ElementTree.fromstring(picture).findall("{http://www.w3.org/2000/svg}polyline")
        assert [len(line.get("points").split()) for line in lines] in ([2, 0], [0])
