"""The drawing of figure 1: the parts that a text went through, in order, each with its equation, section and code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from clearhead.inspection.explanation import Explanation

PARTS = (
    # pattern of the part's tensors, kind, source, equation, section of Vaswani et al. 2017
    (r"(?:src|tgt)_embedding", "embedding", "nn/embedding.py:TokenEmbedding", "embedding", "3.4"),
    (r"(?:src|tgt)_positions", "positions", "nn/positions.py:sinusoids", "positions", "3.5"),
    (r"(?:src|tgt)_segments", "segments", "models/encoder_only.py:TextEncoder", "segments", ""),
    (r"(?:src|tgt)_input", "sum", "models/transformer.py:Transformer.encode", "embedding-sum", "3.5"),
    (r"\w+\.layers\.\d+\.(?:self|cross)_attention", "attention", "nn/attention.py:MultiHeadAttention", "1", "3.2"),
    (r"\w+\.layers\.\d+\.\w+_residual", "residual", "nn/layers.py:Residual", "add-and-norm", "3.1"),
    (r"\w+\.layers\.\d+\.feed_forward", "feed_forward", "nn/feed_forward.py:FeedForward", "2", "3.3"),
    (r"\w+\.layers\.\d+(?:\.forward|\.backward)?", "recurrent", "nn/recurrent.py:Recurrence.step", "recurrence", ""),
    (r"attention", "recurrent_attention", "nn/recurrent_attention.py:additive_attention", "recurrent-attention", ""),
    (r"transform", "transform", "models/encoder_only.py:EncoderOnly.transform", "transform", ""),
    (r"decoder", "combined", "models/recurrent.py:Decoder", "attentional", ""),
    (r"pooling", "pooling", "models/classifier.py:pool", "pooling", ""),
    (r"pooler", "pooler", "models/classifier.py:Classifier", "pooler", ""),
    (r"labels", "labels", "models/classifier.py:Classifier", "labels", "3.4"),
)
"""What a part is known by. "output" is not here: its logits are not recorded as a tensor."""


SUMS = {
    "classifier": "models/encoder_only.py:TextEncoder.encode",
    "language-model": "models/decoder_only.py:DecoderOnly",
    "masked-language-model": "models/encoder_only.py:TextEncoder.encode",
}
"""Where models of one stack add up what is below it."""


def parts(explanation: Explanation, positions: str = "sinusoidal") -> list[dict[str, Any]]:
    """Return the parts in the order in which they were computed, with their tensors' shapes.

    "kind" is one of those in ``PARTS``, "norm" (what a pre-norm stack ends in) or "output".

    positions: as the model's config has it.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, array in _in_order(explanation):
        part = _part_of(name)
        same = part is not None and part[1] == "norm" and _unchanged(explanation, part[0].partition(".")[0])
        if part is not None and not same:
            path, kind, source, equation, section = part
            if kind == "sum":
                source = SUMS.get(explanation.kind, source)
            source = "nn/positions.py:LearnedPositions" if (kind, positions) == ("positions", "learned") else source
            new = {"name": path, "kind": kind, "shapes": {}, "source": source, "equation": equation, "section": section}
            found.setdefault(path, new)["shapes"][name.removeprefix(path).removeprefix(".") or "output"] = array
    output = {"name": "output", "kind": "output", "shapes": {"logits": [len(explanation.steps)]}}
    output |= {"source": "nn/embedding.py:project", "equation": "output", "section": "3.4"}
    return [*found.values(), *([] if explanation.kind == "classifier" else [output])]


def _in_order(explanation: Explanation) -> Iterator[tuple[str, list[int]]]:
    """Yield the tensors' names and shapes: the source's embedding, the encoder, the target's embedding, the decoder."""
    src, tgt = (
        [f"{side}_{each}" for each in ("embedding", "segments", "positions", "input")] for side in ("src", "tgt")
    )
    ranks = (
        *src,
        "encoder.",
        *tgt,
        "decoder.layers",
        "attention",
        "decoder.",
        "transform.",
        "pooling.",
        "pooler.",
        "labels.",
    )
    names = [name for name in explanation.tensors if name.startswith(ranks)]
    for rank in ranks:
        for name in (each for each in names if next(r for r in ranks if each.startswith(r)) == rank):
            yield name, list(explanation.tensors[name].shape)


def _unchanged(explanation: Explanation, stack: str) -> bool:
    """Whether a stack ends in nothing more: a post-norm one's layers have normalised already."""
    before, behind = (explanation.tensors.get(f"{stack}.{name}") for name in ("stack", "output"))
    return before is not None and behind is not None and np.shares_memory(before, behind)


def _part_of(name: str) -> tuple[str, str, str, str, str] | None:
    if re.fullmatch(r"(encoder|decoder)\.(stack|output|gamma|beta)", name):
        return name.partition(".")[0] + ".norm", "norm", "nn/layers.py:LayerShape.extra_norm", "norm", "3.1"
    for pattern, *about in PARTS:
        path = name if re.fullmatch(pattern, name) else name.rpartition(".")[0]
        if re.fullmatch(pattern, path):
            return (path, *about)  # type: ignore[return-value]
    return None
