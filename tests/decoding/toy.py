"""Two small models that answer the contracts and share nothing with the real ones, and the real ones made small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn

from clearhead.config import RecurrentConfig, TransformerConfig
from clearhead.data.batch import Batch
from clearhead.decoding.problem import Problem, pad_prefixes
from clearhead.models.build import build_model
from clearhead.models.interface import Memory, Seq2Seq

PAD, START, EOS = 0, 1, 2


def pad_rows(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])
    return ids, torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None]


def problem(model: Seq2Seq, sources: list[list[int]], limits, prefixes=None, forbidden=(PAD, START)) -> Problem:
    return Problem(
        memory=model.encode(*pad_rows(sources)),
        limits=torch.tensor(limits),
        prefixes=pad_prefixes(prefixes or [[] for _ in sources]),
        forbidden=torch.tensor(forbidden, dtype=torch.int64),
        decoder_start_id=START,
        eos_id=EOS,
    )


def teacher_batch(sources: list[list[int]], targets: list[list[int]]) -> Batch:
    src, src_mask = pad_rows(sources)
    tgt_input, tgt_mask = pad_rows([[START, *target] for target in targets])
    tgt_output, _ = pad_rows([[*target, EOS] for target in targets])
    return Batch(src, src_mask, tgt_input, tgt_output, tgt_mask)


@dataclass
class ToyState:
    lengths: Tensor  # (R,)
    h: Tensor  # (R, D)
    sentence: Tensor  # (R,)
    memory: Memory

    def select(self, rows: Tensor) -> ToyState:
        return ToyState(self.lengths[rows], self.h[rows], self.sentence[rows], self.memory)

    def join(self, other: ToyState) -> ToyState:
        longest = max(self.memory.mask.shape[1], other.memory.mask.shape[1])
        hidden, mask = zip(*(_widen(memory, longest) for memory in (self.memory, other.memory)))
        return ToyState(
            torch.cat([self.lengths, other.lengths]),
            torch.cat([self.h, other.h]),
            torch.cat([self.sentence, other.sentence + len(self.memory.mask)]),
            Memory(torch.cat(hidden), torch.cat(mask)),
        )


def _widen(memory: Memory, length: int) -> tuple[Tensor, Tensor]:
    more = length - memory.mask.shape[1]
    return nn.functional.pad(memory.hidden, (0, 0, 0, more)), nn.functional.pad(memory.mask, (0, more))


class ToyRecurrent(nn.Module):
    """Elman's network with dot-product attention over the source embeddings."""

    def __init__(self, vocabulary_size: int, seed: int, width: int = 12, sharpness: float = 1.5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator) * sharpness / shape[-1] ** 0.5)

        self.vocabulary_size, self.max_positions = vocabulary_size, 64
        self.src, self.tgt, self.output_weight = (weight(vocabulary_size, width) for _ in range(3))
        self.w_h, self.w_c = weight(width, width), weight(width, width)
        self.src.data *= width**0.5
        self.tgt.data *= width**0.5
        self.output_weight.data *= width**0.5

    def encode(self, src: Tensor, src_mask: Tensor) -> Memory:
        return Memory(self.src[src], src_mask)

    def start(self, memory: Memory, max_length: int, rows_per_sentence: int = 1) -> ToyState:
        sentence = torch.arange(len(memory.mask)).repeat_interleave(rows_per_sentence)
        zeros = torch.zeros_like(sentence)
        return ToyState(zeros, torch.zeros(len(sentence), self.w_h.shape[0]), sentence, memory)

    def step(self, tokens: Tensor, state: ToyState) -> tuple[Tensor, ToyState]:
        memory, mask = state.memory.hidden[state.sentence], state.memory.mask[state.sentence]
        h, hidden = state.h, []
        for token in tokens.unbind(1):
            scores = torch.einsum("rsd,rd->rs", memory, h).masked_fill(~mask, -torch.inf)
            context = torch.einsum("rs,rsd->rd", scores.softmax(-1), memory)
            h = torch.tanh(self.tgt[token] + h @ self.w_h + context @ self.w_c)
            hidden.append(h)
        return torch.stack(hidden, 1), replace(state, lengths=state.lengths + tokens.shape[1], h=h)

    def forward(self, batch: Batch) -> Tensor:
        memory = self.encode(batch.src, batch.src_mask)
        return self.step(batch.tgt_input, self.start(memory, batch.tgt_input.shape[1]))[0]

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        return hidden @ (self.output_weight if candidates is None else self.output_weight[candidates]).T


@dataclass
class TableState:
    lengths: Tensor
    sources: list[tuple[int, ...]]
    so_far: list[tuple[int, ...]]

    def select(self, rows: Tensor) -> TableState:
        chosen = rows.tolist()
        return TableState(self.lengths[rows], [self.sources[i] for i in chosen], [self.so_far[i] for i in chosen])

    def join(self, other: TableState) -> TableState:
        lengths = torch.cat([self.lengths, other.lengths])
        return TableState(lengths, self.sources + other.sources, self.so_far + other.so_far)


class TableModel:
    """Its log-probabilities are looked up: logits = table(source, tokens so far without the start token)."""

    def __init__(self, vocabulary_size: int, table: Callable[[tuple[int, ...], tuple[int, ...]], Tensor]) -> None:
        self.vocabulary_size, self.max_positions, self.table = vocabulary_size, 64, table
        self.output_weight = torch.eye(vocabulary_size)
        self.taken: list[tuple[int, ...]] = []  # every (tokens so far) that a step was asked about

    def encode(self, src: Tensor, src_mask: Tensor) -> Memory:
        return Memory(src.unsqueeze(2), src_mask)

    def start(self, memory: Memory, max_length: int, rows_per_sentence: int = 1) -> TableState:
        rows = zip(memory.hidden.squeeze(2).tolist(), memory.mask.sum(1).tolist())
        sources = [tuple(ids[:length]) for ids, length in rows for _ in range(rows_per_sentence)]
        return TableState(torch.zeros(len(sources), dtype=torch.int64), sources, [()] * len(sources))

    def step(self, tokens: Tensor, state: TableState) -> tuple[Tensor, TableState]:
        hidden, so_far = [], state.so_far
        for column in tokens.T.tolist():
            so_far = [(*row, token) for row, token in zip(so_far, column)]
            self.taken += [row[1:] for row in so_far]
            hidden.append(torch.stack([self.table(src, row[1:]) for src, row in zip(state.sources, so_far)]))
        return torch.stack(hidden, 1), TableState(state.lengths + tokens.shape[1], state.sources, so_far)

    def forward(self, batch: Batch) -> Tensor:
        memory = self.encode(batch.src, batch.src_mask)
        return self.step(batch.tgt_input, self.start(memory, batch.tgt_input.shape[1]))[0]

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        return hidden if candidates is None else hidden[..., candidates]


def random_table(vocabulary_size: int, seed: int, spread: float = 2.0) -> Callable[..., Tensor]:
    """A table with logits that depend on the whole source and all tokens so far."""

    @cache
    def table(source: tuple[int, ...], so_far: tuple[int, ...]) -> Tensor:
        key = seed
        for number in (*source, -1, *so_far):
            key = (key * 1_000_003 + number + 7) % (2**31 - 1)
        return torch.randn(vocabulary_size, generator=torch.Generator().manual_seed(key)) * spread

    return table


def small_transformer(vocabulary_size: int, seed: int) -> Seq2Seq:
    sizes = {"d_model": 16, "d_ff": 32, "n_heads": 4, "n_encoder_layers": 2, "n_decoder_layers": 2}
    return sharpened(TransformerConfig(**sizes, max_positions=64, norm="pre", tie="none"), vocabulary_size, seed)


def small_recurrent(vocabulary_size: int, seed: int, **choices: str) -> Seq2Seq:
    return sharpened(RecurrentConfig(d_model=16, max_positions=64, tie="none", **choices), vocabulary_size, seed)


def sharpened(config: RecurrentConfig | TransformerConfig, vocabulary_size: int, seed: int) -> Seq2Seq:
    """A model with random weights, so large that its choices differ from sentence to sentence."""
    model = build_model(config, vocabulary_size, vocabulary_size, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.3).mul_(2.0)
    return model


def model_of(kind: str, vocabulary_size: int, seed: int) -> Seq2Seq:
    match kind:
        case "toy":
            return ToyRecurrent(vocabulary_size, seed)
        case "transformer":
            return small_transformer(vocabulary_size, seed)
        case "recurrent":
            return small_recurrent(vocabulary_size, seed)
        case "recurrent, input feeding":
            return small_recurrent(vocabulary_size, seed, attends="input-feeding", cell="gru")
        case "recurrent, no attention":
            return small_recurrent(vocabulary_size, seed, attention="none", direction="backward")
    return TableModel(vocabulary_size, random_table(vocabulary_size, seed))


REAL_KINDS = ("transformer", "recurrent", "recurrent, input feeding", "recurrent, no attention")
KINDS = ("toy", "table", *REAL_KINDS)
V = 11


def sentences(n: int, seed: int, longest: int = 7) -> list[list[int]]:
    """n random sources of random lengths, each ending in eos."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, longest, (n,), generator=generator).tolist()
    return [[*torch.randint(3, V, (length,), generator=generator).tolist(), EOS] for length in lengths]
