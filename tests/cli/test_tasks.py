"""Classifiers and language models from the command line: trained from a recipe, used, scored, compared, reported."""

from __future__ import annotations

import io
import json
import random
import sys
from types import SimpleNamespace

import pytest

from clearhead.cli import run
from clearhead.evaluation.classification import classification_scores, mcnemar

RECIPE = """
task = "{task}"
[data]
root = "{root}"
sources = [{{ {source} }}]
max_tokens = 12
[tokenizer]
vocabulary_size = {vocabulary_size}
[model]
{model}
[training]
max_steps = {steps}
batch_tokens = 400
schedule = "constant"
learning_rate = 0.01
warmup_steps = 1
validate_every = 20
{training}
"""
LABELLED = 'tsv = "train.tsv", text_column = 0, label_column = 1, labels = { "0" = "BAD", "1" = "GOOD" }'
BAG = 'kind = "classifier"\nbody = { kind = "bag", d_model = 8 }\npooling = "mean"'
DECODER = 'kind = "decoder"\nd_model = 16\nd_ff = 32\nn_heads = 2\nn_layers = 1'


@pytest.fixture
def corpus(tmp_path):
    """Half of the texts praise; and a test set."""
    draw = random.Random(0)
    for name, count in (("train", 300), ("test", 50)):
        lines = []
        for _ in range(count):
            label = draw.randint(0, 1)
            words = [*draw.choices(["film", "play", "book"], k=3), ["bad", "good"][label]]
            draw.shuffle(words)
            lines.append(f"{' '.join(words)}\t{label}\n")
        (tmp_path / f"{name}.tsv").write_text("".join(lines))
    return tmp_path


def train(folder, name, task, source, model, steps, training="", vocabulary_size=350):
    fields = {"task": task, "root": folder, "source": source, "model": model, "steps": steps, "training": training}
    recipe = RECIPE.format(**fields, vocabulary_size=vocabulary_size)
    (folder / f"{name}.toml").write_text(recipe)
    assert run(["train", str(folder / f"{name}.toml"), f"--out={folder / name}"]) == 0
    return folder / name


def stdin(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))


def test_classifiers_are_trained_used_and_compared(corpus, monkeypatch, capfdbinary):
    metric = 'validate_metric = "accuracy"'
    runs = [
        train(corpus, name, "classification", LABELLED, BAG, steps, metric) for name, steps in (("a", 60), ("b", 1))
    ]
    said = capfdbinary.readouterr().err.decode()
    assert "texts/s" in said or "finished at step 60" in said
    page = (runs[0] / "report.html").read_text()
    assert "Accuracy and F1" in page and "nats per text" in page and "BLEU and chrF" not in page

    stdin(monkeypatch, "film good book\nbad play\n\n")
    assert run(["classify", str(runs[0])]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert [line.split("\t")[0] for line in lines[:2]] == ["GOOD", "BAD"] and len(lines) == 3
    stdin(monkeypatch, "film good book\n")
    assert run(["classify", str(runs[0]), "--top-k=2", "--format=json"]) == 0
    ((first, second),) = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert first["score"] > second["score"] and first["score"] + second["score"] == pytest.approx(1.0)

    arguments = ["evaluate", *map(str, runs), f"--tsv={corpus}/test.tsv"]
    assert run([*arguments, "--format=json"]) == 0
    table = json.loads(capfdbinary.readouterr().out)
    right = [int(line.split("\t")[1]) for line in (corpus / "test.tsv").read_text().splitlines()]
    found = []
    for each, folder in zip(table["runs"], runs):
        labels = (folder / "evaluations" / "test.labels.tsv").read_text().splitlines()
        found.append([["BAD", "GOOD"].index(line.split("\t")[1]) for line in labels])
        scores = classification_scores(["BAD", "GOOD"], right, found[-1])
        assert each["scores"] == json.loads(json.dumps(scores.to_dict()))
        assert json.loads((folder / "evaluations" / "test.json").read_text()) == each
    assert table["runs"][0]["scores"]["accuracy"] == 1.0
    test = mcnemar(right, *found)
    assert table["mcnemar"] == [{"run": str(runs[1]), **vars(test)}]
    for format, words in (("text", "McNemar p = "), ("markdown", "| McNemar p |")):
        assert run([*arguments, f"--format={format}"]) == 0
        assert words in capfdbinary.readouterr().out.decode()


def test_a_language_model_is_trained_and_continues(corpus, monkeypatch, capfdbinary):
    (corpus / "a.txt").write_text("do re mi fa so\n" * 200)
    folder = train(corpus, "lm", "language-model", 'text = "a.txt"', DECODER, 120, vocabulary_size=340)
    page = (folder / "report.html").read_text()
    assert "nats per token" in page and "BLEU and chrF" not in page and "Bits per byte" in page
    capfdbinary.readouterr()
    assert run(["generate", str(folder), "do re"]) == 0
    assert capfdbinary.readouterr().out.decode() == " mi fa so\n"
    stdin(monkeypatch, "do\ndo re mi\n")
    assert run(["generate", str(folder), "-", "--stop= so"]) == 0
    assert capfdbinary.readouterr().out.decode() == " re mi fa\n fa\n"
    assert run(["generate", str(folder), "do", "--sample", "--seed=3", "--temperature=3"]) == 0
    assert capfdbinary.readouterr().out.decode() != " re mi fa so\n"


def test_what_needs_another_task_says_so(corpus, capfd, monkeypatch):
    (corpus / "a.txt").write_text("do re mi fa so\n" * 200)
    folder = train(corpus, "lm", "language-model", 'text = "a.txt"', DECODER, 1, vocabulary_size=340)
    capfd.readouterr()
    stdin(monkeypatch, "x\n")
    for arguments in (["classify", str(folder)], ["translate", str(folder)], ["evaluate", str(folder), "--tsv=x.tsv"]):
        assert run(arguments) == 2
        assert "'language-model'" in capfd.readouterr().err
