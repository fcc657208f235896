"""What came out of a comparison, gathered from its run folders as plain data, and written as three reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clearhead.cli.comparing import DONE, State, TestSet, evaluations
from clearhead.cli.comparison import Entry, Plan, differences
from clearhead.cli.evaluations import as_json, evaluation_path
from clearhead.errors import RunError, locale_language
from clearhead.evaluation.lengths import bleu_by_length, fifths
from clearhead.evaluation.paired import PairedScores, paired_test
from clearhead.reporting.comparison import comparison_page
from clearhead.reporting.comparison_text import comparison_markdown
from clearhead.reporting.history import History, number
from clearhead.reporting.parts import write_page
from clearhead.runs.files import one_at_a_time
from clearhead.runs.folder import LOG
from clearhead.runs.log import read_log
from clearhead.version import __version__

REPORT = "report"
SHOWN = 5
"""How many test sentences are shown with what each model says of them."""


def write_reports(plan: Plan, out: Path, tests: TestSet, state: State) -> dict[str, Any]:
    """Write report.json, report.md and report.html into ``out`` and return what they tell.

    Raises:
        RunError: a log is not one of ours.
        MachineError: they cannot be written.
    """
    language = locale_language()
    with one_at_a_time(out):
        state.read_again()
        table = gather(plan, out, tests, state)
        write_page(out / f"{REPORT}.json", as_json(table))
        write_page(out / f"{REPORT}.md", comparison_markdown(table, language))
        write_page(out / f"{REPORT}.html", comparison_page(table, language))
    return table


def gather(plan: Plan, out: Path, tests: TestSet, state: State) -> dict[str, Any]:
    """Return everything that the reports tell, as JSON's types."""
    said = plan.comparison
    folders = {out / plan.folder(entry): entry for entry in plan.entries}
    scored = evaluations([path for path in folders if state.test.get(path.name) == tests.sha256], tests.name)
    hypotheses = {name: _hypotheses(out / name, tests.name) for name in scored}
    shown = _shown(tests.sources)
    runs = []
    for path, entry in folders.items():
        run = _run(plan, entry, path, state)
        if path.name in scored:
            run |= _scored(plan, entry, tests, scored[path.name], hypotheses[path.name])
            run["translations"] = [hypotheses[path.name][row] for row in shown]
        runs.append(run)
    signatures = _add_paired(plan, runs, hypotheses, tests)
    first = plan.entries[0].config
    return {
        "clearhead": __version__,
        "languages": first.languages.model_dump(),
        "set": said.set or "",
        "base": plan.base,
        "seeds": list(said.seeds),
        "budget": said.budget.model_dump(),
        "test": {"name": tests.name, "sentences": len(tests.sources)},
        "bleu_marks": list(said.bleu_marks),
        "signatures": signatures,
        "notes": sorted({note for table in scored.values() for note in table["scores"]["notes"]}),
        "samples": [{"src": tests.sources[row], "ref": tests.references[row]} for row in shown],
        "runs": runs,
    }


def _run(plan: Plan, entry: Entry, path: Path, state: State) -> dict[str, Any]:
    """Return what a run's log tells, and how its config differs from the base's."""
    history = History(read_log(path / LOG))
    base = next(other.config for other in plan.entries if other.model == plan.base)
    try:
        curve = [_point(event) for event in history.validated]
        training_s = number((history.finished or (history.validated or [{}])[-1]).get("training_s", 0.0))
        tokens = sum(number(event.get("tokens", 0)) for event in history.progress)
        last = history.progress[-1]["step"] if history.progress else 0
        share = last / history.step if history.step else 0.0  # of the updates, what progress was told of
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError("bad-log", path=path / LOG, problem=f"{type(error).__name__}: {error}") from error
    return {
        "name": path.name,
        "model": entry.model,
        "seed": entry.seed,
        "state": _state(path.name, history, state),
        "problem": state.failed.get(path.name, ""),
        "differs": {key: ours for key, (ours, _) in differences(entry.config, base).items() if ours is not None},
        "cheats": not getattr(entry.config.model, "causal_mask", True),
        "parameters": history.started.get("parameters", 0),
        "machine": {key: history.started.get(key) for key in ("device", "precision", "threads")},
        "steps": history.step,
        "training_s": training_s,
        "tokens_per_s": tokens / (training_s * share) if training_s and share else 0.0,
        "unit": history.unit,
        "weights": history.finished.get("weights", ""),
        "valid": history.finished.get("scores", {}),
        "penalties": state.penalties.get(path.name, {}).get("bleu", {}),
        "curve": curve,
        "train_curve": [[step, value] for step, value in history.curve("nll")],
        "marks": [_mark(curve, mark) for mark in plan.comparison.bleu_marks],
    }


def _state(name: str, history: History, state: State) -> str:
    if name in state.failed:
        return "failed"
    if history.finished.get("reason") in DONE:
        return "done"
    return "stopped" if history.events else "untrained"


def _point(event: dict[str, Any]) -> dict[str, Any]:
    """Return what a validation found: after how many updates and seconds of them, the loss and BLEU."""
    scores = event["scores"]
    return {"step": event["step"], "training_s": event.get("training_s", 0.0)} | {
        name: scores.get(name) for name in ("loss", "bleu")
    }


def _mark(curve: Sequence[dict[str, Any]], mark: float) -> dict[str, Any] | None:
    """Return when validation BLEU first came to ``mark``; None where it never did."""
    for point in curve:
        if point["bleu"] is not None and point["bleu"] >= mark:
            return {"step": point["step"], "training_s": point["training_s"], "bleu": point["bleu"]}
    return None


def _scored(
    plan: Plan, entry: Entry, tests: TestSet, evaluation: dict[str, Any], hypotheses: list[str]
) -> dict[str, Any]:
    """Return what an evaluation found, and BLEU by the length of the source."""
    edges = list(plan.comparison.lengths) or fifths(tests.sources)
    options, language = entry.config.evaluation, entry.config.languages.tgt
    groups = bleu_by_length(hypotheses, tests.references, tests.sources, edges, options, language)
    return {
        "scores": evaluation["scores"],
        "decoding": evaluation["decoding"],
        "decoding_s": evaluation["seconds"],
        "weights_sha256": evaluation["weights_sha256"],
        "lengths": [vars(group) for group in groups],
    }


def _add_paired(
    plan: Plan, runs: list[dict[str, Any]], hypotheses: dict[str, list[str]], tests: TestSet
) -> dict[str, str]:
    """Put each run to the paired test against the base's of the same seed; return sacreBLEU's signatures."""
    signatures: dict[str, str] = {}
    for seed in plan.comparison.seeds:
        mine = [run for run in runs if run["seed"] == seed and run["name"] in hypotheses]
        mine.sort(key=lambda run: run["model"] != plan.base)
        if len(mine) < 2 or mine[0]["model"] != plan.base:
            continue
        config = plan.entries[0].config
        systems = {run["name"]: hypotheses[run["name"]] for run in mine}
        paired: PairedScores = paired_test(systems, tests.references, config.evaluation, config.languages.tgt)
        signatures |= paired.signatures
        for run in mine[1:]:
            results = [each for each in paired.results if each.system == run["name"]]
            run["p_values"] = {each.metric: each.p_value for each in results}
    return signatures


def _hypotheses(run: Path, name: str) -> list[str]:
    return evaluation_path(run, f"{name}.hyp.txt").read_text(encoding="utf-8").split("\n")[:-1]


def _shown(sources: Sequence[str]) -> list[int]:
    """Return the rows of five sentences, from a short one to a long one: at the tenths 1, 3, 5, 7 and 9 of lengths."""
    rows = sorted(range(len(sources)), key=lambda row: len(sources[row].split()))
    return list(dict.fromkeys(rows[len(rows) * (2 * part + 1) // (2 * SHOWN)] for part in range(SHOWN)))
