"""How fast does clearhead train, and in how much memory, against what a user would pick instead?

    python benchmarks/training_speed.py              three rounds; a few minutes each, on an idle machine
    python benchmarks/training_speed.py --quick      a tiny model on a thousand pairs, to see that it runs

Each program trains the same model on the same raw text (Multi30K English-German) by its own command, one after the
other, round by round: 3+3 layers, d_model 256, 4 heads, d_ff 1024, pre-norm, three-way tied embeddings, 8,000 tokens of
joint vocabulary, batches of 4096 tokens, label smoothing 0.1, Adam. Number format and threads are what each chooses.

A program's speed is target tokens per second in a window of updates after a warm-up. Both programs report, every few
updates, the target tokens per second since their last report, the end of sentence counted and padding not
(clearhead: Progress in log.jsonl; JoeyNMT: "Tokens per Sec" in train.log, from the non-padding positions of its shifted
target). The window's tokens are the sum of rate x time between reports, whose times come from the same two logs. So
reading, cutting and padding of batches count for both; start, vocabulary and validation for neither. A token is not the
same in both vocabularies: pairs per second are those tokens divided by a training pair's mean target tokens.

Peak memory is that of the whole child process (ru_maxrss), from its start to its end, shared libraries included; a
validation lies at the end of clearhead's, none in JoeyNMT's. JoeyNMT has one dropout, which also falls on attention
weights and inside the feed-forward network; the small preset's does not, so clearhead is measured with both.

JoeyNMT lives in an environment of its own:

    python -m venv bench-envs/joeynmt
    bench-envs/joeynmt/bin/pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata sentencepiece==0.2.0

Prints a table a round, medians and, last, one line of JSON. Linux only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from clearhead.device import processor_flags, processor_name
from clearhead.runs.log import read_log
from clearhead.text.corpus import read_lines
from clearhead.text.tokenizer import Tokenizer
from clearhead.version import __version__

ROOT = Path(__file__).parents[1]
JOEYNMT = ROOT / "bench-envs" / "joeynmt" / "bin" / "python"
SRC, TGT = "en", "de"
TARGET_RATIO = 8.0
REPORT_EVERY = 5  # updates; warm-up and window are multiples of it
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Recipe:
    """What is trained; the defaults are the small preset's sizes."""

    d_model: int = 256
    d_ff: int = 1024
    n_heads: int = 4
    n_layers: int = 3
    dropout: float = 0.1
    vocabulary_size: int = 8000
    batch_tokens: int = 4096
    label_smoothing: float = 0.1
    learning_rate: float = 0.001
    warmup_steps: int = 1000


QUICK = Recipe(d_model=32, d_ff=64, n_heads=2, n_layers=1, vocabulary_size=500, batch_tokens=512)


@dataclass(frozen=True)
class Task:
    """One training of one program.

    data: folder of train.en, train.de, val.en, val.de; work: an empty folder; warmup, updates: the window's.
    """

    recipe: Recipe
    data: Path
    work: Path
    seed: int
    warmup: int
    updates: int


class Report(NamedTuple):
    """What a program says of itself; tokens_per_s: target tokens a second since the report before."""

    step: int
    at_s: float
    tokens_per_s: float


@dataclass(frozen=True)
class Measured:
    """What one training showed within its window (peak_bytes: from its start to its end)."""

    precision: str
    tokens_per_s: float
    tokens_per_update: float
    s_per_update: float
    tokens_per_pair: float
    pairs_per_s: float
    peak_bytes: int


# --- what every program needs -------------------------------------------------------------------------------------


def run(command: list[str], work: Path, output: str = "output.txt") -> int:
    """Run ``command`` in ``work`` and return its peak memory in bytes; end everything if it fails."""
    environment = os.environ | {"CLEARHEAD_CACHE": str(work / "cache")}
    with open(work / output, "wb") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, cwd=work, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{(work / output).read_text()[-3000:]}\n{' '.join(command)}: exit {process.returncode}")
    return usage.ru_maxrss * 1024


def measured(task: Task, reports: list[Report], precision: str, tokens_per_pair: float, peak_bytes: int) -> Measured:
    """Return what ``reports`` say of the window, the updates after ``task.warmup``."""
    end = task.warmup + task.updates
    window = [report for report in reports if task.warmup <= report.step <= end]
    if [report.step for report in window] != list(range(task.warmup, end + 1, REPORT_EVERY)):
        sys.exit(f"reports of steps {[report.step for report in reports]}: the window is not covered")
    seconds = window[-1].at_s - window[0].at_s
    tokens = sum(late.tokens_per_s * (late.at_s - early.at_s) for early, late in pairwise(window))
    rate = tokens / seconds
    per_update = tokens / task.updates, seconds / task.updates
    return Measured(precision, rate, *per_update, tokens_per_pair, rate / tokens_per_pair, peak_bytes)


# --- clearhead ----------------------------------------------------------------------------------------------------


def clearhead(task: Task, more: tuple[str, ...] = ()) -> Measured:
    """Measure ``clearhead train``; ``more``: settings beyond the task's."""
    command = [sys.executable, "-m", "clearhead", "train", "--out", "run"]
    for flag, file in (("", "train"), ("valid-", "val")):
        command += [f"--{flag}src", str(task.data / f"{file}.{SRC}"), f"--{flag}tgt", str(task.data / f"{file}.{TGT}")]
    for setting in (*clearhead_settings(task), *more):
        command += ["--set", setting]
    peak = run(command, task.work)
    events = read_log(task.work / "run" / "log.jsonl")
    precision = next(event["precision"] for event in events if event["event"] == "Started")
    said = [event for event in events if event["event"] == "Progress"]
    reports = [Report(event["step"], event["elapsed_s"], event["tokens_per_s"]) for event in said]
    tokenizer = Tokenizer.from_json((task.work / "run" / "tokenizer.json").read_text(encoding="utf-8"))
    lines = [text for _, text in read_lines(task.data / f"train.{TGT}")]
    tokens_per_pair = sum(len(ids) + 1 for ids in tokenizer.encode_batch(lines)) / len(lines)
    return measured(task, reports, precision, tokens_per_pair, peak)


def clearhead_settings(task: Task) -> list[str]:
    recipe, steps = task.recipe, task.warmup + task.updates
    return [
        f"tokenizer.vocabulary_size={recipe.vocabulary_size}",
        f"model.d_model={recipe.d_model}",
        f"model.d_ff={recipe.d_ff}",
        f"model.n_heads={recipe.n_heads}",
        f"model.n_encoder_layers={recipe.n_layers}",
        f"model.n_decoder_layers={recipe.n_layers}",
        f"model.dropout={recipe.dropout}",
        "model.norm=pre",
        "model.tie=three-way",
        f"training.seed={task.seed}",
        f"training.max_steps={steps}",
        f"training.batch_tokens={recipe.batch_tokens}",
        "training.optimizer=adam",
        "training.schedule=inverse-sqrt",
        f"training.learning_rate={recipe.learning_rate}",
        f"training.warmup_steps={recipe.warmup_steps}",
        f"training.label_smoothing={recipe.label_smoothing}",
        f"training.log_every={REPORT_EVERY}",
        f"training.validate_every={steps}",
        f"training.checkpoint_every={steps}",
    ]


# --- JoeyNMT ------------------------------------------------------------------------------------------------------

JOEYNMT_VOCABULARY = """
import sys
import sentencepiece

size, *files = sys.argv[1:]
sentencepiece.SentencePieceTrainer.train(
    input=",".join(files), model_prefix="subwords", vocab_size=int(size), character_coverage=1.0, minloglevel=2,
    unk_id=0, pad_id=1, bos_id=2, eos_id=3,
)
model = sentencepiece.SentencePieceProcessor(model_file="subwords.model")
with open("vocabulary.txt", "w", encoding="utf-8") as file:
    file.writelines(f"{model.id_to_piece(i)}\\n" for i in range(len(model)))
with open(files[-1], encoding="utf-8", newline="\\n") as file:
    lengths = [len(ids) + 1 for ids in model.encode(list(file))]
print(sum(lengths) / len(lengths))
"""
"""Makes a vocabulary with JoeyNMT's special tokens in their places; prints the last file's mean tokens a line."""
JOEYNMT_REPORT = re.compile(r"^(\S+ [\d:]+,\d+) .* Step: +(\d+),.* Tokens per Sec: +(\d+),", re.MULTILINE)


def joeynmt(task: Task) -> Measured:
    """Measure ``joeynmt train``."""
    files = [str(task.data / f"train.{language}") for language in (SRC, TGT)]
    run([str(JOEYNMT), "-c", JOEYNMT_VOCABULARY, str(task.recipe.vocabulary_size), *files], task.work, "tokens.txt")
    tokens_per_pair = float((task.work / "tokens.txt").read_text().split()[-1])
    (task.work / "config.yaml").write_text(json.dumps(joeynmt_config(task)))  # JSON is YAML
    peak = run([str(JOEYNMT), "-m", "joeynmt", "train", "config.yaml", "--skip-test"], task.work)
    log = (task.work / "model" / "train.log").read_text(encoding="utf-8")
    return measured(task, joeynmt_reports(log), "fp32", tokens_per_pair, peak)


def joeynmt_reports(log: str) -> list[Report]:
    return [
        Report(int(step), datetime.strptime(time, "%Y-%m-%d %H:%M:%S,%f").timestamp(), float(rate))
        for time, step, rate in JOEYNMT_REPORT.findall(log)
    ]


def joeynmt_config(task: Task) -> dict[str, object]:
    recipe, steps = task.recipe, task.warmup + task.updates
    side = {
        "level": "bpe",  # JoeyNMT's word for any subwords
        "max_length": 100,
        "voc_limit": recipe.vocabulary_size,
        "voc_file": "vocabulary.txt",
        "tokenizer_type": "sentencepiece",
        "tokenizer_cfg": {"model_file": "subwords.model"},
    }
    stack = {
        "type": "transformer",
        "num_layers": recipe.n_layers,
        "num_heads": recipe.n_heads,
        "embeddings": {"embedding_dim": recipe.d_model, "scale": True, "dropout": 0.0},
        "hidden_size": recipe.d_model,
        "ff_size": recipe.d_ff,
        "dropout": recipe.dropout,
        "layer_norm": "pre",
    }
    training = {
        "optimizer": "adam",
        "adam_betas": [0.9, 0.98],
        "scheduling": "warmupinversesquareroot",
        "learning_rate": recipe.learning_rate,
        "learning_rate_warmup": recipe.warmup_steps,
        "loss": "crossentropy",
        "normalization": "tokens",
        "label_smoothing": recipe.label_smoothing,
        "batch_type": "token",
        "batch_size": recipe.batch_tokens,
        "epochs": 1,
        "updates": steps,
        "logging_freq": REPORT_EVERY,
        "validation_freq": 1_000_000,
        "print_valid_sents": [],
        "shuffle": True,
    }
    return {
        "name": "training-speed",
        "model_dir": "model",
        "use_cuda": False,
        "fp16": False,
        "random_seed": task.seed,
        "data": {
            "dataset_type": "plain",
            "train": str(task.data / "train"),
            "dev": str(task.data / "val"),
            "src": {"lang": SRC, **side},
            "trg": {"lang": TGT, **side},
            "special_symbols": {"unk_id": 0, "pad_id": 1, "bos_id": 2, "eos_id": 3},
        },
        "testing": {"beam_size": 1, "batch_type": "token", "batch_size": 1024, "eval_metrics": ["bleu"]},
        "training": training,
        "model": {
            "initializer": "xavier_uniform",
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": stack,
            "decoder": stack,
        },
    }


# --- the comparison -----------------------------------------------------------------------------------------------

SAME_DROPOUT = ("model.attention_dropout=0.1", "model.feed_forward_dropout=0.1")
PROGRAMS: dict[str, Callable[[Task], Measured]] = {
    "clearhead": clearhead,
    "clearhead, dropout as JoeyNMT's": partial(clearhead, more=SAME_DROPOUT),
    "JoeyNMT": joeynmt,
}
"""In the order in which they run in each round. Another peer is one more function from Task to Measured."""
PEERS = ("JoeyNMT",)


def versions() -> dict[str, str]:
    """Return the versions that the figures depend on, each environment's own."""
    found = {"python": platform.python_version(), "clearhead": __version__}
    found |= {name: importlib.metadata.version(name) for name in ("torch", "tokenizers")}
    names = ("joeynmt", "torch", "sentencepiece")
    ask = f"from importlib.metadata import version; print(*map(version, {names}))"
    answer = subprocess.run([str(JOEYNMT), "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    return found | {f"joeynmt's {name}": version for name, version in zip(names, answer)}


def machine() -> dict[str, object]:
    return {
        "processor": processor_name(),
        "features": [feature for feature in FEATURES if feature in processor_flags()],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    }


def find_data(given: Path | None) -> Path:
    """Return the folder of Multi30K's raw text."""
    folder = given or Path(os.environ.get("CLEARHEAD_DATA", ROOT.parent / "shared" / "data")) / "multi30k-en-de"
    if not (folder / f"train.{TGT}").exists():
        sys.exit(f"no train.{SRC} and train.{TGT} in {folder}; clearhead data multi30k --to {folder}, or name --data")
    return folder.resolve()


def first_lines(data: Path, folder: Path, count: int) -> Path:
    """Copy the first ``count`` lines of each file into ``folder``."""
    for name in (f"{split}.{language}" for split in ("train", "val") for language in (SRC, TGT)):
        with open(data / name, encoding="utf-8", newline="\n") as file:
            (folder / name).write_text("".join(islice(file, count)), encoding="utf-8")
    return folder


def one_round(number: int, recipe: Recipe, data: Path, warmup: int, updates: int) -> dict[str, Measured]:
    """Train with each program in turn; the round's number is the seed, so that each round has other batches."""
    print(f"\nround {number}; load average before it {' '.join(f'{load:.2f}' for load in os.getloadavg())}")
    print(f"{'':32}{'tokens/s':>10}{'pairs/s':>9}{'tokens/update':>15}{'s/update':>10}{'peak MB':>9}  format")
    found = {}
    for name, program in PROGRAMS.items():
        with tempfile.TemporaryDirectory() as work:
            found[name] = program(Task(recipe, data, Path(work), number, warmup, updates))
        print(line(name, found[name]), flush=True)
    return found


def line(name: str, one: Measured) -> str:
    speed = (
        f"{one.tokens_per_s:>10,.0f}{one.pairs_per_s:>9,.1f}{one.tokens_per_update:>15,.0f}{one.s_per_update:>10.3f}"
    )
    return f"{name:<32}{speed}{one.peak_bytes / 1e6:>9,.0f}  {one.precision}"


def medians(rounds: list[dict[str, Measured]]) -> dict[str, dict[str, float]]:
    """Return each program's median of every figure."""
    figures = [name for name in Measured.__dataclass_fields__ if name != "precision"]
    return {
        name: {figure: median(getattr(each[name], figure) for each in rounds) for figure in figures}
        for name in rounds[0]
    }


def ratios(middle: dict[str, dict[str, float]], figure: str) -> dict[str, dict[str, float]]:
    """Return how many times each peer's ``figure`` every way of clearhead's is."""
    ours = [name for name in middle if name not in PEERS]
    return {peer: {name: middle[name][figure] / middle[peer][figure] for name in ours} for peer in PEERS}


def summary(middle: dict[str, dict[str, float]], formats: dict[str, str]) -> dict[str, dict[str, dict[str, float]]]:
    """Print the medians and what they are as multiples of the peers'; return the multiples by figure."""
    for name, figures in middle.items():
        print(line(name, Measured(formats[name], **figures)))
    times = {figure: ratios(middle, figure) for figure in ("tokens_per_s", "pairs_per_s", "peak_bytes")}
    for peer in PEERS:
        for name in times["tokens_per_s"][peer]:
            tokens, pairs, memory = (times[figure][peer][name] for figure in times)
            print(f"{name}: {tokens:.2f} times {peer}'s target tokens a second (target {TARGET_RATIO:g} times),")
            print(f"    {pairs:.2f} times its pairs a second, {memory:.2f} times its peak memory")
    return times


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=5, help=f"updates before the window, in {REPORT_EVERY}s")
    parser.add_argument("--updates", type=int, default=20, help=f"updates in the window, in {REPORT_EVERY}s")
    parser.add_argument("--data", type=Path, help="folder of train.en, train.de, val.en, val.de")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.warmup, options.updates = 1, REPORT_EVERY, REPORT_EVERY
    if any(number < REPORT_EVERY or number % REPORT_EVERY for number in (options.warmup, options.updates)):
        parser.error(f"--warmup and --updates are multiples of {REPORT_EVERY}")
    if not JOEYNMT.exists():
        sys.exit(f"no {JOEYNMT.relative_to(ROOT)}: --help says how to make it")
    return options


def main() -> None:
    options = read_options()
    facts = {"command": " ".join(["python", *sys.argv]), "machine": machine(), "versions": versions()}
    for name, fact in facts.items():
        print(f"{name:<10}{fact if isinstance(fact, str) else json.dumps(fact)}")
    print(f"{'window':<10}{options.updates} updates after {options.warmup}")
    data, recipe, load = find_data(options.data), Recipe(), os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            data, recipe = first_lines(data, Path(folder), 1000), QUICK
        numbers = range(1, options.rounds + 1)
        rounds = [one_round(number, recipe, data, options.warmup, options.updates) for number in numbers]
    print(f"\nmedians of {options.rounds}")
    middle = medians(rounds)
    times = summary(middle, {name: one.precision for name, one in rounds[0].items()})
    result = {
        "benchmark": "training_speed",
        **facts,
        "load_average": load,
        "recipe": asdict(recipe),
        "warmup": options.warmup,
        "updates": options.updates,
        "rounds": [{name: asdict(one) for name, one in each.items()} for each in rounds],
        "medians": middle,
        "ratio": times,
        "target_ratio": TARGET_RATIO,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
