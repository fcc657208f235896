"""Classifiers and language models looked at: what they compute of one text, and what each token contributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from unicodedata import normalize

import torch
from torch import Tensor, nn

from clearhead.device import Device
from clearhead.errors import CorpusError, UsageError
from clearhead.inspection.explain import arrays, named
from clearhead.inspection.explanation import Explanation, Label
from clearhead.inspection.steps import as_placed, placed, placed_ids, steps_of, unplaced
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

    Contributions are to the label's log-probability.

    Raises:
        UsageError: the text is blank.
        CorpusError: it is longer than the model reads.
    """
    text, own = _read(text, tokenizer, max_tokens - 2)
    front, back = [tokenizer.bos_id], [tokenizer.eos_id]
    ids = torch.tensor([[*front, *own, *back]], device=device.name)
    with device.autocast():
        with tracing(model) as trace:
            logits = model(ids, torch.ones_like(ids, dtype=torch.bool))[0].float()
        best = int(logits.argmax())
        contributions = {
            "integrated_gradients": integrated_gradients(model, ids, best),
            "leave_one_out": leave_one_out(model, ids, best),
        }
    said = zip(labels, logits.tolist(), logits.softmax(-1).tolist())
    return Explanation(
        kind="classifier",
        src_text=text,
        src=tuple(placed(text, tokenizer, front, back)),
        tgt_text=labels[best],
        tgt_inputs=(),
        tgt_outputs=(),
        tensors=arrays(named(trace.tensors())),
        log_prob=float(logits.log_softmax(-1)[best]),
        labels=tuple(Label(*each) for each in said),
        contributions=contributions,
    )


def integrated_gradients(model: nn.Module, ids: Tensor, label: int) -> list[float]:
    """Return how much each token's vector adds to a label's log-probability (Sundararajan et al. 2017, equation 1).

    The path leads from no vectors (zeros; positions stay) to the tokens' own. The sum is what the log-probability of
    the text is more than that of no vectors, up to the error of a sum in place of an integral.

    ids: (1, S).
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
        rows = ids.expand(STEPS, -1)
        log_probs = model(rows, torch.ones_like(rows, dtype=torch.bool)).float().log_softmax(-1)
        gradients = torch.autograd.grad(log_probs[:, label].sum(), leaves)
    each = [(x * gradient.mean(dim=0)).sum(dim=-1) for x, gradient in zip(whole, gradients)]
    return torch.stack(each).sum(dim=0).double().tolist()


@torch.no_grad()
def leave_one_out(model: nn.Module, ids: Tensor, label: int) -> list[float]:
    """Return how much a label's log-probability falls where a token is left out; bos and eos stay, with 0.

    ids: (1, S), S at least 3.
    """
    length = ids.shape[1]
    places = torch.arange(length, device=ids.device).expand(length - 2, -1)
    stay = places != torch.arange(1, length - 1, device=ids.device)[:, None]
    without = ids.expand(length - 2, -1)[stay].view(length - 2, length - 1)

    def log_probs(rows: Tensor) -> Tensor:
        return model(rows, torch.ones_like(rows, dtype=torch.bool)).float().log_softmax(-1)[:, label]

    return [0.0, *(log_probs(ids) - log_probs(without)).tolist(), 0.0]


@torch.no_grad()
def explain_next(model: nn.Module, tokenizer: AnyTokenizer, device: Device, text: str) -> Explanation:
    """Return what a language model computes for ``text``: at each place, what it thinks comes next.

    Raises:
        UsageError: the text is blank.
        CorpusError: it is longer than the model's positions.
    """
    limit = int(model.max_positions) - 1  # type: ignore[arg-type]
    text, own = _read(text, tokenizer, limit)
    ids = torch.tensor([[tokenizer.eos_id, *own]], device=device.name)  # as in training, a text stands behind an eos
    with device.autocast(), tracing(model) as trace:
        logits = model.project(model(ids)[0])  # type: ignore[operator]
    steps = steps_of(logits[:-1], tokenizer, own)
    _, inputs = placed_ids([tokenizer.eos_id, *own], tokenizer)
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


def _read(text: str, tokenizer: AnyTokenizer, limit: int) -> tuple[str, list[int]]:
    return _checked(text, tokenizer.encode, limit)


def _checked(text: str, cut: Callable[[str], list[T]], limit: int) -> tuple[str, list[T]]:
    """Return the text in NFC and what ``cut`` makes of it, ``limit`` tokens at most."""
    if not text.strip():
        raise UsageError("nothing-to-inspect")
    text = normalize("NFC", text)
    tokens = cut(text)
    if len(tokens) > limit:
        raise CorpusError("too-long-to-inspect", tokens=len(tokens), limit=limit)
    return text, tokens
