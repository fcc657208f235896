"""Compiling and loading kernels.cpp: once a machine, in seconds, into the cache folder."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from clearhead.device import cache_folder, processor_flags

SOURCE = Path(__file__).with_name("kernels.cpp")
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math",
    "-shared", "-fPIC",
)  # fmt: skip
_loaded: ctypes.CDLL | None = None


def loaded() -> ctypes.CDLL | None:
    """Return the kernels if ``load`` has found them."""
    return _loaded


def load() -> str:
    """Load the kernels, compiling them if that has not been done on this machine; return what came of it, for people.

    Where there is no compiler, or where CLEARHEAD_KERNELS is 0, PyTorch's own operations compute the same numbers.
    CLEARHEAD_KERNELS may also be the path of a library compiled ahead.
    """
    global _loaded
    _loaded = None
    wish = os.environ.get("CLEARHEAD_KERNELS", "")
    if wish == "0":
        return "PyTorch's own operations: CLEARHEAD_KERNELS=0"
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if not (wish or compiler):
        return "PyTorch's own operations, which are slower: no C++ compiler is installed (c++, g++ or clang++)"
    try:
        _loaded = ctypes.CDLL(wish or str(compiled(str(compiler), cache_folder() / "kernels")))
    except (OSError, subprocess.SubprocessError) as error:
        problem = getattr(error, "stderr", None) or str(error)
        return f"PyTorch's own operations, which are slower: {problem.strip().splitlines()[-1]}"
    return f"own kernels, {wish}" if wish else f"own kernels, compiled by {compiler}"


def compiled(compiler: str, folder: Path) -> Path:
    """Return the library's path in ``folder``, compiled if it is not there whole: half of one ends the process.

    Its name holds a digest of source, compiler and processor, since machines may share the folder, and one of itself.

    Raises:
        OSError, subprocess.SubprocessError: the compiler or the folder fails.
    """
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    made_from = [SOURCE.read_text(), *FLAGS, compiler, version, *sorted(processor_flags())]
    name = hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:24]
    for path in folder.glob(f"{name}-*.so"):
        if path.stem == f"{name}-{_digest(path)}":
            return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{name}.{os.getpid()}.partial"
    command = [compiler, *FLAGS, str(SOURCE), "-o", str(partial)]
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    path = folder / f"{name}-{_digest(partial)}.so"
    os.replace(partial, path)
    return path


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:24]
