"""What do a larger corpus, longer sentences, and more threads or processes cost in training?

    python benchmarks/training_cost.py                        everything: 60 to 90 minutes, on an idle machine
    python benchmarks/training_cost.py --parts corpora        10^4 to 10^7 pairs; most of the time is writing and
                                                              tokenising the largest: 40 minutes, 4 GB of disk
    python benchmarks/training_cost.py --parts lengths        sentences of 32 to 2,048 tokens; 15 minutes
    python benchmarks/training_cost.py --parts parallel       1 and 2 threads, 1 and 2 processes; 8 minutes
    python benchmarks/training_cost.py --quick                a tiny model, two updates: to see that it runs; 2 minutes

Each row is one ``clearhead train`` of the small preset from its start to its end on synthetic text. Speed is target
tokens per second in a window of updates after a warm-up, from the run's log.jsonl. Peak memory is anonymous memory
(RssAnon: mapped pages do not count), sampled every 20 ms and summed over the training's processes. Start is the time
until the training says that it begins: learning the vocabulary and tokenising.

- corpora: sentences of 14 words on average (as memory.py makes them). Speed and memory should be flat.
- lengths: all sentences of one length, the same tokens in each batch and micro-batch. Attention's weights,
  B x H x L x L, grow with the length even so: beside the peak stands what those of one attention layer would take.
  Where attention is linear in memory the peak stays flat.
- parallel: sentences of 32 tokens; threads by --threads, processes of one thread each by torchrun. A way that fails is
  said and left out.

Prints a table a part and one line of JSON, which also holds what came before a failure. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from machine import facts, print_facts
from memory import anonymous_bytes, synthesise
from runlog import reports_of, window_of

from clearhead.runs.log import read_log

PAIRS = (10_000, 100_000, 1_000_000, 10_000_000)
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
EVERY_WORD_A_TOKEN = 324 + 27 + 26 + 26 * 26
"""Vocabulary: bytes and specials, letters and space, space with letter, space with both letters."""


@dataclass(frozen=True)
class Plan:
    """What every row has in common. layers: of encoder and decoder each; report_every divides warmup and updates."""

    d_model: int = 256
    d_ff: int = 1024
    n_heads: int = 4
    layers: int = 3
    batch_tokens: int = 8192
    warmup: int = 5
    updates: int = 20
    report_every: int = 5

    @property
    def steps(self) -> int:
        return self.warmup + self.updates


QUICK = Plan(d_model=32, d_ff=64, n_heads=2, layers=1, batch_tokens=512, warmup=1, updates=1, report_every=1)


@dataclass(frozen=True)
class Row:
    """One training. tokens: target tokens an update; seconds: its whole time; failure: what it said, "" if it ran."""

    name: str
    tokens_per_s: float = 0.0
    tokens: float = 0.0
    peak_bytes: int = 0
    start_s: float = 0.0
    seconds: float = 0.0
    precision: str = ""
    failure: str = ""


# --- text ---------------------------------------------------------------------------------------------------------


def equal_sentences(folder: Path, length: int, pairs: int, seed: int = 1) -> None:
    """Write train.* with ``pairs`` sentences of ``length`` tokens each, end of sentence counted, and a short valid.*.

    Words of two letters, all equally frequent: with ``EVERY_WORD_A_TOKEN`` each is one token. Validation decodes, and
    is no part of what is measured: its sentences are short.
    """
    random = np.random.default_rng(seed)
    words = np.array([one + other for one in LETTERS for other in LETTERS])
    for side in ("src", "tgt"):
        for split, count, size in (("train", pairs, length - 1), ("valid", 4, 8)):
            with open(folder / f"{split}.{side}", "w") as file:
                for _ in range(count):
                    file.write(" ".join(words[random.integers(0, len(words), size)]) + "\n")


# --- one training -------------------------------------------------------------------------------------------------


def command(folder: Path, plan: Plan, settings: list[str], threads: int | None, processes: int | None) -> list[str]:
    """Return the command that trains on ``folder``; with ``processes``, through torchrun."""
    python = [sys.executable]
    if processes:
        python += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    words = [*python, "-m", "clearhead", "train", "--out", str(folder / "run"), "--device", "cpu"]
    for flag in ("src", "tgt"):
        words += [f"--{flag}", str(folder / f"train.{flag}"), f"--valid-{flag}", str(folder / f"valid.{flag}")]
    words += ["--threads", str(threads)] if threads else []
    own = [
        f"model.d_model={plan.d_model}",
        f"model.d_ff={plan.d_ff}",
        f"model.n_heads={plan.n_heads}",
        f"model.n_encoder_layers={plan.layers}",
        f"model.n_decoder_layers={plan.layers}",
        "model.dropout=0.1",
        f"training.batch_tokens={plan.batch_tokens}",
        f"training.max_steps={plan.steps}",
        f"training.log_every={plan.report_every}",
        f"training.validate_every={plan.steps}",
        f"training.checkpoint_every={plan.steps}",
    ]
    return [*words, *(word for setting in (*own, *settings) for word in ("--set", setting))]


def train(name: str, words: list[str], folder: Path, plan: Plan) -> Row:
    """Run ``words`` and return what the training in ``folder``/run cost."""
    environment = os.environ | {"CLEARHEAD_CACHE": str(folder / "cache")}
    began, peak, unix = time.perf_counter(), 0, time.time()
    with open(folder / "output.txt", "wb") as printed:
        process = subprocess.Popen(words, stdout=printed, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            peak = max(peak, sum(map(anonymous_bytes, leaves(process.pid))))
            time.sleep(0.02)
    seconds = time.perf_counter() - began
    if process.returncode:
        said = (folder / "output.txt").read_text(errors="replace").strip().splitlines()
        return Row(name, seconds=seconds, failure=f"exit {process.returncode}: {failure_of(said)}")
    log = folder / "run" / "log.jsonl"
    started = next(event for event in read_log(log) if event["event"] == "Started")
    window = window_of(reports_of(log), plan.warmup, plan.steps, plan.report_every)
    per_update = window.tokens / window.updates
    start_s = started["time"] - unix
    return Row(name, window.tokens_per_s, per_update, peak, start_s, seconds, started["precision"])


def leaves(pid: int) -> list[int]:
    """Return the processes under ``pid`` that have none under them: torchrun's, or the one itself."""
    try:
        children = [
            int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
    except OSError:  # it has just ended
        return [pid]
    return [leaf for child in children for leaf in leaves(child)] or [pid]


def failure_of(said: list[str]) -> str:
    """Return the first line that begins with an error's name, else the last one; torchrun tells its own story after."""
    return next(
        (text for text in said if re.match(r"(?!torch\.distributed)(\[rank\d+\]: *)?[\w.]*[Ee]rror\b", text)),
        "".join(said[-1:]),
    )


# --- the three parts ----------------------------------------------------------------------------------------------


def corpora(plan: Plan, sizes: list[int], work: Path | None) -> list[Row]:
    rows = []
    for pairs in sizes:
        with tempfile.TemporaryDirectory(dir=work) as temporary:
            folder = Path(temporary)
            synthesise(folder, pairs)
            words = command(folder, plan, ["tokenizer.vocabulary_size=1000"], None, None)
            rows.append(shown(train(f"{pairs:,}", words, folder, plan)))
    return rows


def lengths(plan: Plan, sizes: list[int], work: Path | None) -> list[Row]:
    rows = []
    for length in sizes:
        with tempfile.TemporaryDirectory(dir=work) as temporary:
            folder = Path(temporary)
            held = f"training.micro_batch_tokens={plan.batch_tokens}"  # not what would fit: that goes by the length
            words = command(folder, plan, [*equal_settings(folder, plan, length), held], None, None)
            row = train(f"{length:,}", words, folder, plan)
            rows.append(shown(row, f"{weights_bytes(plan, length) / 1e6:,.0f}"))
    return rows


def parallel(plan: Plan, sizes: list[int], work: Path | None) -> list[Row]:
    """Train with as many threads, then with as many processes, as ``sizes`` says."""
    rows: list[Row] = []
    ways = [(f"{size} threads", size, None) for size in sizes] + [(f"{size} processes", 1, size) for size in sizes]
    for name, threads, processes in ways:
        with tempfile.TemporaryDirectory(dir=work) as temporary:
            folder = Path(temporary)
            words = command(folder, plan, equal_settings(folder, plan, 32), threads, processes)
            row = train(name, words, folder, plan)
            rows.append(row)
            first = rows[0].tokens_per_s
            shown(row, f"{row.tokens_per_s / first:.2f}" if first else "")
    return rows


def equal_settings(folder: Path, plan: Plan, length: int) -> list[str]:
    """Write sentences of ``length`` tokens, enough for the plan and for every word; return what to set for them."""
    equal_sentences(folder, length, max(plan.steps * plan.batch_tokens, 40_000) // length + 1)
    return [
        f"tokenizer.vocabulary_size={EVERY_WORD_A_TOKEN}",
        f"data.max_tokens={length}",  # a word of two tokens would make its sentence too long, and show at once
        f"model.max_positions={max(length, 64)}",
    ]


def weights_bytes(plan: Plan, length: int) -> int:
    """Return what the attention weights of one layer take in fp32 if they are held: B x H x L x L, B x L the batch."""
    return 4 * (plan.batch_tokens // length) * plan.n_heads * length * length


PARTS: dict[str, tuple[Callable[[Plan, list[int], Path | None], list[Row]], str, str]] = {
    "corpora": (corpora, "pairs", ""),
    "lengths": (lengths, "tokens", "weights MB"),
    "parallel": (parallel, "", "of the first"),
}
"""By name: what it does, and the heads of its first and last column."""


def head(first: str, last: str) -> str:
    return f"{first:<14}{'tokens/s':>10}{'tokens/update':>15}{'peak MB':>9}{'start s':>9}{'all s':>8}{last:>14}  format"


def shown(row: Row, last: str = "") -> Row:
    """Print a row as soon as it is there."""
    if row.failure:
        print(f"{row.name:<14}{row.failure}", flush=True)
    else:
        figures = f"{row.tokens_per_s:>10,.0f}{row.tokens:>15,.0f}{row.peak_bytes / 1e6:>9,.0f}{row.start_s:>9,.1f}"
        print(f"{row.name:<14}{figures}{row.seconds:>8,.1f}{last:>14}  {row.precision}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pairs", nargs="+", type=int, default=list(PAIRS))
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2], help="threads, and processes")
    parser.add_argument("--work", type=Path, help="folder for the corpora, about 300 bytes a pair")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args()
    plan = QUICK if options.quick else Plan()
    if options.quick:
        options.pairs, options.lengths = [1_000, 2_000], [32, 256]
    sizes = {"corpora": options.pairs, "lengths": options.lengths, "parallel": options.workers}
    known = facts()
    print_facts(known)
    print(f"{'plan':<10}{json.dumps(asdict(plan))}")
    found: dict[str, list[Row]] = {}
    for part in options.parts:
        measure, first, last = PARTS[part]
        print(f"\n{part}\n{head(first, last)}", flush=True)
        found[part] = measure(plan, sizes[part], options.work)
    parts = {part: [asdict(row) for row in rows] for part, rows in found.items()}
    print(json.dumps({"benchmark": "training_cost", **known, "plan": asdict(plan), "parts": parts}))


if __name__ == "__main__":
    main()
