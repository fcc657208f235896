"""Weights of one model for another: what fits by name and shape is taken, and what was taken is said."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from clearhead.config import ModelConfig
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
    ("src_norm.", "body.norm."),
)
"""Of a weight's name here the beginning, and what that may be in the other model; the first that is there is taken."""

TOKENS = {
    "src": ("src_embedding.", "token_embedding.", "body.token_embedding.", "ngram_evidence."),
    "tgt": ("tgt_embedding.", "output.", "output_bias"),
}
"""By the side whose vocabulary it is: how the names of weights begin that say something of each token."""

SETTINGS = (
    "n_heads", "norm", "norm_epsilon", "activation", "positions", "scale_embedding", "embedding_norm", "residual",
    "attention_scale", "causal_mask", "band", "cell", "direction", "attention", "attends", "labels", "pooling",
    "pooler_activation",
)  # fmt: skip
"""What of a config changes the function that weights stand for, and may leave their shapes as they are."""


@dataclass(frozen=True)
class Taken:
    """What became of a model's weights: taken from another, or left as they were, and why.

    unlike: settings with which the other model computes something else from the same weights; see ``unlike``.
    """

    taken: dict[str, str]
    left: dict[str, str]
    unlike: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """Return it in one line."""
        total = len(self.taken) + len(self.left)
        left = ", ".join(f"{name} ({why})" for name, why in self.left.items())
        said = f"{len(self.taken)} of {total} tensors taken" + (f"; not: {left}" if left else "")
        unlike = ", ".join(f"{name} {values}" for name, values in self.unlike.items())
        return said + (f"; computed otherwise than there: {unlike}" if unlike else "")


def transfer(
    model: nn.Module, weights: Mapping[str, Tensor], given: Collection[str] = (), strange: Collection[str] = ()
) -> Taken:
    """Copy into ``model`` what of another model's ``weights`` fits; the rest of it stays as it is.

    given: names of weights that a former giver has filled; they are not asked for.
    strange: sides, "src" or "tgt", whose vocabulary is not the other model's: its weights are about other tokens.
    """
    about_others = tuple(name for side in strange for name in TOKENS[side])
    taken: dict[str, str] = {}
    left: dict[str, str] = {}
    with torch.no_grad():
        for name, weight in named_weights(model).items():
            if name in given:
                continue
            names = [theirs + name.removeprefix(ours) for ours, theirs in RENAMED if name.startswith(ours)]
            there = [other for other in names if other in weights]
            fits = [other for other in there if weights[other].shape == weight.shape]
            if fits and name.startswith(about_others):
                left[name] = "another vocabulary"
            elif fits:
                weight.copy_(weights[fits[0]])
                taken[name] = fits[0]
            else:
                left[name] = f"shape {tuple(weights[there[0]].shape)}" if there else "not there"
    return Taken(taken, left)


def unlike(config: ModelConfig, giver: ModelConfig) -> dict[str, str]:
    """Return which of SETTINGS both models have and do not share: the giver's value, and the one here."""
    ours, theirs = _settings(config), _settings(giver)
    differing = [name for name in SETTINGS if name in ours and name in theirs and ours[name] != theirs[name]]
    return {name: f"{json.dumps(theirs[name])} → {json.dumps(ours[name])}" for name in differing}


def _settings(config: ModelConfig) -> dict[str, Any]:
    parts = (config, getattr(config, "body", config))  # a classifier's own, and its body's
    return {name: getattr(part, name) for part in parts for name in SETTINGS if hasattr(part, name)}


def freeze(model: nn.Module, patterns: tuple[str, ...]) -> list[str]:
    """Keep the weights whose names match one of ``patterns`` ("body.*") as they are; return their names."""
    names = []
    for name, weight in model.named_parameters():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            weight.requires_grad_(False)
            names.append(name)
    return names
