"""docs/paper-map.md against the code: the file is there, the name is defined in it, the test exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/paper-map.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^\| ([^|]+) \| `([^`|:]+):([^`|]+)` \| `([^`|:]+):([^`|]+)` \|$", DOCUMENT, re.MULTILINE)


@cache
def defined(path: Path) -> set[str]:
    """Return the functions and classes that a file defines, methods as Class.method."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


def test_every_row_is_an_entry():
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("|") and "`" in line]
    assert len(rows) == len(ENTRIES) > 30


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry[0] for entry in ENTRIES])
def test_the_entry_resolves(entry):
    _, code, name, test, function = entry
    assert name in defined(ROOT / "src/clearhead" / code)
    assert function.startswith("test_") and function in defined(ROOT / "tests" / test)


def test_the_readmes_table_resolves():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| .+ \| .+ \| (`[a-z]+/\w+\.py`: .+) \|$", readme, re.MULTILINE)
    places = [place for cell in cells for place in cell.split("; ")]
    assert len(places) > 12
    for place in places:
        path, *names = re.findall(r"`([^`]+)`", place)
        assert names and set(names) <= defined(ROOT / "src/clearhead" / path)


def test_the_defaults_are_the_papers():
    from torch import nn

    from clearhead.config import DecodingConfig, TrainingConfig, TransformerConfig
    from clearhead.training.optimizer import make_optimizer

    optimizer = make_optimizer(nn.Linear(2, 2), TrainingConfig())
    assert type(optimizer).__name__ == "Adam"
    assert all(group["betas"] == (0.9, 0.98) and group["eps"] == 1e-9 for group in optimizer.param_groups)
    training, model, decoding = TrainingConfig(), TransformerConfig(), DecodingConfig()
    assert (training.schedule, training.warmup_steps, training.label_smoothing) == ("paper", 4000, 0.1)
    assert (model.d_model, model.d_ff, model.n_heads, model.dropout) == (512, 2048, 8, 0.1)
    assert (model.n_encoder_layers, model.n_decoder_layers, model.norm, model.activation) == (6, 6, "post", "relu")
    assert (decoding.beam_size, decoding.length_penalty, decoding.max_extra_tokens) == (4, 0.6, 50)
