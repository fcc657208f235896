"""Classifiers and language models looked at: what they compute of one text, and what each token contributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar
from unicodedata import normalize

import torch
from torch import Tensor, nn

from clearhead.device import Device
from clearhead.errors import CorpusError, UsageError
from clearhead.inspection.explain import arrays, named
from clearhead.inspection.explanation import Explanation, Label, PlacedToken
from clearhead.inspection.steps import as_placed, placed_ids, steps_of, unplaced
from clearhead.inspection.trace import hooks, tracing
from clearhead.models.interface import MaskedLanguageModel
from clearhead.nn.embedding import TokenEmbedding
from clearhead.nn.ngrams import NgramEvidence
from clearhead.text.foreign import AnyTokenizer
from clearhead.text.masked import masked_tokens

T = TypeVar("T")

STEPS = 64
"""Points at which the integral is summed, in the middle of as many equal parts."""


@torch.no_grad()
def explain_label(
    model: nn.Module, tokenizer: AnyTokenizer, labels: tuple[str, ...], device: Device, max_tokens: int, text: str
) -> Explanation:
    """Return what a classifier computes for ``text``, and what each token contributes to the label it gives.

    Two texts that it reads together stand with a tab between. Contributions are to the label's log-probability.

    Raises:
        UsageError: the text is blank.
        CorpusError: it is longer than the model reads.
    """
    text, src, second = _read_together(text, tokenizer, max_tokens)
    ids = torch.tensor([[token.id for token in src]], device=device.name)
    segments = torch.tensor([second], device=device.name)
    own = [place for place, token in enumerate(src) if token.start is not None]
    with device.autocast():
        with tracing(model) as trace:
            logits = model(ids, torch.ones_like(ids, dtype=torch.bool), segments)[0].float()
        best = int(logits.argmax())
        contributions = {
            "integrated_gradients": integrated_gradients(model, ids, segments, best),
            "leave_one_out": leave_one_out(model, ids, segments, own, best),
        }
    said = zip(labels, logits.tolist(), logits.softmax(-1).tolist())
    return Explanation(
        kind="classifier",
        src_text=text,
        src=tuple(src),
        tgt_text=labels[best],
        tgt_inputs=(),
        tgt_outputs=(),
        tensors=arrays(named(trace.tensors())),
        log_prob=float(logits.log_softmax(-1)[best]),
        labels=tuple(Label(*each) for each in said),
        contributions=contributions,
        segments=tuple(second),
    )


def _read_together(text: str, tokenizer: AnyTokenizer, max_tokens: int) -> tuple[str, list[PlacedToken], list[int]]:
    """Return the text in NFC, its tokens between special ones, and for each whether it is the second text's (1) or not.

    A tab begins a second text: where texts are learned from, it parts columns, so that no text has one itself.
    """

    def cut(text: str) -> list[tuple[PlacedToken, int]]:
        first, _, second = text.partition("\t")
        behind = len(first) + 1
        moved = [
            replace(token, start=token.start + behind, end=token.end + behind) for token in tokenizer.tokens(second)
        ]
        return [(as_placed(token), 0) for token in tokenizer.tokens(first)] + [(as_placed(token), 1) for token in moved]

    two = "\t" in text
    between = two * tokenizer.separators
    text, own = _checked(text, cut, max_tokens - 2 - between)
    bos, eos = (unplaced([id], tokenizer) for id in (tokenizer.bos_id, tokenizer.eos_id))
    first, second = ([token for token, side in own if side == wanted] for wanted in (0, 1))
    front = [*bos, *first, *eos * between]
    back = [*second, *eos]
    return text, [*front, *back], [0] * len(front) + [int(two)] * len(back)


def label_log_probs(model: nn.Module, ids: Tensor, segments: Tensor) -> Tensor:
    """Return a classifier's log-probabilities (B, C) of ids and segments (B, S), which have no padding."""
    return model(ids, torch.ones_like(ids, dtype=torch.bool), segments).float().log_softmax(-1)


def integrated_gradients(model: nn.Module, ids: Tensor, segments: Tensor, label: int) -> list[float]:
    """Return how much each token's vector adds to a label's log-probability (Sundararajan et al. 2017, equation 1).

    The path leads from no vectors (zeros; positions stay) to the tokens' own. The sum is what the log-probability of
    the text is more than that of no vectors, up to the error of a sum in place of an integral.

    ids, segments: (1, S).
    """
    alphas = ((torch.arange(STEPS, device=ids.device) + 0.5) / STEPS)[:, None, None]
    whole: list[Tensor] = []
    leaves: list[Tensor] = []

    def scaled(_: object, __: object, vectors: Tensor) -> Tensor:
        whole.append(vectors.detach()[0])
        leaves.append((vectors.detach() * alphas).requires_grad_())
        return leaves[-1]

    with torch.enable_grad(), hooks() as hook:
        for path, module in model.named_modules():
            if isinstance(module, NgramEvidence) or (
                isinstance(module, TokenEmbedding) and path.endswith("token_embedding")
            ):
                hook(module, scaled)
        log_probs = label_log_probs(model, ids.expand(STEPS, -1), segments.expand(STEPS, -1))
        gradients = torch.autograd.grad(log_probs[:, label].sum(), leaves)
    each = [(x * gradient.mean(dim=0)).sum(dim=-1) for x, gradient in zip(whole, gradients)]
    return torch.stack(each).sum(dim=0).double().tolist()


@torch.no_grad()
def leave_one_out(model: nn.Module, ids: Tensor, segments: Tensor, own: list[int], label: int) -> list[float]:
    """Return how much a label's log-probability falls where a token is left out; special tokens stay, with 0.

    ids, segments: (1, S); own: the places of tokens that are a text's.
    """
    count, length = len(own), ids.shape[1]
    places = torch.tensor(own, dtype=torch.long, device=ids.device)
    stay = torch.arange(length, device=ids.device) != places[:, None]  # (N, S)
    without = (rows.expand(count, -1)[stay].view(count, length - 1) for rows in (ids, segments))
    lost = torch.zeros(length, device=ids.device)
    lost[places] = label_log_probs(model, ids, segments)[:, label] - label_log_probs(model, *without)[:, label]
    return lost.tolist()


@torch.no_grad()
def explain_next(model: nn.Module, tokenizer: AnyTokenizer, device: Device, text: str) -> Explanation:
    """Return what a language model computes for ``text``: at each place, what it thinks comes next.

    Raises:
        UsageError: the text is blank.
        CorpusError: it is longer than the model's positions.
    """
    front = tokenizer.prompt_start  # where there is nothing, nothing foretells the first token
    limit = int(model.max_positions) - len(front)  # type: ignore[arg-type]
    text, own = _checked(text, tokenizer.encode, limit)
    own = [*front, *own]
    ids = torch.tensor([own], device=device.name)
    with device.autocast(), tracing(model) as trace:
        logits = model.project(model(ids)[0])  # type: ignore[operator]
    steps = steps_of(logits[:-1], tokenizer, own[1:])
    _, inputs = placed_ids(own, tokenizer)
    return Explanation(
        kind="language-model",
        src_text="",
        src=(),
        tgt_text=text,
        tgt_inputs=tuple(inputs),
        tgt_outputs=tuple(inputs[1:]),
        tensors=arrays(named(trace.tensors())),
        steps=(*steps, *steps_of(logits[-1:], tokenizer)),
        log_prob=sum(step.log_prob or 0.0 for step in steps),
    )


@torch.no_grad()
def explain_masked(
    model: MaskedLanguageModel, tokenizer: AnyTokenizer, device: Device, max_tokens: int, text: str
) -> Explanation:
    """Return what a masked language model computes for ``text``: at each place, what it thinks stands there.

    What came out is the text with the likeliest tokens where words are hidden, each foretold by itself. A text may hide
    nothing: then nothing comes out, and what the model thinks of words that it sees is there all the same.

    Raises:
        UsageError: the text is blank.
        CorpusError: it is longer than the model reads.
    """
    assert isinstance(model, nn.Module)
    text, middle = _checked(text, lambda text: masked_tokens(text, tokenizer), max_tokens - 2)
    src = [*unplaced([tokenizer.bos_id], tokenizer), *map(as_placed, middle), *unplaced([tokenizer.eos_id], tokenizer)]
    ids = torch.tensor([[token.id for token in src]], device=device.name)
    with device.autocast(), tracing(model) as trace:
        hidden = model.encode(ids, torch.ones_like(ids, dtype=torch.bool)).hidden
        logits = model.project(model.transform(hidden))[0]  # (S, V)
    tgt_text, said = filled([token.id for token in src], likeliest_ordinary(logits, tokenizer), tokenizer)
    steps = steps_of(logits, tokenizer, said)
    return Explanation(
        kind="masked-language-model",
        src_text=text,
        src=tuple(src),
        tgt_text=tgt_text,
        tgt_inputs=(),
        tgt_outputs=(),
        tensors=arrays(named(trace.tensors())),
        steps=tuple(steps),
        log_prob=sum(step.log_prob or 0.0 for step, token in zip(steps, src) if token.id != step.chosen),
    )


def likeliest_ordinary(logits: Tensor, tokenizer: AnyTokenizer) -> list[int]:
    """Return at each place of logits (S, V) the likeliest token that is a text's own."""
    ordinary = tokenizer.ordinary_ids
    return (logits[:, ordinary.start : ordinary.stop].argmax(-1) + ordinary.start).tolist()


def filled(ids: list[int], guesses: list[int], tokenizer: AnyTokenizer) -> tuple[str, list[int]]:
    """Return the text of ``ids`` with a guess wherever one is hidden, "" where none is, and its ids."""
    said = [guess if id == tokenizer.mask_id else id for id, guess in zip(ids, guesses)]
    return ("" if said == ids else tokenizer.decode(said[1:-1])), said


def _checked(text: str, cut: Callable[[str], list[T]], limit: int) -> tuple[str, list[T]]:
    """Return the text in NFC and what ``cut`` makes of it, ``limit`` tokens at most."""
    if not text.strip():
        raise UsageError("nothing-to-inspect")
    text = normalize("NFC", text)
    tokens = cut(text)
    if len(tokens) > limit:
        raise CorpusError("too-long-to-inspect", tokens=len(tokens), limit=limit)
    return text, tokens
