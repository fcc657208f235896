"""Where a token stands: sinusoidal positions, in turn or in halves, learned ones, and what could stand in for them."""

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


class CountedPositions(nn.Module):
    """A position's number times ``unit`` in the first coordinate, 0 in all others; nobody's model.

    unit: 1.0 for the count itself, which outgrows the embedding; 1 / max_positions for one that stays below 1 (not
        1 / length: how long a target will be is not known while it is being written); 0.0 for no positions at all.
    """

    def __init__(self, d_model: int, unit: float) -> None:
        super().__init__()
        self.d_model = d_model
        self.unit = unit

    def forward(self, positions: Tensor) -> Tensor:
        """Return the vectors of positions (...), counted from 0: (..., D)."""
        return nn.functional.pad(positions.float().unsqueeze(-1) * self.unit, (0, self.d_model - 1))


def make_positions(kind: str, max_positions: int, d_model: int) -> nn.Module:
    """Return new positions of a ``kind`` that the config names."""
    match kind:
        case "learned":
            return LearnedPositions(max_positions, d_model)
        case "sinusoidal" | "sinusoidal-halves":
            return SinusoidalPositions(max_positions, d_model, halves=kind == "sinusoidal-halves")
        case "none" | "counted" | "normalised":
            unit = {"none": 0.0, "counted": 1.0, "normalised": 1.0 / max_positions}[kind]
            return CountedPositions(d_model, unit)
    raise AssertionError(kind)
