"""Classifiers and language models from the command line: trained from a recipe, used, scored, compared, reported."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import sys
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from clearhead import pipeline
from clearhead.cli import labelling, run
from clearhead.cli.evaluate import LabelledFile
from clearhead.cli.gain import score_row
from clearhead.cli.labelling import source_of
from clearhead.config import make_config
from clearhead.errors import UsageError
from clearhead.evaluation.classification import classification_scores, mcnemar
from clearhead.reporting.history import History
from clearhead.runs.folder import RunFolder

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
    assert (
        "und-und" not in page and "Accuracy and F1" in page and "nats per text" in page and "BLEU and chrF" not in page
    )

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
    page = (runs[0] / "report.html").read_text()
    assert (
        "right label" in page
        and f"{table['runs'][0]['scores']['accuracy']:.1%}" in page
        and "<code>test</code>" in page
    )
    for format, words in (("text", "McNemar p = "), ("markdown", ": right by said | BAD | GOOD | F1 |")):
        assert run([*arguments, f"--format={format}"]) == 0
        assert words in capfdbinary.readouterr().out.decode()

    lines = [line.split("\t") for line in (corpus / "test.tsv").read_text().splitlines()]
    other = [f"{['no', 'yes'][int(label)]}\t{n}\t{text}\n" for n, (text, label) in enumerate(lines)]
    (corpus / "other.tsv").write_text("kind\tid\ttext\n" + "".join(other))
    asked = ["evaluate", str(runs[1]), f"--tsv={corpus}/other.tsv", "--text-column=2", "--label-column=0", "--header"]
    assert run([*asked, "--label=no=BAD", "--label=yes=GOOD", "--format=json"]) == 0
    (same,) = json.loads(capfdbinary.readouterr().out)["runs"]
    assert same["scores"] == table["runs"][1]["scores"] and same["lost"] == table["runs"][1]["lost"]
    for wrong, code, says in (
        (asked, 3, "--label"),
        ([*asked, "--label=no"], 2, "--label 'no'"),
        ([*asked, "--label-column=9"], 3, "10 are needed"),
        ([*asked[:2], "--text-column=2", "--src=x", "--ref=y"], 2, "--tsv"),
    ):
        assert run(wrong) == code
        assert says in capfdbinary.readouterr().err.decode()

    (corpus / "both").mkdir()
    (corpus / "both" / "committee.toml").write_text('runs = ["../a", "../b"]\n')
    assert run(["evaluate", str(corpus / "both"), f"--tsv={corpus}/test.tsv", "--format=json"]) == 0
    (both,) = json.loads(capfdbinary.readouterr().out)["runs"]
    assert both["weights_sha256"] == "+".join(each["weights_sha256"] for each in table["runs"])
    assert both["scores"]["accuracy"] == 1.0 and (corpus / "both" / "evaluations" / "test.json").exists()


def test_n_grams_are_counted_before_training_and_stay_after_a_stop(corpus, capfdbinary):
    model = BAG + "\nngram_evidence = { longest = 2, buckets = 512 }"
    once = train(corpus, "ngrams", "classification", LABELLED, model, 1)
    capfdbinary.readouterr()
    assert run(["evaluate", str(once), f"--tsv={corpus}/test.tsv", "--format=json"]) == 0
    (said,) = json.loads(capfdbinary.readouterr().out)["runs"]
    assert said["scores"]["accuracy"] == 1.0  # after one update: naive Bayes knows already
    tables = {name: x for name, x in RunFolder.open(once).weights().items() if name.endswith((".mark", ".evidence"))}
    assert len(tables) == 2 and all(table.any() for table in tables.values())
    assert run(["train", str(corpus / "ngrams.toml"), f"--out={once}", "--resume", "--set=training.max_steps=3"]) == 0
    again = RunFolder.open(once).weights()
    assert all(torch.equal(table, again[name]) for name, table in tables.items())
    assert run(["export", str(once), "--to=clearhead", "--weights=int8", f"--out={corpus}/small"]) == 0
    whole, small = (pipeline("text-classification", path) for path in (once, corpus / "small"))
    for text in ("film good book", "bad play"):
        assert whole(text)[0]["score"] == pytest.approx(small(text)[0]["score"], abs=0.01)


@pytest.mark.filterwarnings("ignore:text")
def test_two_texts_are_classified_together(corpus, monkeypatch, capfdbinary):
    lines = [line.split("\t") for line in (corpus / "test.tsv").read_text().splitlines()]
    twos = [(one[0], other[0], int(one[1] == other[1])) for one, other in pairwise(lines)]
    (corpus / "twos.tsv").write_text("".join(f"{one}\t{other}\t{same}\n" for one, other, same in twos))
    source = 'tsv = "twos.tsv", text_column = 0, second_column = 1, label_column = 2'
    body = f'kind = "classifier"\n[model.body]\nkind = "encoder"\n{ENCODER}'
    folder = train(corpus, "pairs", "classification", source, body, 3)
    capfdbinary.readouterr()
    expected = pipeline("text-classification", folder)([{"text": a, "text_pair": b} for a, b, _ in twos], top_k=None)
    alone = pipeline("text-classification", folder)([a for a, _, _ in twos], top_k=None)
    assert [each[0]["score"] for each in expected] != [each[0]["score"] for each in alone]
    for given in ([], ["--text-column=0", "--second-column=1", "--label-column=2"]):
        assert run(["evaluate", str(folder), f"--tsv={corpus}/twos.tsv", "--format=json", *given]) == 0
        right = sum(each[0]["label"] == str(same) for each, (_, _, same) in zip(expected, twos))
        output = capfdbinary.readouterr()
        assert json.loads(output.out)["runs"][0]["scores"]["accuracy"] == right / len(twos)
        assert output.err.startswith(b"clearhead: text ")
    monkeypatch.setattr(labelling, "WARNINGS", 2)
    assert run(["evaluate", str(folder), f"--tsv={corpus}/twos.tsv", "--format=json"]) == 0
    *named, counted = [line for line in capfdbinary.readouterr().err.decode().splitlines() if "clearhead: " in line]
    assert len(named) == 2 and counted == f"clearhead: {len(twos) - 2} more like these"
    stdin(monkeypatch, "".join(f"{one}\t{other}\n" for one, other, _ in twos))
    assert run(["classify", str(folder), "--pairs", "--top-k=2", "--format=json"]) == 0
    output = capfdbinary.readouterr()
    assert output.err.startswith(b"clearhead: text ") and b"cut to the 9" in output.err
    found = [json.loads(line) for line in output.out.splitlines()]
    for said, best in zip(found, expected, strict=True):
        assert said == [pytest.approx(each) for each in best]
    stdin(monkeypatch, "a\tb\nc\n")
    assert run(["classify", str(folder), "--pairs"]) == 3
    assert "line 2: 1 texts" in capfdbinary.readouterr().err.decode()


def test_columns_can_be_said_of_a_run_that_had_no_tsv(tmp_path):
    config, columns = make_config({}), {"text_column": 1, "label_column": 0}
    test = LabelledFile(tmp_path / "x.tsv", "x", columns, {"0": "BAD"})
    source = source_of(test, tmp_path, config)
    assert (source.text_column, source.label_column, source.labels) == (1, 0, {"0": "BAD"})
    with pytest.raises(UsageError, match="--text-column and --label-column"):
        source_of(dataclasses.replace(test, columns={"text_column": 1}), tmp_path, config)


def test_a_language_model_is_trained_and_continues(corpus, monkeypatch, capfdbinary):
    (corpus / "a.txt").write_text("do re mi fa so\n" * 200)
    folder = train(corpus, "lm", "language-model", 'text = "a.txt"', DECODER, 120, vocabulary_size=340)
    page = (folder / "report.html").read_text()
    assert "nats per token" in page and "BLEU and chrF" not in page and "Bits per byte" in page
    assert "und → und" not in page
    capfdbinary.readouterr()
    assert run(["generate", str(folder), "do re"]) == 0
    assert capfdbinary.readouterr().out.decode() == " mi fa so\n"
    stdin(monkeypatch, "do\ndo re mi\n")
    assert run(["generate", str(folder), "-", "--stop= so"]) == 0
    assert capfdbinary.readouterr().out.decode() == " re mi fa\n fa\n"
    assert run(["generate", str(folder), "do", "--sample", "--seed=3", "--temperature=3"]) == 0
    assert capfdbinary.readouterr().out.decode() != " re mi fa so\n"

    lines = ["text\tnext", "do re\t0", "do re mi\t1", "do\t2", "do re\t0", "do re mi\t1"]
    (corpus / "next.tsv").write_text("\n".join(lines) + "\n")
    labels = [f"--label={label}={word}" for label, word in enumerate(("mi", "fa", "re"))]
    asked = ["few-shot", str(folder), f"--tsv={corpus}/next.tsv", "--text-column=text", *labels]
    shots = [f"--examples={corpus}/next.tsv", "--shots=2", "--shots=0", "--shots=1", "--seeds=2"]
    assert run([*asked, *shots, "--format=json"]) == 0
    table = json.loads(capfdbinary.readouterr().out)
    assert table == json.loads((folder / "evaluations" / "next.few-shot.json").read_text())
    assert [(row["shots"], row["draws"]) for row in table["rows"]] == [(0, 1), (1, 2), (2, 2)]
    assert table["rows"][0]["plain"]["accuracy"] == 1.0 and table["most_frequent"] == 0.4 and table["texts"] == 5
    page = (folder / "report.html").read_text()
    assert "By prompt" in page and "40.0%" in page and "{text} {label}" in page
    assert run([*asked, "--format=text", "--limit=3"]) == 0 and run([*asked, "--format=markdown"]) == 0
    said = capfdbinary.readouterr().out.decode()
    assert "3 texts of next" in said and "| 0 | 1 | 100.00% (" in said and "%)  " in said
    for wrong, says in (
        (["--shots=4"], "--examples"),
        ([*shots, "--shots=6"], "5 examples"),
        (["--template={label}: {text}"], "{label}"),
        (["--label=no"], "--label no"),
        (["--label=3=mi "], "words of its own"),
        (["--label=3= "], "words of its own"),
        (["--text-column=5", "--header"], "columns"),
        (["--text-column=words"], "text, next"),
    ):
        assert run([*asked, *wrong]) in (2, 3)
        assert says in capfdbinary.readouterr().err.decode()
    assert run([*asked[:-1], "--label=9=x"]) == 3  # a label of the file that was not named
    assert "'2'" in capfdbinary.readouterr().err.decode()


ENCODER = "d_model = 8\nd_ff = 16\nn_heads = 2\nn_layers = 1\nmax_positions = 12"


def test_the_gain_of_transfer_is_shown(corpus, capfdbinary):
    """Validation happens at steps 20 and 40; what is shown is what the logs hold."""
    body = f'kind = "classifier"\n[model.body]\nkind = "encoder"\n{ENCODER}'
    texts = LABELLED.replace(", label_column = 1", "").split(", labels")[0]
    giver = train(corpus, "giver", "masked-language-model", texts, f'kind = "encoder"\n{ENCODER}', 20)
    init = f'init_from = ["{giver}"]'
    taker = train(corpus, "taker", "classification", LABELLED, body, 40, init)
    scratch = train(corpus, "scratch", "classification", LABELLED, body, 40)
    logs = [[json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()] for path in (taker, scratch)]
    (taken,) = [event for event in logs[0] if event["event"] == "WeightsTaken"]
    assert taken["taken"]["body.token_embedding.weight"] == "body.token_embedding.weight"
    assert set(taken["left"]) == {"w_pooler.weight", "w_pooler.bias", "w_label.weight", "w_label.bias"}
    assert f"{len(taken['taken'])} of {len(taken['taken']) + 4} tensors" in (taker / "report.html").read_text()

    assert run(["evaluate", str(taker), f"--tsv={corpus}/test.tsv"]) == 0
    capfdbinary.readouterr()
    assert run(["gain", str(taker), f"--over={scratch}", "--format=json"]) == 0
    table = json.loads(capfdbinary.readouterr().out)
    assert table == json.loads((taker / "evaluations" / "scratch.gain.json").read_text())
    assert table["init_from"] == ["giver"] and table["taken"] == len(taken["taken"]) and table["same_vocabulary"]
    found = {row["score"]: row for row in table["rows"]}
    for name, best in (("loss", min), ("accuracy", max), ("f1", max)):
        (first, second) = [
            {event["step"]: event["scores"][name] for event in log if event["event"] == "Validated"} for log in logs
        ]
        row, (value, over) = found[name], (best(each.values()) for each in (first, second))
        assert (row["value"], row["over"]) == (value, over) == (first[row["step"]], second[row["over_step"]])
        assert row["gain"] == (over - value if best is min else value - over)
        reached = [step for step, score in first.items() if best(score, over) == score]
        assert row["reached"] == (reached[0] if reached else None)
        assert table["curves"][name] == [[[*point] for point in each.items()] for each in (first, second)]
    page = (taker / "report.html").read_text()
    assert "right label" in page  # what was evaluated before is still there
    assert "Gain by transfer" in page and "learnt the same text from scratch" in page
    assert run(["gain", str(taker), f"--over={scratch}"]) == 0
    assert f"| loss | {found['loss']['over']:.4f} |" in capfdbinary.readouterr().out.decode()

    other = train(corpus, "other", "classification", LABELLED.replace("train.tsv", "test.tsv"), BAG, 1)
    for first, over, says in (
        (scratch, taker, "began from scratch"),
        (taker, taker, "giver"),
        (taker, giver, "masked-language-model"),
        (taker, other, "data.sources"),
    ):
        assert run(["gain", str(first), f"--over={over}"]) == 2
        assert says in capfdbinary.readouterr().err.decode()
    recipe = (corpus / "taker.toml").read_text()
    (corpus / "wide.toml").write_text(recipe.replace("d_model = 8", "d_model = 10"))
    assert run(["train", str(corpus / "wide.toml"), f"--out={corpus / 'wide'}"]) == 2
    said = capfdbinary.readouterr().err.decode()
    assert "none of the weights" in said and "giver" in said


def test_a_gain_is_positive_where_transfer_is_better():
    def history(**scores):
        rows = [dict(zip(scores, values)) for values in zip(*scores.values())]
        return History({"event": "Validated", "step": 10 * i, "scores": row} for i, row in enumerate(rows, 1))

    taker = history(loss=[0.9, 0.6, 0.7], accuracy=[0.5, 0.7, 0.8])
    scratch = history(loss=[0.9, 0.8, 0.5], accuracy=[0.4, 0.6, 0.6])
    loss, accuracy = (score_row(name, taker, scratch) for name in ("loss", "accuracy"))
    assert (loss["value"], loss["step"], loss["over"], loss["over_step"]) == (0.6, 20, 0.5, 30)
    assert loss["gain"] == pytest.approx(-0.1) and loss["reached"] is None
    assert (accuracy["value"], accuracy["step"], accuracy["over"], accuracy["over_step"]) == (0.8, 30, 0.6, 20)
    assert accuracy["gain"] == pytest.approx(0.2) and accuracy["reached"] == 20


def test_what_needs_another_task_says_so(corpus, capfd, monkeypatch):
    (corpus / "a.txt").write_text("do re mi fa so\n" * 200)
    folder = train(corpus, "lm", "language-model", 'text = "a.txt"', DECODER, 1, vocabulary_size=340)
    capfd.readouterr()
    stdin(monkeypatch, "x\n")
    for arguments in (["classify", str(folder)], ["translate", str(folder)], ["evaluate", str(folder), "--tsv=x.tsv"]):
        assert run(arguments) == 2
        assert "'language-model'" in capfd.readouterr().err
