"""What a program is given to train, and what is found out about it; the same for clearhead and every peer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from runlog import Report, window_of

ROOT = Path(__file__).parents[2]
SRC, TGT = "en", "de"
BATCHES, FACTS = "batches.jsonl", "facts.json"

ENVIRONMENTS = {
    "joeynmt": (("torch==2.13.0", "joeynmt==2.3.0", "importlib_metadata", "sentencepiece==0.2.0"),),
    "marian": (("torch==2.13.0",), ("transformers==5.23.0",)),
    "torch": (("torch==2.13.0",),),
}
"""What each peer's own environment holds, one installation after the other."""


@dataclass(frozen=True)
class Recipe:
    """What is trained; the defaults are the small preset's sizes.

    attention, attends: of a recurrent model, as in its config; attention is "" for a Transformer.
    """

    d_model: int = 256
    d_ff: int = 1024
    n_heads: int = 4
    n_layers: int = 3
    norm: str = "pre"
    dropout: float = 0.1
    vocabulary_size: int = 8000
    batch_tokens: int = 4096
    label_smoothing: float = 0.1
    learning_rate: float = 0.001
    warmup_steps: int = 1000
    attention: str = ""
    attends: str = "after"


MODELS = {"small": Recipe(), "paper-base": Recipe(d_model=512, d_ff=2048, n_heads=8, n_layers=6, norm="post")}
QUICK = Recipe(d_model=32, d_ff=64, n_heads=2, n_layers=1, vocabulary_size=500, batch_tokens=512)


@dataclass(frozen=True)
class Task:
    """One training of one program.

    data: folder of train.en, train.de, val.en, val.de; prepared: folder of the batches (prepare.py); work: an empty
    folder; warmup, updates: the window's, in multiples of report_every, the updates between two reports.
    """

    recipe: Recipe
    data: Path
    prepared: Path
    work: Path
    seed: int
    warmup: int
    updates: int
    report_every: int = 5

    def write(self, path: Path, **more: object) -> Path:
        """Write the task for a child process to read."""
        fields = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}
        path.write_text(json.dumps(fields | more))
        return path

    @classmethod
    def read(cls, path: Path) -> Task:
        fields = json.loads(path.read_text())
        for name in ("data", "prepared", "work"):
            fields[name] = Path(fields[name])
        return cls(**fields | {"recipe": Recipe(**fields["recipe"])})

    def facts(self) -> dict[str, float]:
        """Return what prepare.py found out: sums over the window's batches, a training pair's mean target tokens."""
        return json.loads((self.prepared / FACTS).read_text())


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


def run(command: list[str], work: Path, output: str = "output.txt") -> int:
    """Run ``command`` in ``work`` and return its peak memory in bytes; end everything if it fails.

    The kernel counts from what this process has when it starts the child: keep it small, without torch.
    """
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
    try:
        window = window_of(reports, task.warmup, task.warmup + task.updates, task.report_every)
    except ValueError as error:
        sys.exit(str(error))
    rate = window.tokens_per_s
    per_update = window.tokens / window.updates, window.seconds / window.updates
    return Measured(precision, rate, *per_update, tokens_per_pair, rate / tokens_per_pair, peak_bytes)


# --- environments -------------------------------------------------------------------------------------------------


def python_of(peer: str) -> Path:
    """Return the Python of ``peer``'s environment, whether it is there or not."""
    return ROOT / "bench-envs" / peer / "bin" / "python"


def make_environment(peer: str) -> None:
    """Make ``peer``'s environment where it is not there yet: a download, minutes."""
    ready = python_of(peer).parents[1] / "ready"
    if ready.exists():
        return
    print(f"making {ready.parent.relative_to(ROOT)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(ready.parent)], check=True)
    for packages in ENVIRONMENTS[peer]:
        pip = [str(python_of(peer)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run(pip, check=True)
    ready.touch()


def versions_of(peer: str) -> dict[str, str]:
    """Return the versions of what was asked for in ``peer``'s environment."""
    names = [package.partition("==")[0] for packages in ENVIRONMENTS[peer] for package in packages]
    ask = f"from importlib.metadata import version; print(*map(version, {names}))"
    answer = subprocess.run([str(python_of(peer)), "-c", ask], capture_output=True, text=True, check=True).stdout
    return {f"{peer}'s {name}": version for name, version in zip(names, answer.split())}
