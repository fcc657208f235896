"""How good the model is now, on text it is not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch

from clearhead.config import DecodingConfig, RunConfig
from clearhead.data.batch import Batch, collate
from clearhead.data.corpus import Corpora
from clearhead.data.order import micro_batches
from clearhead.decoding.translator import Translator
from clearhead.device import Device
from clearhead.evaluation.scores import validation_scores
from clearhead.models.interface import Seq2Seq
from clearhead.training.distributed import Team
from clearhead.training.events import Sample
from clearhead.training.loss import Seq2SeqLoss

SAMPLES = 5
VALIDATION_BATCH_TOKENS = 4096


class Validator:
    """Scores a model on the validation corpus.

    Args:
        corpora: the run's corpora, tokenizers with them.
        config: the run's config: which metric needs text, how many sentences of it.
        device: where to compute.
        team: the processes that share the work; each holds the whole model while it validates.
    """

    def __init__(self, corpora: Corpora, config: RunConfig, device: Device, team: Team) -> None:
        self.corpora = corpora
        self.config = config
        self.device = device
        self.team = team
        needs_text = config.training.validate_metric != "loss"
        limit = config.training.validate_sentences if needs_text else SAMPLES
        self.text = corpora.valid_text(limit)
        self.tags = corpora.valid_tags(limit)

    def validate(self, model: Seq2Seq) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """Return scores ("loss" in nats per token, "perplexity"; "bleu", "chrf" where asked for) and some samples."""
        assert isinstance(model, torch.nn.Module)
        model.eval()
        loss = self.loss(model)
        scores = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
        greedy = DecodingConfig(beam_size=1)
        translator = Translator(model, self.corpora.tokenizers, greedy, self.device.name, self.device.precision)
        sources, references = [src for src, _ in self.text], [ref for _, ref in self.text]
        rank, size = self.team.rank, self.team.size
        mine = [
            translation.text
            for tag, group in groupby(list(zip(self.tags, sources))[rank::size], key=itemgetter(0))
            for translation in translator([src for _, src in group], tag=tag)
        ]
        hypotheses = [""] * len(sources)
        for other, texts in enumerate(self.team.gather(mine)):
            hypotheses[other::size] = texts
        if self.config.training.validate_metric != "loss":
            scores |= validation_scores(hypotheses, references, self.config.evaluation, self.config.languages.tgt)
        samples = tuple(map(Sample, sources[:SAMPLES], references, hypotheses))
        return scores, samples

    @torch.inference_mode()
    def loss(self, model: Seq2Seq) -> float:
        """Return the plain cross-entropy per target token, in nats."""
        loss_of = Seq2SeqLoss(model, 0.0, self.device)
        total = tokens = 0.0
        for batch in self._batches():
            total += float(loss_of(batch)[1])
            tokens += int(batch.tgt_mask.sum())
        total, tokens = self.team.total(total, tokens)
        return total / tokens

    def _batches(self) -> Iterable[Batch]:
        valid, tgt = self.corpora.valid, self.corpora.tokenizers.tgt
        pieces = micro_batches(np.arange(len(valid)), valid, VALIDATION_BATCH_TOKENS)
        for indexes in pieces[self.team.rank :: self.team.size]:
            yield collate(valid, indexes, tgt.pad_id, tgt.decoder_start_id)
