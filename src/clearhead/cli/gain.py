"""``clearhead gain``: what a run has won by starting from another's weights, against one from scratch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearhead.cli.evaluate import Format
from clearhead.errors import RunError, UsageError

if TYPE_CHECKING:
    from clearhead.reporting.history import History
    from clearhead.runs.folder import RunFolder

LOWER_IS_BETTER = ("loss", "perplexity", "bits_per_byte")
ALIKE = ("sources", "valid", "max_tokens", "max_ratio", "long_texts", "skip_bad_lines", "holdout")
"""What of ``data`` must be the same, so that two runs have learnt from and been validated on the same text."""


def gain(
    run: Annotated[Path, typer.Argument(help="Run folder that began from other runs' weights (training.init_from).")],
    over: Annotated[Path, typer.Option(help="Run folder that began from scratch, on the same data.")],
    format: Annotated[Format, typer.Option(help="text, json or markdown.")] = Format.text,
) -> None:
    """Show what transfer has won over training from scratch: best validation scores, and the steps they took.

    Both learning curves are drawn in the run's report. On a test set, evaluate both runs at once: the paired test
    tells whether they differ.
    """
    from clearhead.cli.evaluations import as_json, evaluation_path, keep
    from clearhead.cli.report import report
    from clearhead.runs.folder import RunFolder

    first, second = RunFolder.open(run), RunFolder.open(over)
    table = compared(first, second)
    keep(evaluation_path(first.path, f"{second.path.name}.gain.json"), as_json(table))
    report(first)
    match format:
        case Format.json:
            typer.echo(as_json(table), nl=False)
        case Format.text | Format.markdown:
            typer.echo("\n".join(as_markdown(table)))


def compared(first: RunFolder, second: RunFolder) -> dict[str, Any]:
    """Return what ``first``, which took weights over, has won against ``second``, which began from scratch.

    Raises:
        UsageError: the runs cannot be compared so.
        RunError: a log has no validation.
    """
    from clearhead.reporting.history import History
    from clearhead.runs.log import read_log

    check_alike(first, second)
    histories = [History(read_log(each.log_path)) for each in (first, second)]
    for each, history in zip((first, second), histories):
        if not history.validated:
            raise RunError("no-validation", path=each.path)
    metric = first.config.training.validate_metric
    names = [name for name in histories[0].validated[-1]["scores"] if name in histories[1].validated[-1]["scores"]]
    names.sort(key=lambda name: name != metric)
    taken = [event for event in histories[0].events if event["event"] == "WeightsTaken"]
    return {
        "run": first.path.name,
        "over": second.path.name,
        "init_from": [Path(path).name for path in first.config.training.init_from],
        "taken": sum(len(event["taken"]) for event in taken),
        "same_vocabulary": first.tokenizers().src.fingerprint == second.tokenizers().src.fingerprint,
        "rows": [score_row(name, *histories) for name in names],
        "curves": {name: [history.score_curve(name) for history in histories] for name in names},
    }


def check_alike(first: RunFolder, second: RunFolder) -> None:
    """Check that the runs have the same task and data, and that one began from other weights and one from none."""
    if not first.config.training.init_from:
        raise UsageError("nothing-taken-over", path=first.path)
    if second.config.training.init_from:
        raise UsageError("not-from-scratch", path=second.path, given=", ".join(second.config.training.init_from))
    if first.config.task != second.config.task:
        raise UsageError("wrong-task", path=second.path, task=second.config.task, wanted=first.config.task)
    one, other = (
        each.config.data.model_dump(mode="json") | {"seed": each.config.training.seed} for each in (first, second)
    )
    held_out = () if first.config.data.valid else ("seed",)
    for key in (*ALIKE, *held_out):
        if one[key] != other[key]:
            found, wanted = (json.dumps(each[key], ensure_ascii=False) for each in (other, one))
            raise UsageError("other-data", path=second.path, run=first.path, key=key, found=found, wanted=wanted)


def score_row(name: str, first: History, second: History) -> dict[str, Any]:
    """Return both runs' best value of a score, when each had it, and when the first had reached the second's."""
    sign = 1.0 if name in LOWER_IS_BETTER else -1.0
    curves = [history.score_curve(name) for history in (first, second)]
    (step, value), (over_step, over_value) = (min(curve, key=lambda point: sign * point[1]) for curve in curves)
    reached = next((at for at, score in curves[0] if sign * score <= sign * over_value), None)
    row = {"score": name, "value": value, "step": step, "over": over_value, "over_step": over_step}
    return row | {"gain": sign * (over_value - value) + 0.0, "reached": reached}  # + 0.0 makes 0 of -0.0


def as_markdown(table: dict[str, Any]) -> list[str]:
    """Return the table as lines."""
    lines = ["| | from scratch | at step | with transfer | at step | gain | as good at step |", "|---" * 7 + "|"]
    for row in table["rows"]:
        reached = "never" if row["reached"] is None else f"{row['reached']:,}"
        scores = f"{row['over']:.4f} | {row['over_step']:,} | {row['value']:.4f} | {row['step']:,}"
        lines.append(f"| {row['score']} | {scores} | {row['gain']:+.4f} | {reached} |")
    lines += ["", f"{table['taken']} tensors from {', '.join(table['init_from'])}; from scratch: {table['over']}."]
    if not table["same_vocabulary"]:
        lines.append("The vocabularies differ: losses that are a mean over tokens cannot be compared.")
    return lines
