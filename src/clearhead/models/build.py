"""From config to model: the one place where a config becomes a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from clearhead.config import (
    BagConfig,
    ClassifierConfig,
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    RecurrentConfig,
    RecurrentEncoderConfig,
    TransformerConfig,
)
from clearhead.models.classifier import BagOfEmbeddings, Body, Classifier, RecurrentText
from clearhead.models.decoder_only import DecoderOnly
from clearhead.models.encoder_only import EncoderOnly, TextEncoder
from clearhead.models.initialize import initialize, table_of
from clearhead.models.recurrent import RecurrentSeq2Seq
from clearhead.models.transformer import Transformer


def make_model(config: ModelConfig, src_vocabulary_size: int, tgt_vocabulary_size: int) -> nn.Module:
    """Return the model that ``config`` describes, its weights not set yet.

    Under ``torch.device("meta")`` it costs no memory, whatever the config says, and still has names and shapes.
    """
    match config:
        case TransformerConfig():
            return Transformer(config, src_vocabulary_size, tgt_vocabulary_size)
        case RecurrentConfig():
            return RecurrentSeq2Seq(config, src_vocabulary_size, tgt_vocabulary_size)
        case EncoderConfig():
            return EncoderOnly(config, src_vocabulary_size)
        case DecoderConfig():
            return DecoderOnly(config, src_vocabulary_size)
        case ClassifierConfig():
            return Classifier(config, _make_body(config.body, src_vocabulary_size))


def _make_body(config: EncoderConfig | RecurrentEncoderConfig | BagConfig, vocabulary_size: int) -> Body:
    match config:
        case EncoderConfig():
            return TextEncoder(config, vocabulary_size)
        case RecurrentEncoderConfig():
            return RecurrentText(config, vocabulary_size)
        case BagConfig():
            return BagOfEmbeddings(config, vocabulary_size)


def build_model(config: ModelConfig, src_vocabulary_size: int, tgt_vocabulary_size: int, seed: int = 1) -> nn.Module:
    """Return the model that ``config`` describes, initialised from ``seed``."""
    model = make_model(config, src_vocabulary_size, tgt_vocabulary_size)
    initialize(model, seed, table_of(config))
    return model


def named_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return each weight once under its name (tied ones under the first), detached: what a run folder stores.

    The running statistics of batch normalisation are among them; what a model can work out for itself is not.
    """
    kept = model.state_dict().keys()
    buffers = [(name, buffer) for name, buffer in model.named_buffers() if name in kept]
    return {name: weight.detach() for name, weight in [*model.named_parameters(), *buffers]}


def load_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    part_like: Callable[[Tensor, Tensor], Tensor] = lambda whole, like: whole,
) -> None:
    """Copy ``weights`` into ``model``, one after the other; names and shapes are the caller's to check.

    part_like: gives of a whole weight what the model has in its place, where the model is divided.
    """
    with torch.no_grad():
        for name, weight in named_weights(model).items():
            weight.copy_(part_like(weights[name], weight))
