"""From a recipe's name, the files named by flags and --set to one config."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clearhead
from clearhead.config import RunConfig, make_config, read_config
from clearhead.errors import UsageError

# Bytes of training text below which a vocabulary of that size is asked for: a subword has to be seen often enough to be
# learnt, and a small corpus cannot give a large vocabulary at all.
VOCABULARY_SIZES = ((100_000, 500), (1_000_000, 2_000), (30_000_000, 8_000))
LARGE_VOCABULARY = 32_000
SMALL_CORPUS = 10_000_000
GZIP_FACTOR = 3


@dataclass(frozen=True)
class Flags:
    """What the command line says about the config; "" where it says nothing."""

    src: str = ""
    tgt: str = ""
    valid_src: str = ""
    valid_tgt: str = ""
    tsv: str = ""
    src_lang: str = ""
    tgt_lang: str = ""
    preset: str = ""
    data_root: str = ""
    skip_bad_lines: bool = False
    settings: list[str] = field(default_factory=list)

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target language, as said or as the files' names end."""
        return self.src_lang or language_of(self.src), self.tgt_lang or language_of(self.tgt)

    def name(self) -> str:
        """Return a name for a run on these files: "en-de"; "translator" where no language is known."""
        return "translator" if "und" in self.languages else "-".join(self.languages)


def config_from(recipe: str | None, flags: Flags) -> RunConfig:
    """Return the config of a recipe, of files named by flags, or of both (the flags win, --set wins over all).

    Raises:
        UsageError: one file of a pair without the other, no data at all, a recipe that is not there.
        ConfigError, RunError: as ``config.read_config``.
    """
    settings = [*_flag_settings(flags), *flags.settings]
    if recipe is not None:
        return read_config(find_recipe(recipe), settings)
    if not (flags.src or flags.tsv):
        raise UsageError("no-data")
    return make_config(own_corpus_table(flags), settings, where="--set")


def find_recipe(recipe: str) -> Path:
    """Return the path of a recipe given as a path, or by the name of one that comes with the package."""
    path = Path(recipe)
    if path.exists() or path.suffix == ".toml":
        return path
    known = {each.stem: each for folder in _recipe_folders() for each in sorted(folder.glob("*.toml"))}
    if recipe not in known:
        raise UsageError("unknown-recipe", name=recipe, names=", ".join(known) or "-")
    return known[recipe]


def own_corpus_table(flags: Flags) -> dict[str, Any]:
    """Return the config that suits a corpus of one's own before anything is tuned.

    The size of the vocabulary and the dropout go by the size of the text; training stops by itself once validation has
    stopped getting better.
    """
    size = sum(_text_bytes(Path(flags.data_root, file)) for file in (flags.src, flags.tgt, flags.tsv) if file)
    vocabulary_size = next((entries for limit, entries in VOCABULARY_SIZES if size < limit), LARGE_VOCABULARY)
    return {
        "tokenizer": {"vocabulary_size": vocabulary_size},
        "model": {"preset": "small", "dropout": 0.3 if size < SMALL_CORPUS else 0.1},
        "training": {
            "learning_rate": 0.001,
            "schedule": "inverse-sqrt",
            "warmup_steps": 1000,
            "validate_every": 250,
            "checkpoint_every": 250,
            "patience": 8,
        },
    }


def language_of(path: str) -> str:
    """Return the language that a file's name ends in ("train.en", "train.en.gz" -> "en"), or "und"."""
    name = Path(path).name.removesuffix(".gz")
    found = re.fullmatch(r".+\.([a-z]{2})(?:\.txt)?", name)
    return found[1] if found else "und"


def _flag_settings(flags: Flags) -> list[str]:
    if bool(flags.src) != bool(flags.tgt):
        raise UsageError("half-a-pair", given=flags.src or flags.tgt, missing="--tgt" if flags.src else "--src")
    if bool(flags.valid_src) != bool(flags.valid_tgt):
        missing = "--valid-tgt" if flags.valid_src else "--valid-src"
        raise UsageError("half-a-pair", given=flags.valid_src or flags.valid_tgt, missing=missing)
    if flags.src and flags.tsv:
        raise UsageError("two-corpora")
    settings = []
    if flags.preset:
        settings.append(f"model.preset={_quoted(flags.preset)}")
    if flags.src or flags.tsv:
        source = f"tsv={_file(flags, flags.tsv)}" if flags.tsv else _pair(flags, flags.src, flags.tgt)
        settings += ['data.root="."', f"data.sources=[{{{source}}}]", "data.valid=[]"]
        settings += [f"languages.{side}={_quoted(known)}" for side, known in zip(("src", "tgt"), flags.languages)]
    else:
        for side, language in (("src", flags.src_lang), ("tgt", flags.tgt_lang)):
            settings += [f"languages.{side}={_quoted(language)}"] if language else []
    if flags.skip_bad_lines:
        settings.append("data.skip_bad_lines=true")
    if flags.valid_src:
        settings.append(f"data.valid=[{{{_pair(flags, flags.valid_src, flags.valid_tgt)}}}]")
    if flags.data_root:
        settings.append(f"data.root={_quoted(flags.data_root)}")
    return settings


def _pair(flags: Flags, src: str, tgt: str) -> str:
    return f"src={_file(flags, src)}, tgt={_file(flags, tgt)}"


def _file(flags: Flags, path: str) -> str:
    """A file named by a flag starts from --data-root where that is given, else from here, wherever the run goes on."""
    return _quoted(path if flags.data_root else str(Path(path).absolute()))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML string


def _text_bytes(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError:
        return 0  # reading the corpus says what is wrong, with a better message
    return size * GZIP_FACTOR if path.suffix == ".gz" else size


def _recipe_folders() -> list[Path]:
    package = Path(clearhead.__file__).parent
    # In an installed package the recipes lie inside it; in a checkout at the root, where people look for them.
    return [folder for folder in (package / "recipes", package.parents[1] / "recipes") if folder.is_dir()]
