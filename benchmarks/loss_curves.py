"""Does clearhead's fast arithmetic lose quality against plain PyTorch?

    python benchmarks/loss_curves.py                 2,000 updates, two seeds, both ways: about 7 hours on two cores
                                                     without AMX (1 hour a seed for clearhead, 2.5 for the plain way)
    python benchmarks/loss_curves.py --updates 500 --seeds 1
    python benchmarks/loss_curves.py --quick         a tiny model, four updates: to see that it runs; 2 minutes

The tiny recipe (recipes/multi30k-en-de-tiny.toml; $CLEARHEAD_DATA as there) is trained two ways, each with every seed:

- clearhead: ``clearhead train`` as it is: bf16 where the processor multiplies it faster, explicit attention, loss fused
  with the projection, 16-bit dropout, workers over shared weights, fused Adam;
- plain: the loop in this file. fp32, torch's scaled_dot_product_attention, F.dropout, F.cross_entropy over all logits
  of a piece of 2,048 tokens (of the whole batch it takes twice as long, for the same sum), torch.optim.Adam one weight
  after the other, clip_grad_norm_.

With one seed both start from the same weights and see the same batches at the same rates; what differs is the
arithmetic and which elements dropout hits. So the gap between the ways is to be held against the gap between seeds. The
training loss is the label-smoothed cross-entropy per target token, a mean over 10 updates; validation loss and BLEU
(greedy, all validation sentences) come from the same code for both, every 500 updates and at the end.

Everything lies in --out: a stopped benchmark goes on where it was when started again with the same options, from the
last validation. --report trains nothing and says what is there, also while another one trains. Prints a table and one
line of JSON, and writes loss-curves.svg and result.json into --out after each training.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest import mock

from curves import Curve, draw
from machine import facts, print_facts

from clearhead.runs.log import read_log

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "multi30k-en-de-tiny.toml"
WAYS = ("clearhead", "plain")
PLAIN_LOG = "plain.jsonl"
PLAIN_TOKENS = 2048
"""Of a piece of the plain way's batch."""
SMALL = [
    *("model.d_model=16", "model.d_ff=32", "model.n_heads=2", "model.n_encoder_layers=1", "model.n_decoder_layers=1"),
    *("tokenizer.vocabulary_size=500", "training.batch_tokens=512", "training.validate_sentences=4"),
]


@dataclass(frozen=True)
class Plan:
    """What is trained. every: updates between validations and checkpoints; log_every: updates in a mean of the loss."""

    updates: int
    every: int
    log_every: int
    quick: bool

    def settings(self, seed: int, way: str) -> list[str]:
        """Return what differs from the recipe."""
        return [
            *(SMALL if self.quick else []),
            f"training.seed={seed}",
            f"training.max_steps={self.updates}",
            f"training.log_every={self.log_every}",
            f"training.validate_every={self.every}",
            f"training.checkpoint_every={self.every}",
            "training.average_last=0",
            "training.keep_last=1",
            'training.validate_metric="bleu"',
            *(["training.precision=fp32"] if way == "plain" else []),
        ]


# --- the plain way ------------------------------------------------------------------------------------------------


def plain_parts() -> ExitStack:
    """Put PyTorch's own dropout and attention in the place of clearhead's, as long as the context lasts."""
    import torch.nn.functional as F
    from torch import Tensor

    from clearhead.nn.attention import AttentionCore
    from clearhead.nn.dropout import Dropout

    def drop(self: Dropout, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def attend(self: AttentionCore, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask, self.dropout_p if self.training else 0.0)

    parts = ExitStack()
    parts.enter_context(mock.patch.object(Dropout, "forward", drop))
    parts.enter_context(mock.patch.object(AttentionCore, "forward", attend))
    return parts


def plain_loss(model: Any, batch: Any, smoothing: float) -> Any:
    """Return the label-smoothed cross-entropy of a batch, over the logits of every position, summed."""
    import torch.nn.functional as F

    logits = model.project(model(batch))  # (B, T, V)
    targets = batch.tgt_output.masked_fill(~batch.tgt_mask, -100)
    targets = targets.flatten()
    return F.cross_entropy(logits.flatten(0, 1), targets, ignore_index=-100, label_smoothing=smoothing, reduction="sum")


def train_plainly(out: Path, settings: list[str]) -> None:
    """Train the plain way in the run folder ``out``, or go on there; the log is PLAIN_LOG."""
    import torch

    from clearhead.config import read_config
    from clearhead.data.batch import collate
    from clearhead.data.order import BatchOrder, micro_batches
    from clearhead.data.randomness import derive_seed
    from clearhead.training.schedule import learning_rate
    from clearhead.training.session import open_training

    config = read_config(RECIPE, settings)
    training = open_training(config, out, resume=True, device="cpu")  # for its model, corpora and validation
    model, corpora, wanted = training.model, training.task.corpora, config.training
    optimizer = torch.optim.Adam(model.parameters(), betas=wanted.betas, eps=wanted.epsilon, foreach=False)
    done = load(out, model, optimizer)
    order = BatchOrder(corpora.train, wanted.batch_tokens, wanted.seed)
    tgt, since = corpora.tokenizers.tgt, (0.0, 0)
    batches = (indexes for epoch in count() for indexes in order.epoch(epoch))
    for step, indexes in enumerate(batches, 1):
        if step > wanted.max_steps:
            break
        if step <= done:
            continue
        torch.manual_seed(derive_seed(wanted.seed, "dropout", step))  # so that a stop changes nothing
        model.train()
        optimizer.zero_grad()
        tokens, total = int(corpora.train.tgt_lengths[indexes].sum()), 0.0
        for piece in micro_batches(indexes, corpora.train, PLAIN_TOKENS):
            batch = collate(corpora.train, piece, tgt.pad_id, tgt.decoder_start_id)
            loss = plain_loss(model, batch, wanted.label_smoothing)
            (loss / tokens).backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), wanted.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(wanted, config.model.d_model, step)
        optimizer.step()
        since = since[0] + total, since[1] + tokens
        if step % wanted.log_every == 0:
            say(out, {"event": "Progress", "step": step, "loss": since[0] / since[1]})
            since = (0.0, 0)
        if step % wanted.validate_every == 0 or step == wanted.max_steps:
            scores, _ = training.task.validate(model, training.team)
            say(out, {"event": "Validated", "step": step, "scores": scores})
            save(out, step, model, optimizer)


def say(out: Path, event: dict[str, Any]) -> None:
    with open(out / PLAIN_LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(event | {"time": round(time.time(), 3)}) + "\n")


def save(out: Path, step: int, model: Any, optimizer: Any) -> None:
    """Write weights, moments and the step; a kill leaves the former file."""
    from safetensors.torch import save_file

    tensors = {}
    for name, weight in model.named_parameters():
        tensors[name] = weight.detach()
        tensors |= {f"{name}:{key}": value for key, value in optimizer.state[weight].items()}
    save_file(tensors, out / "plain.partial", {"step": str(step)})
    os.replace(out / "plain.partial", out / "plain.safetensors")


def load(out: Path, model: Any, optimizer: Any) -> int:
    """Go on from what ``save`` wrote, if anything, and cut the log back to it; return the updates done."""
    import torch
    from safetensors import safe_open

    path, done = out / "plain.safetensors", 0
    if path.exists():
        with safe_open(path, "pt") as file, torch.no_grad():
            done = int(file.metadata()["step"])
            for name, weight in model.named_parameters():
                weight.copy_(file.get_tensor(name))
                optimizer.state[weight] = {
                    key: file.get_tensor(f"{name}:{key}") for key in ("step", "exp_avg", "exp_avg_sq")
                }
    kept = [event for event in read_log(out / PLAIN_LOG) if event["step"] <= done]
    (out / PLAIN_LOG).write_text("".join(json.dumps(event) + "\n" for event in kept), encoding="utf-8")
    return done


# --- both ways ----------------------------------------------------------------------------------------------------


def train(way: str, seed: int, plan: Plan, out: Path) -> None:
    """Train one way with one seed in a process of its own, which goes on where a former one stopped."""
    folder, settings = out / f"{way}-{seed}", plan.settings(seed, way)
    if finished(folder, way, plan):
        return
    print(f"{time.strftime('%H:%M')}  {way}, seed {seed}", flush=True)
    if way == "plain":
        command = [sys.executable, __file__, "--plain", str(folder), *settings]
    else:
        command = [sys.executable, "-m", "clearhead", "train", str(RECIPE), "--out", str(folder), "--resume"]
        command += ["--device", "cpu", *(word for setting in settings for word in ("--set", setting))]
    with open(out / f"{way}-{seed}.txt", "ab") as printed:
        done = subprocess.run(command, stdout=printed, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{(out / f'{way}-{seed}.txt').read_text(errors='replace')[-3000:]}\nexit {done.returncode}")


def events(folder: Path, way: str) -> list[dict[str, Any]]:
    return read_log(folder / (PLAIN_LOG if way == "plain" else "log.jsonl"))


def finished(folder: Path, way: str, plan: Plan) -> bool:
    return any(each["event"] == "Validated" and each["step"] >= plan.updates for each in events(folder, way))


def curve_of(log: list[dict[str, Any]], updates: int) -> Curve:
    """Return (step, loss) of a log's training, up to ``updates``."""
    return [(each["step"], each["loss"]) for each in log if each["event"] == "Progress" and each["step"] <= updates]


def gap(one: Curve, other: Curve, share: float = 1.0) -> float | None:
    """Return the mean of one - other over the last ``share`` of the steps that both have; None without one."""
    theirs = dict(other)
    differences = [y - theirs[step] for step, y in one if step in theirs]
    return fmean(differences[-max(1, math.ceil(share * len(differences))) :]) if differences else None


def pairs_of(seeds: list[int]) -> Iterator[tuple[int, int]]:
    return ((one, other) for i, one in enumerate(seeds) for other in seeds[i + 1 :])


def compare(logs: dict[tuple[str, int], list[dict[str, Any]]], seeds: list[int], updates: int) -> dict[str, Any]:
    """Return the gaps between the ways (same seed) and between seeds (same way), of each figure.

    The figures: the mean training loss over all updates and over the last fifth; validation loss and BLEU at the last
    validation that all have. A gap between ways has its sign (clearhead - plain), one between seeds has none.
    """
    curves = {key: curve_of(log, updates) for key, log in logs.items()}
    scores = {
        key: {each["step"]: each["scores"] for each in log if each["event"] == "Validated" and each["step"] <= updates}
        for key, log in logs.items()
    }
    last = max(set.intersection(*(set(each) for each in scores.values())), default=None)

    def differ(one: tuple[str, int], other: tuple[str, int]) -> dict[str, float | None]:
        found = {"loss": gap(curves[one], curves[other]), "late_loss": gap(curves[one], curves[other], 0.2)}
        for name in ("loss", "bleu") if last is not None else ():
            found[f"valid_{name}"] = scores[one][last][name] - scores[other][last][name]
        return found

    return {
        "validated_at": last,
        "between_ways": {seed: differ(("clearhead", seed), ("plain", seed)) for seed in seeds},
        "between_seeds": {
            f"{way} {one} {other}": {
                name: value and abs(value) for name, value in differ((way, one), (way, other)).items()
            }
            for way in WAYS
            for one, other in pairs_of(seeds)
        },
        "scores": {f"{way} {seed}": each.get(last) for (way, seed), each in scores.items()},
    }


def write(out: Path, plan: Plan, seeds: list[int], known: dict[str, object]) -> dict[str, Any]:
    """Compare what the logs in ``out`` say so far; draw it, write it and return it without the curves."""
    logs = {(way, seed): events(out / f"{way}-{seed}", way) for way in WAYS for seed in seeds}
    found = compare(logs, seeds, plan.updates)
    lines = {f"{way}, seed {seed}": curve_of(log, plan.updates) for (way, seed), log in logs.items()}
    (out / "loss-curves.svg").write_text(draw("training loss, nats per target token", lines), encoding="utf-8")
    result = {"benchmark": "loss_curves", **known, "updates": plan.updates, "seeds": seeds, **found}
    (out / "result.json").write_text(json.dumps({**result, "curves": lines}) + "\n", encoding="utf-8")
    return result


def show(result: dict[str, Any]) -> None:
    columns = {
        "loss": "training loss",
        "late_loss": "last fifth",
        "valid_loss": "valid loss",
        "valid_bleu": "valid BLEU",
    }
    print("\n" + " " * 28 + "".join(f"{name:>15}" for name in columns.values()))
    rows = [(f"clearhead - plain, seed {seed}", each) for seed, each in result["between_ways"].items()]
    rows += [(f"between seeds, {name}", each) for name, each in result["between_seeds"].items()]
    for name, each in rows:
        values = [each.get(column) for column in columns]
        print(f"{name:<28}" + "".join(f"{'-' if value is None else f'{value:+.4f}':>15}" for value in values))
    for name, scores in result["scores"].items():
        if scores:
            print(f"{name:<28}validation loss {scores['loss']:.4f}, BLEU {scores['bleu']:.2f}")
    print(json.dumps(result), flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--plain"]:
        with plain_parts():
            train_plainly(Path(sys.argv[2]), sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/loss-curves"))
    parser.add_argument("--report", action="store_true", help="train nothing; say what is there")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args()
    os.environ.setdefault("CLEARHEAD_DATA", str(ROOT.parent / "shared" / "data"))
    plan = Plan(4, 2, 1, True) if options.quick else Plan(options.updates, 500, 10, False)
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    known = facts()
    print_facts(known)
    if not options.report:
        for seed in options.seeds:
            for way in WAYS:
                train(way, seed, plan, out)
                write(out, plan, options.seeds, known)
    show(write(out, plan, options.seeds, known))


if __name__ == "__main__":
    main()
