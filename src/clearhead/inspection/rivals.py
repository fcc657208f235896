"""What the model would have said, had another token come: the prefix is forced up to it, and the search goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from clearhead.decoding.hypothesis import Hypothesis
from clearhead.decoding.translator import Translator
from clearhead.inspection.explain import Question, outcome
from clearhead.inspection.explanation import Explanation, Outcome

ROWS = 256
"""How many rows of the decoder are searched at once."""

Progress = Callable[[int, int], None]
"""Told how many are done, and of how many."""


def silent(done: int, of: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Rival:
    """A token that might have come at a step, and the translation that would have followed.

    log_prob: of the token at its place; outcome: the whole translation.
    """

    step: int
    id: int
    text: str
    log_prob: float
    outcome: Outcome


@torch.no_grad()
def rivals(
    translator: Translator,
    question: Question,
    explanation: Explanation,
    per_step: int = 3,
    on_progress: Progress = silent,
) -> list[Rival]:
    """Return the ``per_step`` likeliest tokens at each step that did not come, each with what it leads to."""
    tokens = [token.id for token in explanation.tgt_outputs]
    never = set(question.problem.forbidden.tolist())
    limit = int(question.problem.limits[0])
    found = []
    for step, said in enumerate(explanation.steps[:limit]):
        others = [each for each in said.top if each.id != tokens[step] and each.id not in never]
        found += [(step, each) for each in others[:per_step]]
    results = forced(translator, question, [[*tokens[:step], each.id] for step, each in found], on_progress)
    return [
        Rival(step, each.id, each.text, each.log_prob, outcome(translator, hypothesis))
        for (step, each), hypothesis in zip(found, results)
    ]


@torch.no_grad()
def forced(
    translator: Translator, question: Question, prefixes: list[list[int]], on_progress: Progress = silent
) -> list[Hypothesis]:
    """Return the best hypothesis that starts with each prefix (ids); an eos at a prefix's end is the whole of it."""
    found: list[Hypothesis] = []
    at_once = max(1, ROWS // question.decoding.beam_size)
    with translator.device.autocast():
        for start in range(0, len(prefixes), at_once):
            found += question.search(translator.model, question.repeated(prefixes[start : start + at_once]))
            on_progress(len(found), len(prefixes))
    return found
