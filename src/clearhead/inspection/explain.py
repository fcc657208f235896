"""A translator's whole way from a sentence to its translation, recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from unicodedata import normalize

import numpy as np
import torch
from torch import Tensor, nn

from clearhead.config import DecodingConfig
from clearhead.decoding.beam import beam_search
from clearhead.decoding.greedy import greedy_search
from clearhead.decoding.hypothesis import Hypothesis
from clearhead.decoding.problem import Problem, pad_prefixes
from clearhead.decoding.translator import Translator
from clearhead.errors import CorpusError, UsageError
from clearhead.inspection.explanation import Explanation, Outcome
from clearhead.inspection.steps import placed, placed_ids, steps_of
from clearhead.inspection.trace import tracing
from clearhead.inspection.tree import beam_tree
from clearhead.models.interface import Memory, Seq2Seq


@dataclass(frozen=True)
class Question:
    """One sentence as a search is asked it.

    text: in NFC; front, ids: as the encoder sees it, ``front`` before the text and eos behind.
    problem: with the encoder's output; alpha: the length penalty.
    """

    text: str
    front: list[int]
    ids: list[int]
    problem: Problem
    decoding: DecodingConfig

    @property
    def alpha(self) -> float:
        """The exponent of the length penalty."""
        return self.decoding.length_penalty

    @property
    def prefix(self) -> list[int]:
        """The ids that the translation must start with."""
        return self.problem.prefixes[0].tolist()

    def repeated(self, prefixes: list[list[int]]) -> Problem:
        """Return the sentence asked once for each of ``prefixes`` (ids)."""
        one, n = self.problem, len(prefixes)
        memory = Memory(
            one.memory.hidden.expand(n, -1, -1),
            one.memory.mask.expand(n, -1),
            None if one.memory.final is None else one.memory.final.expand(-1, -1, n, -1),
        )
        starts = pad_prefixes(prefixes, one.limits.device)
        return replace(one, memory=memory, limits=one.limits.expand(n), prefixes=starts)

    def search(self, model: Seq2Seq, problem: Problem) -> list[Hypothesis]:
        """Return the best hypothesis of each sentence of ``problem``, searched for as this question is."""
        found = beam_search(model, problem, self.decoding.beam_size, self.alpha, exhaustive=self.decoding.exhaustive)
        return [hypotheses[0] for hypotheses in found]


@torch.no_grad()
def ask(
    translator: Translator,
    text: str,
    prefix: str = "",
    tag: str = "",
    decoding: DecodingConfig | None = None,
) -> Question:
    """Return ``text`` as the question that ``translator(text, prefix=..., tag=...)`` asks.

    Raises:
        UsageError: the text is blank; the prefix is longer than the translation may be; tokens are to be drawn.
        CorpusError: the text is longer than the model's limit.
        ConfigError: the tokenizer has no such tag.
    """
    decoding = decoding or translator.decoding
    if not text.strip():
        raise UsageError("nothing-to-inspect")
    if decoding.sampling:
        raise UsageError("inspect-samples")
    text = normalize("NFC", text)
    src, front = translator.tokenizers.src, translator.front_ids(tag)
    own = src.encode(text)
    longest = translator.model.max_positions - 1 - len(front)
    if len(own) > longest:
        raise CorpusError("too-long-to-inspect", tokens=len(own), limit=longest)
    start, limit = translator.tokenizers.tgt.encode(prefix), translator.limit(len(own), decoding)
    if len(start) > limit:
        raise UsageError("prefix-too-long", line=1, tokens=len(start), limit=limit)
    ids = [*front, *own, src.eos_id]
    with translator.device.autocast():
        problem = translator.problem([ids], [start], [limit])
    return Question(text, front, ids, problem, decoding)


@torch.no_grad()
def explain(
    translator: Translator,
    text: str,
    *,
    prefix: str = "",
    tag: str = "",
    decoding: DecodingConfig | None = None,
) -> Explanation:
    """Return all that the model computes on the way from ``text`` to its translation.

    Greedy search, the beam search as it is, then the best hypothesis once more by teacher forcing, and every number of
    that is recorded.

    Raises: as ``ask``.
    """
    return answer(translator, ask(translator, text, prefix, tag, decoding))


@torch.no_grad()
def answer(translator: Translator, question: Question) -> Explanation:
    """Return all that the model computes on the way from a question to its translation."""
    with translator.device.autocast():
        (greedy,) = greedy_search(translator.model, question.problem, question.alpha)
        beam, best = beam_tree(
            translator.model, question.problem, translator.tokenizers.tgt, question.decoding.beam_size, question.alpha,
            question.decoding.exhaustive,
        )  # fmt: skip
        tokens = beam.tokens(beam.best)
        traced, logits = teach(translator, question.ids, tokens)
    tokenizers = translator.tokenizers
    start = question.problem.decoder_start_id
    tgt_text, outputs = placed_ids(tokens, tokenizers.tgt)
    _, inputs = placed_ids([start, *tokens[:-1]], tokenizers.tgt)
    return Explanation(
        kind="transformer" if "src_input" in traced else "recurrent",
        src_text=question.text,
        src=tuple(placed(question.text, tokenizers.src, question.front, [tokenizers.src.eos_id])),
        tgt_text=tgt_text,
        tgt_inputs=tuple(inputs),
        tgt_outputs=tuple(outputs),
        tensors=arrays(traced),
        steps=tuple(steps_of(logits, tokenizers.tgt, tokens)),
        log_prob=best.log_prob,
        score=best.score,
        beam=beam,
        greedy=outcome(translator, greedy),
    )


@torch.no_grad()
def teach(
    translator: Translator, src: list[int], tgt: list[int], kinds: tuple[type[nn.Module], ...] = (nn.Module,)
) -> tuple[dict[str, Tensor], Tensor]:
    """Record the model over one pair of ids by teacher forcing; return tensors without batch, and logits (T, V).

    kinds: see ``trace.tracing``.
    """
    model = translator.model
    assert isinstance(model, nn.Module)
    with tracing(model, kinds) as trace:
        hidden = model.forward(translator.teacher_batch([src], [tgt]))
    return named(trace.tensors()), model.project(hidden[0])  # type: ignore[operator]


def named(traced: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what was recorded of one sentence without its batch dimension, under the names that every kind shares.

    Embeddings and their sum with the positions are "src_..." and "tgt_..."; what a recurrent decoder attends with is
    "attention...." and has no heads.
    """
    found = {}
    for name, tensor in traced.items():
        name, tensor = name.removeprefix("body."), tensor[0]
        if name.startswith("decoder.attention."):
            name = name.removeprefix("decoder.")
            tensor = tensor if name.endswith(".mask") else tensor[0]
        found[name] = tensor
    alone = "tgt" if "decoder.output" in found else "src"  # which side a model with one side is
    for name, new in (("token_embedding", "embedding"), ("positions", "positions"), ("segments", "segments")):
        if name in found:
            found[f"{alone}_{new}"] = found.pop(name)
    for side, stack in (("src", "encoder"), ("tgt", "decoder")):
        first = f"{stack}.layers.0.self_attention_residual.input"
        if first in found:
            found[f"{side}_input"] = found[first]
    return found


def arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return tensors as arrays of float32 or bool; what shares its memory goes on sharing it."""
    return {name: (x.float() if x.is_floating_point() else x).cpu().numpy() for name, x in tensors.items()}


def outcome(translator: Translator, hypothesis: Hypothesis) -> Outcome:
    """Return a hypothesis as text."""
    text = translator.tokenizers.tgt.decode(hypothesis.tokens)
    return Outcome(text, hypothesis.tokens, hypothesis.log_prob, hypothesis.score)
