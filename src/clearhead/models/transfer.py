"""Weights of one model for another: what fits by name and shape is taken, and what was taken is said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from clearhead.models.build import named_weights

RENAMED = (
    ("", ""),
    ("", "body."),  # an encoder's stands by itself in a translator, as a body in what was pretrained
    ("body.", ""),
    ("src_embedding.", "token_embedding."),
    ("tgt_embedding.", "token_embedding."),
    ("src_positions.", "positions."),
    ("tgt_positions.", "positions."),
    ("src_embedding.", "body.token_embedding."),
    ("src_positions.", "body.positions."),
)
"""Of a weight's name here the beginning, and what that may be in the other model; the first that is there is taken."""


@dataclass(frozen=True)
class Taken:
    """What became of a model's weights: taken from another, or left as they were, and why."""

    taken: dict[str, str]
    left: dict[str, str]

    def line(self) -> str:
        """Return it in one line."""
        total = len(self.taken) + len(self.left)
        left = ", ".join(f"{name} ({why})" for name, why in self.left.items())
        return f"{len(self.taken)} of {total} tensors taken" + (f"; not: {left}" if left else "")


def transfer(model: nn.Module, weights: Mapping[str, Tensor], given: Collection[str] = ()) -> Taken:
    """Copy into ``model`` what of another model's ``weights`` fits; the rest of it stays as it is.

    given: names of weights that a former giver has filled; they are not asked for.
    """
    taken: dict[str, str] = {}
    left: dict[str, str] = {}
    with torch.no_grad():
        for name, weight in named_weights(model).items():
            if name in given:
                continue
            names = [theirs + name.removeprefix(ours) for ours, theirs in RENAMED if name.startswith(ours)]
            there = [other for other in names if other in weights]
            fits = [other for other in there if weights[other].shape == weight.shape]
            if fits:
                weight.copy_(weights[fits[0]])
                taken[name] = fits[0]
            else:
                left[name] = f"shape {tuple(weights[there[0]].shape)}" if there else "not there"
    return Taken(taken, left)


def freeze(model: nn.Module, patterns: tuple[str, ...]) -> list[str]:
    """Keep the weights whose names match one of ``patterns`` ("body.*") as they are; return their names."""
    names = []
    for name, weight in model.named_parameters():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            weight.requires_grad_(False)
            names.append(name)
    return names
