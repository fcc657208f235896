"""Accuracy against k: a language model names the labels of texts after k examples, and learns nothing by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clearhead.data.randomness import generator as draws_of
from clearhead.decoding.generator import Generator

Labelled = tuple[str, int]
"""A text and the number of its label."""


@dataclass(frozen=True)
class Trial:
    """What was said of all texts after one draw of examples.

    shots: k; seed: of the draw.
    plain: numbers of the labels whose words are likeliest after the text.
    against_empty: of those whose words the text makes likelier the most, against an empty one in its place.
    """

    shots: int
    seed: int
    plain: list[int]
    against_empty: list[int]


def few_shot(
    generator: Generator,
    texts: Sequence[str],
    examples: Sequence[Labelled],
    words: Sequence[str],
    template: str,
    shots: Sequence[int],
    seeds: Sequence[int],
    on_trial: Callable[[int], None] | None = None,
) -> list[Trial]:
    """Return what the model says of ``texts`` for each number of examples and each seed (Brown et al. 2020, section 2).

    The examples of a seed are drawn without regard to their labels and are the same for all texts; those of a larger k
    begin with those of a smaller one. Without examples seeds do not matter, and there is one trial. The second way of
    reading the likelihoods is the paper's (section 2.4): P(words | text) / P(words | no text).

    Args:
        generator: the language model.
        texts: what is asked.
        examples: where examples are drawn from.
        words: the labels' words.
        template: see ``Generator.classify_by_prompt``.
        shots: the numbers of examples.
        seeds: of the draws.
        on_trial: told how many trials are done.

    Raises:
        UsageError: the template is not one; there are fewer examples than ``shots`` asks for.
        CorpusError: a text and its examples are longer than the model's positions.
    """
    trials: list[Trial] = []
    for k in shots:
        for seed in seeds if k else seeds[:1]:
            order = draws_of(seed, "few-shot").permutation(len(examples))[:k]
            shown = [(examples[i][0], words[examples[i][1]]) for i in order]
            scores = np.array(generator.score_labels([*texts, ""], words, template, shown))
            plain, against = scores[:-1].argmax(axis=1), (scores[:-1] - scores[-1]).argmax(axis=1)
            trials.append(Trial(k, seed, plain.tolist(), against.tolist()))
            if on_trial is not None:
                on_trial(len(trials))
    return trials
