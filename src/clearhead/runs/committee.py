"""Several classifiers that answer together: a folder with a file that names their run folders.

    format = 1
    runs = ["ngrams", "../naver-bert"]

What each says of the labels, the logarithms of its probabilities, is averaged, so that models that err on different
texts mend each other's errors. Each reads with its own tokenizer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from clearhead.config.reading import read_toml
from clearhead.config.section import Section
from clearhead.errors import ConfigError

COMMITTEE = "committee.toml"


class Committee(Section):
    """Who answers together."""

    format: Literal[1] = 1
    """The format's number."""
    runs: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """Paths of run folders, relative to the folder that this file is in."""


def members(path: str | os.PathLike[str]) -> list[Path]:
    """Return the folders that answer for ``path``: those that its committee.toml names, else ``path`` alone.

    Raises:
        ConfigError: the file is not TOML, or does not name them.
        RunError: the file cannot be read.
    """
    folder = Path(path)
    if not (folder / COMMITTEE).exists():
        return [folder]
    file = folder / COMMITTEE
    try:
        runs = Committee.model_validate(read_toml(file)).runs
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key, problem = ".".join(map(str, first["loc"])), first["msg"]
        raise ConfigError("bad-value", where=file, key=key, value=first["input"], problem=problem) from error
    return [Path(os.path.normpath(folder / run)) for run in runs]
