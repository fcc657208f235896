"""How much memory does a large corpus cost before training takes its first step?

    python benchmarks/memory.py                      5 million synthetic pairs: open them, plan an epoch, take batches
    python benchmarks/memory.py --train              the same through the command: two steps of clearhead train
    python benchmarks/memory.py --pairs 300000       a smaller corpus

What counts is anonymous memory (RssAnon of /proc/PID/status: mapped pages do not count), sampled every 10 ms in a child
process, at its peak, on the first start (which tokenises) and on the second (which does not). The model, torch and the
tokenizer cost the same whatever the corpus, so each start is done on a small corpus too, and the difference is what the
pairs cost. The target is 1.5 GB for 5 million pairs. Prints a table and one JSON line. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

TARGET_BYTES = 1_500_000_000
SMALL_PAIRS = 50_000  # more than one chunk of the tokenising, so that its fixed cost is in both
WORDS = 3_000
MEAN_WORDS = 14
BATCH_TOKENS = 8192


# --- the corpus ---------------------------------------------------------------------------------------------------


def synthesise(folder: Path, pairs: int, seed: int = 1) -> None:
    """Write ``pairs`` lines to train.src and train.tgt, and 50 of them to valid.src and valid.tgt."""
    random = np.random.default_rng(seed)
    syllables = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
    for side in ("src", "tgt"):
        words = np.array(["".join(random.choice(syllables, random.integers(1, 5))) for _ in range(WORDS)], object)
        lengths = 1 + np.random.default_rng(seed + 1).poisson(MEAN_WORDS - 1, pairs)  # the same on both sides
        with open(folder / f"train.{side}", "w") as train, open(folder / f"valid.{side}", "w") as valid:
            for start in range(0, pairs, 100_000):
                counts = lengths[start : start + 100_000]
                drawn = words[np.minimum(random.zipf(1.3, counts.sum()) - 1, WORDS - 1)].tolist()
                ends = np.cumsum(counts).tolist()
                lines = [" ".join(drawn[i:j]) for i, j in zip([0, *ends], ends)]
                train.writelines(f"{line}\n" for line in lines)
                if not start:
                    valid.writelines(f"{line}\n" for line in lines[:50])


# --- what is measured ---------------------------------------------------------------------------------------------


def first_batches(folder: Path) -> dict[str, float]:
    """Do what training does with the corpus before its first step, and say how long each part took."""
    from clearhead.config import DataConfig, ParallelFiles
    from clearhead.data.batch import collate
    from clearhead.data.corpus import open_corpora
    from clearhead.data.order import BatchOrder, micro_batches
    from clearhead.text.tokenizer import Tokenizer, TokenizerPair

    tokenizer = Tokenizer.from_json((folder / "tokenizer.json").read_text())
    files = [ParallelFiles(src=f"{split}.src", tgt=f"{split}.tgt") for split in ("train", "valid")]
    config = DataConfig(root=str(folder), sources=(files[0],), valid=(files[1],))
    began = time.perf_counter()
    corpora = open_corpora(config, TokenizerPair(tokenizer, tokenizer), folder / "cache", seed=1)
    opened = time.perf_counter()
    batches = BatchOrder(corpora.train, BATCH_TOKENS, seed=1).epoch(0)
    planned = time.perf_counter()
    for batch in batches[:50]:
        for piece in micro_batches(batch, corpora.train, BATCH_TOKENS // 2):
            collate(corpora.train, piece, tokenizer.pad_id, tokenizer.decoder_start_id)
    collated = time.perf_counter()
    return {
        "open_s": opened - began,
        "plan_s": planned - opened,
        "batch_ms": (collated - planned) / min(50, len(batches)) * 1000,
        "batches": len(batches),
    }


def learn_tokenizer(folder: Path) -> None:
    from clearhead.config import TokenizerConfig
    from clearhead.text.corpus import read_lines
    from clearhead.text.tokenizer import Tokenizer

    lines = (line for side in ("src", "tgt") for _, line in islice(read_lines(folder / f"train.{side}"), 1000))
    (folder / "tokenizer.json").write_text(Tokenizer.train(lines, TokenizerConfig(vocabulary_size=1000)).to_json())


def peak_of(command: list[str]) -> tuple[int, float, str]:
    """Run ``command`` and return its peak of anonymous memory in bytes, its seconds, and what it printed."""
    began, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as printed, subprocess.Popen(command, stdout=printed) as process:
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(0.01)
        if process.returncode:
            sys.exit(f"{' '.join(command)}: exit {process.returncode}")
        printed.seek(0)
        return peak, time.perf_counter() - began, printed.read()


def anonymous_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")), 0)


def starts(folder: Path, train: bool) -> dict[str, dict[str, float]]:
    """Return the figures of the first and of the second start on the corpus in ``folder``."""
    os.environ["CLEARHEAD_CACHE"] = str(folder / "cache")
    found = {}
    for start in ("first", "second"):
        command = train_command(folder, start) if train else [sys.executable, __file__, "--child", str(folder)]
        peak, seconds, printed = peak_of(command)
        found[start] = {"peak_bytes": peak, "seconds": seconds, **({} if train else json.loads(printed))}
    return found


def train_command(folder: Path, start: str) -> list[str]:
    """Two steps of the tiny preset; on the second start two more, resumed."""
    command = [str(Path(sys.executable).with_name("clearhead")), "train", "--out", str(folder / "run")]
    if start == "second":
        return [*command, "--resume", "--set", "training.max_steps=4"]
    for flag in ("src", "tgt"):
        command += [f"--{flag}", str(folder / f"train.{flag}"), f"--valid-{flag}", str(folder / f"valid.{flag}")]
    settings = ["training.max_steps=2", "training.validate_sentences=1", "tokenizer.vocabulary_size=1000"]
    settings.append(f"training.batch_tokens={BATCH_TOKENS}")
    return [*command, "--preset", "tiny", *(word for setting in settings for word in ("--set", setting))]


def measure(pairs: int, work: Path, train: bool = False) -> dict[str, object]:
    """Return what ``pairs`` pairs cost over ``SMALL_PAIRS``, for either start."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, count in (("small", SMALL_PAIRS), ("large", pairs)):
        folder = work / name
        folder.mkdir()
        synthesise(folder, count)
        learn_tokenizer(folder)
        figures[name] = starts(folder, train)
        shutil.rmtree(folder)
    costs = {at: figures["large"][at]["peak_bytes"] - figures["small"][at]["peak_bytes"] for at in ("first", "second")}
    return {"pairs": pairs, "small_pairs": SMALL_PAIRS, "cost_bytes": costs, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5_000_000)
    parser.add_argument("--train", action="store_true", help="measure clearhead train")
    parser.add_argument("--work", type=Path, default=None, help="folder for the corpus, about 300 bytes a pair")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(first_batches(options.child)))
        return

    with tempfile.TemporaryDirectory(dir=options.work) as work:
        result = measure(options.pairs, Path(work), options.train)
    versions = {name: __import__(name).__version__ for name in ("torch", "numpy", "tokenizers")}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
    result |= {"command": " ".join(sys.argv), "machine": machine, "python": platform.python_version(), **versions}
    print(f"{'start':8}{'pairs':>12}{'peak MB':>10}{'seconds':>9}  parts")
    for start in ("first", "second"):
        for name, pairs in (("small", SMALL_PAIRS), ("large", options.pairs)):
            figures = dict(result[name][start])
            peak, seconds = figures.pop("peak_bytes") / 1e6, figures.pop("seconds")
            parts = "  ".join(f"{part} {value:,.2f}" for part, value in figures.items())
            print(f"{start:8}{pairs:12,}{peak:10,.0f}{seconds:9.1f}  {parts}")
        cost = result["cost_bytes"][start]
        print(f"{'':8}the pairs cost {cost / 1e6:,.0f} MB, {cost / (options.pairs - SMALL_PAIRS):.0f} bytes a pair")
    print(f"target for 5,000,000 pairs: {TARGET_BYTES / 1e6:,.0f} MB")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
