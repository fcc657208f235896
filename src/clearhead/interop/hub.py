"""Models by name: fetched from the Hugging Face Hub into its own cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

from clearhead.errors import MachineError, RunError, UsageError

FILES = ("*.json", "*.safetensors", "vocab.txt", "merges.txt", "*.spm")
"""What is fetched: never a pickle, never a program."""

PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")
"""The weights of a model that has none in safetensors."""

NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
"""A model, or its owner and the model."""


def model_folder(name: str | os.PathLike[str]) -> Path:
    """Return the folder of a model: ``name`` itself where it is one, else where the Hub's cache has it.

    A model that is not in the cache yet is fetched, unless HF_HUB_OFFLINE is set. A ``pathlib.Path``, what lies in a
    folder that is there, and what cannot be a model's name are returned as they are, for their reader to say what is
    wrong.

    Raises:
        UsageError: neither a folder nor the name of a model; huggingface_hub is not installed.
        RunError: the model has its weights as pickles only, which are not fetched.
        MachineError: the Hub cannot be reached, or does not give it out.
    """
    path = Path(name)
    if not isinstance(name, str) or path.exists() or not NAME.fullmatch(name):
        return path
    if path.parent.name and path.parent.is_dir():
        return path
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise UsageError("no-hub", name=name) from error
    try:
        folder = Path(snapshot_download(name, allow_patterns=list(FILES)))
    except (errors.HFValidationError, errors.RepositoryNotFoundError) as error:
        raise UsageError("not-on-hub", name=name) from error
    except Exception as error:  # whichever library it speaks HTTP with, each has errors of its own
        problem = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
        raise MachineError("hub-unreachable", name=name, problem=problem) from error
    if not any(folder.glob("*.safetensors")):
        _refuse_pickles(name)
    return folder


def _refuse_pickles(name: str) -> None:
    """Ask the Hub whether a model without safetensors has its weights as pickles.

    Where it does not answer, whoever reads the folder says what is missing.

    Raises:
        RunError: it has.
    """
    from huggingface_hub import list_repo_files

    try:
        files = set(list_repo_files(name))
    except Exception:  # as above, of many libraries
        return
    for pickle in PICKLES:
        if pickle in files:
            raise RunError("pickled-weights", name=f"{name}: {pickle}")
