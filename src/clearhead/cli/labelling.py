"""Classifying a labelled test set and scoring it; the outcome is kept in the run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.cli.evaluate import LabelledFile
from clearhead.cli.evaluations import as_json, evaluation_path, keep
from clearhead.cli.progress import counter, warnings_as_lines
from clearhead.cli.report import report
from clearhead.config import RunConfig, TsvTexts
from clearhead.errors import UsageError
from clearhead.evaluation.classification import ClassificationScores, McNemar, classification_scores, mcnemar
from clearhead.pipelines import pipeline
from clearhead.reporting.parts import markdown_table
from clearhead.runs.committee import members
from clearhead.runs.folder import RunFolder
from clearhead.text.corpus import LostPairs, Pair, read_pairs
from clearhead.version import __version__

WARNINGS = 10
"""So many texts that were cut are named; the others are counted."""


@dataclass(frozen=True)
class Labelling:
    """One run on one labelled test set.

    right, said: numbers of labels; lost: what became of the test set's lines.
    """

    run: Path
    right: list[int]
    said: list[int]
    scores: ClassificationScores
    lost: LostPairs
    seconds: float
    weights_sha256: str
    path: Path

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the labels said as JSON's types."""
        return {
            "run": self.run.name,
            "clearhead": __version__,
            "weights_sha256": self.weights_sha256,
            "seconds": round(self.seconds, 3),
            "lost": self.lost.to_dict(),
            "scores": self.scores.to_dict(),
        }


def label_run(run: Path, test: LabelledFile, device: str) -> Labelling:
    """Classify the texts of a test set with a run, score them, and keep labels and scores under evaluations/.

    Raises:
        ClearheadError: whatever is wrong with the run or the test set.
    """
    folders = [RunFolder.open(member) for member, _ in members(run)]
    folder = folders[0]
    pipe = pipeline("text-classification", run, device)
    labels: tuple[str, ...] = folder.config.model.labels  # type: ignore[union-attr]  # the pipeline has a classifier
    lost, source = LostPairs(), source_of(test, run, folder.config)
    pairs: list[Pair] = list(read_pairs(source, ".", test.skip_bad_lines, lost, labels))
    numbers = {label: number for number, label in enumerate(labels)}
    twos = source.second_column is not None
    texts = [{"text": pair.src, "text_pair": pair.tgt} if twos else pair.src for pair in pairs]
    began = time.perf_counter()
    with warnings_as_lines(most=WARNINGS):
        said = [numbers[result["label"]] for result in pipe(texts, on_progress=counter(len(pairs), "texts"))]
    seconds = time.perf_counter() - began
    right = [numbers[pair.label] for pair in pairs]
    scores = classification_scores(labels, right, said)
    weights = "+".join(each.weights_sha256() for each in folders)
    done = Labelling(run, right, said, scores, lost, seconds, weights, evaluation_path(run, f"{test.name}.json"))
    lines = "".join(f"{pair.number}\t{labels[answer]}\n" for pair, answer in zip(pairs, said))
    keep(evaluation_path(run, f"{test.name}.labels.tsv"), lines)
    keep(done.path, as_json(done.to_dict()))
    if len(folders) == 1:  # a committee has had no training of its own to report
        report(folder)
    return done


def source_of(test: LabelledFile, run: Path, config: RunConfig) -> TsvTexts:
    """Return where texts and labels stand: as in the run's first TSV (a committee's first run's), but for what is said.

    Raises:
        UsageError: the columns are not known.
    """
    own = next((each for each in config.data.sources if isinstance(each, TsvTexts)), None)
    if own is None and not {"text_column", "label_column"} <= test.columns.keys():
        raise UsageError("no-columns", path=run)
    known = own.model_dump() if own else {}
    labels = {**known.get("labels", {}), **test.labels}
    return TsvTexts(**{**known, **test.columns, "tsv": str(test.tsv.absolute()), "labels": labels})


def compared(done: Sequence[Labelling]) -> list[McNemar]:
    """Return McNemar's test of each other run against the first."""
    return [mcnemar(each.right, done[0].said, each.said) for each in done[1:]]


def as_text(done: Sequence[Labelling]) -> list[str]:
    """Return the scores as lines for a terminal."""
    lines = []
    for each in done:
        scores, (low, high) = each.scores, each.scores.interval
        lines.append(f"{each.run}: {len(each.right):,} texts, {each.seconds:.1f} s; {each.lost.line()}")
        lines.append(f"* accuracy {scores.accuracy:.2%} ({low:.2%} to {high:.2%})  macro F1 {_macro_f1(scores)}")
        width = max(map(len, scores.labels))
        lines.append(
            f"  {'':{width}}  {'  '.join(f'{label:>{width}}' for label in scores.labels)}  F1  (right by said)"
        )
        for label, row, f1 in zip(scores.labels, scores.confusion, scores.f1):
            lines.append(f"  {label:{width}}  {'  '.join(f'{count:>{width},}' for count in row)}  {f1:.4f}")
    for each, test in zip(done[1:], compared(done)):
        lines.append(
            f"{each.run} against {done[0].run}: right alone {test.only_second:,} and {test.only_first:,} times, "
            f"McNemar p = {test.p:.4f}"
        )
    return lines


def as_markdown(done: Sequence[Labelling]) -> list[str]:
    """Return the scores as a table for a document, and the confusion matrix of each run under it."""
    tests = ["", *(f"{test.p:.4f}" for test in compared(done))]
    rows = []
    for each, p in zip(done, tests):
        low, high = each.scores.interval
        name = str(each.run)
        rows.append([name, f"{each.scores.accuracy:.2%}", f"{low:.2%} to {high:.2%}", _macro_f1(each.scores), p])
    lines = markdown_table(["", "accuracy", "95 %", "macro F1", "McNemar p"], rows)
    for each in done:
        scores = each.scores
        counts = [[f"{count:,}" for count in row] for row in scores.confusion]
        rows = [[label, *row, f"{f1:.4f}"] for label, row, f1 in zip(scores.labels, counts, scores.f1)]
        lines += ["", *markdown_table([f"{each.run}: right by said", *scores.labels, "F1"], rows)]
    return lines


def _macro_f1(scores: ClassificationScores) -> str:
    low, high = scores.macro_f1_interval
    return f"{scores.macro_f1:.4f} ({low:.4f} to {high:.4f})"


def as_table(done: Sequence[Labelling]) -> dict[str, Any]:
    """Return the scores as JSON's types."""
    tests = [{"run": str(each.run), **vars(test)} for each, test in zip(done[1:], compared(done))]
    return {"runs": [each.to_dict() for each in done], "mcnemar": tests}
