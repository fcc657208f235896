"""``clearhead version``: which versions and which machine, for a report of a bug."""

from __future__ import annotations

import platform
from importlib import metadata

import typer

PARTS = ("torch", "tokenizers", "safetensors", "sacrebleu", "numpy", "pydantic")


def version() -> None:
    """Print the versions of clearhead and of what it stands on."""
    from clearhead.version import __version__

    typer.echo(f"clearhead {__version__}")
    typer.echo(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for part in PARTS:
        typer.echo(f"{part} {metadata.version(part)}")
