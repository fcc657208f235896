import math

import pytest

SENTENCES = [("나는 학생입니다", "I am a student"), ("나는 집에 갑니다", "I go home")]


def make_events(steps=400, every=10, validate_every=100, finished=True, scored=True):
    """A made-up log: losses that fall, and samples that get right in the end."""
    events = [
        {
            "event": "Started", "time": 1772700000.0, "step": 0, "max_steps": 400, "parameters": 1234567,
            "train_pairs": 90, "valid_pairs": 10, "precision": "fp32", "device": "cpu", "threads": 2,
        }
    ]  # fmt: skip
    for step in range(every, steps + 1, every):
        loss = 1 + 8 * math.exp(-step / 100)
        time = {"time": 1772700000.0 + step, "step": step}
        events.append(
            {
                "event": "Progress", **time, "epoch": step // 50, "loss": loss + 1, "nll": loss, "grad_norm": 1.0,
                "learning_rate": step * 1e-6, "tokens_per_s": 5000.0 + step, "elapsed_s": float(step),
                "remaining_s": float(400 - step),
            }
        )  # fmt: skip
        if step % validate_every == 0:
            scores = {"loss": loss + 0.1, "perplexity": math.exp(loss + 0.1)}
            scores |= {"bleu": step / 10, "chrf": step / 5} if scored else {}
            hyps = [ref if step >= 300 else f"draft {step // 200}" for _, ref in SENTENCES]
            samples = [{"src": src, "ref": ref, "hyp": hyp} for (src, ref), hyp in zip(SENTENCES, hyps)]
            events.append({"event": "Validated", **time, "scores": scores, "best": step < 400, "samples": samples})
    if finished:
        events.append(
            {
                "event": "Finished", "time": 1772700500.0, "step": steps, "reason": "max-steps", "elapsed_s": 3725.0,
                "weights": f"best, step {steps}", "scores": {"loss": 1.1, "perplexity": 3.0},
            }
        )  # fmt: skip
    return events


def make_scores(**changes):
    """What Scores.to_dict() gives."""

    def metric(name, value):
        return {"name": name, "value": value, "mean": value - 0.1, "interval": 1.25, "signature": f"tok:13a|{name}"}

    scores = {
        "headline": "bleu", "bleu": metric("BLEU", 41.02), "chrf": metric("chrF2", 63.4), "ter": metric("TER", 38.9),
        "sentences": 1000, "exact_match": 0.125, "brevity_penalty": 0.987, "length_ratio": 0.99, "hyp_length": 99,
        "ref_length": 100, "notes": [],
    }  # fmt: skip
    return {**scores, **changes}


def make_labels(**changes):
    """What ClassificationScores.to_dict() gives."""
    scores = {
        "labels": ["no", "yes"], "confusion": [[1100, 20], [30, 200]], "accuracy": 0.962, "interval": [0.947, 0.974],
        "f1": [0.979, 0.889], "macro_f1": 0.929, "macro_f1_interval": [0.9, 0.952],
    }  # fmt: skip
    return {**scores, **changes}


CONFIG = {
    "format": 1,
    "clearhead": "0.1.0",
    "languages": {"src": "ko", "tgt": "en"},
    "data": {"root": ".", "sources": [{"src": "a.ko", "tgt": "a.en"}, {"tsv": "b.tsv"}], "valid": []},
    "training": {"betas": [0.9, 0.98], "max_steps": 400},
}
LOST = {"lines": 29000, "kept": 28871, "dropped": {"too-long": 104, "empty": 25}}


@pytest.fixture(scope="session")
def run():
    """Made-up inputs: events(...), scores(...), labels(...), config, lost."""

    class Run:
        events = staticmethod(make_events)
        scores = staticmethod(make_scores)
        labels = staticmethod(make_labels)
        config = CONFIG
        lost = LOST

    return Run
