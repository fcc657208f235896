"""Translating and scoring a test set, and keeping the outcome in the run folder; evaluate and demo share this."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from clearhead.cli.evaluations import as_json, evaluation_path, keep
from clearhead.cli.progress import counter
from clearhead.cli.recipe import language_of
from clearhead.cli.report import report
from clearhead.config import RunConfig, with_overrides
from clearhead.decoding.translator import Translator
from clearhead.errors import CorpusError
from clearhead.evaluation.scores import Scores, score
from clearhead.runs.folder import RunFolder
from clearhead.text.corpus import read_lines
from clearhead.version import __version__

CHUNK_SENTENCES = 512


@dataclass(frozen=True)
class Evaluation:
    """One run on one test set, and where that was written."""

    run: Path
    config: RunConfig
    hypotheses: list[str]
    scores: Scores
    seconds: float
    weights_sha256: str
    hyp_path: Path
    scores_path: Path

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the translations as JSON's types."""
        return {
            "run": self.run.name,
            "clearhead": __version__,
            "weights_sha256": self.weights_sha256,
            "decoding": self.config.decoding.model_dump(),
            "evaluation": self.config.evaluation.model_dump(),
            "seconds": round(self.seconds, 3),
            "scores": self.scores.to_dict(),
        }


def read_test_set(src: Path, ref: Path) -> tuple[list[str], list[str]]:
    """Read both sides of a test set; every line counts, an empty one too.

    Raises:
        CorpusError: a file or a line cannot be read, or the files have different line counts.
    """
    sources, references = _sentences(src), _sentences(ref)
    if len(sources) != len(references):
        counts = {"src_lines": len(sources), "tgt_lines": len(references)}
        raise CorpusError("line-counts-differ", src=src, tgt=ref, **counts)
    return sources, references


def _sentences(path: Path) -> list[str]:
    try:
        return [normalize("NFC", line.removesuffix("\r")) for _, line in read_lines(path)]
    except CorpusError as error:  # a test set is scored whole: here no line can be skipped
        if error.code == "not-utf8":
            raise CorpusError("input-not-utf8", **error.fields) from error
        if error.code == "line-too-long":
            raise CorpusError("input-too-long", **error.fields) from error
        raise


def test_set_name(src: Path) -> str:
    """Return the test set's name: the file's without its language ("test_2016_flickr.en" -> "test_2016_flickr")."""
    name = src.name.removesuffix(".gz")
    return name.removesuffix(f".{language_of(name)}")


def evaluate_run(
    run: Path, name: str, sources: Sequence[str], references: Sequence[str], overrides: Sequence[str], device: str
) -> Evaluation:
    """Translate ``sources`` with a run, score them, and keep both in its folder: evaluations/ and the report.

    Raises:
        ClearheadError: whatever is wrong with the run, the config or the text.
    """
    folder = RunFolder.open(run)
    config = with_overrides(folder.config, list(overrides))
    translator = Translator.load(run, device=device, overrides=overrides)
    began = time.perf_counter()
    hypotheses: list[str] = []
    show = counter(len(sources), "sentences")
    for start in range(0, len(sources), CHUNK_SENTENCES):
        chunk = sources[start : start + CHUNK_SENTENCES]
        hypotheses += [each.text for each in translator(chunk, first=start + 1)]
        show(len(hypotheses))
    seconds = time.perf_counter() - began
    scores = score(hypotheses, references, config.evaluation, config.languages.tgt)
    paths = evaluation_path(run, f"{name}.hyp.txt"), evaluation_path(run, f"{name}.json")
    done = Evaluation(run, config, hypotheses, scores, seconds, folder.weights_sha256(), *paths)
    keep(done.hyp_path, "".join(" ".join(line.split("\n")) + "\n" for line in hypotheses))
    keep(done.scores_path, as_json(done.to_dict()))
    report(folder)
    return done
