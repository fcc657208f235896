"""``clearhead few-shot``: a language model labels a test set by likelihood after k examples; accuracy against k."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from clearhead.cli.evaluate import Format, column
from clearhead.errors import UsageError


def few_shot(
    run: Annotated[Path, typer.Argument(help="Run folder of a language model.")],
    tsv: Annotated[Path, typer.Option(help="Labelled texts to be classified.")],
    label: Annotated[list[str], typer.Option(metavar="LABEL=WORDS", help="A label's words; once for each label.")],
    examples: Annotated[Path | None, typer.Option(help="Labelled texts that examples are drawn from.")] = None,
    template: Annotated[str, typer.Option(help="How a text and its label's words read.")] = "{text} {label}",
    shots: Annotated[
        list[int] | None, typer.Option(min=0, help="Number of examples; repeatable.  [default: 0]")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="So many draws of examples for each number.")] = 3,
    limit: Annotated[int, typer.Option(min=0, help="Only so many texts, drawn evenly; 0 for all.")] = 0,
    text_column: Annotated[str, typer.Option(help="The text's column, by its name or its number, from 0.")] = "0",
    label_column: Annotated[str, typer.Option(help="The label's column, by its name or its number, from 0.")] = "1",
    header: Annotated[bool, typer.Option("--header", help="The first line names the columns.")] = False,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Drop and count unreadable lines.")] = False,
    name: Annotated[str, typer.Option(help="Name of the test set.  [default: the file's]")] = "",
    format: Annotated[Format, typer.Option(help="text, json or markdown.")] = Format.text,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Classify by prompt: the label whose words are likeliest after the text, behind k examples.

    Nothing is trained. The table has each k's accuracy, its mean and range over the draws of examples; it is kept in
    the run folder under evaluations/ and drawn in the report.
    """
    from clearhead.cli import prompting
    from clearhead.cli.evaluations import as_json
    from clearhead.config import TsvTexts

    words = dict(each.split("=", 1) for each in label if "=" in each)
    said = {each.strip() for each in words.values()}
    if len(words) < 2 or len(said) < len(label) or not all(said):
        raise UsageError("bad-label-words", value=" ".join(f"--label {each}" for each in label))
    counts = sorted(set(shots or [0]))
    if examples is None and counts != [0]:
        raise UsageError("missing-argument", command="clearhead few-shot", name="--examples")
    columns = TsvTexts(tsv=str(tsv), text_column=column(text_column), label_column=column(label_column), header=header)
    asked = prompting.Asked(columns, str(examples or ""), words, template, counts, seeds, limit, skip_bad_lines)
    done = prompting.prompt_run(run, asked, name or tsv.name.removesuffix(".gz").removesuffix(".tsv"), device)
    print(f"{run}: the table is in {done.path}, the chart in {run / 'report.html'}", file=sys.stderr)
    match format:
        case Format.text:
            typer.echo("\n".join(prompting.as_text(done.table)))
        case Format.markdown:
            typer.echo("\n".join(prompting.as_markdown(done.table)))
        case Format.json:
            typer.echo(as_json(done.table), nl=False)
