"""Attention: equation 1 as a pure function, the core over which fast paths are chosen, and multi-head attention."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearhead.kernels import functions as kernels
from clearhead.nn.dropout import dropout, next_key

EXPLICIT_UP_TO = 128
"""Keys up to which the explicit product beats PyTorch's fused kernel on a processor: that one's backward is slow."""


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout_p: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return softmax(Q K^T / sqrt(d_k)) V and the weights (Vaswani et al. 2017, section 3.2.1, equation 1).

    A query that may attend to nothing gets zeros, where the formula would divide zero by zero.

    Args:
        q: (..., T, K) queries.
        k: (..., S, K) keys.
        v: (..., S, K) values.
        mask: bool, broadcastable to (..., T, S), True where the query may attend to the key; None for everywhere.
        dropout_p: probability of dropping a weight.

    Returns:
        The output (..., T, K) and the weights before dropout (..., T, S).
    """
    scores = (q * (1.0 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)  # (..., T, K) x (..., K, S) -> (..., T, S)
    weights = scores.softmax(dim=-1) if mask is None else masked_softmax(scores, mask)
    return dropout(weights, dropout_p) @ v, weights


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the softmax of scores (..., S) over where the mask is True, exactly 0 elsewhere and in an empty row.

    mask: bool, broadcastable to (..., S).
    """
    # The second fill gives the zeros of an empty row, and keeps its NaN out of both outputs and gradients.
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1).masked_fill(~mask, 0.0)


class AttentionCore(nn.Module):
    """Equation 1 behind one seam: what comes in and goes out can be watched by a hook, how it is computed is free."""

    def __init__(self, dropout_p: float = 0.0) -> None:
        super().__init__()
        self.dropout_p = dropout_p

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the output (B, H, T, K) of q (B, H, T, K), k, v (B, H, S, K), mask broadcastable to (B, H, T, S)."""
        dropout_p = self.dropout_p if self.training else 0.0
        if kernels.can_attend(q, k, v):
            return kernels.attention(q, k, v, mask, dropout_p, next_key() if dropout_p else 0)
        if q.device.type == "cpu" and (k.shape[-2] <= EXPLICIT_UP_TO or dropout_p > 0.0):  # theirs draws unkeyed
            with torch.autocast(q.device.type, enabled=False):  # scores that come to hundreds are too coarse in bf16
                return scaled_dot_product_attention(q.float(), k.float(), v.float(), mask, dropout_p)[0].to(v.dtype)
        output = F.scaled_dot_product_attention(q, k, v, mask, dropout_p)
        if mask is not None:
            output = output.masked_fill(~mask.any(dim=-1, keepdim=True), 0.0)
        return output


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each over its own projections (Vaswani et al. 2017, section 3.2.2).

    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W_O, head_i = Attention(Q W_Q_i, K W_K_i, V W_V_i).
    The heads' matrices lie side by side in one W_Q, W_K, W_V each. Departure: the projections have biases.

    scaled: False to do without 1/sqrt(d_k): the queries are multiplied by sqrt(d_k), which undoes what the core does.
    """

    def __init__(self, d_model: int, n_heads: int, dropout_p: float = 0.0, scaled: bool = True) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.scaled = scaled
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.core = AttentionCore(dropout_p)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Let x (B, T, D) attend to memory (B, S, D); self-attention where they are the same. Returns (B, T, D)."""
        keys, values = self.keys_values(memory)
        return self.attend(self.queries(x), keys, values, mask)

    def queries(self, x: Tensor) -> Tensor:
        """Return x W_Q by heads, (B, T, D) -> (B, H, T, K)."""
        q = self._split(self.w_q(x))
        return q if self.scaled else q * math.sqrt(q.shape[-1])

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return memory W_K and memory W_V by heads, (B, S, D) -> (B, H, S, K)."""
        return self._split(self.w_k(memory)), self._split(self.w_v(memory))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Return the heads' outputs, concatenated and through W_O: (B, H, T, K) -> (B, T, D)."""
        heads = self.core(q, k, v, mask)
        return self.w_o(heads.transpose(1, 2).flatten(2))  # (B, H, T, K) -> (B, T, H, K) -> (B, T, D)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, T, H, K) -> (B, H, T, K)
