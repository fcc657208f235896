"""Everything a user can do wrong, as exceptions with a code, named fields and one line in the user's language.

    ClearheadError
    ├── UsageError        the command line or a call is wrong            exit 2
    │   └── ConfigError   a recipe, a preset or a --set is wrong
    ├── CorpusError       a corpus or an input file is wrong             exit 3
    ├── RunError          a run folder or a checkpoint is wrong          exit 4
    ├── MachineError      disk full, no memory, no network               exit 5
    └── TrainingError     the training itself cannot go on               exit 6

An error is raised as ``CorpusError("not-utf8", path=path, line=12, byte="0xe9", column=17)``. The sentence lives in
``messages.toml`` under ``[not-utf8]`` with one template per language; it says where, what is wrong with the value, and
the remedy, in one line. Exit 1 is left to bugs and 130 to Ctrl-C.
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from importlib import resources

LANGUAGES = ("en", "ko")


@cache
def messages() -> dict[str, dict[str, str]]:
    """Return every message template: code -> language -> template."""
    text = resources.files("clearhead").joinpath("messages.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def locale_language() -> str:
    """Return the language of messages: CLEARHEAD_LANG, else the locale's, else English."""
    for name in ("CLEARHEAD_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "ko" if value.lower().startswith("ko") else "en"
    return "en"


def text(code: str, language: str | None = None, **fields: object) -> str:
    """Return the sentence of ``code`` in ``language`` (default: the locale's) with ``fields`` filled in."""
    return messages()[code][language or locale_language()].format(**fields)


class ClearheadError(Exception):
    """An error that the user can act on.

    Args:
        code: the key of the message in ``messages.toml``.
        fields: the values the message names.
    """

    exit_code = 1

    def __init__(self, code: str, **fields: object) -> None:
        super().__init__(code, fields)
        self.code = code
        self.fields = fields

    def message(self, language: str | None = None) -> str:
        """Return the one line to show, in ``language`` ("en" or "ko"; default: the locale's)."""
        return text(self.code, language, **self.fields)

    def __str__(self) -> str:
        return self.message()


class UsageError(ClearheadError):
    """The command line or a call is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A recipe, a preset or a ``--set`` is wrong."""


class CorpusError(ClearheadError):
    """A corpus or an input file is wrong."""

    exit_code = 3


class RunError(ClearheadError):
    """A run folder or a checkpoint is missing something or is not ours."""

    exit_code = 4


class MachineError(ClearheadError):
    """The machine cannot go on: disk full, no memory, no network."""

    exit_code = 5


class TrainingError(ClearheadError):
    """The training itself cannot go on."""

    exit_code = 6
