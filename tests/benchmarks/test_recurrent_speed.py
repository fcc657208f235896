"""The recurrent speed benchmark puts two ways beside each other that compute the same."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import recurrent_speed
import torch
from peers import itself
from peers.plain_loop import pad
from peers.task import Measured, Task

from clearhead.config import make_config
from clearhead.data.batch import Batch
from clearhead.models.build import build_model

from .test_training_speed import ROOT, data_folder

SRC, TGT = [[5, 6, 7, 3], [8, 3], [9, 10, 3]], [[9, 3], [10, 11, 12, 3], [13, 8, 3]]
FACTS = {"vocabulary_size": 20, "pad_id": 0, "start_id": 2, "eos_id": 3}
SMALL = {"d_model": 16, "vocabulary_size": 400}
each_recipe = pytest.mark.parametrize(
    "recipe", [recurrent_speed.FIXED, recurrent_speed.ADDITIVE], ids=["fixed context", "additive"]
)


@pytest.fixture
def torch_lstm(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "peers"))
    return importlib.import_module("torch_lstm")


def ours(recipe):
    nowhere = Path()
    settings = itself.settings(Task(replace(recipe, **SMALL), nowhere, nowhere, nowhere, 1, 1, 1, 1))
    return build_model(make_config({}, settings).model, 20, 20, seed=1).eval()


def give_weights(theirs, model) -> None:
    """Put clearhead's weights into the peer; what clearhead lacks, torch's second biases, becomes zero."""
    scale = model.config.d_model**0.5
    pairs = {
        theirs.src_embedding.weight: scale * model.src_embedding.weight,
        theirs.tgt_embedding.weight: scale * model.tgt_embedding.weight,
        theirs.output.weight: model.output_weight,
    }
    if theirs.attends:
        attends = model.decoder.attention
        pairs |= {
            theirs.w_q.weight: attends.w_q.weight,
            theirs.w_k.weight: attends.w_k.weight,
            theirs.w_score.weight: attends.core.w_score.weight,
            theirs.w_c.weight: model.decoder.w_c.weight,
        }
    for network, layers in ((theirs.encoder, model.encoder.layers), (theirs.decoder, model.decoder.layers)):
        for number, layer in enumerate(layers):
            ways = ((f"l{number}", layer),)
            if network.bidirectional:
                ways = ((f"l{number}", layer.forwards), (f"l{number}_reverse", layer.backwards))
            for end, cell in ways:
                biases = torch.cat([cell.get_parameter(f"bias_{gate}") for gate in cell.gates])
                found = (cell.w_input, cell.w_hidden, biases, torch.zeros_like(biases))
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                pairs |= {getattr(network, f"{name}_{end}"): value for name, value in zip(names, found)}
    assert {id(weight) for weight in pairs} == {id(weight) for weight in theirs.parameters()}
    with torch.no_grad():
        for weight, value in pairs.items():
            weight.copy_(value)


@each_recipe
def test_the_peer_is_clearheads_network(torch_lstm, recipe):
    model = ours(recipe)
    theirs, _, loss_of = torch_lstm.make(asdict(replace(recipe, **SMALL)), FACTS)
    give_weights(theirs.eval(), model)
    src, output = pad(SRC, 0), pad(TGT, 0)
    tgt_input = pad(([2, *row[:-1]] for row in TGT), 0)
    batch = Batch(src, src != 0, tgt_input, output, output != 0)
    with torch.no_grad():
        logits = model.project(model(batch))[batch.tgt_mask]
        torch.testing.assert_close(theirs(src, tgt_input)[batch.tgt_mask], logits, atol=1e-5, rtol=1e-5)
        expected = torch.nn.functional.cross_entropy(logits, output[batch.tgt_mask])
        torch.testing.assert_close(loss_of(SRC, TGT), expected)
    assert {type(each.p) is float and each.p for each in model.modules() if hasattr(each, "p")} == {theirs.dropout.p}
    assert theirs.encoder.dropout == theirs.decoder.dropout == theirs.dropout.p


def test_the_peer_clips_its_gradients(torch_lstm):
    theirs, optimizer, loss_of = torch_lstm.make(asdict(replace(recurrent_speed.FIXED, **SMALL)), FACTS)
    (1000.0 * loss_of(SRC, TGT)).backward()
    optimizer.step()
    norm = torch.stack([weight.grad.norm() for weight in theirs.parameters()]).norm()
    assert float(norm) == pytest.approx(torch_lstm.CLIP, rel=1e-4)


def test_each_way_is_held_against_its_own_peer():
    rates = {name: 100.0 * (place + 1) for place, name in enumerate(recurrent_speed.PROGRAMS)}
    rounds = [
        {name: Measured("fp32", rate * factor, 100.0, 1.0, 16.0, rate / 16, 1000) for name, rate in rates.items()}
        for factor in (1, 3, 2)
    ]
    found = recurrent_speed.summary(rounds)
    assert {name: each["tokens_per_s"] for name, each in found["ratio"].items()} == {
        "fixed context: clearhead": 2.0, "additive: clearhead": 4 / 3, "additive: clearhead, after": 5 / 3,
    }  # fmt: skip
    assert all(each["peak_bytes"] == 1.0 for each in found["ratio"].values())
    assert found["medians"]["additive: torch.nn.LSTM"]["tokens_per_s"] == 600.0


@pytest.mark.slow
def test_the_whole_benchmark_runs():
    command = [sys.executable, "benchmarks/recurrent_speed.py", "--quick", "--data", str(data_folder())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result["medians"]) == set(recurrent_speed.PROGRAMS)
    assert all(each["tokens_per_s"] > 0 for each in result["ratio"].values())
