"""The recurrent encoder-decoder, with attention (Bahdanau et al. 2015; Luong et al. 2015) or without, top to bottom."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearhead.config import RecurrentConfig, RecurrentStackConfig
from clearhead.data.batch import Batch
from clearhead.models.interface import Memory
from clearhead.nn.cache import CrossCache, Crosses
from clearhead.nn.dropout import Dropout
from clearhead.nn.embedding import TokenEmbedding
from clearhead.nn.masks import padding_mask
from clearhead.nn.recurrent import CELLS, DirectedRecurrence
from clearhead.nn.recurrent_attention import RecurrentAttention


class RecurrentSeq2Seq(nn.Module):
    """One recurrent network reads the source, another writes the target. Answers ``models.interface.Seq2Seq``.

    Each layer of the decoder starts from the state in which the encoder's layer of the same height ended (Sutskever et
    al. 2014, section 2). Without attention nothing else goes over; with it every target position sees every source
    position. Departures: embeddings are scaled by sqrt(d_model), and may be tied to the output, as the Transformer's;
    where the decoder attends before the step, the encoder's last state also takes the place of Bahdanau et al.'s
    projection of it, and Luong et al.'s attentional vector that of their maxout layer.

    Args:
        config: the sizes and choices.
        src_vocabulary_size: number of source tokens.
        tgt_vocabulary_size: number of target tokens, V.
    """

    def __init__(self, config: RecurrentConfig, src_vocabulary_size: int, tgt_vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = tgt_vocabulary_size
        self.max_positions = config.max_positions
        self.src_embedding = TokenEmbedding(src_vocabulary_size, config.d_model)
        if config.tie == "three-way":
            self.tgt_embedding = self.src_embedding
        else:
            self.tgt_embedding = TokenEmbedding(tgt_vocabulary_size, config.d_model)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.output = nn.Linear(config.d_model, tgt_vocabulary_size, bias=False) if config.tie == "none" else None

    @property
    def output_weight(self) -> Tensor:
        """(V, D): the matrix before the softmax, the target embedding's own where they are tied."""
        return self.tgt_embedding.weight if self.output is None else self.output.weight

    def encode(self, src: Tensor, src_mask: Tensor) -> Memory:
        """Read N sentences: src (N, S) ids, src_mask (N, S) bool, True where a token is."""
        hidden, final = self.encoder(self.src_embedding(src), src_mask)
        return Memory(hidden, src_mask, final)

    def forward(self, batch: Batch) -> Tensor:
        """Return the decoder's hidden vectors (B, T, D) for the whole target (teacher forcing)."""
        # Padding lies behind every token, and a state never looks ahead.
        state = self.start(self.encode(batch.src, batch.src_mask), batch.tgt_input.shape[1])
        return self.step(batch.tgt_input, state)[0]

    def start(self, memory: Memory, max_length: int, rows_per_sentence: int = 1) -> RecurrentState:
        """Return a state of N * rows_per_sentence rows; it takes the same room whatever their length."""
        assert memory.final is not None
        states = memory.final.repeat_interleave(rows_per_sentence, dim=2)  # (L, P, N, D) -> (L, P, R, D)
        rows, width = states.shape[2:]
        lengths = torch.zeros(rows, dtype=torch.int64, device=states.device)
        cross = self.decoder.cross(memory)
        return RecurrentState(lengths, states, states.new_zeros(rows, width), Crosses.start([cross], rows_per_sentence))

    def step(self, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Take in tokens (R, n) and return hidden vectors (R, n, D) and the new state."""
        return self.decoder(self.tgt_embedding(tokens), state)

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return logits (..., V) of hidden (..., D), or (..., C) over candidates (C,) ids."""
        return F.linear(hidden, self.output_weight if candidates is None else self.output_weight[candidates])


class Encoder(nn.Module):
    """Recurrent layers over the source, with dropout on what goes into each (Zaremba et al. 2014)."""

    def __init__(self, config: RecurrentStackConfig) -> None:
        super().__init__()
        layers = (DirectedRecurrence(config.cell, config.direction, config.d_model) for _ in range(config.n_layers))
        self.layers = nn.ModuleList(layers)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, is_token: Tensor) -> tuple[Tensor, Tensor]:
        """Return the top layer's hidden vectors (N, S, D) and all layers' last states (L, P, N, D) of x (N, S, D)."""
        states = []
        for layer in self.layers:
            x, state = layer(self.dropout(x), is_token)
            states.append(state)
        return x, torch.stack(states)


class Decoder(nn.Module):
    """Recurrent layers over the target, which attend to the memory after each step, or before it.

    Dropout falls on what goes into each layer and on the result (Zaremba et al. 2014).
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        width, cell = config.d_model, CELLS[config.cell]
        self.attends = config.attends
        first = width if config.attends == "after" else 2 * width  # behind the token: a context, or what came last
        self.layers = nn.ModuleList(cell(width if n else first, width) for n in range(config.n_layers))
        self.attention = RecurrentAttention(config.attention, width) if config.attention != "none" else None
        self.w_c = nn.Linear(2 * width, width, bias=False) if self.attention is not None else None
        self.dropout = Dropout(config.dropout)

    def cross(self, memory: Memory) -> CrossCache:
        """Return what is kept of each sentence, as one head's keys and values: without attention nothing."""
        values, mask = memory.hidden.unsqueeze(1), padding_mask(memory.mask)  # (N, 1, S, D), (N, 1, 1, S)
        if self.attention is None:
            return CrossCache(values[:, :, :0], values[:, :, :0], mask[..., :0])
        return CrossCache(self.attention.keys(values), values, mask)

    def forward(self, x: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Return the hidden vectors (R, n, D) of the next n positions and the new state; x: (R, n, D)."""
        if self.attends == "after":
            return self._take(x, state)  # nothing goes from one position to the next but the layers' own states
        hiddens = []
        for position in x.split(1, dim=1):
            hidden, state = self._take(position, state)
            hiddens.append(hidden)
        return torch.cat(hiddens, dim=1), state

    def _take(self, x: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        n, context = x.shape[1], None
        match self.attends:
            case "before":  # Bahdanau et al. 2015, A.2.2: the query is the state that the step starts from
                context = self._context(state.states[-1, 0].unsqueeze(1), state.crosses)
                x = torch.cat([x, context], dim=-1)
            case "input-feeding":  # Luong et al. 2015, section 3.3
                x = torch.cat([x, state.attentional.unsqueeze(1)], dim=-1)
        states = []
        for layer, before in zip(self.layers, state.states):
            x, after = layer(self.dropout(x), before)
            states.append(after)
        if self.w_c is not None:
            if context is None:
                context = self._context(x, state.crosses)
            x = torch.tanh(self.w_c(torch.cat([context, x], dim=-1)))  # Luong et al. 2015, equation 5
        new = replace(state, lengths=state.lengths + n, states=torch.stack(states), attentional=x[:, -1])
        return self.dropout(x), new

    def _context(self, q: Tensor, crosses: Crosses) -> Tensor:
        """Return what the states q (R, n, D) find in their sentences' memories, (R, n, D)."""
        assert self.attention is not None
        (cross,) = crosses.by_group()
        # (R, n, D) -> (G, 1, W * n, D): a group shares its keys, which are one head's
        grouped = q.reshape(len(cross.keys), 1, -1, q.shape[-1])
        return self.attention(grouped, cross.keys, cross.values, cross.mask).view_as(q)


@dataclass
class RecurrentState:
    """Where decoding stands in R rows. Answers ``models.interface.DecoderState``.

    lengths: (R,) tokens taken in by each row.
    states: (L, P, R, D) each layer's state.
    attentional: (R, D) the last hidden vector, which input feeding gives to the next step.
    crosses: what the rows attend to.
    """

    lengths: Tensor
    states: Tensor
    attentional: Tensor
    crosses: Crosses

    def select(self, rows: Tensor) -> RecurrentState:
        """Return the state whose row i is this one's row rows[i]; sentences without a row leave."""
        states = self.states.index_select(2, rows)
        return RecurrentState(self.lengths[rows], states, self.attentional[rows], self.crosses.select(rows))

    def join(self, other: RecurrentState) -> RecurrentState:
        """Return the state with other's rows (and sentences) behind this one's."""
        return RecurrentState(
            torch.cat([self.lengths, other.lengths]),
            torch.cat([self.states, other.states], dim=2),
            torch.cat([self.attentional, other.attentional]),
            self.crosses.join(other.crosses),
        )
