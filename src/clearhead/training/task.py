"""What a training is for: what it reads, what a batch of it costs, and how good a model is at it."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from clearhead.config import RunConfig
from clearhead.data.corpus import Corpora
from clearhead.data.order import micro_batches
from clearhead.data.subwords import SubwordDropout
from clearhead.errors import TrainingError
from clearhead.text.subwords import parts_of_tokens
from clearhead.text.tokenizer import TokenizerPair
from clearhead.training.distributed import Team
from clearhead.training.events import Sample

VALIDATION_BATCH_TOKENS = 4096
SAMPLES = 5
"""How many validation texts are shown with what the model says of them."""


class Task(Protocol):
    """What the loop asks of a task; the loop knows nothing else about what is learnt."""

    corpora: Corpora[Any]
    """What is trained and validated on."""
    unit: str
    """What a loss is a mean over: "target tokens"."""

    def batch(self, corpus: Any, indexes: np.ndarray, epoch: int) -> Any:
        """Return the pairs ``indexes`` of ``corpus`` as what ``loss`` takes, on the CPU; draws depend on ``epoch``."""
        ...

    def count(self, corpus: Any, indexes: np.ndarray, epoch: int) -> int:
        """Return how many units those pairs have in ``epoch``."""
        ...

    def loss(self, model: nn.Module, label_smoothing: float) -> nn.Module:
        """Return the model and its loss as one module: whoever joins gradients sees the whole computation.

        It maps (batch, scale) to (scale * loss with label smoothing, plain loss), sums over the batch's units, in nats;
        only the first has a gradient.
        """
        ...

    def validate(self, model: nn.Module, team: Team) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """Return the model's scores on the validation corpus, "loss" among them, and some samples.

        The processes of ``team`` share the work; each holds the whole model.
        """
        ...


def subword_dropouts(config: RunConfig, tokenizers: TokenizerPair) -> tuple[SubwordDropout, SubwordDropout] | None:
    """Return what cuts the training text anew in every epoch, of source and target; None where it stays as it is."""
    if not config.data.subword_dropout:
        return None
    settings = config.data.subword_dropout, config.training.seed, config.data.max_tokens
    src = SubwordDropout(parts_of_tokens(tokenizers.src), *settings)
    return src, src if tokenizers.joint else SubwordDropout(parts_of_tokens(tokenizers.tgt), *settings)


@torch.inference_mode()
def validation_loss(task: Task, model: nn.Module, team: Team) -> float:
    """Return the plain loss per unit of the validation corpus, in nats.

    Raises:
        TrainingError: it is not finite, the same in every process: what computes so can be used for nothing.
    """
    loss_of, valid = task.loss(model, 0.0), task.corpora.valid
    total = count = 0.0
    pieces = micro_batches(np.arange(len(valid)), valid, VALIDATION_BATCH_TOKENS)
    for indexes in pieces[team.rank :: team.size]:
        total += float(loss_of(task.batch(valid, indexes, 0))[1])
        count += task.count(valid, indexes, 0)
    total, count = team.total(total, count)
    if not math.isfinite(total):
        raise TrainingError("validation-not-finite", loss=total)
    return total / count
