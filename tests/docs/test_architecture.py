"""ARCHITECTURE.md against the code: every file named is there, every source file is named, the path is the real one."""

import io
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/clearhead"
DOCUMENT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def named_paths(tree: str) -> list[str]:
    """Return the paths that an indented tree names; what comes behind two spaces is about them."""
    paths: list[str] = []
    folders: list[str] = []
    for line in tree.splitlines():
        name, depth = line.split()[0], (len(line) - len(line.lstrip())) // 2
        folders[depth:] = [name]
        paths.append("".join(folders))
    return paths


TREE = named_paths(re.search(r"```\n(src/clearhead/\n.*?)```", DOCUMENT, re.DOTALL)[1])


@pytest.mark.parametrize("path", TREE)
def test_every_file_named_is_there(path):
    found = ROOT / path
    assert found.is_dir() if path.endswith("/") else found.is_file()


def test_every_source_file_is_named_once():
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".cpp", ".toml", ".css", ".js")]
    files += [*(ROOT / "recipes").glob("*.toml"), *(ROOT / "examples").glob("*.py")]
    empty = [path for path in files if path.name == "__init__.py" and not path.stat().st_size]
    expected = sorted(path.relative_to(ROOT).as_posix() for path in set(files) - set(empty))
    assert sorted(path for path in TREE if not path.endswith("/")) == expected


def test_the_layers_are_those_that_are_checked():
    import tomllib

    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    rooms = [layer.replace("clearhead.", "") for layer in contract["layers"]]
    written = " > ".join(room for room in rooms if not room.startswith("("))  # in brackets: not there yet
    assert f"```text\n{written}\n```" in DOCUMENT


def test_the_path_from_translate_to_attention(monkeypatch, tmp_path):
    """Translate with the golden run and look at the stack where equation 1 is computed."""
    from clearhead.cli import run
    from clearhead.nn import attention

    stacks = []
    equation_1 = attention.scaled_dot_product_attention

    def watched(*arguments):
        frame, path = sys._getframe(1), []
        while frame is not None:
            file = Path(frame.f_code.co_filename)
            if PACKAGE in file.parents:
                path.append((file.relative_to(PACKAGE).as_posix(), frame.f_code.co_qualname))
            frame = frame.f_back
        stacks.append([*reversed(path), ("nn/attention.py", equation_1.__qualname__)])
        return equation_1(*arguments)

    golden = shutil.copytree(ROOT / "tests/golden/format-1", tmp_path / "run")
    monkeypatch.setattr(attention, "scaled_dot_product_attention", watched)
    text = io.BytesIO("나는 학생입니다\n".encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=text, isatty=lambda: True))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    assert run(["translate", str(golden), "--device", "cpu"]) == 0
    verb = ("cli/translate.py", "translate")
    steps = [stack[stack.index(verb) :] for stack in stacks if ("nn/layers.py", "attend_past") in stack]

    section = DOCUMENT.split("## From `clearhead translate` to attention")[1].split("\n## ")[0]
    written = re.findall(r"^(\d+)\. `([^`]+)`: `([^`]+)`$", section, re.MULTILINE)
    assert [int(number) for number, _, _ in written] == list(range(len(written)))
    assert steps[0] == [(file, name) for _, file, name in written]
    calls, files = len(written) - 1, len({file for _, file, _ in written})
    assert f"{calls} calls in {files} files." in section
