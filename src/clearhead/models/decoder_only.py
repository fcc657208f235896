"""The decoder alone: GPT (Radford et al. 2018, 2019; Brown et al. 2020), whole, top to bottom."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearhead.config import DecoderConfig
from clearhead.models.transformer import Encoder, layer_shape
from clearhead.nn.cache import Past, StepPlace
from clearhead.nn.dropout import Dropout
from clearhead.nn.embedding import TokenEmbedding, project
from clearhead.nn.layers import EncoderLayer
from clearhead.nn.masks import causal_mask
from clearhead.nn.positions import make_positions


class DecoderOnly(nn.Module):
    """A stack of self-attention under the causal mask. Answers ``models.interface.LanguageModel``.

    Post-norm it is GPT-1, pre-norm GPT-2; with a band every second layer, from the second on, sees the last positions
    only: GPT-3, whose sparse layers were "locally banded" in a pattern that is not published in full.

    Args:
        config: the sizes and choices.
        vocabulary_size: number of tokens, V.
    """

    def __init__(self, config: DecoderConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.max_positions = config.max_positions
        self.token_embedding = TokenEmbedding(vocabulary_size, config.d_model, config.scale_embedding)
        self.positions = make_positions(config.positions, config.max_positions, config.d_model)
        self.dropout = Dropout(config.dropout)
        self.decoder = Encoder(layer_shape(config), config.n_layers)  # the layers are an encoder's, the mask is not

    @property
    def output_weight(self) -> Tensor:
        """(V, D): the token embedding's own."""
        return self.token_embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Return hidden vectors (B, T, D) for every place of ids (B, T) at once (teacher forcing)."""
        length = ids.shape[1]
        x = self._embed(ids, torch.arange(length, device=ids.device))
        masks = [causal_mask(length, device=ids.device, band=band) for band in self._bands()]
        for layer, mask in zip(self.decoder.layers, masks):
            x = layer(x, mask)
        return self.decoder.norm(x)

    def start(self, rows: int, max_length: int) -> Past:
        """Return a state of so many rows with room for max_length tokens each."""
        heads, width = self.config.n_heads, self.config.d_model // self.config.n_heads
        keys = self.token_embedding.weight.new_zeros(1, heads, 0, width)
        return Past.empty(rows, max_length, self.config.n_layers, like=keys)

    def step(self, tokens: Tensor, state: Past) -> tuple[Tensor, Past]:
        """Take in tokens (R, n) and return hidden vectors (R, n, D) and the state, advanced in place."""
        place = state.place(tokens.shape[1])
        places: dict[int, StepPlace] = {0: place}
        x = self._embed(tokens, place.positions)
        for layer, past, band in zip(self.decoder.layers, state.layers, self._bands()):
            assert isinstance(layer, EncoderLayer)
            if band not in places:
                places[band] = place.banded(band)
            x = layer.step(x, past, places[band])
        state.advance(tokens.shape[1])
        return self.decoder.norm(x), state

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return logits (..., V) of hidden (..., D), or (..., C) over candidates (C,) ids."""
        return project(hidden, self.output_weight, None, candidates)

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.dropout(self.token_embedding(tokens) + self.positions(positions))

    def _bands(self) -> list[int]:
        """Return how many last positions each layer sees, 0 for all."""
        return [self.config.band if number % 2 else 0 for number in range(self.config.n_layers)]
