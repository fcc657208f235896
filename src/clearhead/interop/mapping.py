"""Whose tensors are called what: a table of names, read in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class How:
    """How one of their tensors holds one or several of ours: ``split`` is the way here, ``join`` the way back."""

    split: Callable[[Tensor], Sequence[Tensor]]
    join: Callable[[Sequence[Tensor]], Tensor]


AS_IS = How(lambda x: [x], lambda parts: parts[0])
TRANSPOSED = How(lambda x: [x.t()], lambda parts: parts[0].t())
"""A matrix that is multiplied from the right; a bias is the same either way."""
THIRDS = How(lambda x: x.t().chunk(3), lambda parts: torch.cat(list(parts)).t())
"""W_Q, W_K and W_V side by side in one such matrix."""
ONE_ROW = How(lambda x: [x[0]], lambda parts: parts[0][None])


def behind(unused: int) -> How:
    """Return how a table has so many rows in front that no token ever asks for; on the way back they are zeros."""

    def join(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([torch.zeros_like(parts[0][:1]).expand(unused, -1), *parts])

    return How(lambda x: [x[unused:]], join)


def in_halves(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a Transformer's weights with the even places of every vector (D,) before the odd ones.

    The network stays what it is, but what sinusoidal positions have in turn, it expects in halves.
    """
    found = {}
    for name, weight in weights.items():
        if re.search(r"(w_o|w_2|norm)\.(weight|bias)$", name):  # what a vector is made of
            weight = torch.cat([weight[0::2], weight[1::2]])
        elif re.search(r"(embedding|output|w_[qkv]|w_1|w_gate)\.weight$", name):  # what it is multiplied by
            weight = torch.cat([weight[:, 0::2], weight[:, 1::2]], dim=1)
        found[name] = weight
    return found


Row = tuple[str, str, How]
"""(our name, theirs, how): ``{i}`` stands for a number and ``*`` for "weight" or "bias", the same in both."""


@dataclass(frozen=True)
class Place:
    """One of their tensors and what it holds of ours, in order."""

    theirs: str
    ours: tuple[str, ...]
    how: How


def places(table: Sequence[Row], names: Iterable[str]) -> list[Place]:
    """Return where each of our ``names`` lies, by the first row of ``table`` that knows it.

    What shares a tensor comes in the table's order, whatever that of ``names`` is.
    """
    rows = {name: next((at, *known) for at, row in enumerate(table) if (known := _known(row, name))) for name in names}
    found: dict[str, tuple[How, list[str]]] = {}
    for name, (_, theirs, how) in sorted(rows.items(), key=lambda each: each[1][0]):
        found.setdefault(theirs, (how, []))[1].append(name)
    return [Place(theirs, tuple(ours), how) for theirs, (how, ours) in found.items()]


def _known(row: Row, name: str) -> tuple[str, How] | None:
    ours, theirs, how = row
    pattern = re.escape(ours).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\*", "(?P<kind>weight|bias)")
    match = re.fullmatch(pattern, name)
    if match is None:
        return None
    for mark, group in (("{i}", "i"), ("*", "kind")):
        theirs = theirs.replace(mark, match.groupdict().get(group, mark))
    return theirs, how


def to_theirs(table: Sequence[Row], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our tensors by their names, in their layout; tensors on the meta device give the shapes alone."""
    return {place.theirs: place.how.join([ours[name] for name in place.ours]) for place in places(table, ours)}


def to_ours(table: Sequence[Row], names: Iterable[str], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``names`` of ours out of their tensors, in fp32."""
    return {
        name: part.float().contiguous()
        for place in places(table, names)
        for name, part in zip(place.ours, place.how.split(theirs[place.theirs]))
    }
