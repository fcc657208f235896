"""``clearhead classify``: stdin to stdout, one label out for each line in."""

from __future__ import annotations

import json
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How a label is written."""

    text = "text"
    json = "json"


def classify(
    run: Annotated[Path, typer.Argument(help="Run folder of a classifier.")],
    top_k: Annotated[int, typer.Option(min=1, help="So many labels a line, likeliest first, tabs between.")] = 1,
    refuse_long: Annotated[
        bool, typer.Option("--refuse-long", help="Refuse a text too long, instead of cutting.")
    ] = False,
    format: Annotated[Format, typer.Option(help="text, or one JSON list a line.")] = Format.text,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Classify stdin line by line: LABEL and its probability, with a tab between.

    Lines end in \\n alone, and each gives one line. What is ready is written at once.
    """
    from clearhead.cli.translate import available_lines
    from clearhead.pipelines import pipeline

    pipe, done = pipeline("text-classification", run, device), 0
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _say
        for lines in available_lines(sys.stdin.buffer):
            long_texts = "refuse" if refuse_long else "cut"
            for found in pipe.stream(lines, first=done + 1, top_k=top_k, long_texts=long_texts):
                if format is Format.json:
                    said = json.dumps(found, ensure_ascii=False)
                else:
                    said = "\t".join(f"{each['label']}\t{each['score']:.4f}" for each in found)
                sys.stdout.buffer.write(said.encode() + b"\n")
            sys.stdout.buffer.flush()
            done += len(lines)


def _say(message: Warning | str, *_: object, **__: object) -> None:
    print(f"clearhead: {message}", file=sys.stderr)
