"""The encoder alone: BERT (Devlin et al. 2019), a masked language model, whole, top to bottom."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearhead.config import EncoderConfig
from clearhead.models.interface import Memory
from clearhead.models.transformer import Encoder, layer_shape
from clearhead.nn.dropout import Dropout
from clearhead.nn.embedding import TokenEmbedding, project
from clearhead.nn.feed_forward import ACTIVATIONS
from clearhead.nn.masks import padding_mask
from clearhead.nn.positions import make_positions


class TextEncoder(nn.Module):
    """From a text's tokens to a vector for each in its context: what pretraining and classifying share.

    Embeddings of token, position and segment are added and normalised (Devlin et al. 2019, section 3); a pre-norm
    stack normalises them by itself.
    """

    def __init__(self, config: EncoderConfig, vocabulary_size: int) -> None:
        super().__init__()
        shape = layer_shape(config)
        self.d_model = config.d_model
        self.token_embedding = TokenEmbedding(vocabulary_size, config.d_model, config.scale_embedding)
        self.positions = make_positions(config.positions, config.max_positions, config.d_model)
        self.last_segment = config.segments - 1
        self.segments = TokenEmbedding(config.segments, config.d_model, scaled=False) if config.segments else None
        self.norm = shape.norm() if config.embedding_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(shape, config.n_layers)

    def encode(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Memory:
        """Read N texts: ids (N, S), mask (N, S) bool, True where a token is, segments (N, S), 0 where not given."""
        x = self.token_embedding(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))  # (N, S, D)
        if self.segments is not None:
            # Who knows one kind only (RoBERTa) does not tell a second text's segment from the first's.
            x = x + self.segments(torch.zeros_like(ids) if segments is None else segments.clamp(max=self.last_segment))
        return Memory(self.encoder(self.dropout(self.norm(x)), padding_mask(mask)), mask)


class EncoderOnly(nn.Module):
    """BERT as it is pretrained. Answers ``models.interface.MaskedLanguageModel``, whatever head it has.

    Without the head of a masked language model the encoder's own vectors are projected. The pooler that may stand in
    its place is not asked here: a classifier has one of the same name, which can start from it.

    Args:
        config: the sizes and choices.
        vocabulary_size: number of tokens, V.
    """

    def __init__(self, config: EncoderConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.max_positions = config.max_positions
        self.body = TextEncoder(config, vocabulary_size)
        masked, pooler = config.head == "masked", config.head == "pooler"
        self.activation = ACTIVATIONS[config.activation]
        self.w_transform = nn.Linear(config.d_model, config.d_model) if masked else None
        self.transform_norm = nn.LayerNorm(config.d_model, config.norm_epsilon) if masked else nn.Identity()
        self.output_bias = nn.Parameter(torch.empty(vocabulary_size)) if masked else None
        self.w_pooler = nn.Linear(config.d_model, config.d_model) if pooler else None

    @property
    def output_weight(self) -> Tensor:
        """(V, D): the token embedding's own."""
        return self.body.token_embedding.weight

    def encode(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Memory:
        """Read N texts; see ``TextEncoder.encode``."""
        return self.body.encode(ids, mask, segments)

    def transform(self, hidden: Tensor) -> Tensor:
        """Return what is projected, (..., D) -> (..., D): one more layer with the activation, normalised."""
        if self.w_transform is None:
            return hidden
        return self.transform_norm(self.activation(self.w_transform(hidden)))

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return logits (..., V) of what ``transform`` gave, or (..., C) over candidates (C,) ids."""
        return project(hidden, self.output_weight, self.output_bias, candidates)
