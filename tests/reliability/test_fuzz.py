"""Every format that clearhead reads, changed at random for so many seconds each (CLEARHEAD_FUZZ_S, else 60)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clearhead.runs.folder import RunFolder

from ..runs.conftest import config, joint  # noqa: F401 - fixtures
from ..runs.hostile import attempt_each, in_a_child
from ..runs.test_hostile import mutate_folders, original  # noqa: F401 - a fixture
from .fuzz import FORMATS, Case, corpora, files_of, logs, stores

SECONDS = float(os.environ.get("CLEARHEAD_FUZZ_S", "60"))
FOLDERS = 5000


def tried(cases: Iterator[Case], write: bool = False) -> None:
    """Try all cases in a process of their own; none may be a fault."""
    torch.set_num_threads(1)
    counted = [0]

    def work(tell) -> None:
        def each() -> Iterator[Case]:
            for case in cases:
                counted[0] += 1
                yield case
            tell(f"tried {counted[0]}")

        attempt_each(each(), tell, writes=write)

    *faults, last = in_a_child(work, SECONDS * 3 + 300)
    print(f"{last} in {SECONDS:.0f} s")
    assert faults == [] and last.startswith("tried")


@pytest.mark.reliability
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_of_a_run(original, tmp_path, kind):  # noqa: F811
    folder = tmp_path / "run"
    shutil.copytree(original, folder)
    name, change, use = FORMATS[kind]
    use(folder)
    tried(files_of(folder, SECONDS, name, change, use))


@pytest.mark.reliability
def test_a_log(original, tmp_path):  # noqa: F811
    shutil.copytree(original, tmp_path / "run")
    tried(logs(tmp_path / "run", SECONDS), write=True)


@pytest.mark.reliability
def test_a_token_store(original, tmp_path):  # noqa: F811
    tried(stores(tmp_path, RunFolder.open(original).tokenizers(), SECONDS), write=True)


@pytest.mark.reliability
def test_corpora(tmp_path: Path):
    tried(corpora(tmp_path, SECONDS))


@pytest.mark.reliability
def test_five_thousand_mutated_folders(original, tmp_path):  # noqa: F811
    assert mutate_folders(original, tmp_path / "work", FOLDERS, 1) == []
