"""From a run folder to a model that is ready to be used."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clearhead.config import RunConfig, with_overrides
from clearhead.errors import UsageError
from clearhead.models.build import load_weights, make_model, named_weights
from clearhead.runs.folder import RunFolder
from clearhead.runs.tensors import check_weights
from clearhead.text.tokenizer import TokenizerPair


@dataclass(frozen=True)
class Loaded:
    """What a folder holds: the config, the tokenizers, and the model with its weights.

    folder: None where it is not a run folder.
    """

    config: RunConfig
    tokenizers: TokenizerPair
    model: nn.Module
    folder: RunFolder | None = None


def open_run(path: str | os.PathLike[str], task: str | None) -> RunFolder:
    """Open a run of ``task`` (None: whichever it is). Raises: as ``load_run``, but for overrides."""
    run = RunFolder.open(os.fspath(path))
    if task not in (None, run.config.task):
        raise UsageError("wrong-task", path=run.path, task=run.config.task, wanted=task)
    return run


def load_run(path: str | os.PathLike[str], task: str | None, overrides: Sequence[str] = ()) -> Loaded:
    """Load the model of a run of ``task``.

    task: None for whichever it is; overrides: ``key=value`` in place of what the run's config says.

    Raises:
        RunError: the folder is not a whole run folder.
        ConfigError: an override is wrong.
        UsageError: the run is one of another task.
    """
    run = open_run(path, task)
    found = loaded(with_overrides(run.config, tuple(overrides)), run.tokenizers(), run.weights())
    return replace(found, folder=run)


def loaded(config: RunConfig, tokenizers: TokenizerPair, weights: Mapping[str, Tensor]) -> Loaded:
    """Put ``weights`` into the model that ``config`` describes.

    Raises:
        FaultsError: lists every tensor that is missing, too many, or of another shape.
    """
    sizes = tokenizers.src.vocabulary_size, tokenizers.tgt.vocabulary_size
    with torch.device("meta"):  # a foreign config may describe a model that no memory holds
        check_weights(weights, named_weights(make_model(config.model, *sizes)))
    model = make_model(config.model, *sizes)
    load_weights(model, weights)
    return Loaded(config, tokenizers, model)
