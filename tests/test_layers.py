"""Which room may import which, and what must not be loaded before it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "tokenizers", "sacrebleu", "numpy", "safetensors", "huggingface_hub")


def loaded_by(code):
    """Run ``code`` in a fresh interpreter and return which heavy packages it loaded."""
    script = f"import sys\n{code}\nprint('LOADED', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "arguments",
    ["", "--help", *(f"{v} --help" for v in ["demo", "train", "translate", "evaluate", "data", "import", "export"])],
)
def test_help_loads_nothing_heavy(arguments):
    assert loaded_by(f"from clearhead.cli import run\nassert run({arguments.split()!r}) == 0") == set()


def test_importing_the_package_loads_nothing_heavy_until_the_translator_is_asked_for():
    assert loaded_by("import clearhead\nclearhead.__version__") == set()


@pytest.mark.parametrize("room", ["text", "evaluation", "reporting", "config", "errors"])
def test_rooms_without_torch(room):
    imports = [f"import clearhead.{room}"]
    for path in sorted((ROOT / "src/clearhead" / room).glob("[a-z]*.py")):
        imports.append(f"import clearhead.{room}.{path.stem}")
    assert "torch" not in loaded_by("\n".join(imports))


def test_dependencies_point_one_way():
    importlinter = pytest.importorskip("importlinter.cli", reason="import-linter is not installed (make check has it)")
    assert importlinter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_only_the_command_line_prints_or_exits():
    import ast

    found = []
    for path in (ROOT / "src/clearhead").rglob("*.py"):
        room = path.relative_to(ROOT / "src/clearhead").parts[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # What stands under ``if __name__ == "__main__"`` is a program of its own (python -m clearhead.text.starter).
        tree.body = [
            node for node in tree.body if not (isinstance(node, ast.If) and "__main__" in ast.unparse(node.test))
        ]
        for node in ast.walk(tree):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if room != "cli" and called in ("print", "sys.exit", "exit", "os._exit", "typer.echo"):
                found.append(f"{path.name}:{node.lineno} {called}")
    assert found == []


def test_no_pickle():
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("import pickle", "torch.load(", "torch.save(", "allow_pickle=True")), (
            path
        )
