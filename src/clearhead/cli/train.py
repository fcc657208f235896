"""``clearhead train``: from a recipe, or from files named by flags, to a run folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

RUNS = Path("runs")


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A TOML file, or the name of a recipe that comes with clearhead.")
    ] = None,
    src: Annotated[str, typer.Option(help="Source-language file, plain or gzip.")] = "",
    tgt: Annotated[str, typer.Option(help="Target-language file: line i belongs to line i.")] = "",
    valid_src: Annotated[str, typer.Option(help="Source side for validation; else some pairs are held out.")] = "",
    valid_tgt: Annotated[str, typer.Option(help="Target side for validation.")] = "",
    tsv: Annotated[str, typer.Option(help="One file with source TAB target, instead of --src and --tgt.")] = "",
    src_lang: Annotated[str, typer.Option(help="Language tag; else from the file's name (train.en).")] = "",
    tgt_lang: Annotated[str, typer.Option(help="Language tag; else from the file's name (train.de).")] = "",
    preset: Annotated[str, typer.Option(help="starter, tiny, small, paper-base or paper-big.")] = "",
    out: Annotated[Path | None, typer.Option(help="Run folder.  [default: runs/NAME]")] = None,
    set: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any key of the config; repeatable.")
    ] = None,
    data_root: Annotated[str, typer.Option(help="Folder that the corpora's paths start from (data.root).")] = "",
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Drop and count unreadable lines.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads; else as many as there are.")] = None,
) -> int:
    """Train a translator on a parallel corpus.

    A recipe says everything; flags and --set say what differs from it. Without a recipe, --src and --tgt (or --tsv)
    give a small model whose settings suit the size of the corpus. Ctrl-C writes a checkpoint; --resume goes on.
    Several processes or machines: torchrun ... -m clearhead train ... (docs/en/cluster.md).
    """
    from clearhead.cli.recipe import Flags, config_from
    from clearhead.cli.training import carry_out
    from clearhead.training.launch import begun

    flags = Flags(src, tgt, valid_src, valid_tgt, tsv, src_lang, tgt_lang, preset, data_root, skip_bad_lines, set or [])
    if out is None:
        out = RUNS / (Path(recipe).stem if recipe else flags.name())
    if begun(out):  # torchrun starts all processes anew when one has died
        resume, overwrite = True, False
    going_on = resume and (out / "run.toml").exists()
    config = config_from(str(out / "run.toml") if going_on else recipe, flags)
    code = carry_out(config, out, resume=resume, overwrite=overwrite, device=device, threads=threads)
    if os.environ.get("RANK", "0") == "0":
        typer.echo(str(out))
    return code
