"""The position-wise feed-forward network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from clearhead.nn.dropout import Dropout

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),  # as GPT computes it
    "silu": F.silu,
    "swiglu": F.silu,
}


class FeedForward(nn.Module):
    """FFN(x) = max(0, x W_1 + b_1) W_2 + b_2 (Vaswani et al. 2017, section 3.3, equation 2).

    By choice with GELU (Hendrycks and Gimpel 2016), or with SwiGLU (Shazeer 2020): silu(x W_1 + b_1) times
    x W_gate + b_gate.
    """

    def __init__(self, d_model: int, d_ff: int, activation: str, dropout_p: float = 0.0) -> None:
        super().__init__()
        self.w_1 = nn.Linear(d_model, d_ff)
        self.w_gate = nn.Linear(d_model, d_ff) if activation == "swiglu" else None
        self.w_2 = nn.Linear(d_ff, d_model)
        self.activation = ACTIVATIONS[activation]
        self.dropout = Dropout(dropout_p)

    def forward(self, x: Tensor) -> Tensor:
        """Return FFN(x), (..., D) -> (..., D)."""
        inner = self.activation(self.w_1(x))  # (..., D) -> (..., F)
        if self.w_gate is not None:
            inner = inner * self.w_gate(x)
        return self.w_2(self.dropout(inner))
