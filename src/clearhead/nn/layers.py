"""The encoder's and the decoder's layer: sublayers, each with its residual connection and layer normalisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from clearhead.kernels import functions as kernels
from clearhead.nn.attention import MultiHeadAttention
from clearhead.nn.batch_norm import BatchNorm
from clearhead.nn.cache import CrossCache, SelfCache, StepPlace
from clearhead.nn.dropout import Dropout, next_key
from clearhead.nn.feed_forward import FeedForward


@dataclass(frozen=True)
class LayerShape:
    """What a layer needs to know to be built."""

    d_model: int
    d_ff: int
    n_heads: int
    placement: str
    activation: str
    dropout: float
    attention_dropout: float
    feed_forward_dropout: float
    norm_epsilon: float = 1e-5
    residual: bool = True
    attention_scale: bool = True

    @property
    def pre_norm(self) -> bool:
        """Whether sublayers' inputs are normalised, in place of their sums."""
        return self.placement == "pre"

    def attention(self) -> MultiHeadAttention:
        """Return a new multi-head attention of this shape."""
        return MultiHeadAttention(self.d_model, self.n_heads, self.attention_dropout, self.attention_scale)

    def feed_forward(self) -> FeedForward:
        """Return a new feed-forward network of this shape."""
        return FeedForward(self.d_model, self.d_ff, self.activation, self.feed_forward_dropout)

    def add_and_norm(self) -> Residual:
        """Return a new residual connection of this shape."""
        match self.placement:
            case "batch":
                return Residual(BatchNorm(self.d_model, self.norm_epsilon), self)
            case "none":
                return Residual(nn.Identity(), self)
        return Residual(self.norm(), self)

    def norm(self) -> nn.LayerNorm:
        """Return a new layer normalisation of this shape."""
        return nn.LayerNorm(self.d_model, self.norm_epsilon)

    def extra_norm(self) -> nn.Module:
        """Return what a stack of such layers ends in: one more normalisation where it is pre-norm."""
        return self.norm() if self.pre_norm else nn.Identity()


class Residual(nn.Module):
    """Add and norm around a sublayer (Vaswani et al. 2017, sections 3.1 and 5.4).

    Post-norm, the paper's: LayerNorm(x + Dropout(sublayer(x))). Pre-norm: x + Dropout(sublayer(LayerNorm(x))). What has
    another normalisation, or none, has it where post-norm has it; what has no residual connection goes without x +.
    """

    def __init__(self, norm: nn.Module, shape: LayerShape) -> None:
        super().__init__()
        self.placement = shape.placement
        self.pre_norm = shape.pre_norm
        self.adds = shape.residual
        self.norm = norm
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor], is_token: Tensor | None = None) -> Tensor:
        """Return x (B, T, D) with the sublayer's word added, normalised; is_token: see ``BatchNorm``."""
        if self.pre_norm:
            return self.add(x, self.dropout(sublayer(self.norm(x))))
        y = sublayer(x)
        if self.placement == "post" and self.adds and kernels.can_add_norm(x, y):
            p = self.dropout.p if self.training else 0.0
            assert isinstance(self.norm, nn.LayerNorm)
            return kernels.add_norm(x, y, self.norm, p, next_key() if p else 0)
        y = self.add(x, self.dropout(y))
        return self.norm(y, is_token) if self.placement == "batch" else self.norm(y)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x + y, or y where there is no residual connection."""
        return x + y if self.adds else y


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward (Vaswani et al. 2017, section 3.1); also the layer of a decoder-only model."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.self_attention = shape.attention()
        self.self_attention_residual = shape.add_and_norm()
        self.feed_forward = shape.feed_forward()
        self.feed_forward_residual = shape.add_and_norm()

    def forward(self, x: Tensor, mask: Tensor, is_token: Tensor | None = None) -> Tensor:
        """Return the layer's output, (B, S, D) -> (B, S, D).

        mask: broadcastable to (B, H, S, S); is_token: (B, S), asked by batch normalisation alone.
        """
        x = self.self_attention_residual(x, lambda y: self.self_attention(y, y, mask), is_token)
        return self.feed_forward_residual(x, self.feed_forward, is_token)

    def step(self, x: Tensor, past: SelfCache, place: StepPlace) -> Tensor:
        """Return the layer's output for the next n positions of R rows, (R, n, D) -> (R, n, D); ``past`` takes them in.

        The layer of a decoder-only model: what comes later is not there yet.
        """
        x = self.self_attention_residual(x, lambda y: attend_past(self.self_attention, y, past, place))
        return self.feed_forward_residual(x, self.feed_forward)


class DecoderLayer(nn.Module):
    """Masked self-attention, cross-attention over the memory, feed-forward (Vaswani et al. 2017, section 3.1)."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.self_attention = shape.attention()
        self.self_attention_residual = shape.add_and_norm()
        self.cross_attention = shape.attention()
        self.cross_attention_residual = shape.add_and_norm()
        self.feed_forward = shape.feed_forward()
        self.feed_forward_residual = shape.add_and_norm()

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor, memory_mask: Tensor, is_token: Tensor | None = None
    ) -> Tensor:
        """Return the layer's output for all positions at once, (B, T, D) -> (B, T, D).

        memory: (B, S, D); mask: broadcastable to (B, H, T, T); memory_mask: broadcastable to (B, H, T, S); is_token:
        (B, T), asked by batch normalisation alone.
        """
        x = self.self_attention_residual(x, lambda y: self.self_attention(y, y, mask), is_token)
        x = self.cross_attention_residual(x, lambda y: self.cross_attention(y, memory, memory_mask), is_token)
        return self.feed_forward_residual(x, self.feed_forward, is_token)

    def step(self, x: Tensor, past: SelfCache, memory: CrossCache, place: StepPlace) -> Tensor:
        """Return the layer's output for the next n positions of R rows, (R, n, D) -> (R, n, D); ``past`` takes them in.

        memory: the keys and values of the G groups that the rows fall into, R = G * W, a group's rows lying together.
        """
        x = self.self_attention_residual(x, lambda y: attend_past(self.self_attention, y, past, place))
        x = self.cross_attention_residual(x, lambda y: self._attend_memory(y, memory))
        return self.feed_forward_residual(x, self.feed_forward)

    def _attend_memory(self, x: Tensor, memory: CrossCache) -> Tensor:
        attention = self.cross_attention
        grouped = x.reshape(len(memory.keys), -1, x.shape[-1])  # (R, n, D) -> (G, W * n, D): a group shares its keys
        return attention.attend(attention.queries(grouped), memory.keys, memory.values, memory.mask).view_as(x)


def attend_past(attention: MultiHeadAttention, x: Tensor, past: SelfCache, place: StepPlace) -> Tensor:
    """Let the next positions x (R, n, D) attend to those in ``past`` and, as far as they may, to each other."""
    keys, values = past.append(*attention.keys_values(x), place)
    return attention.attend(attention.queries(x), keys, values, place.mask)
