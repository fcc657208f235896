"""What the model would have said, had another token come: the prefix is forced up to it, and the search goes on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from clearhead.decoding.beam import beam_search
from clearhead.decoding.hypothesis import Hypothesis
from clearhead.decoding.translator import Translator
from clearhead.errors import UsageError
from clearhead.inspection.explain import Question, outcome, teach
from clearhead.inspection.explanation import Explanation, Outcome

ROWS = 256
"""How many rows of the decoder are searched at once."""


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
def rivals(translator: Translator, question: Question, explanation: Explanation, per_step: int = 3) -> list[Rival]:
    """Return the ``per_step`` likeliest tokens at each step that did not come, each with what it leads to."""
    tokens = [token.id for token in explanation.tgt_outputs]
    never = set(question.problem.forbidden.tolist())
    limit = int(question.problem.limits[0])
    found = []
    for step, said in enumerate(explanation.steps[:limit]):
        others = [each for each in said.top if each.id != tokens[step] and each.id not in never]
        found += [(step, each) for each in others[:per_step]]
    results = forced(translator, question, [[*tokens[:step], each.id] for step, each in found])
    return [
        Rival(step, each.id, each.text, each.log_prob, outcome(translator, hypothesis))
        for (step, each), hypothesis in zip(found, results)
    ]


@torch.no_grad()
def rival_at(translator: Translator, question: Question, explanation: Explanation, step: int, id: int) -> Rival:
    """Return what would have followed, had token ``id`` come at ``step``.

    Raises:
        UsageError: there is no such step or token.
    """
    tokens = [token.id for token in explanation.tgt_outputs]
    last, size = min(len(tokens) - 1, int(question.problem.limits[0]) - 1), translator.tokenizers.tgt.vocabulary_size
    if not 0 <= step <= last:
        raise UsageError("no-such-step", step=step, last=last)
    if not 0 <= id < size:
        raise UsageError("no-such-token", id=id, last=size - 1)
    with translator.device.autocast():
        _, logits = teach(translator, question.ids, [*tokens[:step], id])
    log_prob = float(logits[step].float().log_softmax(-1)[id])
    (hypothesis,) = forced(translator, question, [[*tokens[:step], id]])
    return Rival(step, id, translator.tokenizers.tgt.token_text(id), log_prob, outcome(translator, hypothesis))


@torch.no_grad()
def forced(translator: Translator, question: Question, prefixes: list[list[int]]) -> list[Hypothesis]:
    """Return the best hypothesis that starts with each prefix (ids); an eos at a prefix's end is the whole of it."""
    beam_size, found = question.decoding.beam_size, []
    at_once = max(1, ROWS // beam_size)
    with translator.device.autocast():
        for start in range(0, len(prefixes), at_once):
            problem = question.repeated(prefixes[start : start + at_once])
            results = beam_search(
                translator.model, problem, beam_size, question.alpha, exhaustive=question.decoding.exhaustive
            )
            found += [hypotheses[0] for hypotheses in results]
    return found
