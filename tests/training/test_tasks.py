"""Each task learns what there is to learn on a toy corpus, through the one loop, and goes on bit for bit."""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path

import pytest
import torch

from clearhead.config import ClassifierConfig, DecoderConfig, RecurrentConfig, TransformerConfig, make_config
from clearhead.errors import ConfigError, CorpusError
from clearhead.models.build import named_weights
from clearhead.models.transfer import unlike
from clearhead.runs.folder import RunFolder
from clearhead.runs.load import load_run
from clearhead.training.events import Finished, Progress, Validated
from clearhead.training.session import open_training

GOOD, BAD = ["good", "fine", "lovely"], ["bad", "poor", "dull"]
NOUNS = ["do", "re", "mi", "fa", "so", "la"]
SMALL = {"d_model": 32, "d_ff": 64, "n_heads": 2, "n_layers": 2, "dropout": 0.1, "attention_dropout": 0.0}


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text says one word of praise or blame between nouns, and "not" before it turns it."""
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    draw, lines = random.Random(0), ["id\ttext\tlabel"]
    for number in range(600):
        good, turned = draw.random() < 0.5, draw.random() < 0.3
        word = draw.choice(GOOD if good != turned else BAD)
        text = [*draw.choices(NOUNS, k=draw.randint(1, 4)), *["not"] * turned, word, *draw.choices(NOUNS, k=2)]
        lines.append(f"{number}\t{' '.join(text)}\t{int(good)}")
    (tmp_path / "texts.tsv").write_text("\n".join(lines) + "\n")
    # A text goes on from any word to the last one: what cannot be foretold is where it begins.
    chain = [" ".join(NOUNS[draw.randrange(6) :]) for _ in range(1000)]
    (tmp_path / "chain.txt").write_text("\n".join(chain) + "\n")
    return tmp_path


def config(corpus: Path, task: str, model: dict, source: dict, *overrides: str):
    table = {
        "task": task,
        "data": {"root": str(corpus), "sources": [source], "max_tokens": 24, "holdout": 60},
        "tokenizer": {"vocabulary_size": 344},
        "model": model,
        "training": {
            "max_steps": 150, "batch_tokens": 600, "log_every": 10, "validate_every": 50, "checkpoint_every": 50,
            "schedule": "cosine", "learning_rate": 0.005, "warmup_steps": 20, "label_smoothing": 0.0,
        },
    }  # fmt: skip
    return make_config(table, overrides)


LABELLED = {
    "tsv": "texts.tsv",
    "text_column": 1,
    "label_column": 2,
    "header": True,
    "labels": {"0": "BAD", "1": "GOOD"},
}
TEXTS = {"tsv": "texts.tsv", "text_column": 1, "header": True}
ENCODER = {"kind": "classifier", "body": {"kind": "encoder", **SMALL}}
SMALL_TRANSLATOR = {"d_model": 32, "d_ff": 64, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1}
BAG = {"kind": "classifier", "body": {"kind": "bag", "d_model": 16}, "pooling": "mean"}


GRU = {
    "kind": "classifier",
    "body": {"kind": "recurrent-encoder", "cell": "gru", "d_model": 16, "n_layers": 1},
    "pooling": "final",
}


def classification(corpus, model, *overrides):
    return config(corpus, "classification", model, LABELLED, "training.validate_metric=accuracy", *overrides)


def test_an_encoder_learns_to_classify_what_a_bag_of_words_cannot(corpus):
    found = {}
    for name, model in (("encoder", ENCODER), ("gru", GRU), ("bag", BAG)):
        training = open_training(classification(corpus, model), corpus / name)
        assert training.config.model.labels == ("BAD", "GOOD")
        *_, finished = training.events()
        assert isinstance(finished, Finished) and {"loss", "accuracy", "f1"} == set(finished.scores)
        found[name] = finished.scores["accuracy"]
    assert min(found["encoder"], found["gru"]) > 0.97 > found["bag"]


def test_what_is_said_of_samples_is_shown(corpus):
    training = open_training(classification(corpus, BAG, "training.max_steps=20"), corpus / "run")
    (validated,) = [event for event in training.events() if isinstance(event, Validated)]
    assert all(sample.ref in ("BAD", "GOOD") and sample.hyp in ("BAD", "GOOD") for sample in validated.samples)
    lines = (corpus / "texts.tsv").read_text()
    names = {"BAD": "0", "GOOD": "1"}
    assert all(f"\t{sample.src}\t{names[sample.ref]}\n" in lines for sample in validated.samples)


def test_a_rare_class_counts_more_where_classes_are_balanced(corpus):
    lines = (corpus / "texts.tsv").read_text().splitlines()
    rare = [line for line in lines[1:] if line.endswith("1")][:40]
    (corpus / "texts.tsv").write_text("\n".join([*lines[:1], *rare, *(x for x in lines[1:] if x.endswith("0"))]) + "\n")
    settings = ["training.balance_classes=true", "training.precision=fp32"]
    training = open_training(classification(corpus, BAG, *settings), corpus / "run")
    weights, counts = training.task.weights, torch.bincount(torch.from_numpy(training.task.corpora.train.labels()))
    torch.testing.assert_close(weights * counts, torch.full((2,), counts.sum() / 2))
    batch = training.task.batch(training.task.corpora.train, torch.arange(9).numpy(), 0)
    training.model.eval()
    scaled, plain = training.task.loss(training.model, 0.1)(batch, 0.5)
    logits = training.model(batch.ids, batch.mask, batch.segments)
    each = torch.nn.functional.cross_entropy(logits, batch.labels, label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(scaled, 0.5 * (weights[batch.labels] * each).sum())
    torch.testing.assert_close(plain, torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum").detach())


def test_a_class_counts_as_much_as_is_said(corpus):
    said = ["training.class_weights.GOOD=3.0"]
    task = open_training(classification(corpus, BAG, *said), corpus / "run").task
    counts = torch.bincount(torch.from_numpy(task.corpora.train.labels()))
    assert task.labels == ("BAD", "GOOD") and task.weights[1] / task.weights[0] == pytest.approx(3.0)
    assert (task.weights * counts).sum() == pytest.approx(counts.sum())
    both = open_training(classification(corpus, BAG, *said, "training.balance_classes=true"), corpus / "both").task
    assert both.weights[1] * counts[1] / (both.weights[0] * counts[0]) == pytest.approx(3.0)
    with pytest.raises(ConfigError, match="'GREAT' is none of the labels: BAD, GOOD"):
        open_training(classification(corpus, BAG, "training.class_weights.GREAT=3.0"), corpus / "none")


def test_a_masked_language_model_fills_in_what_the_rest_tells(corpus):
    settings = ["training.max_steps=200", "training.validate_every=200", "model.dropout=0.0"]
    run = config(corpus, "masked-language-model", ENCODER["body"], {"text": "chain.txt"}, *settings)
    events = list(open_training(run, corpus / "run").events())
    assert events[-1].scores["loss"] < 0.1
    (validated,) = [event for event in events if isinstance(event, Validated)]
    for sample in validated.samples:
        assert "[?]" in sample.src or sample.src == sample.ref  # hidden, or left as it is, or another token
        assert sample.hyp == sample.ref and NOUNS[-1] in sample.ref


def test_a_language_model_foretells_what_can_be_foretold(corpus):
    decoder = {"kind": "decoder", **SMALL, "dropout": 0.0}
    run = config(corpus, "language-model", decoder, {"text": "chain.txt"}, "data.max_tokens=32")
    training = open_training(run, corpus / "run")
    *_, finished = training.events()
    scores, valid = finished.scores, training.task.corpora.valid
    texts, tokens = sum(len(part.rows) for part in valid.parts), int(valid.src_lengths.sum())
    least = math.log(6) * texts / tokens  # and a little more, since a block's first tokens have less before them
    assert least - 0.05 < scores["loss"] < least + 0.1
    text = [training.task.corpora.tokenizers.src.decode(ids.tolist()) for ids in valid.tokens()]
    size = sum(len(each) + 1 for each in text)
    assert scores["bits_per_byte"] == pytest.approx(scores["loss"] * tokens / math.log(2) / size)


@pytest.mark.parametrize("task", ["classification", "masked-language-model", "language-model"])
def test_every_task_goes_on_bit_for_bit(corpus, task):
    model = {"classification": ENCODER, "masked-language-model": ENCODER["body"]}.get(
        task, {"kind": "decoder", **SMALL}
    )
    source = LABELLED if task == "classification" else TEXTS
    settings = [
        "training.max_steps=12",
        "training.checkpoint_every=4",
        "training.validate_every=6",
        "training.log_every=1",
    ]
    settings += ["training.batch_tokens=200", "training.micro_batch_tokens=80", "model.dropout=0.2"]
    settings += ["data.subword_dropout=0.3"] * (task == "classification")
    run = config(corpus, task, model, source, *settings)
    whole = open_training(run, corpus / "whole")
    expected = [event.loss for event in whole.events() if isinstance(event, Progress)]
    first = open_training(run, corpus / "cut", should_stop=lambda: first.position.step >= 7)
    found = [event.loss for event in first.events() if isinstance(event, Progress)]
    second = open_training(run, corpus / "cut", resume=True)
    assert found + [event.loss for event in second.events() if isinstance(event, Progress)] == expected
    weights = named_weights(second.model)
    assert all(torch.equal(weight, weights[name]) for name, weight in named_weights(whole.model).items())


@pytest.mark.parametrize("task", ["classification", "translation"])
def test_words_are_cut_anew_in_training_alone(corpus, task):
    model, source = ENCODER, LABELLED
    if task == "translation":
        model, source = SMALL_TRANSLATOR, {"tsv": "texts.tsv", "src_column": 1, "tgt_column": 1, "header": True}
    settings = ["data.subword_dropout=0.5", "training.max_steps=2", "training.validate_every=2", "training.log_every=1"]
    training = open_training(config(corpus, task, model, source, *settings), corpus / "run")
    corpora, indexes = training.task.corpora, torch.arange(25).numpy()

    def texts(corpus, epoch):
        batch = training.task.batch(corpus, indexes, epoch)
        ids = batch.ids if task == "classification" else torch.cat([batch.src, batch.tgt_output], dim=1)
        return ids, [corpora.tokenizers.src.decode(row) for row in ids.tolist()]

    (first, said), (second, said_again) = texts(corpora.train, 0), texts(corpora.train, 1)
    assert said == said_again and (first.shape != second.shape or not torch.equal(first, second))
    (first, _), (second, _) = texts(corpora.valid, 0), texts(corpora.valid, 1)
    assert torch.equal(first, second)
    progress = [event for event in training.events() if isinstance(event, Progress)]
    assert all(0.0 < event.nll < 8.0 for event in progress)
    if task == "translation":
        both = training.task.batch(corpora.train, indexes, 0)  # source and target are one text, cut apart
        assert both.src.shape != both.tgt_output.shape or not torch.equal(both.src, both.tgt_output)
        # The loss is a mean over the tokens that there are.
        batch = training.task.batch(corpora.train, indexes, 3)
        assert training.task.count(corpora.train, indexes, 3) == int(batch.tgt_mask.sum())
        assert training.task.count(corpora.train, indexes, 3) > int(corpora.train.tgt_lengths[indexes].sum())
    for task in ("masked-language-model", "language-model"):
        model = ENCODER["body"] if task == "masked-language-model" else {"kind": "decoder", **SMALL}
        with pytest.raises(ConfigError, match=r"data\.subword_dropout"):
            config(corpus, task, model, TEXTS, "data.subword_dropout=0.1")


def test_what_cannot_be_classified_is_said(corpus):
    with pytest.raises(CorpusError) as caught:
        open_training(config(corpus, "classification", BAG, TEXTS), corpus / "run")
    assert caught.value.code == "one-label"
    with pytest.raises(CorpusError) as caught:
        open_training(classification(corpus, {**BAG, "labels": ["BAD", "GOOD", "UGLY"]}), corpus / "run")
    assert caught.value.code == "class-without-text" and "UGLY" in caught.value.message("en")
    with pytest.raises(CorpusError) as caught:
        open_training(classification(corpus, {**BAG, "labels": ["BAD", "UGLY"]}), corpus / "run2")
    assert caught.value.code == "unknown-label"


def test_task_model_and_metric_belong_together(corpus):
    for task, model, settings in (
        ("classification", {"kind": "encoder"}, ()),
        ("translation", BAG, ()),
        ("language-model", {"kind": "decoder"}, ("training.validate_metric=accuracy",)),
        ("classification", BAG, ("tokenizer.joint=false",)),
    ):
        with pytest.raises(ConfigError, match=task):
            config(corpus, task, model, TEXTS, *settings)


@pytest.fixture
def pretrained(corpus):
    """A masked and a causal language model of the labelled texts, hardly trained."""
    few = ["training.max_steps=2", "training.validate_every=2"]
    for task, model in (("masked-language-model", ENCODER["body"]), ("language-model", {"kind": "decoder", **SMALL})):
        list(open_training(config(corpus, task, model, TEXTS, *few), corpus / task).events())
    return corpus


def weights_of(path: Path):
    return RunFolder.open(path).weights()


def test_a_classifier_takes_a_pretrained_body_and_may_leave_it_frozen(pretrained):
    init = f'training.init_from=["{pretrained}/masked-language-model"]'
    few = ["training.max_steps=6", "training.validate_every=6", "training.checkpoint_every=3"]
    run = classification(pretrained, ENCODER, init, 'training.freeze=["body.*"]', *few)
    training = open_training(run, pretrained / "frozen", should_stop=lambda: training.position.step == 4)
    ((path, taken),) = training.taken
    assert path.endswith("masked-language-model")
    assert {name: name for name in named_weights(training.model) if name.startswith("body.")} == taken.taken
    assert set(taken.left) == {"w_pooler.weight", "w_pooler.bias", "w_label.weight", "w_label.bias"}
    assert f"{len(taken.taken)} of {len(taken.taken) + 4} tensors taken" in taken.line()
    giver = weights_of(pretrained / "masked-language-model")
    head = training.model.w_label.weight.clone()
    list(training.events())
    shutil.rmtree(pretrained / "masked-language-model")  # what is gone on with needs no giver
    resumed = open_training(run, pretrained / "frozen", resume=True)
    list(resumed.events())
    found = weights_of(pretrained / "frozen")
    assert all(torch.equal(found[name], giver[name]) for name in taken.taken)
    assert not torch.equal(found["w_label.weight"], head)
    whole = open_training(classification(pretrained, ENCODER, *few), pretrained / "from-scratch")
    assert whole.run.tokenizers().src.fingerprint == training.run.tokenizers().src.fingerprint  # of the same text


def test_a_translator_takes_an_encoder_and_a_decoder(pretrained):
    (pretrained / "a").write_text("do re mi\n" * 100)
    init = [str(pretrained / name) for name in ("masked-language-model", "language-model")]
    model = {key: value for key, value in SMALL.items() if key != "n_layers"}
    table = {
        "data": {"root": str(pretrained), "sources": [{"src": "a", "tgt": "a"}]},
        "model": {**model, "n_encoder_layers": 2, "n_decoder_layers": 2, "positions": "learned", "max_positions": 512},
        "training": {"init_from": init},
    }
    table["model"] |= {"norm": "post", "activation": "gelu"}
    training = open_training(make_config(table), pretrained / "translator")
    weights, (first, second) = named_weights(training.model), (weights_of(path) for path in init)
    (_, encoder), (_, decoder) = training.taken
    assert (
        encoder.taken["encoder.layers.1.self_attention.w_q.weight"] == "body.encoder.layers.1.self_attention.w_q.weight"
    )
    assert decoder.taken["decoder.layers.0.feed_forward.w_1.weight"] == "decoder.layers.0.feed_forward.w_1.weight"
    assert encoder.taken["src_embedding.weight"] == "body.token_embedding.weight"  # tied three ways: the first one's
    assert torch.equal(weights["src_embedding.weight"], first["body.token_embedding.weight"])
    assert torch.equal(weights["src_positions.table"], first["body.positions.table"])
    assert not encoder.taken.keys() & (decoder.taken.keys() | decoder.left.keys())
    assert "shape (1024, 32)" in decoder.left["tgt_positions.table"]
    assert "not there" in decoder.left["decoder.layers.0.cross_attention.w_q.weight"]

    table["model"]["tie"] = "two-way"
    apart = named_weights(open_training(make_config(table), pretrained / "apart").model)
    assert torch.equal(apart["src_embedding.weight"], first["body.token_embedding.weight"])
    assert torch.equal(apart["tgt_embedding.weight"], second["token_embedding.weight"])
    assert not torch.equal(first["body.token_embedding.weight"], second["token_embedding.weight"])

    table["training"]["init_from"] = [init[0], init[0]]
    with pytest.raises(ConfigError, match="none of the weights"):
        open_training(make_config(table), pretrained / "twice")


def test_a_vector_of_another_vocabularys_token_is_not_taken(pretrained):
    """The source's tokenizer is the first giver's and the target's the last one's, and so are the embeddings."""
    (pretrained / "a").write_text("do re mi\n" * 100)
    few = ["training.max_steps=1", "training.validate_every=1"]
    other = config(pretrained, "language-model", {"kind": "decoder", **SMALL}, {"text": "chain.txt"}, *few)
    list(open_training(other, pretrained / "other").events())
    init = [str(pretrained / name) for name in ("language-model", "other")]
    table = {
        "data": {"root": str(pretrained), "sources": [{"src": "a", "tgt": "a"}]},
        "model": {**SMALL_TRANSLATOR, "tie": "two-way"},
        "training": {"init_from": init},
    }
    training = open_training(make_config(table), pretrained / "translator")
    weights, givers = named_weights(training.model), [weights_of(path)["token_embedding.weight"] for path in init]
    assert givers[0].shape == givers[1].shape and not torch.equal(*givers)
    assert torch.equal(weights["src_embedding.weight"], givers[0])
    assert torch.equal(weights["tgt_embedding.weight"], givers[1])
    (_, first), _ = training.taken
    assert first.left["tgt_embedding.weight"] == "another vocabulary"


def test_a_translator_computes_what_its_giver_computes_and_says_where_it_does_not(pretrained):
    (pretrained / "a").write_text("do re mi\n" * 100)
    giver = config(
        pretrained, "masked-language-model", {**ENCODER["body"], "segments": 0}, TEXTS, "training.max_steps=1"
    )
    list(open_training(giver, pretrained / "giver").events())
    alike = {key: getattr(giver.model, key) for key in ("activation", "positions", "max_positions", "norm_epsilon")}
    alike |= {key: value for key, value in SMALL.items() if key != "n_layers"}
    table = {
        "data": {"root": str(pretrained), "sources": [{"src": "a", "tgt": "a"}]},
        "model": {**alike, "n_encoder_layers": 2, "scale_embedding": False, "embedding_norm": True},
        "training": {"init_from": [str(pretrained / "giver")]},
    }
    training = open_training(make_config(table), pretrained / "same")
    ((_, taken),) = training.taken
    assert taken.unlike == {} and "otherwise" not in taken.line()
    assert taken.taken["src_norm.weight"] == "body.norm.weight" and "encoder" not in str(taken.left)
    loaded = load_run(pretrained / "giver", None).model.eval()
    ids, mask = torch.randint(4, 40, (3, 7)), torch.ones(3, 7, dtype=torch.bool)
    training.model.eval()
    assert torch.equal(training.model.encode(ids, mask).hidden, loaded.encode(ids, mask).hidden)

    table["model"] |= {"n_heads": 1, "scale_embedding": True, "embedding_norm": False}
    ((_, taken),) = open_training(make_config(table), pretrained / "other").taken
    said = "n_heads 2 → 1, scale_embedding false → true, embedding_norm true → false"
    assert taken.line().endswith(f"; computed otherwise than there: {said}")


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (TransformerConfig, {"n_heads": 4, "norm": "pre", "norm_epsilon": 1e-6, "activation": "gelu"}),
        (TransformerConfig, {"residual": False, "attention_scale": False, "causal_mask": False}),
        (TransformerConfig, {"scale_embedding": False, "embedding_norm": True}),
        (DecoderConfig, {"positions": "sinusoidal", "band": 3}),
        (RecurrentConfig, {"cell": "rnn", "direction": "forward", "attends": "before", "attention": "dot"}),
        (ClassifierConfig, {"labels": ("a", "b"), "pooling": "mean", "pooler_activation": "relu"}),
    ],
)
def test_every_setting_that_changes_what_weights_compute_is_said(kind, other):
    one, two = kind(), kind(**other)
    assert unlike(two, one).keys() == unlike(one, two).keys() == other.keys()
    assert unlike(kind(dropout=0.3), one) == {}


def test_what_cannot_be_frozen_is_said(corpus):
    with pytest.raises(ConfigError) as caught:
        open_training(classification(corpus, BAG, 'training.freeze=["encoder.*"]'), corpus / "run")
    assert caught.value.code == "nothing-frozen" and "body.token_embedding" in caught.value.message("en")
    with pytest.raises(ConfigError) as caught:
        open_training(classification(corpus, BAG, 'training.freeze=["*"]'), corpus / "run2")
    assert caught.value.code == "all-frozen"
