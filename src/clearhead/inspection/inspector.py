"""A run, ready to be looked at: the one way in for the command line, the page and the server."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from clearhead.config import DecodingConfig
from clearhead.decoding.translator import Translator
from clearhead.inspection.document import document
from clearhead.inspection.explain import explain
from clearhead.inspection.explanation import Explanation
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

    def explain(
        self, text: str, *, prefix: str = "", tag: str = "", decoding: DecodingConfig | None = None
    ) -> Explanation:
        """Return what the model computes for ``text``; see ``explain.explain``."""
        return explain(self.translator, text, prefix=prefix, tag=tag, decoding=decoding)

    def document(self, text: str, *, prefix: str = "", tag: str = "") -> dict[str, Any]:
        """Return what the page shows of ``text``.

        Raises: as ``explain.ask``.
        """
        return document(self.explain(text, prefix=prefix, tag=tag), self.run, self.config())
