"""What the documents' tests share: the documents' blocks, and a place in which their commands can run."""

import random
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(path: str, language: str) -> list[str]:
    """Return the fenced blocks of ``language`` in a document, in order."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(path: str) -> list[str]:
    """Return the lines of a document's shell blocks."""
    return [line for block in blocks(path, "sh") for line in block.splitlines()]


SMALL = [
    *("model.d_model=16", "model.d_ff=32", "model.n_heads=2", "model.n_encoder_layers=1", "model.n_decoder_layers=1"),
    *("tokenizer.vocabulary_size=360", "training.max_steps=2", "training.batch_tokens=256", "training.log_every=1"),
    *("training.validate_every=2", "training.checkpoint_every=2", "decoding.max_extra_tokens=4"),
]
"""Settings put behind every training of a document: what is shown stays, only the size of it shrinks. Last one wins."""


TEXTS = [setting for setting in SMALL if setting.startswith("training.")] + ["tokenizer.vocabulary_size=340"]
SIZES = ("d_model=16", "d_ff=32", "n_heads=2", "n_layers=1")
SMALL_RECIPES = {
    "reviews.toml": [*TEXTS, *(f"model.body.{size}" for size in SIZES)],
    "stories.toml": [*TEXTS, *(f"model.{size}" for size in SIZES), "data.max_tokens=64"],
}
"""The same for the recipes that README.md shows, in their order."""


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with what a reader of the README has: their corpus, the recipes, the examples, Multi30K's files."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("recipes", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "runs").mkdir()
    choose = random.Random(1)
    words = {"a": "ein", "dog": "Hund", "man": "Mann", "runs": "rennt", "sleeps": "schläft", "snow": "Schnee"}
    downloaded = folder / "data/multi30k-en-de/tok"
    downloaded.mkdir(parents=True)
    for part, lines in (("train", 80), ("val", 8), ("test", 6), ("input", 3)):
        sentences = [choose.choices(list(words), k=choose.randint(2, 5)) for _ in range(lines)]
        for language, table in (("en", dict(zip(words, words))), ("de", words)):
            text = "".join(" ".join(table[word] for word in sentence) + "\n" for sentence in sentences)
            for where in (folder, downloaded):
                (where / f"{part}.{language}").write_text(text, encoding="utf-8")
    for name, block in zip(SMALL_RECIPES, blocks("README.md", "toml"), strict=True):
        (folder / name).write_text(block, encoding="utf-8")
    texts = (folder / "train.en").read_text(encoding="utf-8").splitlines()
    for name, lines in (("reviews", texts), ("test", texts[:6])):
        labelled = "".join(f"{text}\t{number % 2}\n" for number, text in enumerate(lines))
        (folder / f"{name}.tsv").write_text(labelled, encoding="utf-8")
    for name, lines in (("reviews", texts[:3]), ("stories", texts)):
        (folder / f"{name}.txt").write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return folder


@pytest.fixture
def reader(place, monkeypatch):
    """Be in that folder, in English, with a cache of its own and one thread."""
    import torch

    monkeypatch.chdir(place)
    monkeypatch.setenv("CLEARHEAD_LANG", "en")
    monkeypatch.setenv("CLEARHEAD_CACHE", str(place / "cache"))
    monkeypatch.delenv("CLEARHEAD_DATA", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield place
    torch.set_num_threads(threads)
