"""Is one system really better than another? Paired tests, sentence by sentence: Koehn 2004, Riezler & Maxwell 2005."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sacrebleu.significance import PairedTest, Result

from clearhead import errors
from clearhead.config import EvaluationConfig
from clearhead.errors import UsageError
from clearhead.evaluation.scores import check_lengths, sacrebleu_metrics

Test = Literal["bootstrap", "randomisation"]
_SACREBLEU_NAMES = {"bootstrap": "bs", "randomisation": "ar"}
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class SystemScore:
    """One system under one metric.

    mean, interval: the bootstrap's mean and half of its 95 % confidence interval; None under "randomisation".
    p_value: how often chance alone would give a difference from the baseline as large; None for the baseline.
    """

    system: str
    metric: str
    value: float
    mean: float | None
    interval: float | None
    p_value: float | None


@dataclass(frozen=True)
class PairedScores:
    """Two or more systems against the first, the baseline.

    samples: number of resamples or of random trials.
    signatures: sacreBLEU's signature by metric.
    notes: codes of messages, as in ``Scores``.
    """

    test: Test
    samples: int
    results: tuple[SystemScore, ...]
    signatures: dict[str, str]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the test's outcome as JSON's types."""
        return {**asdict(self), "results": [asdict(result) for result in self.results], "notes": list(self.notes)}

    def table(self, language: str | None = None) -> list[list[str]]:
        """Return rows of cells, the header first: a score and a p-value for each metric, a star where p < 0.05."""
        metrics = list(self.signatures)
        header = [errors.text("paired-system", language)]
        rows = [[*header, *(cell for metric in metrics for cell in (metric, "p"))]]
        by_system: dict[str, dict[str, SystemScore]] = {}
        for result in self.results:
            by_system.setdefault(result.system, {})[result.metric] = result
        for number, (system, scores) in enumerate(by_system.items()):
            name = system if number else errors.text("paired-baseline", language, name=system)
            rows.append([name, *(cell for metric in metrics for cell in _cells(scores[metric]))])
        return rows


def paired_test(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    config: EvaluationConfig,
    tgt_language: str = "und",
    test: Test = "bootstrap",
    samples: int = 0,
) -> PairedScores:
    """Compare every system with the first by BLEU, chrF and TER (sacreBLEU's tests, seed 12345).

    Departure from sacreBLEU: a system whose score equals the baseline's has p = 1, not the smallest p there is.

    Args:
        systems: name -> hypotheses, one for each reference; the first is the baseline.
        references: one reference a sentence.
        config, tgt_language: as in ``score``.
        test: paired bootstrap resampling, or approximate randomisation.
        samples: resamples or trials; 0 is sacreBLEU's default, 1000 and 10000.

    Raises:
        UsageError: fewer than two systems.
        CorpusError: nothing to score, or other numbers of hypotheses than of references.
        ConfigError: the tokeniser asked for needs a package that is not installed.
    """
    if len(systems) < 2:
        raise UsageError("paired-needs-two", count=len(systems))
    for hypotheses in systems.values():
        check_lengths(hypotheses, references)
    metrics, notes = sacrebleu_metrics(config, tgt_language)
    paired = PairedTest(list(systems.items()), metrics, [references], _SACREBLEU_NAMES[test], n_samples=samples)
    signatures, columns = paired()
    results = []
    for metric in signatures:
        cells = [cell for cell in columns[metric] if isinstance(cell, Result)]
        results += [_system_score(system, metric, cell, cells[0]) for system, cell in zip(systems, cells)]
    return PairedScores(
        test, paired.n_samples, tuple(results), {name: str(each) for name, each in signatures.items()}, notes
    )


def _system_score(system: str, metric: str, cell: Result, baseline: Result) -> SystemScore:
    p_value = cell.p_value
    if p_value is not None and cell.score == baseline.score:
        # sacreBLEU counts differences strictly greater than the real one, which calls a system's own copy significant.
        p_value = 1.0
    return SystemScore(system, metric, *(_plain(each) for each in (cell.score, cell.mean, cell.ci, p_value)))


def _plain(number: Any) -> Any:
    return None if number is None else float(number)  # numpy's scalars are not JSON's


def _cells(score: SystemScore) -> tuple[str, str]:
    value = f"{score.value:.1f}" if score.interval is None else f"{score.value:.1f} ± {score.interval:.1f}"
    if score.p_value is None:
        return value, ""
    return value, f"{score.p_value:.4f}{'*' if score.p_value < SIGNIFICANT else ''}"
