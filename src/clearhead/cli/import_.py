"""``clearhead import``: a run folder from a model of Hugging Face's Transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clearhead.cli.train import RUNS


def import_(
    model: Annotated[str, typer.Argument(help="Folder with config.json, or a model's name on the Hugging Face Hub.")],
    out: Annotated[Path | None, typer.Option(help="Run folder to make.  [default: runs/NAME]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
) -> None:
    """Take a model over from Hugging Face's Transformers: BERT, DistilBERT, RoBERTa, GPT-2, Marian, BART.

    Weights are read from safetensors only, never from a pickle; nothing in the folder is executed.
    """
    from clearhead.cli.progress import warnings_as_lines
    from clearhead.interop.hub import model_folder
    from clearhead.interop.huggingface import read_folder
    from clearhead.runs.folder import RunFolder, check_free

    out = out or RUNS / Path(model).resolve().name
    check_free(out, overwrite)  # before the minutes that a download may take
    with warnings_as_lines():
        imported = read_folder(model_folder(model))
    RunFolder.create(out, imported.config, imported.tokenizers, overwrite).write_weights(imported.weights)
    typer.echo(str(out))
