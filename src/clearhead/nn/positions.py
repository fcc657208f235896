"""Where a token stands: sinusoidal positions, in turn or in halves, and learned ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def sinusoids(length: int, d_model: int) -> Tensor:
    """Return PE (length, D): PE(pos, 2i) = sin(pos / 10000^(2i/D)), PE(pos, 2i+1) = cos of the same.

    Vaswani et al. 2017, section 3.5. Computed in float64 and rounded once.
    """
    position = torch.arange(length, dtype=torch.float64)[:, None]
    even = torch.arange(0, d_model, 2, dtype=torch.float64)
    angle = position / 10000.0 ** (even / d_model)  # (length, ceil(D / 2))
    table = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)  # sin and cos in turn
    return table[:, :d_model].float()


class SinusoidalPositions(nn.Module):
    """The paper's fixed positions.

    halves: all sines come before all cosines, where the paper has them in turn: as Marian and the paper's authors' own
        program lay them. What is learnt on one layout does not fit the other.
    """

    table: Tensor

    def __init__(self, max_positions: int, d_model: int, halves: bool = False) -> None:
        super().__init__()
        table = sinusoids(max_positions, d_model)
        if halves:
            table = torch.cat([table[:, 0::2], table[:, 1::2]], dim=1)
        self.register_buffer("table", table, persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        """Return the vectors of positions (...), counted from 0: (..., D)."""
        return self.table[positions]


class LearnedPositions(nn.Module):
    """One learned vector a position (Gehring et al. 2017; Vaswani et al. 2017, table 3, row E)."""

    def __init__(self, max_positions: int, d_model: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(max_positions, d_model))

    def forward(self, positions: Tensor) -> Tensor:
        """Return the vectors of positions (...), counted from 0: (..., D)."""
        return nn.functional.embedding(positions, self.table)


def make_positions(kind: str, max_positions: int, d_model: int) -> nn.Module:
    """Return new positions: "sinusoidal", "sinusoidal-halves" or "learned"."""
    if kind == "learned":
        return LearnedPositions(max_positions, d_model)
    return SinusoidalPositions(max_positions, d_model, halves=kind == "sinusoidal-halves")
