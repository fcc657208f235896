"""Documents for the page's tests: of small models with random weights, and bent into what a test needs."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np

from clearhead.config import (
    BagConfig,
    ClassifierConfig,
    DecoderConfig,
    EncoderConfig,
    RecurrentEncoderConfig,
)  # fmt: skip
from clearhead.device import choose_device
from clearhead.inspection.document import document, pack, unpack
from clearhead.inspection.explain import explain
from clearhead.inspection.text_ablation import text_ablations
from clearhead.inspection.texts import explain_label, explain_masked, explain_next
from clearhead.models.build import build_model

from .small import TEXT, recurrent, tokenizers, transformer

RUN = {"name": "small", "version": "0", "parameters": 1, "weights_sha256": "0" * 64}


@cache
def _translated(kind, text, **choices):
    sizes = {"d_model": 16, "n_encoder_layers": 2, "spread": 0.1}  # numbers below 10, written with three decimals
    translator = transformer(**{**sizes, **choices}) if kind == "transformer" else recurrent(**choices)
    config = translator.model.config.model_dump(mode="json")
    return document(explain(translator, text), RUN, {**config, "src_vocabulary": 400, "tgt_vocabulary": 400})


def translated(kind="transformer", text=TEXT, **choices):
    """What a small model with random weights makes of a text; rivals, ablations and checkpoints are made up."""
    found = copy.deepcopy(_translated(kind, text, **choices))
    if kind != "transformer":
        return found
    attentions = [part["name"] for part in found["parts"] if part["kind"] == "attention"]
    found["ablations"] = [
        {
            "part": part,
            "head": head,
            "delta_log_prob": -0.1 * head - 0.5,
            "translation": "nothing" if head else found["tgt"]["text"],
        }
        for part in attentions
        for head in range(4)
    ]
    found["rivals"] = [
        {
            "step": step,
            **{name: each[name] for name in ("id", "text", "log_prob")},
            "translation": "a rival",
            "score": -1.5,
        }
        for step, said in enumerate(found["steps"])
        for each in [top for top in said["top"] if top["id"] != said["chosen"]][:3]
    ]
    arrays = unpack(found["tensors"], found["blob"])
    length = len(found["tgt"]["outputs"])
    arrays["checkpoint.cross"] = np.full((2, 4, length, len(found["src"]["tokens"])), 1 / len(found["src"]["tokens"]))
    found["tensors"], found["blob"], _ = pack(arrays)
    tokens = [{"id": each["id"], "text": each["text"]} for each in found["tgt"]["outputs"]]
    found["checkpoints"] = [
        {"step": step, "translation": f"after {step}", "score": -9.0, "tokens": tokens, "cross": "checkpoint.cross"}
        for step in (0, 100, 200)
    ]
    return found


BODIES = {
    "encoder": EncoderConfig(d_model=16, d_ff=32, n_heads=4, n_layers=2, max_positions=40),
    "recurrent": RecurrentEncoderConfig(d_model=16, n_layers=1),
    "bag": BagConfig(d_model=16),
}


def classifier(body="encoder", **choices):
    """A small classifier of random weights."""
    config = ClassifierConfig(**{"body": BODIES[body], "labels": ("good", "bad"), "pooling": "mean", **choices})
    return build_model(config, tokenizers().src.vocabulary_size, tokenizers().src.vocabulary_size).eval()


def classified(body="encoder", **choices):
    """What it makes of a text."""
    tokenizer, model = tokenizers().src, classifier(body, **choices)
    config = model.config
    device = choose_device("cpu")
    explanation = explain_label(model, tokenizer, config.labels, device, 40, TEXT)
    sizes = {"src_vocabulary": 400, "tgt_vocabulary": 400}
    off = text_ablations(model, tokenizer, device, explanation)
    return document(explanation, RUN, {**config.model_dump(mode="json"), **sizes}, ablations=off)


def language_model():
    """A small language model of random weights."""
    config = DecoderConfig(d_model=16, d_ff=32, n_heads=4, n_layers=2, max_positions=40)
    return build_model(config, tokenizers().tgt.vocabulary_size, tokenizers().tgt.vocabulary_size).eval()


def continued():
    """What it makes of a text."""
    model = language_model()
    config = model.config
    explanation = explain_next(model, tokenizers().tgt, choose_device("cpu"), TEXT)
    return document(explanation, RUN, {**config.model_dump(mode="json"), "src_vocabulary": 400, "tgt_vocabulary": 400})


def masked_model(head="masked"):
    """A small masked language model of random weights."""
    config = EncoderConfig(**BODIES["encoder"].model_dump() | {"head": head})
    return build_model(config, tokenizers().src.vocabulary_size, tokenizers().src.vocabulary_size).eval()


def hidden(head="masked"):
    """What it makes of a text that hides two words."""
    tokenizer, model = tokenizers().src, masked_model(head)
    config = model.config
    text = TEXT.replace("sister", "[MASK]").replace("old", "<mask>")
    explanation = explain_masked(model, tokenizer, choose_device("cpu"), 40, text)
    return document(explanation, RUN, {**config.model_dump(mode="json"), "src_vocabulary": 400, "tgt_vocabulary": 400})


def committee():
    """Two classifiers that answer together."""
    found = [classified("bag", ngram_evidence={"longest": 2, "buckets": 64}), classified("encoder")]
    members = [
        {"name": name, "path": f"runs/{name}", "share": share, "labels": each["labels"]}
        for name, share, each in zip(("one", "other"), (0.75, 0.25), found)
    ]
    together = {"name": "both", "members": members, "labels": found[1]["labels"]}
    return {**found[0], "compare": found[1:], "committee": together}


def bounded(found, room):
    """A document whose tensors have so many bytes of room."""
    table, blob, left = pack(unpack(found["tensors"], found["blob"]), room)
    return {**found, "tensors": table, "blob": blob, "left_out": [each._asdict() for each in left]}


def said_by(texts):
    """A document whose source tokens are ``texts``, whatever they hold."""
    found = translated()
    start, tokens = 0, []
    for place in range(len(found["src"]["tokens"])):
        own = texts[place :: len(found["src"]["tokens"])]
        whole = " ".join(own)
        tokens.append({"id": place, "text": whole, "start": start, "end": start + len(whole)})
        start += len(whole)
    found["src"] = {"text": "".join(token["text"] for token in tokens), "tokens": tokens}
    return found


def sized(length):
    """A document of ``length`` x ``length`` tokens; its numbers are drawn, and its weights add up to 1."""
    found = translated()
    generator = np.random.default_rng(1)
    arrays = {}
    for name, entry in found["tensors"].items():
        if name in ("beam.cross", "checkpoint.cross"):
            continue
        shape = [
            *entry["shape"][:-2],
            length,
            length if name.endswith((".scores", ".weights", ".mask")) else entry["shape"][-1],
        ]
        shape = shape if len(entry["shape"]) > 1 else entry["shape"]
        array = generator.normal(size=shape)
        if name.endswith(".mask"):
            array = (
                np.tril(np.ones(shape, bool))
                if ".self_attention" in name and "decoder" in name
                else np.ones(shape, bool)
            )
        if name.endswith(".weights"):
            array = np.exp(3 * array) / np.exp(3 * array).sum(-1, keepdims=True)
        arrays[name] = array.astype(np.float32) if array.dtype != bool else array
    found["tensors"], found["blob"], _ = pack(arrays)
    tokens = [{"id": place, "text": f" word{place}", "start": None, "end": None} for place in range(length)]
    found["src"] = {"text": " ".join(f"word{place}" for place in range(length)), "tokens": tokens}
    found["tgt"] = {**found["tgt"], "inputs": tokens, "outputs": tokens}
    return {**found, "beam": None, "checkpoints": [], "steps": []}
