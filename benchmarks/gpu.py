"""How fast does clearhead train on a GPU, and which share of the GPU's arithmetic is that?

    python benchmarks/gpu.py                                   paper-base and paper-big, batches of 16k, 32k and 64k
                                                               tokens, bf16: about 10 minutes on one large GPU
    python benchmarks/gpu.py --models paper-base --batch-tokens 32768 --micro-batch-tokens 8192
    python benchmarks/gpu.py --device cpu --quick              tiny sizes, without a GPU: to see that it runs; a minute

Synthetic sentences of 20 words on average on either side, a joint vocabulary of 32,000 tokens, the presets as they are.
Each row is a process of its own, in which clearhead's own training loop (batches from the token store, forward,
backward, clipping, Adam) runs from its start to the end of a window of updates; validation and checkpoints lie outside.
Micro-batches are as large as clearhead finds that the machine holds, unless --micro-batch-tokens says otherwise. Speed
is target tokens per second, the end of sentence counted and padding not.

The model's arithmetic (arithmetic.py) with the real lengths of the window's batches, padding not counted, is compared
with what a large bf16 product reaches on the same GPU, measured at the start. Memory is what PyTorch had allocated at
the most. A row that fails (out of memory) says so, and the others go on.

Prints a table and, last, one line of JSON. Without a GPU it ends with one line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
from arithmetic import Lengths, Shape, large_product, training_flop
from machine import facts, print_facts
from runlog import Report, window_of

from clearhead.config import PRESETS, RunConfig, make_config
from clearhead.data.corpus import ParallelCorpus
from clearhead.data.order import BatchOrder

QUICK_PRESETS = {"tiny": {"d_model": 32, "d_ff": 64, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1}}
WORDS = 40_000
MEAN_WORDS = 20


@dataclass(frozen=True)
class Plan:
    """One row. micro_batch_tokens: "whole" for a batch's; report_every divides warmup and updates."""

    model: str
    batch_tokens: int
    micro_batch_tokens: int | str
    device: str
    precision: str = "bf16"
    vocabulary_size: int = 32_000
    warmup: int = 20
    updates: int = 60
    report_every: int = 10

    def config(self, folder: Path) -> RunConfig:
        """Return the run's config on the corpus in ``folder``."""
        files = {split: [{"src": f"{split}.src", "tgt": f"{split}.tgt"}] for split in ("train", "valid")}
        micro = self.micro_batch_tokens
        table = {
            "data": {"root": str(folder), "sources": files["train"], "valid": files["valid"]},
            "tokenizer": {"vocabulary_size": self.vocabulary_size},
            "model": QUICK_PRESETS.get(self.model) or {"preset": self.model},
            "training": {
                "precision": self.precision,
                "batch_tokens": self.batch_tokens,
                "micro_batch_tokens": self.batch_tokens if micro == "whole" else micro,
                "log_every": self.report_every,
                "max_steps": 1_000_000,  # the window ends long before, and with it the iteration
                "validate_every": 1_000_000,
                "checkpoint_every": 1_000_000,
            },
        }
        return make_config(table)


@dataclass(frozen=True)
class Row:
    """What a row showed. held_tokens: a micro-batch's; failure: the error, "" where there was none."""

    tokens_per_s: float = 0.0
    tokens_per_update: float = 0.0
    s_per_update: float = 0.0
    flop_per_token: float = 0.0
    held_tokens: int = 0
    peak_bytes: int = 0
    failure: str = ""

    @property
    def flop_per_s(self) -> float:
        return self.tokens_per_s * self.flop_per_token


def synthesise(folder: Path, pairs: int, words: int, seed: int = 1) -> None:
    """Write train.* and valid.*: words of two to five syllables, frequent as a language's are."""
    random = np.random.default_rng(seed)
    syllables = np.array([consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"])
    spelt = random.integers(0, len(syllables), (words, 5))
    sizes = random.integers(2, 6, words)
    lexicon = np.array(["".join(syllables[row[:size]]) for row, size in zip(spelt, sizes)], object)
    frequency = 1.0 / (np.arange(words) + 10.0)
    frequency /= frequency.sum()
    counts = 1 + random.poisson(MEAN_WORDS - 1, pairs)  # the same on both sides
    ends = np.cumsum(counts).tolist()
    for side in ("src", "tgt"):
        drawn = lexicon[random.choice(words, int(counts.sum()), p=frequency)].tolist()
        lines = [" ".join(drawn[start:end]) + "\n" for start, end in zip([0, *ends], ends)]
        (folder / f"train.{side}").write_text("".join(lines))
        (folder / f"valid.{side}").write_text("".join(lines[:20]))


# --- one row ------------------------------------------------------------------------------------------------------


def measure(plan: Plan, folder: Path) -> Row:
    """Train as ``plan`` says, in this process, and return what it showed."""
    import torch

    from clearhead.training.events import Progress
    from clearhead.training.session import open_training

    config = plan.config(folder)
    end = plan.warmup + plan.updates
    reports = []
    with tempfile.TemporaryDirectory(dir=folder) as run:
        training = open_training(config, Path(run) / "run", device=plan.device)
        for event in training.events():
            if isinstance(event, Progress):
                reports.append(Report(event.step, event.elapsed_s, event.tokens_per_s))
                if event.step >= end:
                    break
    window = window_of(reports, plan.warmup, end, plan.report_every)
    per_update = window.tokens / window.updates, window.seconds / window.updates
    peak = torch.cuda.max_memory_allocated() if plan.device == "cuda" else 0
    arithmetic = flop_per_token(training.task.corpora.train, plan, config)
    return Row(window.tokens_per_s, *per_update, arithmetic, training.micro_batch_tokens, peak)


def flop_per_token(corpus: ParallelCorpus, plan: Plan, config: RunConfig) -> float:
    """Return the model's arithmetic for one target token, the mean over the window's batches."""
    order = BatchOrder(corpus, plan.batch_tokens, config.training.seed)
    batches = chain.from_iterable(map(order.epoch, count()))
    pairs = np.concatenate(list(islice(batches, plan.warmup, plan.warmup + plan.updates)))
    lengths = Lengths.of(zip(corpus.src_lengths[pairs].tolist(), corpus.tgt_lengths[pairs].tolist()))
    model = config.model
    layers = model.n_encoder_layers, model.n_decoder_layers
    return training_flop(Shape(model.d_model, model.d_ff, *layers, plan.vocabulary_size), lengths) / lengths.tgt


def in_child(plan: Plan, folder: Path) -> Row:
    """Measure in a process of its own; a failure becomes a row that says so."""
    environment = os.environ | {"CLEARHEAD_CACHE": str(folder / "cache")}
    command = [sys.executable, __file__, "--child", json.dumps(asdict(plan)), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return Row(failure=(done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    return Row(**json.loads(done.stdout.splitlines()[-1]))


# --- the command --------------------------------------------------------------------------------------------------

COLUMNS = {"model": -12, "batch": 8, "micro": 8, "tokens/s": 12, "tokens/update": 15, "s/update": 10}
COLUMNS |= {"TFLOP/s": 9, "of bf16": 9, "peak GB": 9}
HEAD = "".join(f"{name:<{-width}}" if width < 0 else f"{name:>{width}}" for name, width in COLUMNS.items())


def line(plan: Plan, row: Row, product: float) -> str:
    start = f"{plan.model:<12}{plan.batch_tokens:>8,}"
    if row.failure:
        return f"{start}  {row.failure}"
    speed = f"{row.held_tokens:>8,}{row.tokens_per_s:>12,.0f}{row.tokens_per_update:>15,.0f}{row.s_per_update:>10.4f}"
    return f"{start}{speed}{row.flop_per_s / 1e12:>9.3g}{row.flop_per_s / product:>9.1%}{row.peak_bytes / 1e9:>9.1f}"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=[*PRESETS, *QUICK_PRESETS], default=["paper-base", "paper-big"])
    parser.add_argument("--batch-tokens", nargs="+", type=int, default=[16_384, 32_768, 65_536])
    parser.add_argument("--micro-batch-tokens", default="auto", help="auto, whole (the batch), or a number")
    parser.add_argument("--pairs", type=int, default=150_000, help="of the synthetic corpus")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    return parser.parse_args()


def plans_of(options: argparse.Namespace) -> list[Plan]:
    micro = options.micro_batch_tokens
    micro = int(micro) if micro.isdigit() else micro
    if options.quick:
        precision = "fp32" if options.device == "cpu" else "bf16"
        return [Plan("tiny", 1024, micro, options.device, precision, 500, 1, 1, 1)]
    return [Plan(model, tokens, micro, options.device) for model in options.models for tokens in options.batch_tokens]


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(asdict(measure(Plan(**json.loads(sys.argv[2])), Path(sys.argv[3])))))
        return
    options = read_options()
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU that PyTorch can use; on a machine without one only --device cpu --quick makes sense")
    known = facts()
    if options.device == "cuda":
        known["gpu"] = torch.cuda.get_device_name()
    print_facts(known)
    size = 512 if options.quick else 8192
    products = {name: large_product(name, size, options.device) for name in ("fp32", "bf16")}
    print("large products: " + ", ".join(f"{name} {rate / 1e12:,.3g} TFLOP/s" for name, rate in products.items()))
    torch.cuda.empty_cache()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        synthesise(folder, *((1_000, 500) if options.quick else (options.pairs, WORDS)))
        print(HEAD, flush=True)
        for plan in plans_of(options):
            row = in_child(plan, folder)
            print(line(plan, row, products["bf16"]), flush=True)
            rows.append({**asdict(plan), **asdict(row), "of_bf16": row.flop_per_s / products["bf16"]})
    print(json.dumps({"benchmark": "gpu", **known, "products": products, "rows": rows}))


if __name__ == "__main__":
    main()
