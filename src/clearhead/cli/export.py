"""``clearhead export``: a folder for Hugging Face's Transformers from a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    out: Annotated[Path, typer.Option(help="Folder to make; must not exist yet, or be empty.")],
) -> None:
    """Write a model as a folder that Hugging Face's Transformers loads with from_pretrained."""
    from clearhead.interop.huggingface import write_folder
    from clearhead.runs.folder import RunFolder

    folder = RunFolder.open(run)
    write_folder(out, folder.config, folder.weights(), folder.tokenizers())
    typer.echo(str(out))
