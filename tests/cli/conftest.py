"""What the command line's tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The command line sets these; each test has its own."""
    for name in ("CLEARHEAD_LANG", "CLEARHEAD_DEBUG", "CLEARHEAD_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLEARHEAD_LANG", "en")


@pytest.fixture
def data_folder():
    """The folder of real corpora; a test that needs it is skipped where there is none."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("CLEARHEAD_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real corpora: {folder} is not there")
    return folder
