"""What all tests share: the kernels, compiled once, and not loaded before a test or a training loads them."""

import os
import shutil

import pytest

from clearhead.kernels import library

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is loaded


@pytest.fixture(scope="session", autouse=True)
def _kernels_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler and "CLEARHEAD_KERNELS" not in os.environ:
        os.environ["CLEARHEAD_KERNELS"] = str(library.compiled(compiler, tmp_path_factory.mktemp("kernels")))


@pytest.fixture(autouse=True)
def _kernels_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_loaded", None)
