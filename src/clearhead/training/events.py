"""What the training loop says while it runs; progress bar, log and report only listen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Started:
    """Training begins, or goes on at ``step`` after a resume.

    parameters: of the whole model; frozen: how many of them stay as they are.
    """

    step: int
    max_steps: int
    parameters: int
    train_pairs: int
    valid_pairs: int
    precision: str
    device: str
    threads: int
    processes: int = 1
    micro_batch_tokens: int = 0
    max_minutes: float = 0.0
    frozen: int = 0


@dataclass(frozen=True)
class Progress:
    """Means over the steps since the last Progress.

    loss: label-smoothed cross-entropy per target token, in nats.
    nll: plain cross-entropy per target token, in nats.
    tokens_per_s: units (no padding) per second of wall time; tokens: how many those were; unit: what they are.
    grad_norm: mean norm of the gradient before clipping.
    """

    step: int
    epoch: int
    loss: float
    nll: float
    learning_rate: float
    grad_norm: float
    tokens_per_s: float
    elapsed_s: float
    remaining_s: float
    tokens: int = 0
    unit: str = "target tokens"


@dataclass(frozen=True)
class Sample:
    """One validation sentence with what the model says of it now."""

    src: str
    ref: str
    hyp: str


@dataclass(frozen=True)
class Validated:
    """A validation.

    scores: "loss" (plain cross-entropy per target token), "perplexity", and where text was decoded "bleu", "chrf".
    training_s: the time that all updates so far have taken.
    """

    step: int
    scores: dict[str, float]
    best: bool
    samples: tuple[Sample, ...] = ()
    training_s: float = 0.0


@dataclass(frozen=True)
class Saved:
    """A checkpoint stands on disk, whole."""

    step: int
    path: str


@dataclass(frozen=True)
class Skipped:
    """A step whose loss or gradient was not finite changed nothing.

    epoch, batch: which batch it was; pairs: its pairs, as ``ParallelCorpus.origins`` names them.
    """

    step: int
    reason: str
    epoch: int = 0
    batch: int = 0
    pairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class SaveFailed:
    """The disk did not take a checkpoint or the run's weights; the former ones stay. Tried again after ``pause_s``."""

    step: int
    problem: str
    pause_s: float


@dataclass(frozen=True)
class NotUsed:
    """A checkpoint that was to go into the run's weights is damaged; they are made without it."""

    step: int
    problem: str


@dataclass(frozen=True)
class Finished:
    """Training is over. reason: "max-steps", "max-minutes", "patience" or "interrupted"."""

    step: int
    reason: str
    elapsed_s: float
    weights: str
    scores: dict[str, float] = field(default_factory=dict)
    training_s: float = 0.0


Event = Started | Progress | Validated | Saved | Skipped | SaveFailed | NotUsed | Finished
