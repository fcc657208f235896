"""Every number of a forward pass by name: hooks on a model's modules, which are gone when nobody looks.

No module knows of it. What a hook sees is recorded as it is; the interior of attention, of a residual connection and of
a recurrent layer, which fast paths skip or fuse, is computed once more step by step and held against the real result.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from clearhead.models.classifier import Classifier
from clearhead.models.encoder_only import EncoderOnly, TextEncoder
from clearhead.models.recurrent import Decoder as RecurrentDecoder
from clearhead.models.transformer import Decoder, Encoder, Transformer
from clearhead.nn.attention import AttentionCore, MultiHeadAttention
from clearhead.nn.embedding import TokenEmbedding
from clearhead.nn.feed_forward import FeedForward
from clearhead.nn.layers import Residual
from clearhead.nn.ngrams import NgramEvidence
from clearhead.nn.positions import CountedPositions, LearnedPositions, SinusoidalPositions
from clearhead.nn.recurrent import Recurrence
from clearhead.nn.recurrent_attention import RecurrentAttentionCore

CORES: tuple[type[nn.Module], ...] = (AttentionCore, RecurrentAttentionCore)
"""Where attention is computed."""

Record = Callable[[tuple[Any, ...], dict[str, Any], Any], None]
"""(arguments, keyword arguments, result) of one call of a module."""


class Trace:
    """What was recorded: under each name a tensor for every call, batch first.

    calls: name -> tensors. Names are the modules' paths and what is meant: "encoder.layers.0.self_attention.scores".
    """

    def __init__(self) -> None:
        self.calls: dict[str, list[Tensor]] = defaultdict(list)

    def put(self, name: str, tensor: Tensor) -> None:
        """Record one call's tensor."""
        self.calls[name].append(tensor.detach())

    def take(self) -> dict[str, Tensor]:
        """Return the last call of every name and forget all."""
        last = {name: tensors[-1] for name, tensors in self.calls.items()}
        self.calls.clear()
        return last

    def tensors(self) -> dict[str, Tensor]:
        """Return one tensor a name; calls for one position after the other are put together along the positions."""
        found = {}
        for name, tensors in self.calls.items():
            per_sentence = name.endswith((".k", ".v", ".keys", ".gamma", ".beta"))
            found[name] = tensors[-1] if per_sentence or len(tensors) == 1 else torch.cat(tensors, dim=-2)
        return found


@contextmanager
def tracing(model: nn.Module, kinds: tuple[type[nn.Module], ...] = (nn.Module,)) -> Iterator[Trace]:
    """Record what ``model`` computes in this context and thread, in evaluation mode.

    kinds: only modules of these classes are watched.
    """
    assert not model.training, "dropout is drawn: what would be recorded is not what the model says"
    trace = Trace()
    with hooks() as hook:
        paths: dict[nn.Module, list[str]] = {}
        for path, module in model.named_modules(remove_duplicate=False):
            paths.setdefault(module, []).append(path)  # an embedding that is tied has two
        for module, names in paths.items():
            if isinstance(module, kinds):
                for watched, record in _watched(module, names, trace):
                    hook(watched, record)
        yield trace


@contextmanager
def hooks() -> Iterator[Callable[[nn.Module, Callable[..., Any]], None]]:
    """Give a function that hooks a module's calls, in this thread alone, until the context ends.

    The function takes a module and what is called with (arguments, keyword arguments, result) of each call; what that
    returns, if it is not None, goes on in the result's place.
    """
    handles, owner = [], threading.get_ident()

    def hook(module: nn.Module, call: Callable[..., Any]) -> None:
        def mine(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any], result: Any) -> Any:
            # One model serves several threads, and the others are not looked at.
            return call(args, named, result) if threading.get_ident() == owner else None

        handles.append(module.register_forward_hook(mine, with_kwargs=True))

    try:
        yield hook
    finally:
        for handle in handles:
            handle.remove()


def _watched(module: nn.Module, paths: list[str], trace: Trace) -> Iterator[tuple[nn.Module, Record]]:
    """Yield the modules to hook for ``module`` and what is recorded of them."""
    path = paths[0]
    match module:
        case AttentionCore():
            yield module, lambda args, _, z: attention(trace, path.removesuffix(".core"), *args, z=z)
        case MultiHeadAttention():
            yield module.w_o, _in_and_out(trace, f"{path}.concatenated", f"{path}.output")
        case FeedForward():
            yield module.w_1, _in_and_out(trace, None, f"{path}.inner")
            if module.w_gate is not None:
                yield module.w_gate, _in_and_out(trace, None, f"{path}.gate")
            yield module.w_2, _in_and_out(trace, f"{path}.activated", f"{path}.output")
        case Residual():
            yield module, lambda args, _, result: _residual(trace, path, module, args[0], result)
        case TokenEmbedding():
            yield module, lambda args, _, vectors: trace.put(_next(trace, paths), vectors)
        case SinusoidalPositions() | LearnedPositions() | CountedPositions():
            yield module, lambda args, _, vectors: trace.put(path, vectors if vectors.dim() > 2 else vectors[None])
        case _:
            yield from _watched_stack(module, path, trace)
            yield from _watched_recurrent(module, path, trace)
            yield from _watched_classifier(module, path, trace)


def _watched_stack(module: nn.Module, path: str, trace: Trace) -> Iterator[tuple[nn.Module, Record]]:
    for norm, shown in _norms(module, path):
        yield norm, partial(_learned, trace, shown, norm)
    match module:
        case EncoderOnly() if module.w_transform is not None:
            yield module.w_transform, _in_and_out(trace, None, "transform.inner")
            yield module.transform_norm, _in_and_out(trace, "transform.activated", "transform.output")
        case Encoder() | Decoder():
            yield module.norm, _in_and_out(trace, f"{path}.stack", f"{path}.output")


def _norms(module: nn.Module, path: str) -> list[tuple[nn.Module, str]]:
    """Return a module's own normalisations, those of residual connections left out, and what their results are."""
    match module:
        case EncoderOnly():
            return [(module.transform_norm, "transform")]
        case TextEncoder():
            return [(module.norm, "src_input")]
        case Transformer():
            return [(module.src_norm, "src_input"), (module.tgt_norm, "tgt_input")]
        case Encoder() | Decoder():
            return [(module.norm, path)]
    return []


def _watched_recurrent(module: nn.Module, path: str, trace: Trace) -> Iterator[tuple[nn.Module, Record]]:
    match module:
        case Recurrence():
            yield module, lambda args, named, result: _recurrence(trace, path, module, args, result)
        case RecurrentAttentionCore():
            own = path.removesuffix(".core")
            yield module, lambda args, _, context: _recurrent_attention(trace, own, module, args, context)
        case RecurrentDecoder() if module.w_c is not None:
            yield module.w_c, _in_and_out(trace, f"{path}.context_and_state", f"{path}.combined")


def _watched_classifier(module: nn.Module, path: str, trace: Trace) -> Iterator[tuple[nn.Module, Record]]:
    """What there is one of for a whole text is recorded as the one row of a matrix."""
    match module:
        case NgramEvidence():
            yield module, _in_and_out(trace, None, "labels.ngrams")
        case Classifier():
            pooler, ngrams = module.w_pooler is not None, module.ngram_evidence is not None
            if module.w_pooler is not None:
                yield module.w_pooler, _rows(trace, "pooling.output", "pooler.inner")
            read, said = "pooler" if pooler else "pooling", "linear" if ngrams else "logits"
            yield module.w_label, _rows(trace, f"{read}.output", f"labels.{said}")
            if ngrams:
                yield module, _rows(trace, None, "labels.logits")


def _rows(trace: Trace, name_in: str | None, name_out: str) -> Record:
    both = _in_and_out(trace, name_in, name_out)
    return lambda args, named, result: both((args[0].unsqueeze(1),), named, result.unsqueeze(1))


def _in_and_out(trace: Trace, name_in: str | None, name_out: str) -> Record:
    def record(args: tuple[Any, ...], _: dict[str, Any], result: Tensor) -> None:
        if name_in is not None:
            trace.put(name_in, args[0])
        trace.put(name_out, result)

    return record


def _learned(trace: Trace, path: str, norm: nn.Module, *_: Any) -> None:
    """Record what a layer normalisation has learned (D,), with a batch dimension as all has."""
    if isinstance(norm, nn.LayerNorm):
        trace.put(f"{path}.gamma", norm.weight[None])
        trace.put(f"{path}.beta", norm.bias[None])


def _next(trace: Trace, paths: list[str]) -> str:
    """Return whose call it is: of an embedding that source and target share the first is the source's."""
    return paths[0] if len(paths) == 1 or paths[0] not in trace.calls else paths[1]


def attention(
    trace: Trace, path: str, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, z: Tensor
) -> None:
    """Record equation 1 step by step and hold it against the core's result z (B, H, T, K).

    q: (B, H, T, K); k, v: (B, H, S, K); mask: bool, broadcastable to (B, H, T, S).
    """
    scores = q @ k.transpose(-2, -1)  # (B, H, T, K) x (B, H, K, S) -> (B, H, T, S)
    # As in the core, the queries are divided: the softmax of large scores shows in what order they were rounded.
    scaled = (q * (1.0 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    may = torch.ones((), dtype=torch.bool, device=q.device) if mask is None else mask
    may = may.expand(len(q), *([1] if mask is None or mask.dim() < 4 else mask.shape[1:2]), *scores.shape[-2:])
    weights = _softmax(scaled, may)
    check(f"{path}.z", weights.to(v.dtype) @ v, z, float(scaled.abs().max()))
    steps = {"q": q, "k": k, "v": v, "scores": scores, "scaled": scaled, "mask": may[:, 0], "weights": weights, "z": z}
    for name, tensor in steps.items():
        trace.put(f"{path}.{name}", tensor)


def _softmax(scores: Tensor, may: Tensor) -> Tensor:
    """Return exp(s - max) over its sum where the mask is True, exactly 0 elsewhere and in an empty row."""
    masked = scores.float().masked_fill(~may, -math.inf)
    highest = masked.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float32).min)
    exponentials = (masked - highest).exp()
    return exponentials / exponentials.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)


def _residual(trace: Trace, path: str, module: Residual, x: Tensor, result: Tensor) -> None:
    """Record add and norm, x and result (B, T, D); the sublayer has been recorded before."""
    y = trace.calls[f"{path.removesuffix('_residual')}.output"][-1]
    total = module.add(x, y.view_as(x))
    trace.put(f"{path}.input", x)
    if module.pre_norm:
        trace.put(f"{path}.normed", module.norm(x))
    check(f"{path}.output", total if module.pre_norm else module.norm(total), result)
    trace.put(f"{path}.sum", total)
    _learned(trace, path, module.norm)
    trace.put(f"{path}.output", result)


def _recurrence(trace: Trace, path: str, module: Recurrence, args: tuple[Any, ...], result: Any) -> None:
    """Record a recurrent layer gate by gate; what was read from the end comes in the source's order."""
    x, (hidden, _) = args[0], result
    state = args[1] if len(args) > 1 else x.new_zeros(module.n_states, len(x), module.w_hidden.shape[1])
    rows: dict[str, list[Tensor]] = defaultdict(list)
    rows["input"] = list(x.unbind(1))
    for position in x.unbind(1):
        state, gates = module.step(position, state)
        for name, gate in gates.items():
            rows[name if name == "candidate" else f"{name}_gate"].append(gate)
        for name, vector in zip(("hidden", "cell"), state):
            rows[name].append(vector)
    check(f"{path}.hidden", torch.stack(rows["hidden"], 1), hidden)
    stem, _, direction = path.rpartition(".")
    path = {"forwards": f"{stem}.forward", "backwards": f"{stem}.backward"}.get(direction, path)
    for name, each in rows.items():
        both = torch.stack(each, 1)  # (B, T, H)
        trace.put(f"{path}.{name}", both.flip(1) if direction == "backwards" else both)


def _recurrent_attention(
    trace: Trace, path: str, module: RecurrentAttentionCore, args: tuple[Any, ...], context: Tensor
) -> None:
    """Record additive or multiplicative attention: q (G, 1, n, D), keys and memory (G, 1, S, D)."""
    q, k, v, mask = args
    if module.w_score is None:
        scores = q @ k.transpose(-2, -1)
    else:
        scores = ((q.unsqueeze(-2) + k.unsqueeze(-3)).tanh() @ module.w_score.weight.t()).squeeze(-1)
    may = mask.expand(scores.shape)
    weights = _softmax(scores, may)
    check(f"{path}.context", weights.to(v.dtype) @ v, context, float(scores.abs().max()))
    steps = {"q": q, "k": k, "v": v, "scores": scores, "mask": may[:, 0], "weights": weights, "context": context}
    for name, tensor in steps.items():
        trace.put(f"{path}.{name}", tensor)


def check(name: str, ours: Tensor, real: Tensor, largest: float = 0.0) -> None:
    """Hold what was recomputed against what the model computed: the same but for rounding.

    largest: magnitude of the scores whose softmax it rests on; what they are rounded by is what it is off by.
    """
    within = 1e-5 if real.dtype == torch.float32 and ours.dtype == torch.float32 else 5e-2
    within *= max(1.0, largest / 10)
    size = float(real.abs().max()) if real.numel() else 0.0
    apart = float((ours - real).abs().max()) if real.numel() else 0.0
    assert apart <= within * max(size, 1.0), f"{name}: recomputed numbers are off by {apart:g} of {size:g}"
