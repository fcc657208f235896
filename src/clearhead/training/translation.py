"""The task of translating: parallel text, the label-smoothed loss of the next token, BLEU or chrF of decoded text."""

from __future__ import annotations

import math
from itertools import groupby
from operator import itemgetter

import numpy as np
from torch import nn

from clearhead.config import DecodingConfig, RunConfig
from clearhead.data.batch import Batch, collate
from clearhead.data.corpus import Corpora, ParallelCorpus
from clearhead.decoding.translator import Translator
from clearhead.device import Device
from clearhead.evaluation.scores import validation_scores
from clearhead.training.distributed import Team
from clearhead.training.events import Sample
from clearhead.training.loss import Seq2SeqLoss
from clearhead.training.task import SAMPLES, subword_dropouts, validation_loss


class Translation:
    """Answers ``training.task.Task``.

    Args:
        corpora: the run's corpora, tokenizers with them.
        config: the run's config: which metric needs text, how many sentences of it.
        device: where to compute.
    """

    unit = "target tokens"

    def __init__(self, corpora: Corpora[ParallelCorpus], config: RunConfig, device: Device) -> None:
        self.corpora = corpora
        self.config = config
        self.device = device
        self._ids = corpora.tokenizers.tgt.pad_id, corpora.tokenizers.tgt.decoder_start_id
        self._dropouts = subword_dropouts(config, corpora.tokenizers)
        needs_text = config.training.validate_metric != "loss"
        limit = config.training.validate_sentences if needs_text else SAMPLES
        self.text = corpora.valid.text(corpora.tokenizers, limit)
        self.tags = corpora.valid.tags(corpora.tokenizers, limit)

    def batch(self, corpus: ParallelCorpus, indexes: np.ndarray, epoch: int) -> Batch:
        """Return the pairs for teacher forcing."""
        dropouts = self._dropouts if corpus is self.corpora.train else None
        return collate(corpus, indexes, *self._ids, dropouts, epoch)

    def count(self, corpus: ParallelCorpus, indexes: np.ndarray, epoch: int) -> int:
        """Return the number of target tokens, eos included."""
        if self._dropouts and corpus is self.corpora.train:
            return int(self.batch(corpus, indexes, epoch).tgt_mask.sum())
        return int(corpus.tgt_lengths[indexes].sum())

    def loss(self, model: nn.Module, label_smoothing: float) -> Seq2SeqLoss:
        """Return the cross-entropy of the target tokens."""
        return Seq2SeqLoss(model, label_smoothing, self.device)  # type: ignore[arg-type]  # it answers Seq2Seq

    def validate(self, model: nn.Module, team: Team) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """Return "loss", "perplexity", and "bleu" or "chrf" where the config asks for them; sample translations."""
        model.eval()
        loss = validation_loss(self, model, team)
        scores = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
        sources, references = [src for src, _ in self.text], [ref for _, ref in self.text]
        hypotheses = self._translate(model, sources, team)
        if self.config.training.validate_metric != "loss":
            scores |= validation_scores(hypotheses, references, self.config.evaluation, self.config.languages.tgt)
        samples = tuple(map(Sample, sources[:SAMPLES], references, hypotheses))
        return scores, samples

    def _translate(self, model: nn.Module, sources: list[str], team: Team) -> list[str]:
        """Translate greedily, each process its share."""
        greedy = DecodingConfig(beam_size=1)
        translator = Translator(
            model,  # type: ignore[arg-type]  # it answers Seq2Seq
            self.corpora.tokenizers,
            greedy,
            self.device.name,
            self.device.precision,
        )
        mine = [
            translation.text
            for tag, group in groupby(list(zip(self.tags, sources))[team.rank :: team.size], key=itemgetter(0))
            for translation in translator([src for _, src in group], tag=tag)
        ]
        hypotheses = [""] * len(sources)
        for other, texts in enumerate(team.gather(mine)):
            hypotheses[other :: team.size] = texts
        return hypotheses
