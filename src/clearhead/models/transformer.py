"""The encoder-decoder Transformer (Vaswani et al. 2017, "Attention Is All You Need"), whole, top to bottom."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clearhead.config import StackConfig, TransformerConfig
from clearhead.data.batch import Batch
from clearhead.models.interface import Memory
from clearhead.nn.cache import CrossCache, Crosses, Past, StepPlace
from clearhead.nn.dropout import Dropout
from clearhead.nn.embedding import TokenEmbedding, project
from clearhead.nn.layers import DecoderLayer, EncoderLayer, LayerShape
from clearhead.nn.masks import causal_mask, padding_mask
from clearhead.nn.positions import make_positions


class Transformer(nn.Module):
    """Figure 1 of the paper. Answers ``models.interface.Seq2Seq``.

    Args:
        config: the sizes and choices.
        src_vocabulary_size: number of source tokens.
        tgt_vocabulary_size: number of target tokens, V.
    """

    def __init__(self, config: TransformerConfig, src_vocabulary_size: int, tgt_vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = tgt_vocabulary_size
        self.max_positions = config.max_positions
        shape = replace(layer_shape(config), residual=config.residual, attention_scale=config.attention_scale)
        self.src_embedding = TokenEmbedding(src_vocabulary_size, config.d_model, config.scale_embedding)
        if config.tie == "three-way":
            self.tgt_embedding = self.src_embedding
        else:
            self.tgt_embedding = TokenEmbedding(tgt_vocabulary_size, config.d_model, config.scale_embedding)
        self.src_positions = make_positions(config.positions, config.max_positions, config.d_model)
        self.tgt_positions = make_positions(config.positions, config.max_positions, config.d_model)
        self.src_norm = shape.norm() if config.embedding_norm else nn.Identity()
        self.tgt_norm = shape.norm() if config.embedding_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(shape, config.n_encoder_layers)
        self.decoder = Decoder(shape, config.n_decoder_layers)
        self.output = nn.Linear(config.d_model, tgt_vocabulary_size, bias=False) if config.tie == "none" else None
        self.output_bias = nn.Parameter(torch.empty(tgt_vocabulary_size)) if config.output_bias else None

    @property
    def output_weight(self) -> Tensor:
        """(V, D): the matrix before the softmax, the target embedding's own where they are tied (section 3.4)."""
        return self.tgt_embedding.weight if self.output is None else self.output.weight

    def encode(self, src: Tensor, src_mask: Tensor) -> Memory:
        """Read N sentences: src (N, S) ids, src_mask (N, S) bool, True where a token is."""
        positions = self.src_positions(torch.arange(src.shape[1], device=src.device))
        x = self.dropout(self.src_norm(self.src_embedding(src) + positions))  # (N, S, D)
        return Memory(self.encoder(x, padding_mask(src_mask), src_mask), src_mask)

    def forward(self, batch: Batch) -> Tensor:
        """Return the decoder's hidden vectors (B, T, D) for the whole target at once (teacher forcing)."""
        memory = self.encode(batch.src, batch.src_mask)
        length = batch.tgt_input.shape[1]
        x = self._embed_target(batch.tgt_input, torch.arange(length, device=batch.tgt_input.device))  # (B, T, D)
        # Padding lies behind every token, so the causal mask hides it from all that matters.
        mask = causal_mask(length, device=x.device) if self.config.causal_mask else padding_mask(batch.tgt_mask)
        return self.decoder(x, memory.hidden, mask, padding_mask(memory.mask), batch.tgt_mask)

    def start(self, memory: Memory, max_length: int, rows_per_sentence: int = 1) -> TransformerState:
        """Return a state of N * rows_per_sentence rows with room for max_length tokens each."""
        crosses = []
        for layer in self.decoder.layers:
            assert isinstance(layer, DecoderLayer)
            keys, values = layer.cross_attention.keys_values(memory.hidden)  # (N, H, S, K)
            crosses.append(CrossCache(keys.contiguous(), values.contiguous(), padding_mask(memory.mask)))
        past = Past.empty(len(memory.hidden) * rows_per_sentence, max_length, len(crosses), like=keys)
        return TransformerState(past, Crosses.start(crosses, rows_per_sentence))

    def step(self, tokens: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        """Take in tokens (R, n) and return hidden vectors (R, n, D) and the state, advanced in place."""
        place = state.past.place(tokens.shape[1])
        x = self._embed_target(tokens, place.positions)  # (R, n, D)
        hidden = self.decoder.step(x, state.past, state.crosses.by_group(), place)
        state.past.advance(tokens.shape[1])
        return hidden, state

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return logits (..., V) of hidden (..., D), or (..., C) over candidates (C,) ids: the paper's last linear."""
        return project(hidden, self.output_weight, self.output_bias, candidates)

    def _embed_target(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.dropout(self.tgt_norm(self.tgt_embedding(tokens) + self.tgt_positions(positions)))


class Encoder(nn.Module):
    """The stack of encoder layers; pre-norm stacks end in one more normalisation."""

    def __init__(self, shape: LayerShape, n_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(shape) for _ in range(n_layers))
        self.norm = shape.extra_norm()

    def forward(self, x: Tensor, mask: Tensor, is_token: Tensor | None = None) -> Tensor:
        """Return the memory (N, S, D) of x (N, S, D)."""
        for layer in self.layers:
            x = layer(x, mask, is_token)
        return self.norm(x)


class Decoder(nn.Module):
    """The stack of decoder layers; pre-norm stacks end in one more normalisation."""

    def __init__(self, shape: LayerShape, n_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(shape) for _ in range(n_layers))
        self.norm = shape.extra_norm()

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor, memory_mask: Tensor, is_token: Tensor) -> Tensor:
        """Return the hidden vectors (B, T, D) of x (B, T, D) over memory (B, S, D)."""
        for layer in self.layers:
            x = layer(x, memory, mask, memory_mask, is_token)
        return self.norm(x)

    def step(self, x: Tensor, past: Past, crosses: list[CrossCache], place: StepPlace) -> Tensor:
        """Return the hidden vectors (R, n, D) of the next n positions; the caches take them in."""
        for layer, own, cross in zip(self.layers, past.layers, crosses):
            assert isinstance(layer, DecoderLayer)
            x = layer.step(x, own, cross, place)
        return self.norm(x)


@dataclass
class TransformerState:
    """Where decoding stands in R rows. Answers ``models.interface.DecoderState``.

    past: what the rows have taken in; crosses: what they attend to.
    """

    past: Past
    crosses: Crosses

    @property
    def lengths(self) -> Tensor:
        """(R,): how many tokens each row has taken in."""
        return self.past.lengths

    def select(self, rows: Tensor) -> TransformerState:
        """Return the state whose row i is this one's row rows[i]; sentences without a row leave."""
        return TransformerState(self.past.select(rows), self.crosses.select(rows))

    def join(self, other: TransformerState) -> TransformerState:
        """Return the state with other's rows (and sentences) behind this one's."""
        return TransformerState(self.past.join(other.past), self.crosses.join(other.crosses))


def layer_shape(config: StackConfig) -> LayerShape:
    """Return what each layer of such a stack needs to know."""
    return LayerShape(
        d_model=config.d_model,
        d_ff=config.d_ff,
        n_heads=config.n_heads,
        placement=config.norm,
        activation=config.activation,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        feed_forward_dropout=config.feed_forward_dropout,
        norm_epsilon=config.norm_epsilon,
    )
