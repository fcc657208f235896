"""Many faults, one error: whatever is wrong is listed at once, so that it is mended at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from clearhead.errors import ClearheadError, RunError, text

P = ParamSpec("P")
R = TypeVar("R")


class FaultsError(RunError):
    """Several things are wrong at once.

    Args:
        code: the key of the message, whose template names ``{faults}``.
        faults: what is wrong, each an error with a message of its own.
        fields: the other values the message names.
    """

    def __init__(self, code: str, faults: Sequence[ClearheadError], **fields: object) -> None:
        super().__init__(code, **fields)
        self.faults = tuple(faults)

    def message(self, language: str | None = None) -> str:
        """Return the one line to show, with every fault in the same language."""
        listed = "; ".join(fault.message(language) for fault in self.faults)
        return text(self.code, language, faults=listed, **self.fields)


def attempt(faults: list[ClearheadError], check: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
    """Return what ``check`` returns; where it raises an error of ours, note that in ``faults`` and return None."""
    try:
        return check(*args, **kwargs)
    except ClearheadError as error:
        faults.append(error)
        return None
