"""``clearhead export``: a folder for Hugging Face's Transformers from a run folder, or a smaller run folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Target(StrEnum):
    """What reads the folder."""

    huggingface = "huggingface"
    clearhead = "clearhead"


class Weights(StrEnum):
    """How many bits a weight has on disk."""

    fp32 = "fp32"
    bf16 = "bf16"
    int8 = "int8"


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    out: Annotated[Path, typer.Option(help="Folder to make; must not exist yet, or be empty.")],
    to: Annotated[Target, typer.Option(help="huggingface: for from_pretrained; clearhead: a run folder.")] = (
        Target.huggingface
    ),
    weights: Annotated[
        Weights, typer.Option(help="How weights are stored; less than fp32 in a run folder only.")
    ] = Weights.fp32,
    set: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any key of the config; repeatable.")
    ] = None,
) -> None:
    """Write a model as a folder that Hugging Face's Transformers loads, or as a run folder without its training."""
    from clearhead.config import with_overrides
    from clearhead.errors import UsageError
    from clearhead.interop.huggingface import write_folder
    from clearhead.runs.folder import RunFolder

    if to is Target.huggingface and weights is not Weights.fp32:
        raise UsageError("reduced-elsewhere", weights=weights.value)
    folder = RunFolder.open(run)
    config = with_overrides(folder.config, tuple(set or ()))
    if to is Target.huggingface:
        write_folder(out, config, folder.weights(), folder.tokenizers())
    else:
        RunFolder.create(out, config, folder.tokenizers()).write_weights(folder.weights(), weights.value)
    typer.echo(str(out))
