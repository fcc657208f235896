"""What pages are made of, as markup, and writing one so that nobody ever reads half of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from clearhead.errors import MachineError
from clearhead.reporting.words import both


def section(key: str, body: str, hint: str = "") -> str:
    """Return a section headed by the phrase ``key``."""
    said = f'<p class="hint">{both(hint)}</p>' if hint else ""
    return f"<section><h2>{both(key)}</h2>{said}{body}</section>"


def tile(name: str, value: str, under: str) -> str:
    """Return one large figure with its name and a remark."""
    return f"<div><dl><dt>{name}</dt><dd>{value}</dd><dd>{under}</dd></dl></div>"


def fact_list(facts: Sequence[tuple[str, str]]) -> str:
    """Return names with their values, side by side."""
    return f'<dl class="pairs">{"".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)}</dl>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Return a table of cells of markup that scrolls by itself where the page is narrow; kind: its class."""
    said = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="{kind}"><thead><tr>{said}</tr></thead><tbody>{body}</tbody></table></div>'


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [head, *rows]]
    return [lines[0], "|---" * len(head) + "|", *lines[1:]]


def spans(by_language: dict[str, str]) -> str:
    """Return a text that is given in each language."""
    return "".join(
        f'<span class="t-{language}" lang="{language}">{escape(text)}</span>' for language, text in by_language.items()
    )


def lang_of(tag: Any) -> str:
    """Return the attributes of text in the language ``tag``, BCP-47."""
    return f' dir="auto" lang="{escape(tag)}"' if isinstance(tag, str) and tag not in ("", "und") else ' dir="auto"'


def write_page(path: Path, text: str) -> None:
    """Write a page so that a reader at any instant finds the old one or the new one.

    Raises:
        MachineError: the disk is full or the file cannot be written.
    """
    content = text.encode("utf-8", "replace")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MachineError("no-room", path=path, needed_mb=len(content) / 1e6) from error
        raise MachineError("cannot-write", path=path, problem=error.strerror) from error
