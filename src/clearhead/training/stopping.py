"""Stopping in the middle of a validation, which may take longer than whoever asks for it waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch.nn.modules.module import register_module_forward_pre_hook


class Stopped(Exception):
    """A stop was asked for; what was being computed is not needed any more."""


@contextmanager
def asking(should_stop: Callable[[], bool]) -> Iterator[None]:
    """Ask before every module's forward pass, wherever the passes are made, and raise ``Stopped`` on True."""

    def ask(*_: object) -> None:
        if should_stop():
            raise Stopped

    handle = register_module_forward_pre_hook(ask)
    try:
        yield
    finally:
        handle.remove()
