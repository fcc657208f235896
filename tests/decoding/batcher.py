"""A toy continuous batcher: the second, unlike client of the decoder's contract beside the searches."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from clearhead.models.interface import Seq2Seq

from .toy import EOS, PAD, START, pad_rows


def decode_continuously(
    model: Seq2Seq, arrivals: Iterable[list[list[int]]], limit: int, forbidden=(PAD, START)
) -> list[list[int]]:
    """Decode greedily while sentences come in: before a step those of the next arrival join, after it the done leave.

    Returns the tokens of every sentence, in the order of arrival, eos not among them, at most ``limit``.
    """
    results: list[list[int]] = []
    arrivals = iter(arrivals)
    state, numbers, last = None, [], torch.empty(0, dtype=torch.int64)
    while True:
        new = next(arrivals, None)
        if new is None and not numbers:
            return results
        if new:
            entering = model.start(model.encode(*pad_rows(new)), limit)
            state = entering if state is None else state.join(entering)
            numbers += range(len(results), len(results) + len(new))
            results += [[] for _ in new]
            last = torch.cat([last, torch.full((len(new),), START)])
        if not numbers:
            continue
        hidden, state = model.step(last[:, None], state)
        logits = model.project(hidden[:, -1]).index_fill(1, torch.tensor(forbidden), -torch.inf)
        last = logits.argmax(-1)
        stay = []
        for row, (number, token) in enumerate(zip(numbers, last.tolist())):
            if token != EOS:
                results[number].append(token)
                if len(results[number]) < limit:
                    stay.append(row)
        if len(stay) < len(numbers):
            state = state.select(torch.tensor(stay)) if stay else None
            last, numbers = last[torch.tensor(stay, dtype=torch.int64)], [numbers[row] for row in stay]
