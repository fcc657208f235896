"""The page of a comparison: one HTML file that is complete in itself, in English and Korean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from clearhead import errors
from clearhead.reporting.chart import Series, line_chart, read_out
from clearhead.reporting.intervals import Interval, interval_chart
from clearhead.reporting.page import page
from clearhead.reporting.parts import fact_list, lang_of, section, spans, table, tile
from clearhead.reporting.words import WORDS, both, duration

SIGNIFICANT = 0.05
Run = dict[str, Any]
Cells = list[list[str]]


def comparison_page(comparison: dict[str, Any], language: str = "en") -> str:
    """Return the page.

    Args:
        comparison: what came out, as ``cli.compared.gather`` puts it together.
        language: which of both languages the page opens with, "en" or "ko".
    """
    runs = comparison["runs"]
    sections = [
        _tiles(comparison),
        section("scores", _main(comparison), hint="scores-hint"),
        _notes(comparison),
        section("curves", _curves(comparison), hint="chart-hint"),
        section("time-to", f'<div class="card">{_marks(comparison)}</div>', hint="time-to-hint"),
        section("by-length", f'<div class="card">{_lengths(runs)}</div>', hint="by-length-hint"),
        section("same-sentences", _sentences(comparison)),
        section("differences", f'<div class="card">{_differences(runs)}</div>', hint="differences-hint"),
        f"<footer>{both('offline')}</footer>",
    ]
    return page(_title(comparison), _header(comparison), "\n".join(sections), language)


def done(runs: Sequence[Run]) -> list[Run]:
    """Return the runs that the test set was translated with."""
    return [run for run in runs if "scores" in run]


def p_cell(p_value: float | None) -> str:
    """Return a p-value with a star where it is significant; nothing where there is none."""
    return "" if p_value is None else f"{p_value:.3f}{'*' if p_value < SIGNIFICANT else ''}"


def _title(comparison: dict[str, Any]) -> str:
    return f"{comparison['set'] or comparison['base']} ({comparison['test']['name']})"


def _header(comparison: dict[str, Any]) -> str:
    runs, languages = comparison["runs"], comparison["languages"]
    over = all(run["state"] in ("done", "failed") for run in runs)
    known = both(comparison["set"]) if comparison["set"] else both("comparison")
    machine = next((run["machine"] for run in runs if run["machine"]["device"]), None)
    facts = [
        f'<span class="chip {"done" if over else "busy"}">{both("done" if over else "unfinished")}</span>',
        f"<span>{escape(languages['src'])} → {escape(languages['tgt'])}</span>",
        f"<span>{_budget(comparison['budget'])}</span>",
        f"<span>{both('on-machine', **machine)}</span>" if machine else "",
        f"<span>clearhead {escape(comparison['clearhead'])}</span>",
    ]
    return f'<p class="eyebrow">{both("comparison")}</p><h1>{known}</h1><div class="facts">{"".join(facts)}</div>'


def _budget(budget: dict[str, Any]) -> str:
    if budget["steps"]:
        return both("budget-steps", steps=f"{budget['steps']:,}")
    return both("budget-minutes", minutes=f"{budget['minutes']:g}")


def _tiles(comparison: dict[str, Any]) -> str:
    runs, scored = comparison["runs"], done(comparison["runs"])
    tiles = []
    if scored:
        best = max(scored, key=lambda run: run["scores"]["bleu"]["value"])
        tiles.append(tile(both("best-bleu"), f"{best['scores']['bleu']['value']:.1f}", escape(best["name"])))
        base = next((run for run in scored if run["model"] == comparison["base"]), None)
        if base:
            tiles.append(tile(both("base-bleu"), f"{base['scores']['bleu']['value']:.1f}", escape(base["name"])))
    trained = sum(run["state"] in ("done", "failed") for run in runs)
    tiles.append(tile(both("trained"), f"{trained} / {len(runs)}", _budget(comparison["budget"])))
    spent = sum(run["training_s"] for run in runs)
    tiles.append(tile(both("time"), spans(duration(spent)), both("all-together")))
    test = comparison["test"]
    tiles.append(tile(both("sentences"), f"{test['sentences']:,}", escape(test["name"])))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _main(comparison: dict[str, Any]) -> str:
    names = ("model", "parameters", "per-second", "updates", "time", "valid-loss", "valid-bleu")
    head = [both(name) for name in names] + ["BLEU", "p", "chrF", "p"]
    rows = [_main_row(run, run["model"] == comparison["base"]) for run in comparison["runs"]]
    scored = done(comparison["runs"])
    intervals = []
    for run in scored:
        bleu = run["scores"]["bleu"]
        low, high = bleu["mean"] - bleu["interval"], bleu["mean"] + bleu["interval"]
        intervals.append(Interval(run["name"], bleu["value"], low, high, run["model"] == comparison["base"]))
    signatures = fact_list([(escape(name), f"<code>{escape(text)}</code>") for name, text in _signatures(comparison)])
    seeds = _seeds(comparison) if len(comparison["seeds"]) > 1 else ""
    charts = f'<div class="charts one">{interval_chart("bleu-intervals", intervals)}</div>' if intervals else ""
    return f'<div class="card">{table(head, rows, "figures")}{seeds}{signatures}</div>{charts}'


def _main_row(run: Run, base: bool) -> list[str]:
    said = f" {_mark('base')}" if base else ""
    if run["state"] != "done":
        said += f" {_mark(run['state'])}"
    valid, scores, p_values = run["valid"], run.get("scores"), run.get("p_values", {})
    cells = [
        f"<b>{escape(run['name'])}</b>{said}",
        _millions(run["parameters"]) if run["parameters"] else "",
        f"{run['tokens_per_s']:,.0f}" if run["tokens_per_s"] else "",
        f"{run['steps']:,}" if run["steps"] else "",
        spans(duration(run["training_s"])) if run["training_s"] else "",
        f"{valid['loss']:.3f}" if valid.get("loss") is not None else "",
        f"{valid['bleu']:.1f}" if valid.get("bleu") is not None else "",
    ]
    for key, name in (("bleu", "BLEU"), ("chrf", "chrF2")):
        each = scores[key] if scores else None
        cells.append(f"<b>{each['value']:.1f}</b>\u00a0±\u00a0{each['interval']:.1f}" if each else "")
        cells.append(p_cell(p_values.get(name)))
    return cells


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count:,}"


def _mark(key: str) -> str:
    return f'<span class="small">{both(key)}</span>'


def _signatures(comparison: dict[str, Any]) -> list[tuple[str, str]]:
    if comparison["signatures"]:
        return list(comparison["signatures"].items())
    first = done(comparison["runs"])[:1]
    return [(run["scores"][key]["name"], run["scores"][key]["signature"]) for run in first for key in ("bleu", "chrf")]


def _seeds(comparison: dict[str, Any]) -> str:
    """Where there are several seeds: each model's BLEU over them."""
    rows: Cells = []
    for model in dict.fromkeys(run["model"] for run in comparison["runs"]):
        values = [run["scores"]["bleu"]["value"] for run in done(comparison["runs"]) if run["model"] == model]
        if values:
            spread = f"{min(values):.1f} – {max(values):.1f}"
            rows.append([escape(model), str(len(values)), f"{sum(values) / len(values):.1f}", spread])
    head = [both(key) for key in ("model", "seeds", "mean", "range")]
    return f"<h3>{both('over-seeds')}</h3>{table(head, rows, 'figures')}" if rows else ""


def _notes(comparison: dict[str, Any]) -> str:
    said = []
    for run in comparison["runs"]:
        if run["problem"]:
            said.append(f"<b>{escape(run['name'])}</b>: {escape(run['problem'])}")
        if run["cheats"]:
            said.append(f"<b>{escape(run['name'])}</b>: {both('cheats')}")
    said += [spans({language: errors.text(code, language) for language in WORDS}) for code in comparison["notes"]]
    return "".join(f'<p class="note">{each}</p>' for each in said)


def _curves(comparison: dict[str, Any]) -> str:
    runs = comparison["runs"]

    def lines(points: str, x: str, y: str, unit: float = 1.0) -> list[Series]:
        return [
            Series(run["name"], [(at[x] / unit, at[y]) for at in run[points] if at[y] is not None], named=True)
            for run in runs
        ]

    trained = [
        Series(run["name"], [(x, y) for x, y in run["train_curve"] if y is not None], named=True) for run in runs
    ]
    lengths = [
        Series(run["name"], [(group["mean"], group["bleu"]) for group in run["lengths"]], marks=True, named=True)
        for run in done(runs)
    ]
    unit = f"nats per {runs[0]['unit']}"
    charts = [
        line_chart("valid-bleu-over-time", "score-unit", lines("curve", "training_s", "bleu", 60.0), x_unit="minute"),
        line_chart("valid-loss", unit, lines("curve", "step", "loss"), log=True),
        line_chart("train-loss", unit, trained, log=True),
        line_chart("bleu-by-length", "score-unit", lengths, x_unit="source-words"),
    ]
    return f'<div class="charts many">{"".join(charts)}</div>'


def _marks(comparison: dict[str, Any]) -> str:
    head = [both("model"), *(f"BLEU {mark:g}" for mark in comparison["bleu_marks"])]
    rows = []
    for run in comparison["runs"]:
        cells = [spans(duration(at["training_s"])) if at else "–" for at in run["marks"]]
        rows.append([escape(run["name"]), *cells])
    return table(head, rows, "figures")


def _lengths(runs: Sequence[Run]) -> str:
    scored = done(runs)
    if not scored:
        return f'<p class="none">{both("no-scores")}</p>'
    groups = scored[0]["lengths"]
    head = [both("model"), *(both("words-in", words=words_of(group)) for group in groups)]
    rows = [[both("sentences"), *(f"{group['sentences']:,}" for group in groups)]]
    rows += [[escape(run["name"]), *(f"{group['bleu']:.1f}" for group in run["lengths"])] for run in scored]
    return table(head, rows, "figures")


def words_of(group: dict[str, Any]) -> str:
    """Return a group's lengths: "5–8", or "9"."""
    return f"{group['low']}" if group["low"] == group["high"] else f"{group['low']}–{group['high']}"


def _sentences(comparison: dict[str, Any]) -> str:
    scored, languages = done(comparison["runs"]), comparison["languages"]
    src, tgt = (lang_of(languages[side]) for side in ("src", "tgt"))
    cards = []
    for number, sample in enumerate(comparison["samples"]):
        said = "".join(_saying(run["name"], run["translations"][number], sample["ref"], tgt) for run in scored)
        cards.append(
            f'<div class="card sample"><dl><dt>{both("source")}</dt><dd{src}>{escape(sample["src"])}</dd>'
            f"<dt>{both('reference')}</dt><dd{tgt}>{escape(sample['ref'])}</dd></dl>"
            f'<dl class="history same">{said}</dl></div>'
        )
    return "".join(cards)


def _saying(name: str, text: str, ref: str, tgt: str) -> str:
    shown = escape(text) if text.strip() else f'<span class="none">{both("empty-text")}</span>'
    exact = f'<span class="exact">✓ {both("exact")}</span>' if text.strip() == ref.strip() else ""
    return f"<dt>{escape(name)}</dt><dd{tgt}>{shown}{exact}</dd>"


def _differences(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        said = ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in run["differs"].items())
        rows.append(
            [escape(run["name"]), f"<code>{escape(said) or '–'}</code>", escape(run["weights"]), _penalties(run)]
        )
    return table([both(key) for key in ("model", "options", "weights", "length-penalty")], rows)


def _penalties(run: Run) -> str:
    """The length penalties that were tried, with BLEU on validation text."""
    if run["penalties"]:
        return ", ".join(f"{escape(each)}: {bleu:.1f}" for each, bleu in run["penalties"].items())
    return read_out(run["decoding"]["length_penalty"]) if "decoding" in run else ""
