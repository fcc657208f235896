"""A run, ready to be looked at: the one way in for the command line, the page and the server."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

from clearhead.decoding.translator import Translator
from clearhead.inspection.ablation import Head, ablations
from clearhead.inspection.checkpoints import over_checkpoints
from clearhead.inspection.document import ablation_of, document, rival_of
from clearhead.inspection.explain import Question, answer, ask
from clearhead.inspection.rivals import rival_at, rivals
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
        model = self.translator.model
        with open(self.folder.path / MODEL, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.run = {
            "name": self.folder.path.resolve().name,
            "version": self.folder.config.clearhead or __version__,
            "parameters": sum(weight.numel() for weight in model.parameters()),  # type: ignore[attr-defined]
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

    def rival(self, text: str, step: int, id: int, *, prefix: str = "", tag: str = "") -> dict[str, Any]:
        """Return what the model would have said, had token ``id`` come at ``step`` (from 0), as the document has it.

        Raises:
            UsageError: there is no such step or token; others as ``explain.ask``.
        """
        question = self.ask(text, prefix, tag)
        return rival_of(rival_at(self.translator, question, answer(self.translator, question), step, id))

    def ablations(
        self, text: str, heads: Sequence[Head] | None = None, *, prefix: str = "", tag: str = ""
    ) -> list[dict[str, Any]]:
        """Return what each head is worth, as the document has it; heads: (part, head) pairs, all where None.

        Raises:
            UsageError: there is no such head; others as ``explain.ask``.
        """
        question = self.ask(text, prefix, tag)
        explanation = answer(self.translator, question)
        return [ablation_of(each) for each in ablations(self.translator, question, explanation, heads)]
