"""What is wrong with texts, labels and folders is one clear line each, and nothing that is right is lost with it."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from clearhead import pipeline
from clearhead.cli import run
from clearhead.config import make_config
from clearhead.errors import ClearheadError, RunError, UsageError
from clearhead.interop.huggingface import write_folder
from clearhead.models.build import build_model, named_weights
from clearhead.runs.faults import FaultsError
from clearhead.runs.folder import RunFolder
from clearhead.text.tokenizer import Tokenizer, TokenizerPair

LINES = ["a fine film", "a poor film", "it was too long"] * 20
STACK = {"d_model": 8, "d_ff": 12, "n_heads": 2, "n_layers": 1, "max_positions": 12}
SOURCE = {"tsv": "train.tsv", "text_column": 0, "label_column": 1}


@pytest.fixture(scope="module")
def tokenizers():
    return [
        Tokenizer.train(LINES, make_config({"tokenizer": {"vocabulary_size": size}}).tokenizer) for size in (350, 345)
    ]


@pytest.fixture
def classifier(tmp_path, tokenizers):
    """A classifier of BAD and GOOD with random weights, that takes 8 tokens of text."""
    model = {"kind": "classifier", "body": {"kind": "encoder", **STACK}, "labels": ["BAD", "GOOD"]}
    data = {"root": str(tmp_path), "sources": [SOURCE], "max_tokens": 10}
    config = make_config(
        {"task": "classification", "model": model, "data": data, "tokenizer": {"vocabulary_size": 350}}
    )
    folder = RunFolder.create(tmp_path / "run", config, TokenizerPair(tokenizers[0], tokenizers[0]))
    folder.write_weights(named_weights(build_model(config.model, 350, 350, seed=1)))
    return folder.path


def one_line(capfd, *says):
    """What the command has said on stderr: one line, with these words."""
    (line,) = capfd.readouterr().err.splitlines()
    assert all(word in line for word in says), line
    return line


def classify(monkeypatch, folder, text, *options):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    return run(["classify", str(folder), *options])


LONG = "a fine film, and it was too long"


def test_a_long_text_is_cut_with_a_warning_or_refused_and_the_others_get_their_labels(classifier, monkeypatch, capfd):
    assert classify(monkeypatch, classifier, f"a film\n\n{LONG}\na film\n") == 0
    out, err = capfd.readouterr()
    labels = [line.split("\t")[0] for line in out.splitlines()]
    assert len(labels) == 4 and labels[0] == labels[3]
    assert err.startswith("clearhead: text 3: ") and len(err.splitlines()) == 1 and "8" in err
    monkeypatch.setattr("clearhead.cli.translate.CHUNK_LINES", 1)
    assert classify(monkeypatch, classifier, f"a film\n{LONG}\n", "--refuse-long") == 3
    one_line(capfd, "text 2: ", "long_texts")


def test_a_text_keeps_its_number_beyond_what_is_held_at_once(classifier, monkeypatch):
    monkeypatch.setattr("clearhead.pipelines.CHUNK", 2)
    pipe = pipeline("text-classification", classifier)
    with pytest.raises(ClearheadError, match="text 4: "):
        pipe(["a", "film", "it", LONG], long_texts="refuse")
    with pytest.warns(UserWarning, match="text 13: "):
        assert len(list(pipe.stream(["a", "film", "it", LONG], first=10))) == 4


def test_a_label_never_seen_is_named_with_its_line_or_dropped_and_counted(classifier, capfd, tmp_path):
    (tmp_path / "test.tsv").write_text("a film\tGOOD\na poor film\tUGLY\n\tBAD\nit was\tBAD\n")
    assert run(["evaluate", str(classifier), f"--tsv={tmp_path}/test.tsv"]) == 3
    one_line(capfd, f"{tmp_path}/test.tsv:2: ", "'UGLY'", "BAD, GOOD")
    assert run(["evaluate", str(classifier), f"--tsv={tmp_path}/test.tsv", "--skip-bad-lines"]) == 0
    assert "4 lines = 2 kept + 2 dropped" in capfd.readouterr().out
    table = json.loads((classifier / "evaluations" / "test.json").read_text())
    assert table["lost"]["dropped"] == {"unknown-label": 1, "empty": 1}


def train(folder, lines, capfd, *settings):
    (folder / "train.tsv").write_text("".join(f"{line}\n" for line in lines))
    model = 'kind = "classifier"\nbody = { kind = "bag", d_model = 4 }\npooling = "mean"'
    source = 'tsv = "train.tsv", text_column = 0, label_column = 1'
    recipe = f'task = "classification"\n[data]\nroot = "{folder}"\nsources = [{{ {source} }}]\nmax_tokens = 10\n'
    (folder / "recipe.toml").write_text(f"{recipe}[tokenizer]\nvocabulary_size = 335\n[model]\n{model}\n")
    few = [f"--set={each}" for each in ("training.max_steps=1", "training.learning_rate=0.1", *settings)]
    capfd.readouterr()
    return run(["train", str(folder / "recipe.toml"), f"--out={folder}/trained", "--overwrite", *few])


def test_training_counts_what_is_empty_and_what_was_cut(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    lines = ["a film\tGOOD", "a poor film\tBAD", "\tBAD", "   \tGOOD"] * 20
    assert train(tmp_path, [*lines, f"{LONG}, {LONG}\tBAD"], capfd) == 0
    said = capfd.readouterr().err
    assert "81 lines = 41 kept + 40 dropped (empty 40)" in said
    assert "cut to 10 tokens (data.max_tokens): 1 training texts" in said
    assert train(tmp_path, [*lines, f"{LONG}, {LONG}\tBAD"], capfd, "data.long_texts=drop") == 0
    said = capfd.readouterr().err
    assert "81 lines = 40 kept + 41 dropped (empty 40, too-long 1)" in said and "cut to" not in said


def test_a_class_without_an_example_and_texts_without_words_end_the_training_in_one_line(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    lines = ["a film\tGOOD", "a poor film\tBAD"] * 30
    assert train(tmp_path, [*lines, "\tUGLY"], capfd, 'model.labels=["BAD","GOOD","UGLY"]') == 3
    one_line(capfd, "'UGLY'", "61 lines = 60 kept + 1 dropped (empty 1)", "model.labels")
    assert train(tmp_path, ["a film\tGOOD"] * 30, capfd) == 3
    one_line(capfd, "GOOD", "label_column")
    assert train(tmp_path, ["\tGOOD", " \tBAD"] * 30, capfd) == 3
    one_line(capfd)


def test_every_tensor_that_is_wrong_is_listed_at_once(classifier, capfd, monkeypatch):
    weights = load_file(classifier / "model.safetensors")
    gone, narrow = "w_label.weight", "body.encoder.layers.0.feed_forward.w_1.weight"
    kept = {name: torch.ones(12, 9) if name == narrow else weight.clone() for name, weight in weights.items()}
    del kept[gone]
    RunFolder.open(classifier).write_weights({**kept, "more": torch.ones(3)})
    assert classify(monkeypatch, classifier, "a film\n") == 4
    one_line(capfd, f"'{gone}' (2, 8)", f"'{narrow}'", "(12, 9)", "(12, 8)", "'more'")


def test_a_tokenizer_that_does_not_match_the_weights_is_said(classifier, tokenizers, capfd, monkeypatch):
    weights, config = load_file(classifier / "model.safetensors"), RunFolder.open(classifier).config
    other = RunFolder.create(classifier.parent / "other", config, TokenizerPair(tokenizers[1], tokenizers[1]))
    other.write_weights({name: weight.clone() for name, weight in weights.items()})
    assert classify(monkeypatch, other.path, "a film\n") == 4
    one_line(capfd, "'body.token_embedding.weight'", "(350, 8)", "(345, 8)")
    (classifier / "tokenizer.json").write_bytes((other.path / "tokenizer.json").read_bytes())
    assert classify(monkeypatch, classifier, "a film\n") == 4  # the manifest knows what was there
    one_line(capfd, "tokenizer.json")


# --- folders of Transformers --------------------------------------------------------------------------------------


@pytest.fixture
def foreign(classifier):
    folder = RunFolder.open(classifier)
    write_folder(classifier.parent / "foreign", folder.config, folder.weights(), folder.tokenizers())
    return classifier.parent / "foreign"


def test_a_pipeline_takes_a_folder_of_transformers_as_it_is(classifier, foreign):
    texts = ["a fine film", "", "it was"]
    ours, theirs = (pipeline("text-classification", path)(texts, top_k=2) for path in (classifier, foreign))
    assert [[each["label"] for each in row] for row in ours] == [[each["label"] for each in row] for row in theirs]
    for row, other in zip(ours, theirs):
        assert [each["score"] for each in row] == pytest.approx([each["score"] for each in other], abs=1e-5)
    with pytest.raises(UsageError, match="classification"):
        pipeline("fill-mask", foreign)


def test_what_is_wrong_with_it_is_one_line_with_all_of_it(foreign, capfd, monkeypatch):
    tensors = load_file(foreign / "model.safetensors")
    save_file(
        {name: x.clone() for name, x in tensors.items() if "classifier.bias" not in name}, foreign / "model.safetensors"
    )
    (foreign / "tokenizer.json").write_text("{}")
    with pytest.raises(FaultsError) as caught:
        pipeline("text-classification", foreign)
    assert "tokenizer.json" in caught.value.message("en") and "\n" not in caught.value.message("ko")
    (foreign / "model.safetensors").rename(foreign / "pytorch_model.bin")
    with pytest.raises(RunError, match=r"pytorch_model\.bin.*save_pretrained"):
        pipeline("text-classification", foreign)


def test_a_verb_that_needs_a_run_folder_says_how_to_make_one_of_it(foreign, capfd):
    assert run(["evaluate", str(foreign), "--tsv=x.tsv"]) == 4
    one_line(capfd, "config.json", f"clearhead import {foreign} --out")
