"""The same sentence over a run's checkpoints: from the model that has learnt nothing to the one that is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clearhead.decoding.scoring import score_pairs
from clearhead.decoding.translator import Translator
from clearhead.inspection.explain import Question, arrays, outcome, teach
from clearhead.inspection.explanation import Explanation, Outcome
from clearhead.inspection.trace import CORES
from clearhead.models.build import build_model, load_weights, named_weights
from clearhead.runs.checkpoints import stored_steps, stored_weights
from clearhead.runs.folder import RunFolder
from clearhead.runs.log import read_log


@dataclass(frozen=True)
class Moment:
    """The model after ``step`` updates, asked the same sentence.

    step: None for the run's final weights.
    outcome: what it says; log_prob: of the final model's translation.
    loss: on validation text at that step, where the log has it.
    cross: (L, H, T, S) its cross-attention over the final model's translation; None where it has none.
    """

    step: int | None
    outcome: Outcome
    log_prob: float
    loss: float | None
    cross: np.ndarray | None


@torch.no_grad()
def over_checkpoints(
    run: RunFolder, translator: Translator, question: Question, explanation: Explanation
) -> Iterator[Moment]:
    """Yield the sentence's moments: the model as it was made, each checkpoint there is, the final weights.

    A run without checkpoints, or one that began with another's weights, has nothing to compare at its start.

    Raises:
        FaultsError: a checkpoint is damaged.
    """
    model = translator.model
    assert isinstance(model, nn.Module)
    sizes = translator.tokenizers.src.vocabulary_size, translator.tokenizers.tgt.vocabulary_size
    losses = {event["step"]: event["scores"]["loss"] for event in read_log(run.log_path) if _is_validation(event)}
    other = build_model(run.config.model, *sizes, seed=run.config.training.seed)
    asked = Translator(other, translator.tokenizers, translator.decoding, translator.device.name)  # type: ignore[arg-type]
    first = True
    for step, weights in stored_weights(run):
        if first and not run.config.training.init_from:
            yield _moment(asked, question, explanation, 0, None)
        first = False
        load_weights(other, weights)
        yield _moment(asked, question, explanation, step, losses.get(step))
    if not first:
        load_weights(other, named_weights(model))
        yield _moment(asked, question, explanation, None, None)


def how_many(run: RunFolder) -> int:
    """Return how many moments ``over_checkpoints`` has."""
    steps = len(stored_steps(run))
    return steps and steps + 1 + (not run.config.training.init_from)


def _moment(
    translator: Translator, question: Question, explanation: Explanation, step: int | None, loss: float | None
) -> Moment:
    tokens = [token.id for token in explanation.tgt_outputs]
    problem = translator.problem([question.ids], [question.prefix], [int(question.problem.limits[0])])
    (best,) = question.search(translator.model, problem)
    (scored,) = score_pairs(translator.model, translator.teacher_batch([question.ids], [tokens]))
    traced, _ = teach(translator, question.ids, tokens, CORES)
    return Moment(step, outcome(translator, best), scored.log_prob, loss, _cross(traced))


def _is_validation(event: dict[str, Any]) -> bool:
    return event["event"] == "Validated" and "step" in event and "loss" in (event.get("scores") or {})


def _cross(traced: dict[str, Tensor]) -> np.ndarray | None:
    if "attention.weights" in traced:
        return arrays({"all": traced["attention.weights"][None, None]})["all"]
    layers = arrays({name: x for name, x in traced.items() if name.endswith(".cross_attention.weights")})
    return np.stack(list(layers.values())) if layers else None
