"""The tasks of modelling language: the next token of packed texts, or the hidden tokens of single ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from clearhead.config import RunConfig
from clearhead.data.corpus import Corpora
from clearhead.data.masking import MaskedBatch, Masker, asked_counts
from clearhead.data.texts import PackedCorpus, TextCorpus
from clearhead.device import Device
from clearhead.models.interface import LanguageModel, MaskedLanguageModel
from clearhead.training.distributed import Team
from clearhead.training.events import Sample
from clearhead.training.loss import linear_cross_entropy
from clearhead.training.task import SAMPLES, validation_loss


@dataclass(frozen=True)
class BlockBatch:
    """Blocks of a packed corpus.

    ids: (B, T) tokens; targets: (B, T) each one's successor; mask: (B, T) bool, True where there is one.
    """

    ids: Tensor
    targets: Tensor
    mask: Tensor

    def to(self, device: torch.device | str) -> BlockBatch:
        """Return the batch on ``device``."""
        return BlockBatch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


class NextTokenLoss(nn.Module):
    """A decoder-only model and what a batch costs under it."""

    def __init__(self, model: LanguageModel, label_smoothing: float, device: Device) -> None:
        super().__init__()
        assert isinstance(model, nn.Module)
        self.model = model
        self.label_smoothing = label_smoothing
        self.device = device

    def forward(self, batch: BlockBatch, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return (scale * label-smoothed cross-entropy, plain cross-entropy), sums over the tokens, in nats."""
        batch = batch.to(self.device.name)
        with self.device.autocast():
            hidden = self.model(batch.ids)[batch.mask]  # (B, T, D) -> (N, D)
            targets = batch.targets[batch.mask]
            return linear_cross_entropy(hidden, self.model.output_weight, targets, self.label_smoothing, scale)


class HiddenTokenLoss(nn.Module):
    """An encoder-only model and what a batch with hidden tokens costs under it."""

    def __init__(self, model: MaskedLanguageModel, label_smoothing: float, device: Device) -> None:
        super().__init__()
        assert isinstance(model, nn.Module)
        self.model = model
        self.label_smoothing = label_smoothing
        self.device = device

    def forward(self, batch: MaskedBatch, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return (scale * label-smoothed cross-entropy, plain cross-entropy), sums over the asked tokens, in nats."""
        batch = batch.to(self.device.name)
        with self.device.autocast():
            memory = self.model.encode(batch.ids, batch.mask, batch.segments)
            hidden = self.model.transform(memory.hidden[batch.asked])  # (B, S, D) -> (N, D)
            weight, bias = self.model.output_weight, self.model.output_bias
            return linear_cross_entropy(hidden, weight, batch.targets, self.label_smoothing, scale, bias)


class NextToken:
    """Causal language modelling. Answers ``training.task.Task``."""

    unit = "tokens"

    def __init__(self, corpora: Corpora[PackedCorpus], config: RunConfig, device: Device) -> None:
        self.corpora = corpora
        self.device = device
        self.pad_id = corpora.tokenizers.src.pad_id

    def batch(self, corpus: PackedCorpus, indexes: np.ndarray, epoch: int) -> BlockBatch:
        """Return the blocks, and of each token its successor."""
        rows, lengths = corpus.rows(indexes, self.pad_id)
        mask = np.arange(rows.shape[1] - 1) < lengths[:, None]
        # A row's last token is a target only; where the row is shorter its place is padding behind all that matters.
        return BlockBatch(*map(torch.from_numpy, (rows[:, :-1].copy(), rows[:, 1:].copy(), mask)))

    def count(self, corpus: PackedCorpus, indexes: np.ndarray, epoch: int) -> int:
        """Return the number of tokens that are foretold."""
        return int(corpus.src_lengths[indexes].sum())

    def loss(self, model: nn.Module, label_smoothing: float) -> NextTokenLoss:
        """Return the cross-entropy of the next tokens."""
        return NextTokenLoss(model, label_smoothing, self.device)  # type: ignore[arg-type]  # it answers LanguageModel

    def validate(self, model: nn.Module, team: Team) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """Return "loss" in nats a token, "perplexity", and "bits_per_byte" of the text, each line's end a byte."""
        model.eval()
        loss, valid = validation_loss(self, model, team), self.corpora.valid
        size = sum(self.corpora.tokenizers.src.byte_lengths()[tokens].sum() for tokens in valid.tokens())
        bits = loss * int(valid.src_lengths.sum()) / math.log(2.0) / float(size)
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "bits_per_byte": bits}, ()


class HiddenToken:
    """Masked language modelling. Answers ``training.task.Task``."""

    unit = "hidden tokens"

    def __init__(self, corpora: Corpora[TextCorpus], config: RunConfig, device: Device) -> None:
        self.corpora = corpora
        self.device = device
        tokenizer = corpora.tokenizers.src
        self.pad_id, self.tokenizer = tokenizer.pad_id, tokenizer
        words = None
        if config.training.mask_whole_words:
            words = np.array([tokenizer.begins_word(id) for id in range(tokenizer.vocabulary_size)])
        special = [tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id]
        self.masker = Masker(config.training.seed, tokenizer.mask_id, tokenizer.ordinary_ids, special, words)

    def batch(self, corpus: TextCorpus, indexes: np.ndarray, epoch: int) -> MaskedBatch:
        """Return the texts with other tokens hidden in each epoch."""
        return self.masker(corpus.batch(indexes, self.pad_id), indexes, epoch)

    def count(self, corpus: TextCorpus, indexes: np.ndarray, epoch: int) -> int:
        """Return the number of tokens that are asked."""
        return int(asked_counts(corpus.first[indexes] + corpus.second[indexes]).sum())

    def loss(self, model: nn.Module, label_smoothing: float) -> HiddenTokenLoss:
        """Return the cross-entropy of the hidden tokens."""
        return HiddenTokenLoss(model, label_smoothing, self.device)  # type: ignore[arg-type]  # a MaskedLanguageModel

    def validate(self, model: nn.Module, team: Team) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """Return "loss" and "perplexity" over hidden tokens, always the same ones; sample texts filled in."""
        model.eval()
        loss = validation_loss(self, model, team)
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}, self._samples(model)

    @torch.inference_mode()
    def _samples(self, model: nn.Module) -> tuple[Sample, ...]:
        """Return the first texts as the model sees them, as they are, and as it fills them in."""
        valid = self.corpora.valid
        indexes = np.arange(min(SAMPLES, len(valid)))
        batch = self.batch(valid, indexes, 0)
        there = batch.to(self.device.name)
        with self.device.autocast():
            memory = model.encode(there.ids, there.mask, there.segments)  # type: ignore[operator]
            said = model.project(model.transform(memory.hidden[there.asked])).argmax(dim=-1)  # type: ignore[operator]
        whole, filled = batch.ids.clone(), batch.ids.clone()
        whole[batch.asked], filled[batch.asked] = batch.targets, said.cpu()
        texts = (
            [self._shown(row[mask].tolist()) for row, mask in zip(ids, batch.mask)]
            for ids in (batch.ids, whole, filled)
        )
        return tuple(map(Sample, *texts))

    def _shown(self, ids: list[int]) -> str:
        """Return the text of a row with the hidden tokens as "[?]"."""
        pieces, at = [], 0
        for place, id in enumerate([*ids, self.tokenizer.mask_id]):
            if id == self.tokenizer.mask_id:
                pieces.append(self.tokenizer.decode(ids[at:place]))
                at = place + 1
        return "[?]".join(pieces)
