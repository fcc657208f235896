"""``clearhead data``: list public corpora and download them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def data(
    corpus: Annotated[str | None, typer.Argument(help="Name of a corpus; none lists them.", show_default=False)] = None,
    to: Annotated[Path | None, typer.Option(help="Folder for the files.  [default: data/CORPUS]")] = None,
    mirror: Annotated[
        str,
        typer.Option(envvar="CLEARHEAD_MIRROR", help="https address of a folder that holds the same files."),
    ] = "",
) -> None:
    """List the public corpora known by name, or download one from its source by https, checked by sha256."""
    import difflib

    from clearhead.errors import UsageError
    from clearhead.text.public_corpora import CORPORA, download

    if corpus is None:
        for known in CORPORA.values():
            typer.echo(f"{known.name}\t{known.languages}\t{known.pairs}\t{known.about}")
            typer.echo(f"\tlicence: {known.licence}\t{known.homepage}")
        return
    if corpus not in CORPORA:
        nearest = difflib.get_close_matches(corpus, list(CORPORA), n=1, cutoff=0.0)[0]
        raise UsageError("unknown-corpus", name=corpus, names=", ".join(CORPORA), nearest=nearest)
    wanted = CORPORA[corpus]
    folder = to or Path("data") / corpus
    print(f"{wanted.name}: {wanted.homepage}; licence: {wanted.licence}", file=sys.stderr)
    for fetched in download(wanted, folder, mirror):
        if fetched.finished:
            print(f"\r{fetched.file}: {fetched.received:,} bytes, checksum right", file=sys.stderr)
        elif sys.stderr.isatty():
            share = f" of {fetched.total:,}" if fetched.total else ""
            print(f"\r{fetched.file}: {fetched.received:,}{share} bytes ", end="", file=sys.stderr)
    typer.echo(str(folder))
