"""A run, ready to be looked at: the one way in for the command line, the page and the server."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from torch import nn

from clearhead.decoding.translator import Translator
from clearhead.errors import UsageError
from clearhead.inspection.ablation import ablations
from clearhead.inspection.checkpoints import over_checkpoints
from clearhead.inspection.document import ablation_of, document, said
from clearhead.inspection.explain import Question, answer, ask, outcome
from clearhead.inspection.rivals import forced, rivals
from clearhead.runs.folder import MODEL, RunFolder
from clearhead.version import __version__


class Inspector:
    """Explains texts by the model of a run folder.

    Args:
        path: the run folder.
        device: see ``device.choose_device``.
        overrides: ``decoding.key=value`` in place of what the run's config says.

    Raises:
        RunError: the folder is not a whole run folder.
        ConfigError: an override is wrong.
    """

    def __init__(self, path: str | os.PathLike[str], device: str = "auto", overrides: tuple[str, ...] = ()) -> None:
        self.folder = RunFolder.open(os.fspath(path))
        self.translator = Translator.load(path, device, overrides=overrides)
        assert isinstance(self.translator.model, nn.Module)
        self.model = self.translator.model
        with open(self.folder.path / MODEL, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.run = {
            "name": self.folder.path.resolve().name,
            "version": self.folder.config.clearhead or __version__,
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "weights_sha256": sha256,
            "languages": self.folder.config.languages.model_dump(),
        }

    def config(self) -> dict[str, Any]:
        """Return the model's config with the sizes of its vocabularies."""
        tokenizers = self.translator.tokenizers
        sizes = {"src_vocabulary": tokenizers.src.vocabulary_size, "tgt_vocabulary": tokenizers.tgt.vocabulary_size}
        return {**self.folder.config.model.model_dump(mode="json"), **sizes}

    def ask(self, text: str, prefix: str = "", tag: str = "") -> Question:
        """Return ``text`` as a question; see ``explain.ask``."""
        return ask(self.translator, text, prefix, tag)

    def document(self, text: str, *, prefix: str = "", tag: str = "", full: bool = False) -> dict[str, Any]:
        """Return what the page shows of ``text``.

        full: with rivals, heads switched off, and the run's checkpoints, which together take much longer than the rest.

        Raises: as ``explain.ask``; FaultsError also where a checkpoint is damaged.
        """
        question = self.ask(text, prefix, tag)
        explanation = answer(self.translator, question)
        more: dict[str, Any] = {}
        if full:
            moments = over_checkpoints(self.folder, self.translator, question, explanation)
            more = {
                "rivals": rivals(self.translator, question, explanation),
                "ablations": ablations(self.translator, question, explanation),
                "checkpoints": list(moments),
            }
        return document(explanation, self.run, self.config(), **more)

    def rival(self, text: str, prefix: list[int]) -> dict[str, Any]:
        """Return what the model says of ``text`` where the target's first tokens are ``prefix`` (ids).

        Raises:
            UsageError: there is no such token, or there are too many; others as ``explain.ask``.
        """
        question = self.ask(text)
        size, limit = self.translator.tokenizers.tgt.vocabulary_size, int(question.problem.limits[0])
        for id in prefix:
            if not 0 <= id < size:
                raise UsageError("no-such-token", id=id, last=size - 1)
        if len(prefix) > limit:
            raise UsageError("prefix-too-long", line=1, tokens=len(prefix), limit=limit)
        (hypothesis,) = forced(self.translator, question, [prefix])
        return said(outcome(self.translator, hypothesis))

    def ablation(self, text: str, part: str, head: int) -> dict[str, Any]:
        """Return what ``head`` of the attention ``part`` is worth to the translation of ``text``.

        Raises:
            UsageError: there is no such head; others as ``explain.ask``.
        """
        question = self.ask(text)
        explanation = answer(self.translator, question)
        (found,) = ablations(self.translator, question, explanation, [(part, head)])
        return ablation_of(found)

    def column(self, name: str, column: int) -> dict[str, Any]:
        """Return the weights and the bias that make number ``column`` of what the linear layer ``name`` says.

        Raises:
            UsageError: there is no such layer or number.
        """
        layer = dict(self.model.named_modules()).get(name)
        if not isinstance(layer, nn.Linear) or not 0 <= column < layer.out_features:
            raise UsageError("no-such-column", name=name, column=column)
        bias = None if layer.bias is None else float(layer.bias[column])
        return {"weights": layer.weight[column].tolist(), "bias": bias}
