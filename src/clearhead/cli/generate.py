"""``clearhead generate``: a prompt in, its continuation out as it comes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def generate(
    run: Annotated[
        str, typer.Argument(help="Language model: run folder, folder of Transformers, or its name on the Hub.")
    ],
    prompt: Annotated[str, typer.Argument(help="What is continued; - for stdin, each line by itself.")] = "",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest continuation, in tokens.")] = 50,
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends the continuation; repeatable.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Draw tokens instead of taking the likeliest.")] = False,
    temperature: Annotated[float | None, typer.Option(help="Below 1 draws likelier tokens.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw among so many likeliest tokens; 0 for all.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw among the tokens that make up this probability.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the draws.")] = None,
    cut_long: Annotated[
        bool, typer.Option("--cut-long", help="Leave out the beginning of a prompt that is too long, with a warning.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Continue a prompt with a language model, writing what is sure as soon as it is.

    A piece never ends within a character as a reader sees it. The prompt itself is not repeated.
    """
    from clearhead.cli.progress import warnings_as_lines
    from clearhead.cli.translate import available_lines
    from clearhead.decoding.generator import Generator

    flags = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed, "sampling": sample or None}
    overrides = [f"decoding.{name}={str(value).lower()}" for name, value in flags.items() if value is not None]
    prompts = (line for lines in available_lines(sys.stdin.buffer) for line in lines) if prompt == "-" else [prompt]
    long_texts = "cut" if cut_long else "refuse"
    with warnings_as_lines():
        generator = Generator.load(run, device=device, overrides=overrides)
        for number, each in enumerate(prompts, 1):
            for piece in generator.stream(
                each, max_new_tokens=max_new_tokens, stop=stop or [], first=number, long_texts=long_texts
            ):
                sys.stdout.buffer.write(piece.encode())
                sys.stdout.buffer.flush()
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()
