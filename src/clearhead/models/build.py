"""From config to model: the one place where a config becomes a class."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clearhead.config import ModelConfig
from clearhead.models.initialize import initialize
from clearhead.models.transformer import Transformer


def make_model(config: ModelConfig, src_vocabulary_size: int, tgt_vocabulary_size: int) -> Transformer:
    """Return the model that ``config`` describes, its weights not set yet.

    Under ``torch.device("meta")`` it costs no memory, whatever the config says, and still has names and shapes.
    """
    match config.kind:
        case "transformer":
            return Transformer(config, src_vocabulary_size, tgt_vocabulary_size)


def build_model(config: ModelConfig, src_vocabulary_size: int, tgt_vocabulary_size: int, seed: int = 1) -> Transformer:
    """Return the model that ``config`` describes, initialised from ``seed``."""
    model = make_model(config, src_vocabulary_size, tgt_vocabulary_size)
    initialize(model, seed)
    return model


def named_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return each weight once under its name (tied ones under the first), detached: what a run folder stores."""
    return {name: weight.detach() for name, weight in model.named_parameters()}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy ``weights`` into ``model``; names and shapes are the caller's to check."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(weights[name])
