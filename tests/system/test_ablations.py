"""The Transformer with a part switched off, trained: each variant goes the whole way, and the cheat is caught."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from clearhead import Translator
from clearhead.config import RunConfig, make_config
from clearhead.training.session import open_training

from ..equivalence.test_ablations import VARIANTS, said

SMALL = {"d_model": 32, "d_ff": 64, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1, "dropout": 0.0}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    draw = random.Random(7)
    lines = [" ".join(draw.choices("abcdefgh", k=draw.randint(3, 7))) for _ in range(800)]
    (folder / "train.src").write_text("".join(f"{line}\n" for line in lines))
    (folder / "train.tgt").write_text("".join(f"{line[::-1]}\n" for line in lines))
    return folder


def trained(corpus: Path, out: Path, model: dict[str, object], steps: int) -> dict[str, float]:
    """Train on reversing sequences and return the scores on validation text."""
    torch.set_num_threads(1)
    table = {
        "data": {"root": str(corpus), "sources": [{"src": "train.src", "tgt": "train.tgt"}], "holdout": 40},
        "tokenizer": {"vocabulary_size": 340},
        "model": {**SMALL, **model},
        "training": {
            "max_steps": steps, "batch_tokens": 600, "schedule": "cosine", "learning_rate": 0.01, "warmup_steps": 20,
            "validate_every": steps, "checkpoint_every": steps, "validate_metric": "bleu", "validate_sentences": 20,
            "label_smoothing": 0.0,
        },
    }  # fmt: skip
    config: RunConfig = make_config(table)
    last = list(open_training(config, out).events())[-1]
    return last.scores  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("variant", VARIANTS, ids=said)
def test_each_variant_is_trained_kept_and_used(corpus, tmp_path, variant):
    trained(corpus, tmp_path / "run", variant, 2)
    translator = Translator.load(tmp_path / "run", device="cpu")
    (translation,) = translator(["a b c"])
    assert all(getattr(translator.model.config, key) == value for key, value in variant.items())
    if translation.finished and variant.get("causal_mask", True):
        (scored,) = translator.score([("a b c", translation.text)])
        assert scored.log_prob == pytest.approx(translation.log_prob, abs=1e-3)


def test_without_the_causal_mask_the_loss_is_too_good_and_the_translations_are_not(corpus, tmp_path):
    """And with the mask, which is as it translates, the same weights know nothing."""
    found = trained(corpus, tmp_path / "cheat", {"causal_mask": False}, 250)
    assert found["loss"] < 0.2 and found["bleu"] < 5.0
    lines = ["a b c d", "h g f e d", "c a h"]
    pairs = [(line, line[::-1]) for line in lines]
    cheating, made_fair = (
        Translator.load(tmp_path / "cheat", device="cpu", overrides=[f"model.causal_mask={mask}"]).score(pairs)
        for mask in ("false", "true")
    )
    for seeing, blind in zip(cheating, made_fair):
        assert blind.log_prob < 5 * seeing.log_prob and blind.log_prob < -3.0
