"""The run's report: one HTML file that is complete in itself, in English and Korean."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from clearhead.reporting.chart import Series, line_chart, read_out
from clearhead.reporting.few_shot import few_shot
from clearhead.reporting.gain import gain
from clearhead.reporting.history import Event, History, SampleHistory, Saying
from clearhead.reporting.page import page
from clearhead.reporting.parts import fact_list, lang_of, section, spans, tile
from clearhead.reporting.test_sets import score_tile, test_set_scores
from clearhead.reporting.words import WORDS, both, duration

SHOWN_SENTENCES = 12
SHOWN_SAYINGS = 6
DROP_REASONS = ("empty", "too-long", "ratio", "not-utf8", "line-too-long", "columns", "unknown-label")
KEPT: dict[str, tuple[str, Callable[[dict[str, Any]], str], str]] = {
    "few-shot": ("few-shot", few_shot, "few-shot-hint"),
    "gain": ("gains", gain, ""),
}
"""Of each kind of table that may be kept under evaluations/ (NAME.KIND.json): title, how it is shown, hint."""
SCORE_CHARTS: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "translation": (("text-scores", "score-unit", ("bleu", "chrf")),),
    "classification": (("class-scores", "share-unit", ("accuracy", "f1")),),
}
"""Of each task the charts of its scores: title, unit, scores."""


def report(
    title: str,
    config: dict[str, Any],
    events: list[Event],
    tests: Mapping[str, dict[str, Any]] | None = None,
    lost: dict[str, Any] | None = None,
    language: str = "en",
    kept: Sequence[tuple[str, dict[str, Any]]] = (),
) -> str:
    """Return the page of a run; the same input gives the same page.

    Args:
        title: what the page is headed with, for example the run's name.
        config: the whole resolved config as plain data (``RunConfig.model_dump(mode="json")``).
        events: what ``log.jsonl`` holds; may be empty or end anywhere.
        tests: by the names of test sets ``Scores.to_dict()``, of a classifier ``ClassificationScores.to_dict()``.
        lost: ``LostPairs.to_dict()`` of the training corpora.
        language: which of both languages the page opens with, "en" or "ko".
        kept: tables of KEPT, each with its kind.
    """
    history = History(events)
    sections = [
        _tiles(history, tests or {}),
        section("curves", _charts(history, str(config.get("task", "translation"))), hint="chart-hint"),
        section("scores", f'<div class="card">{_scores(history, tests or {})}</div>'),
        *(section(KEPT[kind][0], KEPT[kind][1](table), hint=KEPT[kind][2]) for kind, table in kept),
        section("samples", _samples(history, config), hint="samples-hint"),
        section("data", f'<div class="card">{_data(history, lost)}</div>'),
        section("config", f'<div class="card config">{_config(config)}</div>'),
        _footer(history),
    ]
    return page(title, _header(title, history, config), "\n".join(sections), language)


def _header(title: str, history: History, config: dict[str, Any]) -> str:
    state = history.finished.get("reason") or ("running" if history.events else "waiting")
    kind = "done" if state in ("max-steps", "max-minutes", "patience") else "busy"
    chip = both(state) if state in WORDS["en"] else escape(str(state))
    facts = [f'<span class="chip {kind}">{chip}</span>']
    languages = config.get("languages") or {}
    if languages and config.get("task", "translation") == "translation":
        facts.append(f"<span>{escape(str(languages.get('src')))} → {escape(str(languages.get('tgt')))}</span>")
    if history.started:
        machine = {name: history.started.get(name, "?") for name in ("precision", "device", "threads")}
        facts.append(f"<span>{both('on-machine', **machine)}</span>")
    if config.get("clearhead"):
        facts.append(f"<span>clearhead {escape(str(config['clearhead']))}</span>")
    return f'<p class="eyebrow">{both("report")}</p><h1>{escape(title)}</h1><div class="facts">{"".join(facts)}</div>'


def _tiles(history: History, tests: Mapping[str, dict[str, Any]]) -> str:
    tiles = [score_tile(name, scores) for name, scores in tests.items()]
    best = history.best()
    if best and best["scores"].get("loss") is not None:
        loss = best["scores"]["loss"]
        perplexity = read_out(math.exp(min(loss, 700.0)))
        under = both("at-step", step=f"{best['step']:,}", perplexity=perplexity)
        tiles.append(tile(both("best-valid"), f"{loss:.3f}", under))
    epoch = history.progress[-1].get("epoch", 0) if history.progress else 0
    of = both("of-steps", max_steps=f"{history.started['max_steps']:,}", epoch=epoch) if history.started else ""
    tiles.append(tile(both("progress"), f"{history.step:,}", of))
    tiles.append(_time_tile(history))
    if math.isfinite(history.tokens_per_s):
        tiles.append(tile(both("speed"), f"{history.tokens_per_s:,.0f}", both(f"{history.unit} per second")))
    if history.started:
        count = history.started["parameters"]
        value = f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"
        tiles.append(tile(both("parameters"), value, f"{count:,}" if count >= 1e6 else ""))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _time_tile(history: History) -> str:
    spent = spans(duration(history.elapsed_s))
    if history.progress and not history.finished:
        left = history.progress[-1].get("remaining_s")
        return tile(both("time"), spent, both("remaining", time=duration(left)) if left is not None else "")
    return tile(both("time"), spent, both("since", time=_clock(history.events[0])) if history.events else "")


def _charts(history: History, task: str) -> str:
    best = history.best()
    loss = best["scores"].get("loss") if best else None
    ring = None if loss is None else (best["step"], loss)
    charts = [
        line_chart(
            "loss",
            f"nats per {history.unit}",
            [Series("train", history.curve("nll")), Series("valid", history.score_curve("loss"), True, ring)],
            log=True,
        ),
        *(_score_chart(history, *chart) for chart in SCORE_CHARTS.get(task, ())),
        line_chart("learning-rate", "rate-unit", [Series("learning-rate", history.curve("learning_rate"))]),
        line_chart("throughput", f"{history.unit} per second", [Series("throughput", history.curve("tokens_per_s"))]),
    ]
    return f'<div class="charts">{"".join(charts)}</div>'


def _score_chart(history: History, title: str, unit: str, names: tuple[str, ...]) -> str:
    series = [Series(name, history.score_curve(name), marks=True) for name in names]
    return line_chart(title, unit, series, empty="no-text-scores" if history.validated else "no-values")


def _scores(history: History, tests: Mapping[str, dict[str, Any]]) -> str:
    parts = [test_set_scores(name, scores) for name, scores in tests.items()]
    if history.finished.get("scores"):
        pairs = [(_score_name(name), read_out(value)) for name, value in history.finished["scores"].items()]
        parts.append(f"<h3>{both('valid-scores')}</h3>{fact_list(pairs)}")
    if history.finished.get("weights"):
        parts.append(fact_list([(both("weights"), _weights(history.finished["weights"]))]))
    return "".join(parts) or f'<p class="none">{both("no-scores")}</p>'


def _score_name(name: str) -> str:
    return both(name) if name in WORDS["en"] else escape(name)


def _weights(said: str) -> str:
    """The loop's words for which weights were kept: "best, step 4000", "last, step 9", "mean of steps [1, 2]"."""
    key = f"weights-{said.split()[0].strip(',')}"
    return both(key, steps=", ".join(re.findall(r"\d+", said))) if key in WORDS["en"] else escape(said)


def _samples(history: History, config: dict[str, Any]) -> str:
    samples = history.samples()[:SHOWN_SENTENCES]
    if not samples:
        return f'<div class="card none">{both("no-samples")}</div>'
    languages = config.get("languages") or {}
    src, tgt = (lang_of(languages.get(side)) for side in ("src", "tgt"))
    return "".join(_sample(sample, src, tgt) for sample in samples)


def _sample(sample: SampleHistory, src: str, tgt: str) -> str:
    newest, older = sample.sayings[:SHOWN_SAYINGS], sample.sayings[SHOWN_SAYINGS:]
    rest = ""
    if older:
        rows = "".join(_saying(each, sample.ref, tgt) for each in older)
        rest = (
            f'<details><summary>{both("earlier", count=len(older))}</summary><dl class="history">{rows}</dl></details>'
        )
    return (
        f'<div class="card sample"><dl><dt>{both("source")}</dt><dd{src}>{escape(sample.src)}</dd>'
        f"<dt>{both('reference')}</dt><dd{tgt}>{escape(sample.ref)}</dd></dl>"
        f'<dl class="history">{"".join(_saying(each, sample.ref, tgt) for each in newest)}</dl>{rest}</div>'
    )


def _saying(saying: Saying, ref: str, tgt: str) -> str:
    steps = f"{saying.first_step:,}"
    if saying.last_step != saying.first_step:
        steps += f"–{saying.last_step:,}"
    text = escape(saying.hyp) if saying.hyp.strip() else f'<span class="none">{both("empty-text")}</span>'
    exact = f'<span class="exact">✓ {both("exact")}</span>' if saying.hyp.strip() == ref.strip() else ""
    return f"<dt>{both('steps', steps=steps)}</dt><dd{tgt}>{text}{exact}</dd>"


def _data(history: History, lost: dict[str, Any] | None) -> str:
    parts = []
    if lost:
        dropped = sum(lost["dropped"].values())
        reasons = sorted(lost["dropped"].items(), key=lambda each: -each[1])
        named = ", ".join(f"{_reason(reason)} {count:,}" for reason, count in reasons)
        parts.append(
            f'<p class="sum"><b>{lost["lines"]:,}</b> {both("lines")} = <b>{lost["kept"]:,}</b> {both("kept")}'
            f" + <b>{dropped:,}</b> {both('dropped')}{f' ({named})' if named else ''}</p>"
        )
    else:
        parts.append(f'<p class="none">{both("no-lost")}</p>')
    if history.started:
        names = {"train-pairs": "train_pairs", "valid-pairs": "valid_pairs"}
        parts.append(fact_list([(both(key), f"{history.started[name]:,}") for key, name in names.items()]))
    parts += [_taken(event) for event in history.events if event["event"] == "WeightsTaken"]
    if history.skipped:
        parts.append(f'<p class="note">{both("skipped")}: {history.skipped:,} ({both("skipped-why")})</p>')
    return "".join(parts)


def _taken(event: Event) -> str:
    count = {"taken": f"{len(event['taken']):,}", "total": f"{len(event['taken']) + len(event['left']):,}"}
    left = ", ".join(event["left"])
    said = f" {both('weights-left', names=left)}." if left else ""
    if unlike := ", ".join(f"{name} {values}" for name, values in event.get("unlike", {}).items()):
        said += f" {both('weights-unlike', settings=unlike)}."
    return f'<p class="note">{both("weights-taken", path=event["path"], **count)}.{said}</p>'


def _reason(reason: str) -> str:
    return both(reason) if reason in DROP_REASONS else escape(reason)


def _config(config: dict[str, Any]) -> str:
    top = {key: value for key, value in config.items() if not isinstance(value, dict)}
    parts = [_config_table(both("top-level"), _flat(top))] if top else []
    parts += [_config_table(escape(key), _flat(value)) for key, value in config.items() if isinstance(value, dict)]
    return "".join(parts)


def _config_table(name: str, rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><td><code>{escape(key)}</code></td><td><code>{escape(value)}</code></td></tr>" for key, value in rows
    )
    return f"<section><h3>{name}</h3><table>{cells}</table></section>"


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return the leaves of nested tables and lists of tables under dotted names."""
    if isinstance(value, dict):
        return [row for key, each in value.items() for row in _flat(each, f"{name}.{key}".lstrip("."))]
    if isinstance(value, (list, tuple)) and value and all(isinstance(each, dict) for each in value):
        return [row for place, each in enumerate(value) for row in _flat(each, f"{name}[{place}]")]
    return [(name, json.dumps(value, ensure_ascii=False, default=str))]


def _footer(history: History) -> str:
    newest = both("newest", time=_clock(history.events[-1])) if history.events else ""
    return f"<footer>{newest} {both('offline')}</footer>"


def _clock(event: Event) -> str:
    return f"{datetime.fromtimestamp(event.get('time', 0), UTC):%Y-%m-%d %H:%M} UTC"
