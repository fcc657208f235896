"""The run's report, written anew from what its folder holds."""

from __future__ import annotations

import json
from typing import Any

from clearhead.cli.evaluations import EVALUATIONS, read_evaluation
from clearhead.errors import RunError, locale_language
from clearhead.reporting import report as page
from clearhead.reporting.parts import write_page
from clearhead.runs.folder import MODEL, RunFolder
from clearhead.runs.log import read_log
from clearhead.runs.manifest import read_manifest


def report(run: RunFolder) -> None:
    """Write report.html from the log and what evaluations have left, in the language of messages.

    Raises:
        RunError: the log is not one of ours.
        MachineError: the report cannot be written.
    """
    events = read_log(run.log_path)
    if not events:  # a run folder that was moved without its log keeps the report it came with
        return
    languages = f" ({run.config.languages.src}-{run.config.languages.tgt})" if run.config.task == "translation" else ""
    title = run.path.name + languages
    config, tests, kept = run.config.model_dump(mode="json"), _tests(run), _kept(run)
    try:
        lost = next((event["train"] for event in reversed(events) if event["event"] == "CorporaRead"), None)
        write_page(run.report_path, page.report(title, config, events, tests, lost, locale_language(), kept))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # A log from elsewhere may hold anything; it must neither end a training nor look like a bug.
        raise RunError("bad-log", path=run.log_path, problem=f"{type(error).__name__}: {error}") from error


def _tests(run: RunFolder) -> dict[str, dict[str, Any]]:
    """Return what the run's weights, as they are now, have on test sets: scores by the sets' names."""
    weights = [stamp.sha256 for stamp in read_manifest(run.path).get(MODEL, ())]
    found = {path.stem: read_evaluation(path) for path in sorted((run.path / EVALUATIONS).glob("*.json"))}
    ours = {name: table for name, table in found.items() if table.get("weights_sha256") in weights}
    return {name: table["scores"] for name, table in ours.items() if "scores" in table}


def _kept(run: RunFolder) -> list[tuple[str, dict[str, Any]]]:
    """Read the tables that are kept under evaluations/ and have a place in the report."""
    tables = []
    for path in sorted((run.path / EVALUATIONS).glob("*.*.json")):
        kind = path.name.split(".")[-2]
        if kind not in page.KEPT:
            continue
        try:
            tables.append((kind, json.loads(path.read_text(encoding="utf-8"))))
        except OSError as error:
            raise RunError("cannot-read", path=path, problem=error.strerror) from error
        except ValueError as error:
            raise RunError("bad-table", path=path, problem=error) from error
    return tables
