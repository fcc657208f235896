"""What a look at a model amounts to: arrays with names and shapes, tokens over their characters, steps and beams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

Arrays = Mapping[str, np.ndarray]


class PlacedToken(NamedTuple):
    """A token over the characters of its text in NFC; one that is no text (bos, eos, a tag) has no place."""

    id: int
    text: str
    start: int | None
    end: int | None


class Candidate(NamedTuple):
    """A token that might come next; log_prob is the logarithm of its softmax."""

    id: int
    text: str
    logit: float
    log_prob: float


@dataclass(frozen=True)
class Step:
    """What the model says at one position.

    top: the likeliest tokens, falling.
    entropy: of the whole distribution, in nats.
    chosen: what comes next in the text that is looked at; log_prob: its logarithmic probability.
    """

    top: tuple[Candidate, ...]
    entropy: float
    chosen: int | None = None
    log_prob: float | None = None


@dataclass
class Node:
    """A hypothesis that a search looked at: its parent's, longer by one token.

    node: its number, its place in ``Beam.nodes``; parent: None for the empty hypothesis, which is node 0.
    step: at which position its token stands, from 0; -1 for the empty one.
    log_prob: of all its tokens; score: the same over the length penalty.
    kept: whether it lived on, or was still among the finished ones in the end.
    finished: whether its token is eos.
    asked: what the model says next, and cross: the cross-attention (L, H, S) of that; None where nobody asked.
    """

    node: int
    parent: int | None
    step: int
    id: int
    text: str
    log_prob: float
    score: float
    kept: bool
    finished: bool
    asked: Step | None = None
    cross: np.ndarray | None = None


class CacheStep(NamedTuple):
    """What decoding keeps at a step: places filled in self-attention's cache, and bytes of keys and values in use."""

    step: int
    positions: int
    bytes: int


@dataclass(frozen=True)
class Beam:
    """A beam search as a tree; ``best`` is the node whose hypothesis won."""

    beam_size: int
    length_penalty: float
    nodes: tuple[Node, ...]
    best: int
    cache: tuple[CacheStep, ...]

    def path(self, node: int) -> list[Node]:
        """Return the nodes from the first token to ``node``, the empty hypothesis left out."""
        found: list[Node] = []
        at: int | None = node
        while at:
            found.append(self.nodes[at])
            at = self.nodes[at].parent
        return found[::-1]

    def tokens(self, node: int) -> list[int]:
        """Return the token ids of a node's hypothesis."""
        return [each.id for each in self.path(node)]


class Label(NamedTuple):
    """A class, with its logit and probability."""

    label: str
    logit: float
    prob: float


@dataclass(frozen=True)
class Outcome:
    """A text that came out, with its ids, log-probability and length-normalised score."""

    text: str
    tokens: tuple[int, ...]
    log_prob: float
    score: float


@dataclass(frozen=True)
class Explanation:
    """What a model computed for one text.

    kind: "transformer", "recurrent", "classifier", "language-model" or "masked-language-model".
    src_text, src: what the encoder read, special tokens included; of a language model empty.
    tgt_text, tgt_inputs, tgt_outputs: what came out; what the decoder took in, and what each position was to say.
    tensors: name -> array without a batch dimension (H heads, S source and T target positions, D, K, F widths).
    steps: what the model says at each target position; of a masked language model at each source position.
    score: of the text that came out, as the search ranks it.
    segments: of a classifier, for each source token whether it is the second text's (1) or not (0).
    """

    kind: str
    src_text: str
    src: tuple[PlacedToken, ...]
    tgt_text: str
    tgt_inputs: tuple[PlacedToken, ...]
    tgt_outputs: tuple[PlacedToken, ...]
    tensors: Arrays = field(repr=False)
    steps: tuple[Step, ...] = field(default=(), repr=False)
    log_prob: float = 0.0
    score: float = 0.0
    beam: Beam | None = field(default=None, repr=False)
    greedy: Outcome | None = field(default=None, repr=False)
    labels: tuple[Label, ...] = ()
    contributions: Mapping[str, Sequence[float]] = field(default_factory=dict, repr=False)
    segments: tuple[int, ...] = field(default=(), repr=False)

    @property
    def encoder_attention(self) -> np.ndarray:
        """(L, H, S, S): the weights of each encoder layer's heads, a row a query."""
        return self._stacked("encoder.", ".self_attention.weights")

    @property
    def decoder_attention(self) -> np.ndarray:
        """(L, H, T, T): the weights of the decoder's masked self-attention."""
        return self._stacked("decoder.", ".self_attention.weights")

    @property
    def cross_attention(self) -> np.ndarray:
        """(L, H, T, S): how each target position looks at the source; of a recurrent model L = H = 1."""
        if "attention.weights" in self.tensors:
            return self.tensors["attention.weights"][None, None]
        return self._stacked("decoder.", ".cross_attention.weights")

    def _stacked(self, front: str, back: str) -> np.ndarray:
        return np.stack(list(self._layers(front, back)))

    def _layers(self, front: str, back: str) -> Iterator[np.ndarray]:
        layer = 0
        while f"{front}layers.{layer}{back}" in self.tensors:
            yield self.tensors[f"{front}layers.{layer}{back}"]
            layer += 1
        if not layer:
            raise AttributeError(f"this model has no {front}layers.*{back}")
