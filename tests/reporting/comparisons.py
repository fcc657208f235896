"""What came out of a comparison, made up: as ``cli.compared.gather`` puts it together."""

from __future__ import annotations

import math
from typing import Any

LADDER = ("rnn", "gru", "lstm", "lstm-additive", "lstm-multiplicative", "transformer-post", "transformer-pre")
ABLATIONS = (
    "full",
    "no-positions",
    "counted-positions",
    "normalised-count",
    "learned-positions",
    "no-residual",
    "no-norm",
    "batch-norm",
    "one-head",
    "no-scale",
    "no-causal-mask",
)


def metric(name: str, value: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "mean": value - 0.1,
        "interval": 1.4,
        "signature": f"nrefs:1|{name}|version:2",
    }


def scores(bleu: float) -> dict[str, Any]:
    each = {"bleu": metric("BLEU", bleu), "chrf": metric("chrF2", bleu + 19.0), "ter": metric("TER", 90.0 - bleu)}
    return {**each, "headline": "bleu", "notes": [], "sentences": 1000, "length_ratio": 0.98}


def made_run(name: str, number: int, base: str, ended: bool = True) -> dict[str, Any]:
    top, cheats = 14.0 + 3.7 * number % 29, name == "no-causal-mask"
    top = 0.4 if cheats else top
    steps = range(250, 2501, 250)
    curve = [
        {
            "step": step,
            "training_s": step * (0.31 + number / 40),
            "loss": 0.02 + 3.0 * math.exp(-step / 300) if cheats else 1.4 + number / 20 + 4.0 * math.exp(-step / 500),
            "bleu": top * (1 - math.exp(-step / (500 + 40 * number))),
        }
        for step in steps
    ]
    found: dict[str, Any] = {
        "name": name,
        "model": name,
        "seed": 1,
        "state": "done" if ended else "stopped",
        "problem": "",
        "differs": {}
        if name == base
        else {"model.kind": "recurrent", "model.cell": name, "training.learning_rate": 0.002},
        "cheats": cheats,
        "parameters": 2_500_000 + 100_003 * number,
        "steps": 2500 if ended else 1000,
        "machine": {"device": "cpu", "precision": "fp32", "threads": 2},
        "training_s": 2500 * (0.31 + number / 40),
        "tokens_per_s": 9_000.0 - 500 * number,
        "unit": "target tokens",
        "weights": "mean of steps [1, 2]",
        "valid": {"loss": curve[-1]["loss"], "bleu": curve[-1]["bleu"]} if ended else {},
        "penalties": {"0.6": top, "1.0": top + 0.2},
        "curve": curve if ended else curve[:4],
        "train_curve": [[step, 1.2 + 5.0 * math.exp(-step / 450)] for step in range(50, 2501, 50)],
        "marks": [
            next(
                (
                    {"step": at["step"], "training_s": at["training_s"], "bleu": at["bleu"]}
                    for at in curve
                    if at["bleu"] > mark
                ),
                None,
            )
            for mark in (10.0, 20.0, 30.0)
        ],
    }
    if ended:
        found |= {
            "scores": scores(top),
            "decoding": {"length_penalty": 1.0},
            "decoding_s": 12.0,
            "weights_sha256": "ab",
            "lengths": [
                {
                    "low": low,
                    "high": low + 4,
                    "mean": low + 2.0,
                    "sentences": 200 + low,
                    "bleu": max(0.1, top - low * (7 - number) / 9),
                }
                for low in (5, 10, 15, 20, 25)
            ],
            "translations": ["Ein Hund rennt .", f"{name} <b>sagt</b> &", "", "Zwei Frauen reden .", "ein mann in rot"],
            "p_values": {} if name == base else {"BLEU": 0.001 * (number + 1), "chrF2": 0.2, "TER": 0.5},
        }
    return found


def made(names: tuple[str, ...], ended: int | None = None, seeds: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """A comparison of ``names``, of which the first ``ended`` have come to their end."""
    base = "full" if "full" in names else names[-2]
    runs = []
    for seed in seeds:
        for number, name in enumerate(names):
            run = made_run(name, number, base, ended is None or number < ended)
            several = len(seeds) > 1
            runs.append({**run, "seed": seed, "name": f"{name}-seed{seed}" if several else name})
    samples = [
        ("A dog runs .", "Ein Hund rennt ."),
        ('A <script> & a "quote"', "<b>"),
        ("Nothing said", "Nichts gesagt"),
        ("Two women talk .", "Zwei Frauen reden ."),
        ("a man in red sits on a very long bench in front of a house", "…"),
    ]
    return {
        "clearhead": "0.1.0",
        "languages": {"src": "en", "tgt": "de"},
        "set": "ablations" if base == "full" else "ladder",
        "base": base,
        "seeds": list(seeds),
        "budget": {"steps": 0, "minutes": 20.0},
        "test": {"name": "test_2016_flickr", "sentences": 1000},
        "bleu_marks": [10.0, 20.0, 30.0],
        "signatures": {"BLEU": "nrefs:1|case:mixed|tok:none", "chrF2": "nrefs:1|nc:6", "TER": "nrefs:1"},
        "notes": [],
        "samples": [{"src": src, "ref": ref} for src, ref in samples],
        "runs": runs,
    }
