"""Several classifiers that answer together: a folder with a file that names their run folders.

    format = 1
    runs = ["ngrams", "../naver-bert"]
    weights = [1.0, 0.5]

What each says of the labels, the logarithms of its probabilities, is averaged, so that models that err on different
texts mend each other's errors. Each reads with its own tokenizer. Weights are to be chosen on validation text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from clearhead.config.reading import fault_as_error, first_fault, place_of, read_toml
from clearhead.config.section import Section
from clearhead.errors import UsageError

COMMITTEE = "committee.toml"


class Committee(Section):
    """Who answers together."""

    format: Literal[1] = 1
    """The format's number."""
    runs: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """Paths of run folders, relative to the folder that this file is in."""
    weights: tuple[Annotated[float, Field(gt=0.0)], ...] = ()
    """How much each one's word counts; empty: all the same."""

    @model_validator(mode="after")
    def _a_weight_each(self) -> Self:
        if self.weights and len(self.weights) != len(self.runs):
            raise ValueError(f"{len(self.weights)} weights for {len(self.runs)} runs; give each one")
        return self


def members(path: str | os.PathLike[str]) -> list[tuple[str | os.PathLike[str], float]]:
    """Return the folders that answer for ``path``, and each one's share of the answer: those that its committee.toml
    names, else ``path`` alone.

    Raises:
        ConfigError: the file is not TOML, or does not name them.
        RunError: the file cannot be read.
    """
    folder = Path(path)
    if not (folder / COMMITTEE).exists():
        return [(path, 1.0)]
    file = folder / COMMITTEE
    try:
        said = Committee.model_validate(read_toml(file))
    except ValidationError as error:
        first = first_fault(error)
        raise fault_as_error(first, str(file), place_of(first["loc"], {}), Committee.model_fields) from error
    weights = said.weights or (1.0,) * len(said.runs)
    return [(Path(os.path.normpath(folder / run)), weight / sum(weights)) for run, weight in zip(said.runs, weights)]


def agree(path: str | os.PathLike[str], labels: Sequence[str], expected: Sequence[str]) -> None:
    """Check that the member at ``path`` has the labels of the first one, in its order.

    Raises:
        UsageError: it has not.
    """
    if labels != expected:
        raise UsageError("unlike-labels", path=path, labels=", ".join(labels), expected=", ".join(expected))
