"""What the command line's tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """The command line sets these; each test has its own."""
    for name in ("CLEARHEAD_LANG", "CLEARHEAD_DEBUG", "CLEARHEAD_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLEARHEAD_LANG", "en")
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data_folder():
    """The folder of real corpora; a test that needs it is skipped where there is none."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("CLEARHEAD_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real corpora: {folder} is not there")
    return folder


WORDS = {
    "the": "그", "small": "작은", "big": "큰", "cat": "고양이", "dog": "개", "house": "집", "river": "강",
    "sees": "본다", "likes": "좋아한다", "finds": "찾는다", "and": "그리고", "old": "오래된", "new": "새", "road": "길",
    "tree": "나무",
}  # fmt: skip


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder with train, valid and test (.en, .ko): a word-for-word language of 600 pairs."""
    import random

    folder = tmp_path_factory.mktemp("corpus")
    chooser = random.Random(1)
    for part, lines in (("train", 600), ("valid", 40), ("test", 30)):
        sentences = [chooser.choices(list(WORDS), k=chooser.randint(2, 6)) for _ in range(lines)]
        for language, table in (("en", dict(zip(WORDS, WORDS))), ("ko", WORDS)):
            text = "".join(" ".join(table[word] for word in sentence) + "\n" for sentence in sentences)
            (folder / f"{part}.{language}").write_text(text, encoding="utf-8")
    return folder


TINY = [
    *("--set", "model.d_model=16", "--set", "model.d_ff=32", "--set", "model.n_heads=2"),
    *("--set", "model.n_encoder_layers=1", "--set", "model.n_decoder_layers=1"),
    *("--set", "tokenizer.vocabulary_size=400", "--set", "training.batch_tokens=512"),
]
"""Flags for a model that trains in a second."""


def _train_arguments(corpus, out, *more, steps=12):
    """The arguments of a small training on ``corpus``."""
    files = [f"--{flag}={corpus}/{part}" for flag, part in (("src", "train.en"), ("tgt", "train.ko"))]
    files += [f"--valid-src={corpus}/valid.en", f"--valid-tgt={corpus}/valid.ko", f"--out={out}"]
    settings = [f"training.max_steps={steps}", "training.validate_every=6", "training.checkpoint_every=6"]
    settings += ["training.log_every=3", "training.warmup_steps=4"]
    return ["train", "--threads=1", *files, *TINY, *(f"--set={setting}" for setting in settings), *more]


@pytest.fixture
def train_arguments():
    """A function that gives the arguments of a small training."""
    return _train_arguments


@pytest.fixture(scope="session")
def trained(corpus, tmp_path_factory):
    """A run folder of that corpus, trained for a few steps."""
    from clearhead.cli import run

    out = tmp_path_factory.mktemp("runs") / "en-ko"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARHEAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert run(_train_arguments(corpus, out)) == 0
    return out
