"""A tiny run to play with, and the ways in which writing it can be cut off."""

from __future__ import annotations

import builtins
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from clearhead.config import RunConfig, TokenizerConfig, TransformerConfig
from clearhead.runs import files
from clearhead.runs.folder import RunFolder
from clearhead.text.tokenizer import TokenizerPair

torch.set_num_threads(1)

SRC = ["나는 학교에 갑니다", "너는 물을 마신다", "고양이가 창가에서 잔다", "비가 오면 우산을 쓴다"] * 3
TGT = ["I walk to school in the morning", "you drink the cold water", "the cat sleeps by the window"] * 4


@pytest.fixture(scope="session")
def joint() -> TokenizerPair:
    return TokenizerPair.train(SRC, TGT, TokenizerConfig(vocabulary_size=400))


@pytest.fixture(scope="session")
def separate() -> TokenizerPair:
    more = ["seven wizards mix great potions over a quick fire", "while the brown fox jumps", "a lazy dog waits"] * 4
    return TokenizerPair.train(TGT + more, more, TokenizerConfig(vocabulary_size=400, joint=False))


@pytest.fixture(scope="session")
def config() -> RunConfig:
    model = TransformerConfig(d_model=8, d_ff=16, n_heads=2, n_encoder_layers=1, n_decoder_layers=1)
    return RunConfig(model=model, tokenizer=TokenizerConfig(vocabulary_size=400))


@pytest.fixture
def run(tmp_path: Path, config: RunConfig, joint: TokenizerPair) -> RunFolder:
    return RunFolder.create(tmp_path / "run", config, joint)


def weights_of(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"embedding": (11, 4), "layer.bias": (3,), "scale": ()}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def weights() -> Callable[[int], dict[str, torch.Tensor]]:
    return weights_of


class Kill(BaseException):
    """Stands for SIGKILL: no handler of ours may catch it."""


KILL = Kill()


class Cut:
    """Counts everything done to the disk and raises at the n-th."""

    def __init__(self) -> None:
        self.trace: list[tuple[str, str]] = []
        self.at = 0
        self.error: BaseException | None = Kill()

    def count(self, what: str, name: object) -> bool:
        self.trace.append((what, os.fspath(name) if isinstance(name, (str, os.PathLike)) else str(name)))
        return len(self.trace) == self.at

    def strike(self) -> None:
        """Raise the error; where there is none, really end this process."""
        if self.error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        assert self.error
        raise self.error

    def wrap(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            name = os.readlink(f"/proc/self/fd/{args[0]}") if what == "fsync" else args[0]
            if self.count(what, name):
                self.strike()
            return function(*args, **kwargs)

        return counted

    def open(self, path: Any, mode: str = "r", **kwargs: Any) -> Any:
        file = builtins.open(path, mode, **kwargs)  # noqa: SIM115 - whoever opens it closes it
        return _CutFile(file, path, self) if "x" in mode else file


class _CutFile:
    """A file whose write can be cut off in the middle."""

    def __init__(self, file: Any, path: Any, cut: Cut) -> None:
        self._file, self._path, self._cut = file, path, cut

    def __enter__(self) -> _CutFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, chunk: Any) -> None:
        if self._cut.count("write", self._path):
            self._file.write(bytes(chunk)[: len(chunk) // 2])
            self._file.flush()
            self._cut.strike()
        self._file.write(chunk)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a context in which the ``at``-th thing done to the disk raises; 0 only traces."""

    @contextmanager
    def cutting(at: int = 0, error: BaseException | None = KILL) -> Iterator[Cut]:
        this = Cut()
        this.at, this.error = at, error
        with monkeypatch.context() as patch:
            for name in ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir"):
                patch.setattr(os, name, this.wrap(name, getattr(os, name)))
            patch.setattr(files, "open", this.open, raising=False)
            with suppress(Kill):
                yield this

    return cutting
