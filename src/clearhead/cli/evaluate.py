"""``clearhead evaluate``: translate or classify a test set and score it; several runs are compared pair by pair."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli.evaluations import as_json
from clearhead.errors import UsageError

if TYPE_CHECKING:
    from clearhead.cli.scoring import Evaluation
    from clearhead.config import Column
    from clearhead.evaluation.paired import PairedScores


class Format(StrEnum):
    """How scores are written."""

    text = "text"
    json = "json"
    markdown = "markdown"


@dataclass(frozen=True)
class LabelledFile:
    """A labelled test set.

    columns: of ``TsvTexts``' fields what is not as in the run's own training text.
    labels: of the file's labels the run's, where training did not call them so.
    skip_bad_lines: else a label that the run never saw is an error, whatever its training dropped: a score must be of
        the whole test set.
    """

    tsv: Path
    name: str
    columns: dict[str, Column]
    labels: dict[str, str]
    skip_bad_lines: bool = False


def evaluate(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first is the one the others are compared with.")],
    src: Annotated[Path | None, typer.Option(help="Source sentences, plain or gzip.")] = None,
    ref: Annotated[Path | None, typer.Option(help="Reference translations, line for line.")] = None,
    tsv: Annotated[Path | None, typer.Option(help="Labelled texts, in the training text's columns or as said.")] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Of --tsv: the texts' column, by its name or its number, from 0.")
    ] = None,
    second_column: Annotated[str | None, typer.Option(help="Of --tsv: that of a second text.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Of --tsv: that of the label.")] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Of --tsv: whether the first line names the columns.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="FILE'S=RUN'S", help="Of --tsv: what a label is called in the run.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the test set.  [default: the source file's]")] = "",
    tokenize: Annotated[str, typer.Option(help="BLEU's tokeniser: 13a, intl, ko-mecab, ..., none.")] = "",
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Score case-insensitively.")] = False,
    beam_size: Annotated[int | None, typer.Option(help="1 is greedy search.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Alpha of the GNMT length penalty.")] = None,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Of --tsv: drop and count them.")] = False,
    format: Annotated[Format, typer.Option(help="text, json or markdown.")] = Format.text,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Score runs on a test set of sentence pairs (--src, --ref) or of labelled texts (--tsv).

    BLEU, chrF and TER come with sacreBLEU's signatures, accuracy and F1 with the confusion matrix, all with 95 %
    intervals; several runs are put to a paired test. What was said and the scores are kept in the run folder, under
    evaluations/.
    """
    columns = {"text_column": text_column, "second_column": second_column, "label_column": label_column}
    given: dict[str, Column] = {key: column(value) for key, value in columns.items() if value is not None}
    if header is not None:
        given["header"] = header
    if tsv is not None:
        name = name or tsv.name.removesuffix(".gz").removesuffix(".tsv")
        _label(runs, LabelledFile(tsv, name, given, names_of(label or []), skip_bad_lines), format, device)
        return
    if given or label:
        raise UsageError("missing-argument", command="clearhead evaluate", name="--tsv")
    if src is None or ref is None:
        raise UsageError("missing-argument", command="clearhead evaluate", name="--ref" if src else "--src")
    flags = {
        "evaluation.tokenize": tokenize,
        "decoding.beam_size": beam_size,
        "decoding.length_penalty": length_penalty,
    }
    overrides = [f"{key}={value}" for key, value in flags.items() if value not in ("", None)]
    overrides += ["evaluation.lowercase=true"] if lowercase else []
    _score(runs, src, ref, name, overrides, format, device)


def _check(runs: list[Path], task: str) -> None:
    """Check that all runs are there and whole and of ``task``, before the first has worked for nothing."""
    from clearhead.runs.committee import members
    from clearhead.runs.load import open_run

    for run in runs:
        for member, _ in members(run):
            open_run(member, task)


def _score(
    runs: list[Path], src: Path, ref: Path, name: str, overrides: list[str], format: Format, device: str
) -> None:
    """Put translators to the test."""
    from clearhead.cli.scoring import evaluate_run, read_test_set, test_set_name
    from clearhead.evaluation.paired import paired_test

    _check(runs, "translation")
    sources, references = read_test_set(src, ref)
    evaluations = []
    for run in runs:
        done = evaluate_run(run, name or test_set_name(src), sources, references, overrides, device)
        evaluations.append(done)
        print(f"{run}: translations and scores are in {done.scores_path} and {done.hyp_path}", file=sys.stderr)
    paired = None
    if len(runs) > 1:
        first = evaluations[0].config
        systems = {str(each.run): each.hypotheses for each in evaluations}
        paired = paired_test(systems, references, first.evaluation, first.languages.tgt)
    match format:
        case Format.text:
            typer.echo("\n".join(as_text(evaluations, paired)))
        case Format.markdown:
            typer.echo("\n".join(as_markdown(evaluations, paired)))
        case Format.json:
            table = {"runs": [each.to_dict() for each in evaluations], "paired": paired.to_dict() if paired else None}
            typer.echo(as_json(table), nl=False)


def column(said: str) -> Column:
    """Return the column that an option names: digits are a number, whatever else is a name in the first line."""
    return int(said) if said.isdecimal() else said


def names_of(labels: list[str]) -> dict[str, str]:
    """Return what --label says: of each of the file's labels the run's.

    Raises:
        UsageError: one does not say it.
    """
    for each in labels:
        if not all(each.partition("=")):
            raise UsageError("bad-label-name", value=each)
    return dict(each.split("=", 1) for each in labels)


def _label(runs: list[Path], test: LabelledFile, format: Format, device: str) -> None:
    """Put classifiers to the test."""
    from clearhead.cli import labelling

    _check(runs, "classification")
    done = [labelling.label_run(run, test, device) for run in runs]
    for each in done:
        print(f"{each.run}: labels and scores are in {each.path.parent}", file=sys.stderr)
    match format:
        case Format.text:
            typer.echo("\n".join(labelling.as_text(done)))
        case Format.markdown:
            typer.echo("\n".join(labelling.as_markdown(done)))
        case Format.json:
            typer.echo(as_json(labelling.as_table(done)), nl=False)


def as_text(evaluations: list[Evaluation], paired: PairedScores | None) -> list[str]:
    """Return the scores as lines for a terminal."""
    lines = []
    for each in evaluations:
        scores = each.scores
        lines.append(f"{each.run}: {scores.sentences:,} sentences, {each.seconds:.1f} s")
        for metric in (scores.bleu, scores.chrf, scores.ter):
            lead = "*" if metric is scores.leading else " "
            lines.append(f"{lead} {metric.name:6} {metric.value:6.2f} ± {metric.interval:.2f}  {metric.signature}")
        lines.append(f"  exact match {scores.exact_match:.1%}  length ratio {scores.length_ratio:.3f}")
        lines += [f"  {note}" for note in scores.note_lines()]
    if paired:
        rows = paired.table()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines.append("")
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return lines


def as_markdown(evaluations: list[Evaluation], paired: PairedScores | None) -> list[str]:
    """Return the scores as a table for a document, with the signatures under it."""
    from clearhead.reporting.parts import markdown_table

    scores = evaluations[0].scores
    metrics = (scores.bleu, scores.chrf, scores.ter)
    if paired:
        rows = paired.table()
    else:
        values = [f"{metric.value:.2f} ± {metric.interval:.2f}" for metric in metrics]
        rows = [["", *(metric.name for metric in metrics)], [str(evaluations[0].run), *values]]
    lines = [*markdown_table(rows[0], rows[1:]), "", *(f"- {metric.name}: `{metric.signature}`" for metric in metrics)]
    return lines + [f"- {note}" for note in scores.note_lines()]
