"""The report of a comparison as Markdown, in one language."""

from __future__ import annotations

from typing import Any

from clearhead import errors
from clearhead.reporting.comparison import done, p_cell, words_of
from clearhead.reporting.parts import markdown_table
from clearhead.reporting.words import duration, phrase


def comparison_markdown(comparison: dict[str, Any], language: str = "en") -> str:
    """Return the tables of the page as Markdown.

    comparison: what came out, as ``cli.compared.gather`` puts it together; language: "en" or "ko".
    """

    def say(key: str, **fields: object) -> str:
        return phrase(key, language, **fields)

    runs, scored, budget = comparison["runs"], done(comparison["runs"]), comparison["budget"]
    title = say(comparison["set"] or "comparison")
    spent = "budget-steps" if budget["steps"] else "budget-minutes"
    test = comparison["test"]
    amounts = {"steps": f"{budget['steps']:,}", "minutes": f"{budget['minutes']:g}"}
    lines = [
        f"# {title}",
        "",
        f"{comparison['languages']['src']} → {comparison['languages']['tgt']} · "
        f"{say(spent, **amounts)} · "
        f"{test['name']}, {say('sentences')}: {test['sentences']:,} · {say('base')}: {comparison['base']}",
        "",
    ]
    names = ("model", "parameters", "per-second", "updates", "time", "valid-loss", "valid-bleu")
    lines += markdown_table([*map(say, names), "BLEU", "p", "chrF", "p"], [_row(run, language) for run in runs])
    lines += ["", say("scores-hint"), ""]
    for run in runs:
        lines += [f"- {run['name']}: {run['problem']}"] if run["problem"] else []
        lines += [f"- {run['name']}: {say('cheats')}"] if run["cheats"] else []
    lines += [f"- {errors.text(code, language)}" for code in comparison["notes"]]
    lines += [f"- {name}: `{text}`" for name, text in comparison["signatures"].items()]
    marks = [f"BLEU {mark:g}" for mark in comparison["bleu_marks"]]
    times = [
        [run["name"], *(duration(at["training_s"])[language] if at else "–" for at in run["marks"])] for run in runs
    ]
    lines += ["", f"## {say('time-to')}", "", *markdown_table([say("model"), *marks], times)]
    if scored:
        groups = scored[0]["lengths"]
        head = [say("model"), *(say("words-in", words=words_of(group)) for group in groups)]
        rows = [[say("sentences"), *(f"{group['sentences']:,}" for group in groups)]]
        rows += [[run["name"], *(f"{group['bleu']:.1f}" for group in run["lengths"])] for run in scored]
        lines += ["", f"## {say('by-length')}", "", *markdown_table(head, rows)]
    samples = comparison["samples"] if scored else []
    lines += ["", f"## {say('same-sentences')}"] if samples else []
    for number, sample in enumerate(samples):
        said = [[say("source"), sample["src"]], [say("reference"), sample["ref"]]]
        said += [[run["name"], run["translations"][number]] for run in scored]
        lines += ["", *markdown_table(["", ""], said)]
    return "\n".join(lines) + "\n"


def _row(run: dict[str, Any], language: str) -> list[str]:
    valid, scores, p_values = run["valid"], run.get("scores"), run.get("p_values", {})
    state = "" if run["state"] == "done" else f" ({phrase(run['state'], language)})"
    cells = [
        f"{run['name']}{state}",
        f"{run['parameters']:,}" if run["parameters"] else "",
        f"{run['tokens_per_s']:,.0f}" if run["tokens_per_s"] else "",
        f"{run['steps']:,}" if run["steps"] else "",
        duration(run["training_s"])[language] if run["training_s"] else "",
        f"{valid['loss']:.3f}" if valid.get("loss") is not None else "",
        f"{valid['bleu']:.1f}" if valid.get("bleu") is not None else "",
    ]
    for key, name in (("bleu", "BLEU"), ("chrf", "chrF2")):
        cells.append(f"{scores[key]['value']:.1f} ± {scores[key]['interval']:.1f}" if scores else "")
        cells.append(p_cell(p_values.get(name)))
    return cells
