"""Documents for the page's tests: of small models with random weights, and bent into what a test needs."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np

from clearhead.config import BagConfig, ClassifierConfig, DecoderConfig, EncoderConfig, RecurrentEncoderConfig
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
    found["tensors"], found["blob"] = pack(arrays)
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


def classified(body="encoder"):
    """What a small classifier of random weights makes of a text."""
    config = ClassifierConfig(body=BODIES[body], labels=("good", "bad"), pooling="mean")
    tokenizer = tokenizers().src
    model = build_model(config, tokenizer.vocabulary_size, tokenizer.vocabulary_size).eval()
    device = choose_device("cpu")
    explanation = explain_label(model, tokenizer, config.labels, device, 40, TEXT)
    sizes = {"src_vocabulary": 400, "tgt_vocabulary": 400}
    off = text_ablations(model, tokenizer, device, explanation)
    return document(explanation, RUN, {**config.model_dump(mode="json"), **sizes}, ablations=off)


def continued():
    """What a small language model of random weights makes of a text."""
    config = DecoderConfig(d_model=16, d_ff=32, n_heads=4, n_layers=2, max_positions=40)
    tokenizer = tokenizers().tgt
    model = build_model(config, tokenizer.vocabulary_size, tokenizer.vocabulary_size).eval()
    explanation = explain_next(model, tokenizer, choose_device("cpu"), TEXT)
    return document(explanation, RUN, {**config.model_dump(mode="json"), "src_vocabulary": 400, "tgt_vocabulary": 400})


def hidden(head="masked"):
    """What a small masked language model of random weights makes of a text that hides two words."""
    config = EncoderConfig(**BODIES["encoder"].model_dump() | {"head": head})
    tokenizer = tokenizers().src
    model = build_model(config, tokenizer.vocabulary_size, tokenizer.vocabulary_size).eval()
    text = TEXT.replace("sister", "[MASK]").replace("old", "<mask>")
    explanation = explain_masked(model, tokenizer, choose_device("cpu"), 40, text)
    return document(explanation, RUN, {**config.model_dump(mode="json"), "src_vocabulary": 400, "tgt_vocabulary": 400})


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
    found["tensors"], found["blob"] = pack(arrays)
    tokens = [{"id": place, "text": f" word{place}", "start": None, "end": None} for place in range(length)]
    found["src"] = {"text": " ".join(f"word{place}" for place in range(length)), "tokens": tokens}
    found["tgt"] = {**found["tgt"], "inputs": tokens, "outputs": tokens}
    return {**found, "beam": None, "checkpoints": [], "steps": []}
