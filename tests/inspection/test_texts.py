"""Classifiers and language models: their numbers, what tokens contribute, and what is refused."""

from __future__ import annotations

import math
from unicodedata import normalize

import numpy as np
import pytest
import torch

from clearhead.config import BagConfig, ClassifierConfig, DecoderConfig, EncoderConfig, NgramConfig
from clearhead.config import RecurrentEncoderConfig as Reads
from clearhead.decoding.reader import Reader
from clearhead.device import choose_device
from clearhead.errors import CorpusError, UsageError
from clearhead.inspection.document import document
from clearhead.inspection.texts import explain_label, explain_next
from clearhead.models.build import build_model

from .checks import check_stack, check_step, check_weights, close, stored
from .numpy_classifier import NumpyClassifier
from .small import TEXT, sharpened, tokenizers

SIZES = {"d_model": 16, "d_ff": 32, "n_heads": 4, "n_layers": 2, "max_positions": 40}
LABELS = ("bad", "fair", "good")
BODIES = {
    "bert": (EncoderConfig(**SIZES, dropout=0.0), "first"),
    "pre-norm": (EncoderConfig(**SIZES, norm="pre"), "mean"),
    "lstm": (Reads(d_model=16, n_layers=1), "final"),
    "bag": (BagConfig(d_model=16), "mean"),
}
CPU = choose_device("cpu")


def classifier(name):
    body, pooling = BODIES[name]
    ngrams = NGRAMS if name == "bag" else NgramConfig()
    config = ClassifierConfig(body=body, labels=LABELS, pooling=pooling, ngram_evidence=ngrams)
    return read(sharpened(build_model(config, 400, 400, seed=3), 3))


def read(model):
    """Let the n-grams have seen some texts, those of the looked at among them."""
    if model.ngram_evidence is not None:
        generator = torch.Generator().manual_seed(5)
        ids = torch.randint(4, 400, (40, 12), generator=generator)
        ids[::3, : len(IDS)] = torch.tensor(IDS)
        labels = torch.randint(0, 3, (40,), generator=generator)
        model.ngram_evidence.count([(ids, torch.ones_like(ids, dtype=torch.bool), labels)])
    return model


IDS = tokenizers().src.encode(TEXT)[:8]
NGRAMS = NgramConfig(longest=3, buckets=700, min_count=1)
WHOLE = {
    "bert": {"body": EncoderConfig(**SIZES), "pooling": "first"},
    "pre-norm, its pooler bent as DistilBERT's": {
        "body": EncoderConfig(**SIZES, norm="pre"), "pooling": "max", "pooler_activation": "relu",
    },
    "lstm both ways": {"body": Reads(d_model=16, n_layers=2), "pooling": "final", "pooler": False},
    "gru beside n-grams": {
        "body": Reads(d_model=16, n_layers=1, cell="gru", direction="forward"), "pooling": "root",
        "ngram_evidence": NGRAMS,
    },
    "rnn from the end": {
        "body": Reads(d_model=16, n_layers=1, cell="rnn", direction="backward"), "pooling": "final",
    },
    "bag": {"body": BagConfig(d_model=16), "pooling": "mean", "pooler": False},
    "n-grams beside a bag": {
        "body": BagConfig(d_model=16), "pooling": "root", "pooler": False, "ngram_evidence": NGRAMS,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_every_number_of_a_classifier_is_that_of_numpy(name):
    """Its pooling, its pooler and its labels' layer too: each operation by itself, and all of them from the weights."""
    config = ClassifierConfig(labels=LABELS, **WHOLE[name])
    model = read(sharpened(build_model(config, 400, 400, seed=3), 3))
    explanation = explained(model)
    ids, traced = [token.id for token in explanation.src], explanation.tensors
    for given, within in ((traced, 1e-5), (None, 1e-4)):
        numpy = NumpyClassifier(stored(model), config, given)
        logits = numpy(ids)
        assert set(numpy.values) == set(traced)
        for each, expected in numpy.values.items():
            close(each, traced[each], expected, within if config.body.kind != "recurrent-encoder" else 1e-4)
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        for label, logit, share in zip(explanation.labels, logits, shares, strict=True):
            assert abs(label.logit - logit) <= within * np.abs(logits).max() and abs(label.prob - share) <= 1e-4
    for each in traced:
        if each.endswith(".weights"):
            check_weights(traced[each], traced[each.replace(".weights", ".mask")])
    parts = {part["name"]: part for part in document(explanation, {}, config.model_dump(mode="json"))["parts"]}
    assert parts["pooling"]["shapes"] == {"output": [1, 16]} and parts["labels"]["shapes"]["logits"] == [1, 3]
    assert ("pooler" in parts) == config.pooler and list(parts)[-1] == "labels"


def explained(model, text=TEXT, max_tokens=40):
    return explain_label(model, tokenizers().src, LABELS, CPU, max_tokens, text)


@torch.no_grad()
def log_prob(model, ids, label):
    ids = torch.tensor([ids])
    return float(model(ids, torch.ones_like(ids, dtype=torch.bool)).log_softmax(-1)[0, label])


@pytest.mark.parametrize("name", BODIES)
def test_what_tokens_contribute_adds_up_and_is_what_leaving_them_out_costs(name):
    model = classifier(name)
    explanation = explained(model)
    ids = [token.id for token in explanation.src]
    label = LABELS.index(explanation.tgt_text)
    whole = log_prob(model, ids, label)
    assert math.isclose(explanation.log_prob, whole, abs_tol=1e-5)
    assert math.isclose(explanation.labels[label].prob, math.exp(whole), abs_tol=1e-5)
    assert max(explanation.labels, key=lambda each: each.prob).label == explanation.tgt_text

    for place, lost in enumerate(explanation.contributions["leave_one_out"]):
        inner = 0 < place < len(ids) - 1
        expected = whole - log_prob(model, [*ids[:place], *ids[place + 1 :]], label) if inner else 0.0
        assert math.isclose(lost, expected, abs_tol=1e-5)

    hooks = [
        module.register_forward_hook(lambda _, __, vectors: vectors * 0)
        for path, module in model.named_modules()
        if path.endswith(("token_embedding", "ngram_evidence"))
    ]
    nothing = log_prob(model, ids, label)
    for hook in hooks:
        hook.remove()
    total = sum(explanation.contributions["integrated_gradients"])
    assert abs(total - (whole - nothing)) <= 0.02 * max(1.0, abs(whole - nothing))
    assert len(explanation.contributions["integrated_gradients"]) == len(ids)


@pytest.mark.parametrize("name", ["bert", "lstm", "bag"])
def test_two_texts_with_a_tab_between_are_read_together(name):
    """As the pipeline reads them; a token left out of either leaves the other where it is."""
    model, tokenizer = classifier(name), tokenizers().src
    if name == "bert":  # segments as loud as tokens
        model.body.segments.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    one, other = "My sister reads.", "cafe\u0301 old"
    explanation = explained(model, f"{one}\t{other}")
    reader = Reader(model, tokenizer, 40, "cpu", "fp32")
    ((_, ids, mask, segments),) = reader.read([{"text": one, "text_pair": normalize("NFC", other)}])
    assert [token.id for token in explanation.src] == ids[0].tolist()
    assert list(explanation.segments) == segments[0].tolist() and 0 < sum(explanation.segments) < len(ids[0]) - 3
    with torch.no_grad():
        logits = model(ids, mask, segments)[0]
    assert np.allclose([each.logit for each in explanation.labels], logits.tolist(), atol=1e-5)
    assert explanation.src_text == f"{one}\tcafé old"
    for token, second in zip(explanation.src, explanation.segments):
        if token.start is not None:
            assert (token.start > len(one)) == second
            shown = explanation.src_text[token.start : token.end]
            assert token.text.strip("▁ ") in shown or (token.text.startswith("<0x") and shown == "é")
    label = LABELS.index(explanation.tgt_text)
    for place, lost in enumerate(explanation.contributions["leave_one_out"]):
        keep = [at for at in range(len(ids[0])) if at != place]
        with torch.no_grad():
            without = model(ids[:, keep], mask[:, keep], segments[:, keep]).log_softmax(-1)[0, label].item()
        placed = explanation.src[place].start is not None
        assert math.isclose(lost, explanation.log_prob - without if placed else 0.0, abs_tol=1e-5)
    with pytest.raises(CorpusError) as long:
        explained(model, f"{TEXT}\t{TEXT * 9}", max_tokens=40)
    assert long.value.fields["limit"] == 37


def test_integrated_gradients_of_a_linear_score_are_its_terms():
    """Of a bag of embeddings under a sum, each token's contribution is known: no integral, no order."""
    from clearhead.inspection.texts import integrated_gradients

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.token_embedding = classifier("bag").body.token_embedding
            self.weights = torch.linspace(-1.0, 1.0, 16)

        def forward(self, ids, mask, segments):
            score = (self.token_embedding(ids) @ self.weights).sum(1)
            return torch.stack([score, torch.log1p(-score.exp())], 1)  # already a log-softmax

    model = Linear()
    with torch.no_grad():
        model.token_embedding.weight.abs_().mul_(model.weights.sign() * -0.01)  # so that the score is below 0
    ids = torch.tensor([[5, 80, 300, 5]])
    terms = (model.token_embedding(ids) @ model.weights)[0].tolist()
    assert np.allclose(integrated_gradients(model, ids, torch.zeros_like(ids), 0), terms, atol=1e-6)


def test_a_classifiers_attention_and_a_recurrent_ones_gates_are_there():
    explanation = explained(classifier("bert"))
    length = len(explanation.src)
    assert explanation.encoder_attention.shape == (2, 4, length, length)
    assert np.abs(explanation.encoder_attention.sum(-1) - 1).max() <= 1e-6
    assert explanation.tensors["src_embedding"].shape == explanation.tensors["src_input"].shape == (length, 16)
    recurrent = explained(classifier("lstm"))
    assert {"encoder.layers.0.forward.forget_gate", "encoder.layers.0.backward.hidden"} <= set(recurrent.tensors)
    made = document(explanation, {}, {})
    assert made["kind"] == "classifier" and [each["label"] for each in made["labels"]] == list(LABELS)
    assert made["parts"][-1]["kind"] == "labels" and len(made["contributions"]["leave_one_out"]) == length


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_language_model_says_at_each_place_what_comes_next(norm):
    model = sharpened(build_model(DecoderConfig(**SIZES, norm=norm), 400, 400, seed=3), 3)
    tokenizer = tokenizers().src
    explanation = explain_next(model, tokenizer, CPU, TEXT)
    ids = tokenizer.encode(TEXT)
    assert [token.id for token in explanation.tgt_inputs] == [tokenizer.eos_id, *ids]
    assert [token.id for token in explanation.tgt_outputs] == ids and len(explanation.steps) == len(ids) + 1
    with torch.no_grad():
        logits = model.project(model(torch.tensor([[tokenizer.eos_id, *ids]])))[0].double().numpy()
    for step, row in zip(explanation.steps, logits):
        check_step(step, row, 1e-5 * np.abs(logits).max())
    assert [step.chosen for step in explanation.steps] == [*ids, None]
    check_stack(model, explanation, "decoder")
    weights = explanation.decoder_attention
    assert (weights * ~np.tri(len(ids) + 1, dtype=bool) == 0).all() and np.abs(weights.sum(-1) - 1).max() <= 1e-6
    assert explanation.tensors["tgt_input"].shape == (len(ids) + 1, 16)
    assert document(explanation, {}, {})["steps"][-1].keys() == {"top", "entropy"}


def test_what_cannot_be_read_is_refused():
    model = classifier("bert")
    with pytest.raises(UsageError) as blank:
        explained(model, " ")
    assert blank.value.code == "nothing-to-inspect"
    with pytest.raises(CorpusError) as long:
        explained(model, TEXT * 9, max_tokens=40)
    assert long.value.code == "too-long-to-inspect" and long.value.fields["limit"] == 38
