"""``clearhead translate``: stdin to stdout, one line out for each line in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

if TYPE_CHECKING:
    from clearhead.decoding.translator import Translation

CHUNK_LINES = 1024
READ_BYTES = 1 << 18
STDIN = "<stdin>"


class Format(StrEnum):
    """How a translation is written."""

    text = "text"
    json = "json"


def translate(
    run: Annotated[str, typer.Argument(help="Run folder, folder of Transformers, or a model's name on the Hub.")],
    beam_size: Annotated[int | None, typer.Option(help="1 is greedy search.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Alpha of the GNMT length penalty.")] = None,
    n_best: Annotated[int | None, typer.Option(help="So many translations a line, separated by tabs.")] = None,
    prefix: Annotated[str, typer.Option(help="Every translation starts with this text.")] = "",
    sample: Annotated[bool, typer.Option("--sample", help="Draw tokens instead of searching.")] = False,
    temperature: Annotated[float | None, typer.Option(help="Below 1 draws likelier tokens.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw among so many likeliest tokens; 0 for all.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw among the tokens that make up this probability.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the draws.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest translation, in tokens.")] = None,
    tag: Annotated[str, typer.Option(help="Language tag put in front of every line.")] = "",
    format: Annotated[Format, typer.Option(help="text, or one JSON object a line.")] = Format.text,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Translate stdin to stdout, line by line.

    Lines end in \\n alone, and each gives one line, an empty one an empty one. What is ready is written at once.
    """
    from clearhead.cli.progress import warnings_as_lines
    from clearhead.decoding.translator import Translator

    flags = {
        "beam_size": beam_size,
        "length_penalty": length_penalty,
        "n_best": n_best,
        "sampling": "true" if sample else None,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "max_tokens": max_tokens,
    }
    overrides = [f"decoding.{name}={value}" for name, value in flags.items() if value is not None]
    with warnings_as_lines():
        translator = Translator.load(run, device=device, overrides=overrides)
    show_progress = sys.stderr.isatty() and not sys.stdin.isatty()
    write = as_json if format is Format.json else as_text
    done = 0
    for lines in available_lines(sys.stdin.buffer):
        for translation in translator(lines, prefix=prefix, tag=tag, first=done + 1):
            sys.stdout.buffer.write(write(translation).encode() + b"\n")
        sys.stdout.buffer.flush()
        done += len(lines)
        if show_progress:
            print(f"\r{done:,} lines", end="", file=sys.stderr, flush=True)
    if show_progress:
        print(file=sys.stderr)


def available_lines(stream: BinaryIO) -> Iterator[list[str]]:
    """Yield the lines that are there to be read, at most CHUNK_LINES at once, without waiting for more.

    The lines before a bad one are still given.

    Raises:
        CorpusError: a line is not UTF-8, or too long to be a sentence.
    """
    from clearhead.errors import CorpusError
    from clearhead.text.corpus import MAX_LINE_BYTES

    number, rest, ended = 0, b"", False
    while not ended:
        block = stream.read1(READ_BYTES)  # type: ignore[attr-defined]
        ended = not block
        *whole, rest = (rest + block).split(b"\n")
        if rest and (ended or len(rest) > MAX_LINE_BYTES):
            whole.append(rest)
            rest = b""
        good: list[str] = []
        try:
            for raw in whole:
                number += 1
                good.append(decode_line(raw, number))
                if len(good) == CHUNK_LINES:
                    yield good
                    good = []
        except CorpusError:
            yield good
            raise
        if good:
            yield good


def decode_line(raw: bytes, number: int) -> str:
    r"""Return the text of line ``number`` of stdin, without the ``\r`` of a file from Windows."""
    from clearhead.errors import CorpusError
    from clearhead.text.corpus import MAX_LINE_BYTES

    if len(raw) > MAX_LINE_BYTES:
        raise CorpusError("input-too-long", path=STDIN, line=number, limit=MAX_LINE_BYTES)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        column = 1 + len(raw[: error.start].decode("utf-8"))
        byte = f"0x{raw[error.start]:02x}"
        raise CorpusError("input-not-utf8", path=STDIN, line=number, byte=byte, column=column) from error
    return text.removeprefix("\ufeff" if number == 1 else "").removesuffix("\r")


def as_text(translation: Translation) -> str:
    """Return the translation as one line; several of them, where n-best was asked for, with tabs between."""
    texts = [each.text for each in translation.n_best]
    return "\t".join(" ".join(text.split("\n")) for text in texts)


def as_json(translation: Translation) -> str:
    """Return the translation as one line of JSON."""
    table = {
        "source": translation.source,
        "text": translation.text,
        "score": translation.score,
        "log_prob": translation.log_prob,
        "finished": translation.finished,
        "tokens": [token._asdict() for token in translation.tokens],
        "n_best": [{"text": each.text, "score": each.score} for each in translation.n_best],
    }
    return json.dumps(table, ensure_ascii=False)
