"""BLEU of short sentences and of long ones: where a fixed context breaks (Cho et al. 2014, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clearhead.config import EvaluationConfig
from clearhead.evaluation.scores import check_lengths, sacrebleu_metrics


@dataclass(frozen=True)
class LengthScore:
    """BLEU of the sentences whose sources have ``low`` to ``high`` words (by blanks); mean: theirs on average."""

    low: int
    high: int
    mean: float
    sentences: int
    bleu: float


def fifths(sources: Sequence[str]) -> list[int]:
    """Return the lengths, in words, at which the longer four fifths of ``sources`` begin; fewer where they coincide."""
    lengths = sorted(len(source.split()) for source in sources)
    return sorted({lengths[len(lengths) * part // 5] for part in range(1, 5)} - {lengths[0]})


def bleu_by_length(
    hypotheses: Sequence[str],
    references: Sequence[str],
    sources: Sequence[str],
    edges: Sequence[int],
    config: EvaluationConfig,
    tgt_language: str = "und",
) -> list[LengthScore]:
    """Return BLEU by the length of the source; groups without a sentence are left out.

    Args:
        hypotheses, references, sources: one each a sentence.
        edges: the lengths, in words and rising, at which a further group begins.
        config, tgt_language: as in ``scores.score``.

    Raises:
        CorpusError, ConfigError: as ``scores.score``.
    """
    check_lengths(hypotheses, references)
    bleu = sacrebleu_metrics(config, tgt_language)[0]["bleu"]
    lengths = [len(source.split()) for source in sources]
    found = []
    for low, end in zip([0, *edges], [*edges, max(lengths) + 1]):
        rows = [row for row, length in enumerate(lengths) if low <= length < end]
        if not rows:
            continue
        value = bleu.corpus_score([hypotheses[row] for row in rows], [[references[row] for row in rows]]).score
        inside = [lengths[row] for row in rows]
        found.append(LengthScore(min(inside), max(inside), sum(inside) / len(rows), len(rows), float(value)))
    return found
