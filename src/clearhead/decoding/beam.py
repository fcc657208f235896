"""Beam search with a length penalty, for many sentences at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from clearhead.decoding.hypothesis import Hypothesis, length_penalty
from clearhead.decoding.problem import Problem
from clearhead.models.interface import Seq2Seq


def largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest of each row, falling, and their places; among equals the first comes first.

    ``torch.topk`` promises no order among equals, and in bf16 equals are common. values: (R, M).
    """
    top, places = values.topk(k)
    border = top[:, -1:]
    if bool((((values >= border).sum(1) > k) & (border.squeeze(1) > -torch.inf)).any()):  # which of the equals come in?
        top, places = values.sort(dim=1, descending=True, stable=True)
        return top[:, :k], places[:, :k]
    places, order = places.sort(dim=1)
    top, order = top.gather(1, order).sort(dim=1, descending=True, stable=True)
    return top, places.gather(1, order)


@dataclass
class _Beams:
    """K hypotheses for each of n sentences; a place without one has log_probs -inf.

    log_probs: (n, K) sums; lengths: (n, K) with eos; tokens, token_log_probs: (n, K, T), in use up to ``lengths``.
    """

    log_probs: Tensor
    lengths: Tensor
    tokens: Tensor
    token_log_probs: Tensor

    @classmethod
    def none(cls, n: int, k: int, length: int, device: torch.device) -> _Beams:
        return cls(
            torch.full((n, k), -torch.inf, device=device),
            torch.zeros(n, k, dtype=torch.int64, device=device),
            torch.zeros(n, k, length, dtype=torch.int64, device=device),
            torch.zeros(n, k, length, device=device),
        )

    def scores(self, alpha: float) -> Tensor:
        return self.log_probs / length_penalty(self.lengths, alpha)

    def take(self, places: Tensor) -> _Beams:
        """Return the beams whose [i, j] is this one's [i, places[i, j]]."""
        deep = places.unsqueeze(2).expand(-1, -1, self.tokens.shape[2])
        return _Beams(
            self.log_probs.gather(1, places),
            self.lengths.gather(1, places),
            self.tokens.gather(1, deep),
            self.token_log_probs.gather(1, deep),
        )

    def grow(self, places: Tensor, tokens: Tensor, token_log_probs: Tensor, position: int) -> _Beams:
        """Return ``take(places)``, each one token longer."""
        grown = self.take(places)
        grown.tokens[:, :, position] = tokens
        grown.token_log_probs[:, :, position] = token_log_probs
        grown.log_probs = grown.log_probs + token_log_probs
        grown.lengths = grown.lengths + 1
        return grown

    def only(self, where: Tensor) -> _Beams:
        """Return the beams without those where ``where`` (n, K) is False."""
        log_probs = self.log_probs.masked_fill(~where, -torch.inf)
        return _Beams(log_probs, self.lengths, self.tokens, self.token_log_probs)

    def best_of(self, other: _Beams, alpha: float) -> _Beams:
        """Return the K best by score of both, falling; this one's first among equals."""
        both = _Beams(*(torch.cat([mine, its], dim=1) for mine, its in zip(self.fields(), other.fields())))
        _, order = both.scores(alpha).sort(dim=1, descending=True, stable=True)
        return both.take(order[:, : self.log_probs.shape[1]])

    def sentences(self, which: Tensor) -> _Beams:
        return _Beams(*(field[which] for field in self.fields()))

    def fields(self) -> tuple[Tensor, ...]:
        return self.log_probs, self.lengths, self.tokens, self.token_log_probs

    def hypotheses(self, finished: bool, alpha: float) -> list[list[Hypothesis]]:
        """Return each sentence's hypotheses, best first."""
        found = []
        for log_probs, lengths, tokens, each in zip(*(field.tolist() for field in self.fields())):
            mine = [
                Hypothesis.of(tokens[k][:length], each[k][:length], finished, alpha)
                for k, length in enumerate(lengths)
                if log_probs[k] > -torch.inf
            ]
            found.append(sorted(mine, key=lambda hypothesis: -hypothesis.score))
        return found


class BeamStep(NamedTuple):
    """What one step of a search looked at, for whoever watches; n sentences are still searched.

    position: from 0.
    logits: (n * W, V) what the model says of each live hypothesis's next token.
    beams, tokens: (n, 2 * W) the continuations looked at, likeliest first: of which live hypothesis, by which token.
    log_probs, scores: (n, 2 * W) of the whole hypotheses; -inf where there was none to continue.
    ended: (n, 2 * W) bool, whether it finishes a hypothesis.
    going: (n, W) the continuations that live on, by their places.
    """

    position: int
    logits: Tensor
    beams: Tensor
    tokens: Tensor
    log_probs: Tensor
    scores: Tensor
    ended: Tensor
    going: Tensor


@torch.no_grad()
def beam_search(
    model: Seq2Seq,
    problem: Problem,
    beam_size: int,
    alpha: float = 0.6,
    n_best: int = 1,
    exhaustive: bool = False,
    watch: Callable[[BeamStep], None] | None = None,
) -> list[list[Hypothesis]]:
    """Return the ``n_best`` hypotheses of each sentence, best first (Wu et al. 2016, section 7, without coverage).

    Each step looks at the 2 * beam_size likeliest continuations: an eos among the first beam_size finishes a
    hypothesis, the first beam_size others live on. A sentence leaves the batch once beam_size finished hypotheses are
    kept and the best live one, normalised at its present length, does not beat the worst of them. ``exhaustive``
    normalises it at the limit, the most that it can still reach: then nothing that could have won is given up.
    Hypotheses that the limit leaves unfinished come behind the finished ones.

    alpha: exponent of the length penalty; n_best: at most beam_size; watch: told of every step.
    """
    n, device = len(problem.limits), problem.limits.device
    sentences, limits = torch.arange(n, device=device), problem.limits
    live = _Beams.none(n, beam_size, problem.max_length, device)
    live.log_probs[:, 0] = 0.0  # one empty hypothesis
    kept = _Beams.none(n, beam_size, problem.max_length, device)
    results: list[list[Hypothesis]] = [[] for _ in range(n)]

    state = model.start(problem.memory, problem.max_length, beam_size)
    last = torch.full((n * beam_size, 1), problem.decoder_start_id, device=device)
    for position in range(problem.max_length):
        hidden, state = model.step(last, state)
        logits = model.project(hidden[:, -1])  # (R, 1, D) -> (R, V), R = n * beam_size
        log_probs = problem.log_probs(logits, sentences.repeat_interleave(beam_size), position)
        sums = live.log_probs.reshape(-1, 1) + log_probs
        _, places = largest(sums.view(len(sentences), -1), 2 * beam_size)  # (n, W * V) -> (n, 2 * W)
        beams, tokens = places // logits.shape[1], places % logits.shape[1]
        token_log_probs = log_probs.view(len(sentences), -1).gather(1, places)
        before, grown = live, live.grow(beams, tokens, token_log_probs, position)

        is_end = tokens == problem.eos_id
        ended = is_end & (torch.arange(2 * beam_size, device=device) < beam_size)
        kept = kept.best_of(grown.only(ended), alpha)
        going = is_end.to(torch.uint8).argsort(dim=1, stable=True)[:, :beam_size]
        if watch is not None:
            scores = grown.scores(alpha)
            watch(BeamStep(position, logits, beams, tokens, grown.log_probs, scores, ended, going))
        live, beams = grown.take(going), beams.gather(1, going)

        at_limit = position >= limits
        reach = limits + 1 if exhaustive else torch.full_like(limits, position + 1)
        beaten = live.log_probs[:, 0] / length_penalty(reach, alpha) <= kept.scores(alpha)[:, -1]
        done = at_limit | beaten
        stay = (~done).nonzero().squeeze(1)
        if len(stay) < len(sentences):
            has_ended = torch.zeros_like(before.lengths).scatter_add_(1, places // logits.shape[1], ended.long()) > 0
            unfinished = before.only(~has_ended).sentences(done).hypotheses(False, alpha)
            finished = kept.sentences(done).hypotheses(True, alpha)
            for sentence, first, second in zip(sentences[done].tolist(), finished, unfinished):
                results[sentence] = [*first, *second][:n_best]
            if len(stay) == 0:
                break
            live, kept, beams = live.sentences(stay), kept.sentences(stay), beams[stay]
            sentences, limits = sentences[stay], limits[stay]
        rows = (stay.unsqueeze(1) * beam_size + beams).flatten()
        if not torch.equal(rows, torch.arange(len(last), device=device)):
            state = state.select(rows)
        last = live.tokens[:, :, position].reshape(-1, 1)
    return results
