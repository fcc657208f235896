"""Both READMEs hold the same commands, and each of them runs, in the order in which a reader meets them.

The clearhead commands, the examples and the Python blocks run in this process, in a folder with a small corpus under
the names that the README uses; ``SMALL`` shrinks the trainings. What installs or takes minutes is checked otherwise,
with the reason beside it.
"""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys

import pytest

from .conftest import ROOT, SMALL, SMALL_RECIPES, blocks, commands

ENGLISH, KOREAN = "README.md", "README.ko.md"

CHECKED_OTHERWISE = {
    "make demo": "installs, and trains for minutes; .ci/run does it",
    "make test": "runs this very test; .ci/run does it",
    "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo": "the same, over the network",
    "python3 -m venv .venv": "installs; the Makefile does the same",
    ". .venv/bin/activate": "a shell's own environment",
    "pip install torch --index-url https://download.pytorch.org/whl/cpu": "downloads hundreds of megabytes",
    "pip install -e .": "installs; the Makefile does the same",
    "clearhead data multi30k-tok --to data/multi30k-en-de/tok": "downloads; tests/cli/test_data.py does it locally",
}


@pytest.mark.parametrize("language", ["sh", "python", "", "text", "toml"])
def test_both_languages_say_the_same(language):
    if language:
        assert blocks(ENGLISH, language) == blocks(KOREAN, language)
        return
    english, korean = ((ROOT / path).read_text(encoding="utf-8") for path in (ENGLISH, KOREAN))
    for what in (r"^(#+) ", r"^(- )", r"^\|(?=[^-])", r"\]\(((?!README)[^)#]+)\)", r"`([^`\n]+\.py)`: `(\w+)`"):
        found, same = (re.findall(what, text, re.MULTILINE) for text in (english, korean))
        assert [str(each).replace("/ko/", "/en/") for each in same] == [str(each) for each in found], what


def test_every_exception_is_there_and_nothing_else_is_left_out():
    assert set(CHECKED_OTHERWISE) <= set(commands(ENGLISH))
    for command in set(commands(ENGLISH)) - set(CHECKED_OTHERWISE):
        assert command.startswith(("clearhead ", "python examples/", "export ")), command


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_has_the_target(target):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert {"demo": "clearhead demo", "test": "-m pytest"}[target] in done.stdout


def test_the_download_is_of_a_corpus_that_is_known():
    from clearhead.cli import run
    from clearhead.text.public_corpora import CORPORA

    (name,) = (command.split()[2] for command in commands(ENGLISH) if command.startswith("clearhead data "))
    assert {"train.en", "train.de", "val.en", "val.de"} <= {file.name for file in CORPORA[name].files}
    assert run(["data", "--help"]) == 0


def test_what_is_installed_is_what_the_readme_says():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11" and "Python 3.11" in (ROOT / ENGLISH).read_text(encoding="utf-8")
    assert project["license"] == "Apache-2.0 AND OFL-1.1" and (ROOT / "LICENSE").exists()
    assert (ROOT / "constraints.txt").exists()


def test_the_exit_codes_are_those_of_the_program():
    from clearhead.cli import EXIT_CODES

    for path in (ENGLISH, KOREAN):
        table = (ROOT / path).read_text(encoding="utf-8")
        written = re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
        assert written == re.findall(r"(\d+) [a-z]", EXIT_CODES)


def execute(command, patch):
    """Run one line of a shell block in this process."""
    words = shlex.split(command)
    redirected = {"<": os.devnull, ">": os.devnull}
    for sign in redirected:
        if sign in words:
            at = words.index(sign)
            redirected[sign] = words[at + 1]
            del words[at : at + 2]
    with open(redirected["<"], encoding="utf-8") as stdin, open(redirected[">"], "w", encoding="utf-8") as stdout:
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "stdout", stdout)
        if words[0] == "python":
            patch.setattr(sys, "argv", [*words[1:], *(SMALL if words[1] == "examples/train.py" else [])])
            runpy.run_path(words[1], run_name="__main__")
        else:
            from clearhead.cli import run

            assert words[0] == "clearhead"
            settings = SMALL_RECIPES.get(words[2], SMALL)
            small = [f"--set={setting}" for setting in settings] if words[1] == "train" else []
            assert run([*words[1:], *small]) == 0, command


def test_every_command_and_every_python_block_runs(reader, monkeypatch):
    for command in commands(ENGLISH):
        if command.startswith("export "):
            monkeypatch.setenv(*command.removeprefix("export ").split("="))
        elif command not in CHECKED_OTHERWISE and not command.startswith("python "):
            with monkeypatch.context() as patch:
                execute(command, patch)
    assert len((reader / "output.de").read_text(encoding="utf-8").split("\n")) == 4  # three lines in, three out
    assert len((reader / "labels.txt").read_text(encoding="utf-8").splitlines()) == 3
    evaluations = sorted(path.name for path in (reader / "runs/en-de/evaluations").iterdir())
    assert evaluations == ["test.hyp.txt", "test.json"]
    written = {path.name for path in (reader / "runs/en-de").iterdir()}
    assert {"run.toml", "tokenizer.json", "model.safetensors", "manifest.json", "log.jsonl"} <= written
    assert {"report.html", "checkpoints"} <= written
    table = (ROOT / ENGLISH).read_text(encoding="utf-8").split("## The run folder")[1]
    assert all(f"| `{name}{'/' if (reader / 'runs/en-de' / name).is_dir() else ''}` |" in table for name in written)

    said: list[tuple[object, ...]] = []  # not lines: what an untrained model says may hold some
    names: dict[str, object] = {"print": lambda *words, **_: said.append(words)}
    for path in (ENGLISH, "docs/en/guide.md"):
        for block in blocks(path, "python"):
            exec(compile(block, path, "exec"), names)
    # One text, two of several, two classified; three of the n-best, a scored one, three classified, a continuation.
    assert len(said) == (1 + 2 + 2) + (3 + 1 + 3 + 1)

    for command in commands(ENGLISH):
        if command.startswith("python "):
            with monkeypatch.context() as patch:
                execute(command, patch)
    assert (reader / "runs/from-python/model.safetensors").exists()
