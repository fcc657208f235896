"""How fast does clearhead train, and in how much memory, against what a user would pick instead?

    python benchmarks/training_speed.py                      the small model: three rounds, about 4 minutes each
    python benchmarks/training_speed.py --model paper-base   the paper's base model: about 12 minutes a round in fp32 on
                                                             two cores without AMX; a third of it with AMX for clearhead
    python benchmarks/training_speed.py --peers marian torch --rounds 5 --bf16
    python benchmarks/training_speed.py --quick              a tiny model, two updates: to see that it runs; 2 minutes

Each program trains the same model on the same raw text (Multi30K English-German), one after the other, round by round:
3+3 layers, d_model 256, 4 heads, d_ff 1024, pre-norm ("small"), or 6+6, 512, 8, 2048, post-norm ("paper-base"); dropout
0.1, 8,000 tokens of joint vocabulary, batches of 4096 tokens (rows times longest side). The peers, each in an
environment of its own under bench-envs/, which is made where it is missing (a download, minutes):

- JoeyNMT 2.3.0 by its own command, with a vocabulary and batches of its own (peers/joeynmt.py);
- Hugging Face's MarianMTModel in a plain AdamW loop (peers/marian.py);
- torch.nn.Transformer as PyTorch's translation tutorial trains it (peers/torch_transformer.py).

The last two get the very batches that clearhead trains on, as token ids: sorted by length, with as little padding.
clearhead and JoeyNMT smooth the labels, which the others' users do not, and clearhead clips gradients and reads text:
it has the most to do. JoeyNMT and nn.Transformer have one dropout, which also falls on attention weights and inside the
feed-forward network; the paper's and Marian's do not, so clearhead is measured with both. Threads are what each
chooses. Number format: clearhead's own choice (bf16 where the processor multiplies it faster); the peers' is fp32, as
their documents train on a processor. --bf16 adds clearhead in fp32, and Marian and nn.Transformer under bf16 autocast;
only on such a processor, for elsewhere bf16 is slower.

A program's speed is target tokens per second in a window of updates after a warm-up. Every program reports, every few
updates, the target tokens per second since its last report, the end of sentence counted and padding not (clearhead:
Progress in log.jsonl; JoeyNMT: "Tokens per Sec" in train.log; the others: peers/plain_loop.py). The window's tokens are
the sum of rate x time between reports. Reading, cutting and padding of batches count; start, vocabulary and validation
do not. A token is not the same in JoeyNMT's vocabulary: pairs per second are those tokens divided by a training pair's
mean target tokens.

Peak memory is that of the whole training process (ru_maxrss), from its start to its end, shared libraries included; a
validation lies at the end of clearhead's, none in the others'.

Model arithmetic (arithmetic.py) with the real lengths of the window's batches gives each program's FLOP/s, and its
share of what a large fp32 and a large bf16 product reach on this machine, measured before each round. JoeyNMT's is
counted by the same mean pair.

Prints a table a round, medians and, last, one line of JSON. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

from arithmetic import Lengths, Shape, training_flop
from machine import facts, print_facts
from peers.itself import FP32, SAME_DROPOUT, clearhead
from peers.joeynmt import joeynmt
from peers.scripts import script
from peers.task import (
    ENVIRONMENTS,
    MODELS,
    QUICK,
    ROOT,
    SRC,
    TGT,
    Measured,
    Task,
    make_environment,
    versions_of,
)

from clearhead.device import fast_bf16

TARGET_RATIO = 14.0
HERE = Path(__file__).parent
WINDOWS = {"small": (5, 20), "paper-base": (5, 10)}
"""Updates of warm-up and window by model."""


@dataclass(frozen=True)
class Program:
    """One way to train. peer: its environment's name, or "" for clearhead itself."""

    measure: Callable[[Task], Measured]
    peer: str = ""
    with_bf16: bool = False
    """Whether it is measured only with --bf16."""


PROGRAMS: dict[str, Program] = {
    "clearhead": Program(clearhead),
    "clearhead, dropout everywhere": Program(partial(clearhead, more=SAME_DROPOUT)),
    "clearhead, fp32": Program(partial(clearhead, more=FP32), with_bf16=True),
    "JoeyNMT": Program(joeynmt, "joeynmt"),
    "Hugging Face Marian": Program(partial(script, peer="marian"), "marian"),
    "Hugging Face Marian, bf16": Program(partial(script, peer="marian", precision="bf16"), "marian", True),
    "torch.nn.Transformer": Program(partial(script, peer="torch"), "torch"),
    "torch.nn.Transformer, bf16": Program(partial(script, peer="torch", precision="bf16"), "torch", True),
}
"""In the order in which they run in each round. Another program is one more function from Task to Measured."""


def chosen_programs(peers: list[str], bf16: bool) -> dict[str, Program]:
    """Return the programs to run: clearhead's and those of ``peers``."""
    return {
        name: program
        for name, program in PROGRAMS.items()
        if program.peer in ("", *peers) and (bf16 or not program.with_bf16)
    }


# --- a round ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """What one round showed.

    products: FLOP/s of a large product by number format; flop_per_token: the model's arithmetic for a target token.
    """

    products: dict[str, float]
    flop_per_token: float
    programs: dict[str, Measured]


def one_round(task: Task, programs: dict[str, Program], product_size: int) -> Round:
    """Train with each program in turn; the round's number is the seed, so that each round has other batches."""
    print(f"\nround {task.seed}; load average before it {' '.join(f'{load:.2f}' for load in os.getloadavg())}")
    products = large_products(product_size)
    print("large products: " + ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in products.items()))
    print(HEAD)
    found = {}
    with tempfile.TemporaryDirectory() as prepared:
        task = replace(task, prepared=Path(prepared))
        child([str(HERE / "peers" / "prepare.py"), str(task.write(Path(prepared) / "task.json"))])
        flop_per_token = flop_per_target_token(task)
        for name, program in programs.items():
            with tempfile.TemporaryDirectory() as work:
                found[name] = program.measure(replace(task, work=Path(work)))
            print(line(name, found[name]), flush=True)
    return Round(products, flop_per_token, found)


def large_products(size: int) -> dict[str, float]:
    """Return the FLOP/s of a large product by number format, measured in a process of its own."""
    return json.loads(child([str(HERE / "arithmetic.py"), "--size", str(size)]))


def child(command: list[str]) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr[-3000:]}\n{' '.join(command)}: exit {done.returncode}")
    return done.stdout


def flop_per_target_token(task: Task) -> float:
    """Return the model's arithmetic for one target token, the mean over the window's batches."""
    recipe, lengths = task.recipe, Lengths(**task.facts()["window"])
    shape = Shape(recipe.d_model, recipe.d_ff, recipe.n_layers, recipe.n_layers, recipe.vocabulary_size)
    return training_flop(shape, lengths) / lengths.tgt


HEAD = f"{'':32}{'tokens/s':>10}{'pairs/s':>9}{'tokens/update':>15}{'s/update':>10}{'peak MB':>9}  format"


def line(name: str, one: Measured) -> str:
    speed = (
        f"{one.tokens_per_s:>10,.0f}{one.pairs_per_s:>9,.1f}{one.tokens_per_update:>15,.0f}{one.s_per_update:>10.3f}"
    )
    return f"{name:<32}{speed}{one.peak_bytes / 1e6:>9,.0f}  {one.precision}"


# --- the comparison -----------------------------------------------------------------------------------------------


def medians(rounds: list[dict[str, Measured]]) -> dict[str, dict[str, float]]:
    """Return each program's median of every figure."""
    figures = [name for name in Measured.__dataclass_fields__ if name != "precision"]
    return {
        name: {figure: median(getattr(each[name], figure) for each in rounds) for figure in figures}
        for name in rounds[0]
    }


def ratios(middle: dict[str, dict[str, float]], figure: str) -> dict[str, dict[str, float]]:
    """Return how many times each peer's ``figure`` every way of clearhead's is."""
    ours = [name for name in middle if not PROGRAMS[name].peer]
    peers = [name for name in middle if PROGRAMS[name].peer]
    return {peer: {name: middle[name][figure] / middle[peer][figure] for name in ours} for peer in peers}


def shares(rounds: list[Round]) -> dict[str, dict[str, float]]:
    """Return each program's model arithmetic, FLOP/s, and its share of either large product: medians over rounds."""
    rows = {
        name: [
            {"flop_per_s": rate, **{f"of_{kind}": rate / product for kind, product in each.products.items()}}
            for each in rounds
            for rate in [each.flop_per_token * each.programs[name].tokens_per_s]
        ]
        for name in rounds[0].programs
    }
    return {name: {figure: median(row[figure] for row in each) for figure in each[0]} for name, each in rows.items()}


def summary(rounds: list[Round]) -> dict[str, object]:
    """Print medians, arithmetic and what they are as multiples of the peers'; return them."""
    programs = [each.programs for each in rounds]
    middle, arithmetic = medians(programs), shares(rounds)
    print(f"\nmedians of {len(rounds)}\n{HEAD}")
    for name, figures in middle.items():
        print(line(name, Measured(programs[0][name].precision, **figures)))
    flop = median(each.flop_per_token for each in rounds)
    print(f"\nmodel arithmetic: {flop / 1e6:,.1f} MFLOP a target token")
    print(f"{'':32}{'GFLOP/s':>10}{'of fp32':>9}{'of bf16':>9}  trained in")
    for name, row in arithmetic.items():
        share = f"{row['of_fp32']:>9.1%}{row['of_bf16']:>9.1%}"
        print(f"{name:<32}{row['flop_per_s'] / 1e9:>10,.1f}{share}  {programs[0][name].precision}")
    times = {figure: ratios(middle, figure) for figure in ("tokens_per_s", "pairs_per_s", "peak_bytes")}
    print(f"\nclearhead's figure as multiples of a peer's (target {TARGET_RATIO:g} times JoeyNMT's tokens a second)")
    print(f"{'':32}{'tokens/s':>10}{'pairs/s':>9}{'peak':>7}")
    for peer, ours in times["tokens_per_s"].items():
        print(f"of {peer}")
        for name in ours:
            tokens, pairs, memory = (times[figure][peer][name] for figure in times)
            print(f"  {name:<30}{tokens:>10.2f}{pairs:>9.2f}{memory:>7.2f}")
    return {"medians": middle, "flop_per_token": flop, "arithmetic": arithmetic, "ratio": times}


# --- the command --------------------------------------------------------------------------------------------------


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


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="small")
    parser.add_argument("--peers", nargs="*", choices=ENVIRONMENTS, default=list(ENVIRONMENTS))
    parser.add_argument("--bf16", action="store_true", help="also peers in bf16, clearhead in fp32, to compare")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, help="updates before the window, in 5s (5)")
    parser.add_argument("--updates", type=int, help="updates in the window, in 5s (small: 20, paper-base: 10)")
    parser.add_argument("--data", type=Path, help="folder of train.en, train.de, val.en, val.de")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args()
    options.report_every = 1 if options.quick else Task.report_every
    if options.quick:
        options.rounds = options.warmup = options.updates = 1
    warmup, updates = WINDOWS[options.model]
    options.warmup, options.updates = options.warmup or warmup, options.updates or updates
    if any(number < 1 or number % options.report_every for number in (options.warmup, options.updates)):
        parser.error(f"--warmup and --updates are multiples of {options.report_every}")
    if options.bf16 and not fast_bf16() and not options.quick:
        parser.error("--bf16: this processor multiplies bf16 no faster than fp32")
    return options


def main() -> None:
    options = read_options()
    data = find_data(options.data)
    for peer in options.peers:
        make_environment(peer)
    known = facts()
    known["versions"] |= {name: version for peer in options.peers for name, version in versions_of(peer).items()}
    print_facts(known)
    recipe = MODELS[options.model]
    print(f"{'window':<10}{options.updates} updates after {options.warmup}")
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            data, recipe = first_lines(data, Path(folder), 1000), QUICK
        programs = chosen_programs(options.peers, options.bf16)
        nowhere = Path(folder)  # one_round fills in where things lie
        rounds = [
            one_round(
                Task(recipe, data, nowhere, nowhere, seed, options.warmup, options.updates, options.report_every),
                programs,
                512 if options.quick else 4096,
            )
            for seed in range(1, options.rounds + 1)
        ]
    found = summary(rounds)
    result = {
        "benchmark": "training_speed",
        **known,
        "model": options.model,
        "recipe": asdict(recipe),
        "warmup": options.warmup,
        "updates": options.updates,
        "rounds": [asdict(each) for each in rounds],
        **found,
        "target_ratio": TARGET_RATIO,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
