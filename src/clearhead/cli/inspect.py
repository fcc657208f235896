"""``clearhead inspect``: what a model computes for a text, in the terminal, as a page, or served."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearhead.errors import MachineError, UsageError, locale_language

if TYPE_CHECKING:
    from rich.table import Table

    from clearhead.inspection.committee import CommitteeInspector
    from clearhead.inspection.explanation import Explanation
    from clearhead.inspection.inspector import Inspector
    from clearhead.inspection.rivals import Rival

WIDE = 10_000
"""Columns where nobody's terminal has to hold a line."""

WORDS = {
    "en": {
        "log-prob": "log-probability {log_prob:.3f}",
        "ranked": ", score {score:.3f}",
        "alignment": "Where each token looks: cross-attention of the last layer, mean of the heads, %",
        "steps": "What the model says at each step",
        "token": "token",
        "probability": "%",
        "entropy": "entropy, nats",
        "others": "next best, %",
        "masked": "What may stand where a word is hidden",
        "unmasked": "How likely the model holds each word, which it sees",
        "guess": "guess",
        "rivals": "Had another token come",
        "ablations": "Heads switched off",
        "checkpoints": "Checkpoints",
        "step": "step",
        "leads": "leads to",
        "score": "score",
        "labels": "Labels",
        "label": "label",
        "contributions": "What each token adds to the log-probability of {label!r}",
        "integrated_gradients": "integrated gradients",
        "leave_one_out": "leave-one-out",
        "committee": "The committee, and each of its members, %",
        "member": "{name} by itself: clearhead inspect {path}",
    },
    "ko": {
        "log-prob": "로그 확률 {log_prob:.3f}",
        "ranked": ", 점수 {score:.3f}",
        "alignment": "각 토큰이 보는 곳: 마지막 층의 크로스 어텐션, 헤드 평균, %",
        "steps": "단계마다 모델이 하는 말",
        "token": "토큰",
        "probability": "%",
        "entropy": "엔트로피 (nat)",
        "others": "다음 후보, %",
        "masked": "가려진 자리에 올 수 있는 것",
        "unmasked": "보이는 단어마다 모델이 매기는 확률",
        "guess": "답",
        "rivals": "다른 토큰이 왔다면",
        "ablations": "헤드 끄기",
        "checkpoints": "체크포인트",
        "step": "단계",
        "leads": "이어지는 번역",
        "score": "점수",
        "labels": "레이블",
        "label": "레이블",
        "contributions": "토큰마다 {label!r}의 로그 확률에 더하는 값",
        "integrated_gradients": "적분 기울기",
        "leave_one_out": "하나 빼기",
        "committee": "위원회와 그 모델들, %",
        "member": "{name} 모델만 보기: clearhead inspect {path}",
    },
}


def inspect(
    run: Annotated[
        str, typer.Argument(help="Run folder, committee, folder of Transformers, or a model's name on the Hub.")
    ],
    text: Annotated[str, typer.Argument(help="What the model is asked; a tab parts two texts of a classifier.")] = "",
    html: Annotated[Path | None, typer.Option(help="Write one page that needs no network.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Answer a browser on this machine; type and look.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 for any free one.")] = 8000,
    compare: Annotated[str | None, typer.Option(help="Another run, shown beside this one on the page.")] = None,
    other: Annotated[str, typer.Option(help="Another text, shown beside this one on the page.")] = "",
    prefix: Annotated[str, typer.Option(help="The translation starts with this text.")] = "",
    tag: Annotated[str, typer.Option(help="Language tag put in front of the text.")] = "",
    beam_size: Annotated[int | None, typer.Option(min=1, help="1 is greedy search.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Alpha of the GNMT length penalty.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """See through a model: where it looks, how sure it is, what else it might have said.

    In the terminal, or every number of its computation on a page: --html writes it, --serve computes it as you type.
    """
    from clearhead.cli.progress import warnings_as_lines
    from clearhead.inspection.committee import CommitteeInspector, inspector
    from clearhead.inspection.document import compared

    if serve and (text or html):
        raise UsageError("serve-alone")
    if (compare and not (html or serve)) or (other.strip() and not html):
        raise UsageError("compare-on-page")
    if not serve and not text.strip():
        raise UsageError("nothing-to-inspect")
    flags = {"beam_size": beam_size, "length_penalty": length_penalty}
    overrides = tuple(f"decoding.{name}={value}" for name, value in flags.items() if value is not None)
    with warnings_as_lines():
        first = inspector(run, device, overrides)
        beside = inspector(compare, device, overrides) if compare else first if other.strip() else None
    if serve:
        _serve(first, port, beside)
    elif html is not None:
        in_file = first.documents + (beside.documents if beside else 0)
        document = _document(first, text, prefix, tag, in_file)
        if beside:
            what, start = (other, "") if other.strip() else (text, prefix)
            document = compared(document, beside.document(what, prefix=start, tag=tag, in_file=in_file))
        _write(document, html)
    elif isinstance(first, CommitteeInspector):
        _print_committee(first, text)
    else:
        _print(first, text, prefix, tag)


def _serve(inspector: Inspector | CommitteeInspector, port: int, beside: Inspector | CommitteeInspector | None) -> None:
    from clearhead.inspection.serve import Server, serve

    try:
        server = Server(inspector, port, locale_language(), beside)
    except OSError as error:
        raise MachineError("port-taken", port=port, problem=error.strerror) from error
    print(server.address, flush=True)
    serve(server)


def _document(
    inspector: Inspector | CommitteeInspector, text: str, prefix: str, tag: str, in_file: int
) -> dict[str, Any]:
    """Return the document, one of so many in its file, with all that takes longer.

    A bar on stderr says how far it is, where a person looks on.
    """
    from rich.console import Console
    from rich.progress import Progress, TaskID

    words = WORDS[locale_language()]
    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:

        def told(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(words[what], total=of)
            bar.update(tasks[what], completed=done)

        return inspector.document(text, prefix=prefix, tag=tag, full=True, in_file=in_file, on_progress=told)


def _write(document: dict[str, Any], html: Path) -> None:
    from clearhead.inspection.page import render
    from clearhead.runs.files import replace_file

    page = render(document, locale_language()).encode()
    replace_file(html, [page], len(page))
    print(html)


def _print(inspector: Inspector, text: str, prefix: str, tag: str) -> None:
    from rich.console import Console

    from clearhead.inspection.explain import answer
    from clearhead.inspection.rivals import rivals

    question = inspector.ask(text, prefix, tag) if inspector.task == "translation" else None
    explanation = answer(inspector.translator, question) if question else inspector.explain(text)
    words, tables = WORDS[locale_language()], []
    if explanation.kind == "classifier":
        tables = _labels(explanation, words)
    elif explanation.kind == "masked-language-model":
        tables.append(_masked(explanation, words))
    else:
        if question and _crosses(explanation) is not None:
            tables.append(_alignment(explanation, words))
        tables.append(_steps(explanation, words))
        if question:
            others = rivals(inspector.translator, question, explanation, per_step=1)
            tables.append(_rivals(sorted(others, key=lambda rival: -rival.log_prob)[:5], words))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    both = (text for text in (explanation.src_text, explanation.tgt_text) if text)
    console.print(" → ".join(both), markup=False, style="bold", soft_wrap=True)
    said = words["log-prob"] + (words["ranked"] if question else "")
    if explanation.tgt_text or question:  # something came out
        console.print(said.format(log_prob=explanation.log_prob, score=explanation.score), markup=False)
    for table in tables:
        console.print()
        console.print(table)


def _print_committee(inspector: CommitteeInspector, text: str) -> None:
    from rich.console import Console

    found, words = inspector.explain(text), WORDS[locale_language()]
    together = inspector.together([each.labels for each in found])
    names = [f"{each.run['name']} × {share:.2f}" for each, share in inspector.inspectors]
    table = _table(words["committee"], words["label"], inspector.path.resolve().name, *names)
    for place in sorted(range(len(together)), key=lambda place: -together[place].prob):
        said = (together[place], *(each.labels[place] for each in found))
        _row(table, together[place].label, *(f"{100 * label.prob:.1f}" for label in said))
    best = max(together, key=lambda label: label.prob)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    console.print(f"{found[0].src_text} → {best.label}", markup=False, style="bold", soft_wrap=True)
    console.print()
    console.print(table)
    for (each, _), explanation in zip(inspector.inspectors, found):
        console.print()
        console.print(words["member"].format(name=each.run["name"], path=each.path), markup=False, soft_wrap=True)
        console.print(_labels(explanation, words)[1])


def _table(title: str, *columns: str, prose: bool = False) -> Table:
    """Return an empty table; numbers stand at the right, text at the left: the first column, and the last of prose."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for number, column in enumerate(columns):
        text = number == 0 or (prose and number == len(columns) - 1)
        table.add_column(Text(column), justify="left" if text else "right")
    return table


def _row(table: Table, *cells: str) -> None:
    from rich.text import Text  # never markup: a text from a user is text

    table.add_row(*(Text(cell) for cell in cells))


def _crosses(explanation: Explanation):  # type: ignore[no-untyped-def]
    try:
        return explanation.cross_attention
    except AttributeError:  # a recurrent model without attention
        return None


def _alignment(explanation: Explanation, words: dict[str, str]) -> Table:
    weights = explanation.cross_attention[-1].mean(axis=0)  # (H, T, S) -> (T, S)
    table = _table(words["alignment"], "", *(token.text.strip() for token in explanation.src))
    for token, row in zip(explanation.tgt_outputs, weights):
        _row(table, token.text.strip(), *(f"{100 * weight:.0f}" if weight >= 0.005 else "·" for weight in row))
    return table


def _steps(explanation: Explanation, words: dict[str, str]) -> Table:
    columns = ("token", "probability", "entropy", "others")
    table = _table(words["steps"], *(words[name] for name in columns), prose=True)
    tokens = [token.text.strip() for token in explanation.tgt_outputs] + ["…"]
    for token, step in zip(tokens, explanation.steps):
        others = [each for each in step.top if each.id != step.chosen][:3]
        said = "  ".join(f"{each.text.strip()} {_percent(each.log_prob)}" for each in others)
        own = "" if step.log_prob is None else _percent(step.log_prob)
        _row(table, token, own, f"{step.entropy:.2f}", said)
    return table


def _masked(explanation: Explanation, words: dict[str, str]) -> Table:
    """Return what may stand at each hidden place; where nothing is hidden, what the model thinks of each."""
    placed = [(token, step) for token, step in zip(explanation.src, explanation.steps) if token.start is not None]
    hidden = [(token, step) for token, step in placed if token.id != step.chosen]
    columns = ("token", "guess", "probability", "entropy", "others")
    table = _table(words["masked" if hidden else "unmasked"], *(words[name] for name in columns), prose=True)
    for token, step in hidden or placed:
        best = next((each.text for each in step.top if each.id == step.chosen), "")
        others = [each for each in step.top if each.id != step.chosen][:3]
        said = "  ".join(f"{each.text.strip()} {_percent(each.log_prob)}" for each in others)
        _row(table, token.text.strip(), best.strip(), _percent(step.log_prob or 0.0), f"{step.entropy:.2f}", said)
    return table


def _rivals(rivals: list[Rival], words: dict[str, str]) -> Table:
    columns = ("token", "step", "probability", "score", "leads")
    table = _table(words["rivals"], *(words[name] for name in columns), prose=True)
    for rival in rivals:
        numbers = str(rival.step + 1), _percent(rival.log_prob), f"{rival.outcome.score:.3f}"
        _row(table, rival.text.strip(), *numbers, rival.outcome.text)
    return table


def _labels(explanation: Explanation, words: dict[str, str]) -> list[Table]:
    labels = _table(words["labels"], words["label"], words["probability"])
    for each in sorted(explanation.labels, key=lambda each: -each.prob):
        _row(labels, each.label, f"{100 * each.prob:.1f}")
    ways = list(explanation.contributions)
    table = _table(
        words["contributions"].format(label=explanation.tgt_text), words["token"], *(words[way] for way in ways)
    )
    for place, token in enumerate(explanation.src):
        values = (explanation.contributions[way][place] for way in ways)
        _row(table, token.text.strip(), *(f"{value:+.3f}" for value in values))
    return [labels, table]


def _percent(log_prob: float) -> str:
    return f"{100 * math.exp(log_prob):.1f}"
