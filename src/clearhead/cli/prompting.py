"""Classifying a labelled test set by prompts; the outcome is kept in the run folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from clearhead.cli.evaluations import as_json, evaluation_path, keep
from clearhead.cli.progress import counter
from clearhead.cli.report import report
from clearhead.config import TsvTexts
from clearhead.data.randomness import generator as draws_of
from clearhead.decoding.few_shot import Labelled, Trial, few_shot
from clearhead.decoding.generator import Generator
from clearhead.errors import CorpusError, UsageError
from clearhead.evaluation.classification import classification_scores
from clearhead.runs.folder import RunFolder
from clearhead.text.corpus import LostPairs, read_pairs
from clearhead.version import __version__

WAYS = ("plain", "against_empty")
"""How likelihoods are read; see ``decoding.few_shot.Trial``."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a run.

    test: the file and its columns; examples: the path of a file with the same columns, "" for none.
    words: of each label in the files; seeds: how many draws; limit: how many texts, 0 for all.
    """

    test: TsvTexts
    examples: str
    words: dict[str, str]
    template: str
    shots: list[int]
    seeds: int
    limit: int
    skip_bad_lines: bool = False


@dataclass(frozen=True)
class Prompted:
    """What came of it, as JSON's types, and where it is kept."""

    table: dict[str, Any]
    path: Path


def prompt_run(run: Path, asked: Asked, name: str, device: str) -> Prompted:
    """Classify the texts by prompts, and keep accuracy against k under evaluations/.

    Raises:
        ClearheadError: whatever is wrong with the run, the files or the template.
    """
    folder, generator = RunFolder.open(run), Generator.load(run, device)
    lost, began = LostPairs(), time.perf_counter()
    texts, examples = _texts(asked, asked.test.tsv, lost), []
    if asked.limit and asked.limit < len(texts):
        texts = [texts[i] for i in sorted(draws_of(1, "few-shot-limit").permutation(len(texts))[: asked.limit])]
    if asked.examples:
        examples = _texts(asked, asked.examples, LostPairs())
    if len(examples) < asked.shots[-1]:
        raise UsageError("too-few-examples", path=asked.examples, examples=len(examples), shots=asked.shots[-1])
    trials = few_shot(
        generator,
        [text for text, _ in texts],
        examples,
        list(asked.words.values()),
        asked.template,
        asked.shots,
        range(1, asked.seeds + 1),
        counter(sum(asked.seeds if k else 1 for k in asked.shots), "draws of examples"),
    )
    right = [label for _, label in texts]
    table = {
        "run": run.name,
        "clearhead": __version__,
        "weights_sha256": folder.weights_sha256(),
        "seconds": round(time.perf_counter() - began, 3),
        "test": name,
        "template": asked.template,
        "words": asked.words,
        "texts": len(texts),
        "lost": lost.to_dict(),
        "most_frequent": max(map(right.count, range(len(asked.words)))) / len(right),
        "rows": [_row(k, [each for each in trials if each.shots == k], right, list(asked.words)) for k in asked.shots],
    }
    path = evaluation_path(run, f"{name}.few-shot.json")
    keep(path, as_json(table))
    report(folder)
    return Prompted(table, path)


def _texts(asked: Asked, path: str, lost: LostPairs) -> list[Labelled]:
    """Return the texts of a file with the numbers of their labels."""
    source = asked.test.model_copy(update={"tsv": str(Path(path).absolute())})
    numbers = {label: number for number, label in enumerate(asked.words)}
    found = [
        (pair.src, numbers[pair.label]) for pair in read_pairs(source, ".", asked.skip_bad_lines, lost, tuple(numbers))
    ]
    if not found:
        raise CorpusError("empty-file", path=path)
    return found


def _row(k: int, trials: list[Trial], right: list[int], labels: list[str]) -> dict[str, Any]:
    """Return what all draws of k examples amount to, of each way of reading the likelihoods."""
    row: dict[str, Any] = {"shots": k, "draws": len(trials)}
    for way in WAYS:
        scores = [classification_scores(labels, right, getattr(each, way)) for each in trials]
        each_draw = [score.accuracy for score in scores]
        row[way] = {
            "accuracy": fmean(each_draw),
            "lowest": min(each_draw),
            "highest": max(each_draw),
            "interval": list(scores[0].interval) if len(scores) == 1 else None,
            "macro_f1": fmean(score.macro_f1 for score in scores),
        }
    return row


def as_text(table: dict[str, Any]) -> list[str]:
    """Return the table as lines for a terminal."""
    words = ", ".join(f"{label} as {said!r}" for label, said in table["words"].items())
    lines = [f"{table['run']}: {table['texts']:,} texts of {table['test']}, {words}, {table['template']!r}"]
    lines.append(f"  always the most frequent label: {table['most_frequent']:.2%}")
    lines.append(f"  {'examples':>8}  {'draws':>5}  {'as it is':<29}against an empty text")
    for row in table["rows"]:
        lines.append(f"  {row['shots']:>8}  {row['draws']:>5}  {_said(row['plain']):<29}{_said(row['against_empty'])}")
    return lines


def as_markdown(table: dict[str, Any]) -> list[str]:
    """Return the table for a document."""
    lines = ["| examples | draws | accuracy | against an empty text |", "|---|---|---|---|"]
    for row in table["rows"]:
        lines.append(f"| {row['shots']} | {row['draws']} | {_said(row['plain'])} | {_said(row['against_empty'])} |")
    return [*lines, "", f"Always the most frequent label: {table['most_frequent']:.2%} of {table['texts']:,} texts."]


def _said(scores: dict[str, Any]) -> str:
    low, high = scores["interval"] or (scores["lowest"], scores["highest"])
    return f"{scores['accuracy']:.2%} ({low:.2%} to {high:.2%})"
