"""A model that is ready to be used, from whichever folder it lies in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from clearhead.config import with_overrides
from clearhead.errors import UsageError
from clearhead.interop.hub import model_folder
from clearhead.interop.huggingface import read_folder
from clearhead.runs.folder import FOREIGN, RUN, RunFolder
from clearhead.runs.load import Loaded, load_run, loaded


def is_foreign(path: Path) -> bool:
    """Whether a folder is one of Hugging Face's Transformers."""
    return (path / FOREIGN).exists() and not (path / RUN).exists()


def load(path: str | os.PathLike[str], task: str | None, overrides: Sequence[str] = ()) -> Loaded:
    """Return the model of a run folder, or of a folder of Hugging Face's Transformers, for ``task``.

    path: a folder, or as a string also a model's name on the Hugging Face Hub; see ``hub.model_folder``.
    task: None for whichever it is for; overrides: ``key=value`` in place of what the folder's config says.

    Raises:
        RunError: the folder is not whole; lists all that is wrong.
        ConfigError: an override is wrong.
        UsageError: its model is for another task; neither a folder nor a model's name.
        MachineError: the Hub cannot be reached.
    """
    path = model_folder(path)
    if not is_foreign(path):
        return load_run(path, task, overrides)
    found = read_folder(path)
    if task not in (None, found.config.task):
        raise UsageError("wrong-task", path=path, task=found.config.task, wanted=task)
    return loaded(with_overrides(found.config, tuple(overrides)), found.tokenizers, found.weights)


def task_of(path: str | os.PathLike[str]) -> str:
    """Return what the model of a folder is for; it is not made.

    path: as in ``load``.

    Raises:
        RunError, UsageError, MachineError: as ``load``.
    """
    path = model_folder(path)
    return read_folder(path).config.task if is_foreign(path) else RunFolder.open(path, weights=False).config.task
