"""The task of classifying: texts with labels, cross-entropy over the labels, accuracy and F1."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from clearhead.config import RunConfig, TrainingConfig
from clearhead.data.corpus import Corpora
from clearhead.data.order import micro_batches
from clearhead.data.texts import TextBatch, TextCorpus
from clearhead.device import Device
from clearhead.errors import ConfigError, CorpusError
from clearhead.evaluation.classification import classification_scores
from clearhead.models.classifier import Classifier
from clearhead.training.distributed import Team
from clearhead.training.events import Sample
from clearhead.training.task import SAMPLES, VALIDATION_BATCH_TOKENS, subword_dropouts, validation_loss

COUNTING_BATCH_TOKENS = 2**19


def count_ngrams(model: nn.Module, corpus: TextCorpus, pad_id: int) -> None:
    """Let a classifier count the n-grams of its training texts, where it has any, before it is trained."""
    if not isinstance(model, Classifier) or model.ngram_evidence is None:
        return
    pieces = micro_batches(np.arange(len(corpus)), corpus, COUNTING_BATCH_TOKENS)
    batches = (corpus.batch(indexes, pad_id) for indexes in pieces)
    model.ngram_evidence.count((batch.ids, batch.mask, batch.labels) for batch in batches)


def class_weights(labels: tuple[str, ...], counts: np.ndarray, config: TrainingConfig) -> np.ndarray:
    """Return how much a text of each class counts, (C,): 1 on average over the training texts.

    counts: (C,) the training texts of each class.

    Raises:
        ConfigError: a weight for a label that is none.
    """
    for label in config.class_weights:
        if label not in labels:
            raise ConfigError("no-such-class", label=label, labels=", ".join(labels))
    weights = np.array([config.class_weights.get(label, 1.0) for label in labels])
    if config.balance_classes:
        weights = weights / counts
    return weights * counts.sum() / (weights * counts).sum()


class ClassificationLoss(nn.Module):
    """A classifier and what a batch costs under it.

    Args:
        model: maps (ids, mask, segments) of a ``TextBatch`` to logits (B, C).
        weights: (C,) how much a text of each class counts; 1 on average over the training corpus.
    """

    weights: Tensor

    def __init__(self, model: nn.Module, label_smoothing: float, weights: Tensor, device: Device) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing
        self.device = device
        self.register_buffer("weights", weights.to(device.name), persistent=False)

    def forward(self, batch: TextBatch, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return (scale * weighted, smoothed cross-entropy, plain cross-entropy), sums over the texts, in nats."""
        batch = batch.to(self.device.name)
        with self.device.autocast():
            logits = self.model(batch.ids, batch.mask, batch.segments)
        log_probs = logits.float().log_softmax(dim=-1)  # (B, C)
        right = log_probs.gather(1, batch.labels[:, None])[:, 0]
        smoothed = (1.0 - self.label_smoothing) * right + self.label_smoothing * log_probs.mean(dim=-1)
        return -scale * (self.weights[batch.labels] * smoothed).sum(), -right.detach().sum()


class Classification:
    """Answers ``training.task.Task``.

    Args:
        corpora: the run's corpora; every text has a label.
        labels: their names.
        config: the run's config.
        device: where to compute.

    Raises:
        CorpusError: a label has no text in the training corpus.
        ConfigError: a weight for a label that is none.
    """

    unit = "texts"

    def __init__(
        self, corpora: Corpora[TextCorpus], labels: tuple[str, ...], config: RunConfig, device: Device
    ) -> None:
        self.corpora = corpora
        self.labels = labels
        self.device = device
        self.pad_id = corpora.tokenizers.src.pad_id
        self._dropouts = subword_dropouts(config, corpora.tokenizers)
        counts = np.bincount(corpora.train.labels(), minlength=len(labels))
        for label, count in zip(labels, counts):
            if not count:
                raise CorpusError("class-without-text", label=label, lost=corpora.lost.line())
        self.weights = torch.from_numpy(class_weights(labels, counts, config.training)).float()

    def batch(self, corpus: TextCorpus, indexes: np.ndarray, epoch: int) -> TextBatch:
        """Return the texts and their labels."""
        batch = corpus.batch(indexes, self.pad_id)
        if self._dropouts and corpus is self.corpora.train:
            return batch.with_subwords(self._dropouts[0], indexes, epoch, self.pad_id)
        return batch

    def count(self, corpus: TextCorpus, indexes: np.ndarray, epoch: int) -> int:
        """Return the number of texts."""
        return len(indexes)

    def loss(self, model: nn.Module, label_smoothing: float) -> ClassificationLoss:
        """Return the cross-entropy of the labels."""
        return ClassificationLoss(model, label_smoothing, self.weights, self.device)

    def validate(self, model: nn.Module, team: Team) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """Return "loss", "accuracy" and "f1" (the mean over the classes); sample texts with what is said of them."""
        model.eval()
        loss = validation_loss(self, model, team)
        said, right = self.said(model, team), self.corpora.valid.labels()
        scores = classification_scores(self.labels, right.tolist(), said.tolist())
        samples = []
        for i in range(min(SAMPLES, len(said))):
            text = self.corpora.tokenizers.src.decode(self.corpora.valid.text_ids(i))
            samples.append(Sample(text, self.labels[right[i]], self.labels[said[i]]))
        return {"loss": loss, "accuracy": scores.accuracy, "f1": scores.macro_f1}, tuple(samples)

    @torch.inference_mode()
    def said(self, model: nn.Module, team: Team) -> np.ndarray:
        """Return the number of the label that the model gives each validation text, (len,)."""
        valid = self.corpora.valid
        pieces = micro_batches(np.arange(len(valid)), valid, VALIDATION_BATCH_TOKENS)
        mine = []
        for indexes in pieces[team.rank :: team.size]:
            batch = self.batch(valid, indexes, 0).to(self.device.name)
            with self.device.autocast():
                logits = model(batch.ids, batch.mask, batch.segments)
            mine.append((indexes.tolist(), logits.argmax(dim=-1).tolist()))
        said = np.zeros(len(valid), np.int64)
        for theirs in team.gather(mine):
            for numbers, answers in theirs:
                said[numbers] = answers
        return said
