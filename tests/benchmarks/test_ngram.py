"""The n-gram baseline is its formula counted out by hand, and the table says what both models say."""

import json
import math
from collections import Counter

import numpy as np
import perplexity
import pytest
import torch
from ngram import FALLBACK, KneserNey, discounts_of

from clearhead.config import make_config
from clearhead.models.build import build_model, named_weights
from clearhead.runs.folder import RunFolder
from clearhead.runs.load import load_run
from clearhead.text.tokenizer import Tokenizer, TokenizerPair

V, ORDER = 7, 3


@pytest.fixture(scope="module")
def stream():
    draw = np.random.default_rng(1)
    return np.concatenate([[0, *draw.integers(1, V, draw.integers(1, 6)).tolist()] for _ in range(60)] + [[0]])


def by_hand(stream, order):
    """The same model with dictionaries, read off the paper: a function from (context, token) to a probability."""
    grams = {
        k: Counter(tuple(stream[i : i + k].tolist()) for i in range(len(stream) - k + 1)) for k in range(1, order + 2)
    }
    counts = {order: grams[order]}
    for k in range(1, order):
        counts[k] = Counter(gram[1:] for gram in grams[k + 1])
    d = {k: discounts_of(np.array(list(counts[k].values()))) for k in counts}

    def prob(context, token):
        if context is None:
            return 1.0 / V
        k, lower = len(context) + 1, context[1:] if context else None
        behind = {gram: count for gram, count in counts[k].items() if gram[:-1] == context}
        total = sum(behind.values())
        if not total:
            return prob(lower, token)
        left = sum(d[k][min(count, 3)] for count in behind.values()) / total
        count = behind.get((*context, token), 0)
        return (count - d[k][min(count, 3)]) / total + left * prob(lower, token)

    return prob


@pytest.mark.parametrize("order", [1, 2, ORDER])
def test_the_probabilities_are_the_papers(stream, order):
    model, prob = KneserNey(stream, order, V), by_hand(stream, order)
    text = np.array([0, *np.random.default_rng(5).integers(0, V, 200)])  # contexts often seen, seldom and never
    expected = [prob(tuple(text[max(0, i - order + 1) : i].tolist()), int(text[i])) for i in range(1, len(text))]
    np.testing.assert_allclose(model.log_probs(text, skip=1), np.log(expected), rtol=1e-12)


def test_they_sum_to_one_after_any_context(stream):
    model = KneserNey(stream, ORDER, V)
    for context in ([0], [1, 2], [6, 6], [0, 5], [4, 4]):
        probs = [math.exp(model.log_probs(np.array([*context, token]), skip=len(context))[0]) for token in range(V)]
        assert sum(probs) == pytest.approx(1.0) and min(probs) > 0


def test_more_context_foretells_a_text_that_repeats_itself():
    text = np.tile([0, 1, 2, 1, 3], 200)
    nats = [-KneserNey(text, order, V).log_probs(text, skip=9).mean() for order in (1, 2, 3)]
    assert nats[0] > nats[1] > nats[2] and nats[2] < 0.01


def test_discounts_are_those_of_the_counts_of_counts():
    counts = np.array([1] * 8 + [2] * 4 + [3] * 2 + [4] * 1 + [9])
    y = 8 / (8 + 2 * 4)
    assert discounts_of(counts).tolist() == pytest.approx([0, 1 - 2 * y * 4 / 8, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2])
    assert discounts_of(np.array([5, 5, 1])) is FALLBACK


# --- the table ----------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A language model with random weights, its training text, and a test text of the same kind."""
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    draw, words = np.random.default_rng(2), ["the", "cat", "나는", "sat", "home"]
    for name, lines in (("train", 120), ("valid", 12)):
        text = "".join(" ".join(draw.choice(words, draw.integers(2, 7))) + "\n" for _ in range(lines))
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    lines = (tmp_path / "valid.txt").read_text(encoding="utf-8").splitlines()
    (tmp_path / "test.tsv").write_text("".join(f"{i}\t{line}\n" for i, line in enumerate(lines)), encoding="utf-8")
    model = {"kind": "decoder", "d_model": 8, "d_ff": 8, "n_heads": 2, "n_layers": 1, "max_positions": 16}
    tsv = {"tsv": "test.tsv", "text_column": 1}
    data = {"root": str(tmp_path), "sources": [{"text": "train.txt"}, tsv], "valid": [{"text": "valid.txt"}]}
    data["max_tokens"] = 16
    config = make_config(
        {"task": "language-model", "model": model, "data": data, "tokenizer": {"vocabulary_size": 345}}
    )
    tokenizer = Tokenizer.train((tmp_path / "train.txt").read_text(encoding="utf-8").splitlines(), config.tokenizer)
    run = RunFolder.create(tmp_path / "run", config, TokenizerPair(tokenizer, tokenizer))
    run.write_weights(named_weights(build_model(config.model, 345, 345, seed=1)))
    return tmp_path


def test_the_table_is_what_both_models_say_of_the_same_text(trained, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["perplexity.py", str(trained / "run"), f"--test={trained}/test.tsv", "--orders=2"])
    perplexity.main()
    printed = capsys.readouterr().out
    result = json.loads(printed.splitlines()[-1])
    found = result["texts"]["validation"]
    text = (trained / "valid.txt").read_text(encoding="utf-8")
    assert (found["texts"], found["bytes"]) == (12, len(text.encode()))
    assert found["words"] == len(text.replace("\n", " .\n").split())
    assert result["texts"]["test.tsv"] == found  # the same lines

    run = load_run(trained / "run", "language-model")
    run.model.eval()
    ids = [3]
    for line in text.splitlines():
        ids += [*run.tokenizers.src.encode(line), 3]
    assert found["tokens"] == len(ids) - 1
    nats = 0.0
    for begin in range(0, len(ids) - 1, 16):
        block = torch.tensor([ids[begin : begin + 17]])
        with torch.no_grad():
            log_probs = run.model.project(run.model(block[:, :-1])).log_softmax(-1)
        nats -= float(log_probs.gather(2, block[:, 1:, None]).sum())
    model, unigram, bigram = found["rows"]
    assert model["perplexity_token"] == pytest.approx(math.exp(nats / found["tokens"]))
    assert model["perplexity_word"] == pytest.approx(math.exp(nats / found["words"]))
    assert model["bits_per_byte"] == pytest.approx(nats / math.log(2) / len(text.encode()))
    assert bigram["perplexity_token"] < unigram["perplexity_token"] < model["perplexity_token"]
    assert f"| 2-gram | {bigram['perplexity_token']:,.1f} |" in printed and result["best"] == "2-gram"
