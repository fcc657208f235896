"""One token after the other, never taken back: greedy search, and sampling with another ``choose``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clearhead.decoding.hypothesis import Hypothesis
from clearhead.decoding.problem import Problem
from clearhead.models.interface import Seq2Seq

Choose = Callable[[Tensor, Tensor, int], Tensor]
"""(log_probs (R, V), rows (R,), position) -> token ids (R,); ``rows`` are numbers from 0 to N * rows_per_sentence."""


def likeliest(log_probs: Tensor, rows: Tensor, position: int) -> Tensor:
    """Choose each row's likeliest token, the lowest id where several are."""
    return log_probs.argmax(-1)


@torch.no_grad()
def greedy_search(
    model: Seq2Seq,
    problem: Problem,
    alpha: float = 0.0,
    choose: Choose = likeliest,
    rows_per_sentence: int = 1,
) -> list[Hypothesis]:
    """Decode every sentence token by token and return N * rows_per_sentence hypotheses, a sentence's together.

    alpha: the length penalty in the hypotheses' scores. A row that is done leaves the batch, once a quarter are done.
    """
    limits = problem.limits.repeat_interleave(rows_per_sentence)
    n_rows, device = len(limits), limits.device
    tokens = torch.zeros(n_rows, problem.max_length, dtype=torch.int64, device=device)
    token_log_probs = torch.zeros(n_rows, problem.max_length, device=device)
    steps = torch.zeros_like(limits)  # how many a row has made until it was done
    rows = torch.arange(n_rows, device=device)  # the rows still in the batch
    going = torch.ones(n_rows, dtype=torch.bool, device=device)

    state = model.start(problem.memory, problem.max_length, rows_per_sentence)
    last = torch.full_like(rows, problem.decoder_start_id)
    for position in range(problem.max_length):
        hidden, state = model.step(last.unsqueeze(1), state)
        logits = model.project(hidden[:, -1])  # (R, 1, D) -> (R, V)
        log_probs = problem.log_probs(logits, rows // rows_per_sentence, position)
        last = choose(log_probs, rows, position)
        tokens[rows, position] = last
        token_log_probs[rows, position] = log_probs.gather(1, last.unsqueeze(1)).squeeze(1)
        steps[rows] += going
        going &= (last != problem.eos_id) & (position < limits[rows])
        n_going = int(going.sum())
        if n_going == 0:
            break
        if n_going <= 0.75 * len(rows):
            stay = going.nonzero().squeeze(1)
            rows, last, going, state = rows[stay], last[stay], going[stay], state.select(stay)

    hypotheses = []
    for row, log_prob, made in zip(tokens.tolist(), token_log_probs.tolist(), steps.tolist()):
        finished = row[made - 1] == problem.eos_id
        n = made if finished else made - 1  # the step past the limit was only a chance to end
        hypotheses.append(Hypothesis.of(row[:n], log_prob[:n], finished, alpha))
    return hypotheses
