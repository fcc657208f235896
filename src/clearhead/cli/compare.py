"""``clearhead compare``: several models on the same text within the same budget, and one report on them all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from clearhead.errors import UsageError


def compare(
    file: Annotated[str, typer.Argument(help="A TOML file, or the name of a comparison that comes with clearhead.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the runs and the report.  [default: runs/NAME]")] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Train this model alone for now; repeatable.")
    ] = None,
    data_root: Annotated[str, typer.Option(help="Folder that the corpora's paths start from (data.root).")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the runs that are there.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads; else as many as there are.")] = None,
) -> int:
    """Train several models on the same text, and report on them together.

    The file names models, or one of the built-in sets: "ladder" (from recurrent networks to the Transformer) or
    "ablations" (the Transformer with one part switched off at a time). Each model has a run folder of its own below
    --out; the test set is translated when all are trained. Ctrl-C stops; --resume goes on.
    """
    from clearhead.cli import comparing
    from clearhead.cli.compared import write_reports
    from clearhead.cli.comparison import read_plan

    plan = read_plan(file, data_root)
    for name in only or ():
        if name not in plan.models:
            raise UsageError("no-such-model", name=name, names=", ".join(plan.models))
    out = out or Path("runs") / Path(file).stem
    tests = comparing.read_tests(plan)
    chosen = [entry for entry in plan.entries if not only or entry.model in only]
    named = [plan.folder(entry) for entry in chosen] if only else []
    state = comparing.open_folder(out, resume, overwrite, named)
    again = f"clearhead compare {file} --resume --out {out}{f' --data-root {data_root}' if data_root else ''}"
    how = {"resume": resume, "overwrite": overwrite, "device": device, "threads": threads, "again": again}
    train = comparing.train_apart if plan.comparison.budget.minutes else comparing.train
    try:
        for entry in chosen:
            code = train(plan, entry, out / plan.folder(entry), state, **how)
            write_reports(plan, out, tests, state)
            if code:
                return code
        trained = [entry for entry in chosen if plan.folder(entry) not in state.failed]
        for entry in trained:
            comparing.evaluate(plan, entry, out / plan.folder(entry), tests, state, device)
    except KeyboardInterrupt:
        print(f"stopped; to go on: {again}", file=sys.stderr)
        raise
    write_reports(plan, out, tests, state)
    typer.echo((out / "report.md").read_text(encoding="utf-8"), nl=False)
    print(f"curves, lengths and translations, in a browser: {out / 'report.html'}", file=sys.stderr)
    return 0
