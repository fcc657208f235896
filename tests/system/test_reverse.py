"""The whole way at once: models learn to reverse a sequence, from text files to exact translations."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from clearhead import Translator
from clearhead.config import make_config
from clearhead.training.session import open_training


def corpus(folder: Path, longest: int) -> list[str]:
    """Write sequences of up to ``longest`` letters and their reverses; return others to be tested on."""
    draw = random.Random(7)
    words = [chr(ord("a") + i) for i in range(8)]
    lines = list(dict.fromkeys(" ".join(draw.choices(words, k=draw.randint(1, longest))) for _ in range(4200)))
    train, test = lines[:-200], lines[-200:]
    (folder / "train.src").write_text("".join(f"{line}\n" for line in train))
    (folder / "train.tgt").write_text("".join(f"{line[::-1]}\n" for line in train))
    return test


TRANSFORMER = {"d_model": 64, "d_ff": 128, "n_heads": 4, "n_encoder_layers": 2, "n_decoder_layers": 2}
RECURRENT = {"kind": "recurrent", "d_model": 64, "n_layers": 1}


@pytest.mark.parametrize(
    ("model", "longest", "steps", "batch_tokens", "rate"),
    [(TRANSFORMER, 5, 450, 400, 0.006), (RECURRENT, 7, 250, 800, 0.004)],
    ids=["transformer", "recurrent"],
)
def test_reversing_a_sequence_is_learnt_to_over_99_percent(
    tmp_path, monkeypatch, model, longest, steps, batch_tokens, rate
):
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    folder, test = tmp_path, corpus(tmp_path, longest)
    torch.set_num_threads(1)
    config = make_config(
        {
            "data": {"root": str(folder), "sources": [{"src": "train.src", "tgt": "train.tgt"}], "holdout": 50},
            "tokenizer": {"vocabulary_size": 340},
            "model": model,
            "training": {
                "max_steps": steps, "batch_tokens": batch_tokens, "schedule": "cosine", "learning_rate": rate,
                "warmup_steps": 60, "validate_every": steps, "checkpoint_every": steps,
            },
        },
        ["model.dropout=0.0", "training.precision=fp32"],  # the same on every processor
    )  # fmt: skip
    training = open_training(config, folder / "run")
    for _ in training.events():
        pass
    translator = Translator.load(folder / "run")
    exact = sum(translation.text == line[::-1] for translation, line in zip(translator(test), test))
    assert exact / len(test) > 0.99
