"""``clearhead classify``: stdin to stdout, one label out for each line in."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from clearhead.errors import CorpusError


class Format(StrEnum):
    """How a label is written."""

    text = "text"
    json = "json"


def classify(
    run: Annotated[
        str, typer.Argument(help="Classifier: run folder, committee, folder of Transformers, or its name on the Hub.")
    ],
    top_k: Annotated[int, typer.Option(min=1, help="So many labels a line, likeliest first, tabs between.")] = 1,
    refuse_long: Annotated[
        bool, typer.Option("--refuse-long", help="Refuse a text too long, instead of cutting.")
    ] = False,
    pairs: Annotated[bool, typer.Option("--pairs", help="Each line is two texts with a tab between.")] = False,
    format: Annotated[Format, typer.Option(help="text, or one JSON list a line.")] = Format.text,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Classify stdin line by line: LABEL and its probability, with a tab between.

    Lines end in \\n alone, and each gives one line. What is ready is written at once.
    """
    from clearhead.cli.progress import warnings_as_lines
    from clearhead.cli.translate import available_lines
    from clearhead.pipelines import pipeline

    with warnings_as_lines():
        pipe, done = pipeline("text-classification", run, device), 0
        for lines in available_lines(sys.stdin.buffer):
            long_texts = "refuse" if refuse_long else "cut"
            texts = [two_texts(line, number) for number, line in enumerate(lines, done + 1)] if pairs else lines
            for found in pipe.stream(texts, first=done + 1, top_k=top_k, long_texts=long_texts):
                if format is Format.json:
                    said = json.dumps(found, ensure_ascii=False)
                else:
                    said = "\t".join(f"{each['label']}\t{each['score']:.4f}" for each in found)
                sys.stdout.buffer.write(said.encode() + b"\n")
            sys.stdout.buffer.flush()
            done += len(lines)


def two_texts(line: str, number: int) -> dict[str, str]:
    """Return the texts of a line as a pipeline takes them.

    Raises:
        CorpusError: they are not two.
    """
    texts = line.split("\t")
    if len(texts) != 2:
        raise CorpusError("no-pair", line=number, texts=len(texts))
    return {"text": texts[0], "text_pair": texts[1]}
