"""Heads switched off: what each one's word is worth to what came out, all of them in one batch.

A head that is off says zeros, which is what zeroing its slice of W_O comes to. (Michel et al. 2019 do the same to find
heads that a model can do without.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from clearhead.data.batch import Batch
from clearhead.decoding.scoring import score_pairs
from clearhead.decoding.translator import Translator
from clearhead.errors import UsageError
from clearhead.inspection.explain import Question, outcome
from clearhead.inspection.explanation import Explanation, Outcome
from clearhead.inspection.rivals import ROWS, Progress, silent
from clearhead.inspection.trace import hooks
from clearhead.models.interface import Memory
from clearhead.nn.attention import MultiHeadAttention

Head = tuple[str, int]
"""An attention by its path ("encoder.layers.0.self_attention"), and which of its heads."""


@dataclass(frozen=True)
class Ablation:
    """What one head is worth.

    log_prob: of the same outcome without the head; delta_log_prob: how much that is more (less, mostly).
    outcome: what comes out without it.
    """

    part: str
    head: int
    log_prob: float
    delta_log_prob: float
    outcome: Outcome


def heads_of(model: nn.Module) -> list[Head]:
    """Return all heads of a model, in the order of its modules."""
    found = []
    for path, module in model.named_modules():
        if isinstance(module, MultiHeadAttention):
            found += [(path, head) for head in range(module.n_heads)]
    return found


@torch.no_grad()
def ablations(
    translator: Translator,
    question: Question,
    explanation: Explanation,
    heads: Sequence[Head] | None = None,
    on_progress: Progress = silent,
) -> list[Ablation]:
    """Return what each of ``heads`` (all, where None) is worth to this translation.

    Raises:
        UsageError: there is no such head.
    """
    model = translator.model
    assert isinstance(model, nn.Module)
    heads = chosen_heads(heads_of(model), heads)
    tokens = [token.id for token in explanation.tgt_outputs]
    with_all = math.fsum(step.log_prob or 0.0 for step in explanation.steps)
    found, at_once = [], max(1, ROWS // question.decoding.beam_size)
    for start in range(0, len(heads), at_once):
        some = heads[start : start + at_once]
        with translator.device.autocast(), without_heads(model, some) as silenced:
            n = len(some)
            batch = translator.teacher_batch([question.ids] * n, [tokens] * n)
            scored = score_pairs(silenced, batch, question.alpha)
            problem = replace(
                question.repeated([question.prefix] * n), memory=silenced.encode(batch.src, batch.src_mask)
            )
            searched = question.search(silenced, problem)
        for (part, head), given, best in zip(some, scored, searched):
            delta = given.log_prob - with_all
            found.append(Ablation(part, head, given.log_prob, delta, outcome(translator, best)))
        on_progress(len(found), len(heads))
    return found


def chosen_heads(known: Sequence[Head], heads: Sequence[Head] | None) -> list[Head]:
    """Return ``heads``, or all that are known where None.

    Raises:
        UsageError: there is no such head.
    """
    for part, head in heads or []:
        if (part, head) not in known:
            names = ", ".join(dict.fromkeys(f"{name} (0 to {last})" for name, last in dict(known).items()))
            raise UsageError("no-such-head", part=part, head=head, known=names or "-")
    return list(known if heads is None else heads)


@contextmanager
def without_heads(model: nn.Module, heads: Sequence[Head]) -> Iterator[_Silenced]:
    """Give the model as it is when sentence i of a batch lacks the head ``heads[i]``; in this thread, until the end."""
    silenced = _Silenced(model, len(heads))
    with _heads_off(model, heads, silenced):
        yield silenced


@contextmanager
def texts_without_heads(model: nn.Module, heads: Sequence[Head]) -> Iterator[None]:
    """Let text i of a batch of texts lack the head ``heads[i]``; in this thread, until the end."""
    with _heads_off(model, heads, _Rows(model, len(heads))):
        yield


@contextmanager
def _heads_off(model: nn.Module, heads: Sequence[Head], rows: _Rows) -> Iterator[None]:
    modules = dict(model.named_modules())
    with hooks() as hook:
        for path in {path for path, _ in heads}:
            module = modules[path]
            assert isinstance(module, MultiHeadAttention)
            hook(module.core, rows.silence(path, module.n_heads, heads))
        yield


class _Rows:
    """Knows which sentence each row belongs to; of a batch of texts each to its own."""

    def __init__(self, model: nn.Module, sentences: int) -> None:
        self.all = torch.arange(sentences, device=next(model.parameters()).device)
        self.rows = self.all

    def silence(self, path: str, n_heads: int, heads: Sequence[Head]) -> Callable[..., Tensor]:
        """Return a hook on an attention core that puts zeros in the place of the words of heads that are off."""
        off = torch.zeros(len(heads), n_heads, dtype=torch.bool, device=self.all.device)
        for sentence, (part, head) in enumerate(heads):
            off[sentence, head] = part == path

        def hook(_: Any, __: Any, z: Tensor) -> Tensor:
            rows = self.rows[:: len(self.rows) // len(z)]  # rows of one sentence may lie together as one
            return z.masked_fill(off[rows][:, :, None, None], 0.0)  # (B, H, T, K)

        return hook


class _Silenced(_Rows):
    """A ``Seq2Seq`` that knows at each call which sentence each row belongs to."""

    def __init__(self, model: Any, sentences: int) -> None:
        super().__init__(model, sentences)
        self.model = model
        self.vocabulary_size, self.max_positions = model.vocabulary_size, model.max_positions

    @property
    def output_weight(self) -> Tensor:
        return self.model.output_weight

    @property
    def output_bias(self) -> Tensor | None:
        return self.model.output_bias

    def encode(self, src: Tensor, src_mask: Tensor) -> Memory:
        self.rows = self.all
        return self.model.encode(src, src_mask)

    def forward(self, batch: Batch) -> Tensor:
        self.rows = self.all
        return self.model.forward(batch)

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        return self.model.project(hidden, candidates)

    def start(self, memory: Memory, max_length: int, rows_per_sentence: int = 1) -> _RowsState:
        inner = self.model.start(memory, max_length, rows_per_sentence)
        return _RowsState(inner, self.all.repeat_interleave(rows_per_sentence))

    def step(self, tokens: Tensor, state: _RowsState) -> tuple[Tensor, _RowsState]:
        self.rows = state.sentence
        hidden, inner = self.model.step(tokens, state.inner)
        return hidden, _RowsState(inner, state.sentence)


@dataclass
class _RowsState:
    """A decoder state, and the sentence (R,) that each of its rows belongs to."""

    inner: Any
    sentence: Tensor

    @property
    def lengths(self) -> Tensor:
        return self.inner.lengths

    def select(self, rows: Tensor) -> _RowsState:
        return _RowsState(self.inner.select(rows), self.sentence[rows])

    def join(self, other: _RowsState) -> _RowsState:
        return _RowsState(self.inner.join(other.inner), torch.cat([self.sentence, other.sentence]))
