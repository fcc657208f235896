"""Does clearhead train recurrent models at least as fast as a plain loop around torch.nn.LSTM, and in how much memory?

    python benchmarks/recurrent_speed.py              three rounds, about 3 minutes each on two cores
    python benchmarks/recurrent_speed.py --rounds 5
    python benchmarks/recurrent_speed.py --quick      a tiny model, two updates: to see that it runs; a minute

Two networks, each by clearhead's command and by peers/torch_lstm.py, one after the other, round by round:

- fixed context: the decoder starts from the encoder's last states and sees nothing else (Sutskever et al. 2014);
- additive attention: before each step, with the state so far (Bahdanau et al. 2015), as PyTorch's tutorial writes it.
  clearhead is measured a second time with attention after each step, which lets one kernel take all steps at once.

Sizes, weights and dropout are the same on both sides: 2+2 layers of 256, the encoder both ways, 8,000 tokens of joint
vocabulary, nothing tied, Adam, clipping to a norm of 1. The peer is given the very batches that clearhead trains on
(Multi30K English-German, 4096 tokens), as token ids; clearhead reads its text, keeps a log and checks its gradients
besides. Both in fp32, the threads what each chooses. Window, tokens and peak memory are what training_speed.py says.

Prints a table a round, medians, ratios and, last, one line of JSON. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from machine import facts, print_facts
from peers.itself import FP32, clearhead
from peers.scripts import script
from peers.task import Measured, Recipe, Task
from training_speed import HEAD, HERE, child, find_data, first_lines, line, medians

FIXED = Recipe(n_layers=2, attention="none")
ADDITIVE = replace(FIXED, attention="additive", attends="before")
TINY = {"d_model": 32, "n_layers": 1, "vocabulary_size": 500, "batch_tokens": 512}
TARGET_RATIO = 1.0


@dataclass(frozen=True)
class Program:
    """One way to train one network. base: the name of the peer that it is held against, "" for a peer itself."""

    recipe: Recipe
    measure: Callable[[Task], Measured]
    base: str = ""


ITSELF = partial(clearhead, more=FP32)
PEER = partial(script, peer="lstm")
PROGRAMS = {
    "fixed context: torch.nn.LSTM": Program(FIXED, PEER),
    "fixed context: clearhead": Program(FIXED, ITSELF, "fixed context: torch.nn.LSTM"),
    "additive: torch.nn.LSTM": Program(ADDITIVE, PEER),
    "additive: clearhead": Program(ADDITIVE, ITSELF, "additive: torch.nn.LSTM"),
    "additive: clearhead, after": Program(replace(ADDITIVE, attends="after"), ITSELF, "additive: torch.nn.LSTM"),
}
"""In the order in which they run in each round."""


def one_round(task: Task, sizes: dict[str, int]) -> dict[str, Measured]:
    """Train with each program in turn; the round's number is the seed, so that each round has other batches."""
    print(f"\nround {task.seed}; load average before it {' '.join(f'{load:.2f}' for load in os.getloadavg())}\n{HEAD}")
    found = {}
    with tempfile.TemporaryDirectory() as prepared:
        task = replace(task, prepared=Path(prepared))
        child([str(HERE / "peers" / "prepare.py"), str(task.write(Path(prepared) / "task.json"))])
        for name, program in PROGRAMS.items():
            with tempfile.TemporaryDirectory() as work:
                found[name] = program.measure(replace(task, recipe=replace(program.recipe, **sizes), work=Path(work)))
            print(line(name, found[name]), flush=True)
    return found


def ratios(middle: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return of each way of clearhead its speed and its peak memory as multiples of its peer's."""
    return {
        name: {figure: middle[name][figure] / middle[program.base][figure] for figure in ("tokens_per_s", "peak_bytes")}
        for name, program in PROGRAMS.items()
        if program.base
    }


def summary(rounds: list[dict[str, Measured]]) -> dict[str, object]:
    """Print medians and what they are as multiples of the peers'; return them."""
    middle = medians(rounds)
    print(f"\nmedians of {len(rounds)}\n{HEAD}")
    for name, figures in middle.items():
        print(line(name, Measured(rounds[0][name].precision, **figures)))
    times = ratios(middle)
    print(f"\nclearhead's figure as a multiple of its peer's (target {TARGET_RATIO:g} times the tokens a second)")
    print(f"{'':32}{'tokens/s':>10}{'peak':>7}")
    for name, each in times.items():
        print(f"{name:<32}{each['tokens_per_s']:>10.2f}{each['peak_bytes']:>7.2f}")
    return {"medians": middle, "ratio": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder of train.en, train.de, val.en, val.de")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args()
    data, known = find_data(options.data), facts()
    print_facts(known)
    warmup, updates, every = (1, 1, 1) if options.quick else (5, 20, 5)
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            data, options.rounds = first_lines(data, Path(folder), 1000), 1
        sizes, nowhere = TINY if options.quick else {}, Path(folder)  # one_round fills in where things lie
        task = Task(replace(FIXED, **sizes), data, nowhere, nowhere, 1, warmup, updates, every)
        rounds = [one_round(replace(task, seed=seed), sizes) for seed in range(1, options.rounds + 1)]
    result = {
        "benchmark": "recurrent_speed",
        **known,
        "recipes": {name: asdict(program.recipe) | sizes for name, program in PROGRAMS.items()},
        "warmup": warmup,
        "updates": updates,
        "rounds": [{name: asdict(each) for name, each in one.items()} for one in rounds],
        **summary(rounds),
        "target_ratio": TARGET_RATIO,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
