"""``pipeline(task, model)``: what was trained, called in three lines; call and results as Transformers 4 had them.

    from clearhead import pipeline
    pipeline("translation", "runs/en-de")("A dog runs.")            # [{"translation_text": "Ein Hund rennt."}]
    pipeline("sentiment-analysis", "runs/reviews")("A fine film.")  # [{"label": "POSITIVE", "score": 0.98}]
    pipeline("sentiment-analysis")("정말 재미있어요")               # with the model that comes with the package

A call takes one text, or any iterable of them, or a file's path, and gives a list of results in their order; ``stream``
gives them one after the other. Two texts that are classified together are {"text": ..., "text_pair": ...}. Nothing is
fetched from a network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from clearhead.config import DecodingConfig, changed
from clearhead.decoding.generator import Generator
from clearhead.decoding.reader import Reader, Text
from clearhead.decoding.translator import Translator
from clearhead.device import Where
from clearhead.errors import ConfigError, CorpusError, RunError, UsageError
from clearhead.interop.hub import model_folder
from clearhead.interop.load import load, task_of
from clearhead.runs.committee import agree, members
from clearhead.text.corpus import read_lines
from clearhead.text.masked import ANY_MASK, MASKS, decode_masked, encode_masked

CHUNK = 1024
"""How many texts of a stream are held at once."""

SHIPPED = Path(__file__).parent / "shipped"
"""Run folders that come with the package, each named after the task it is for."""

Result = dict[str, Any]
Folder = str | os.PathLike[str]

THEIRS = {"num_beams": "beam_size", "num_return_sequences": "n_best", "truncation": "long_texts"}
"""Options by Transformers' names, and ours where a task has none of that name."""


class Pipeline:
    """A task's model, ready to be called.

    Args:
        task: its name.
        run: what it does with texts.
    """

    def __init__(self, task: str, run: Runner) -> None:
        self.task = task
        self._run = run

    def __call__(
        self, texts: Text | Iterable[Text] | Path, on_progress: Callable[[int], None] | None = None, **options: Any
    ) -> Any:
        """Return the results of one text, or of several texts a list of each one's.

        Args:
            texts: one, several, or the lines of a file named by a ``pathlib.Path``.
            on_progress: told how many texts are done.
            options: the task's own, for example ``top_k``, ``num_return_sequences``, ``beam_size``, which may also be
                called ``num_beams``. ``truncation`` says True for ``long_texts="cut"``, False for "refuse".
                ``batch_size`` is taken and changes nothing: batches are sized by their tokens.

        Raises:
            UsageError: the task has no such option.
            CorpusError: a text cannot be taken.
        """
        alone = isinstance(texts, (str, Mapping))
        flat = self._run.flat and self._run.listed_by not in options
        found: list[Any] = []
        for results in self.stream([texts] if alone else texts, **options):  # type: ignore[list-item, arg-type]
            bare = flat and len(results) == 1 and not isinstance(texts, str)
            found.append(results[0] if bare else results)
            if on_progress is not None:
                on_progress(len(found))
        return found[0] if alone else found

    def stream(self, texts: Iterable[Text] | Path, first: int = 1, **options: Any) -> Iterator[list[Any]]:
        """Yield each text's results, in order, reading and holding ``CHUNK`` texts at once.

        first: the number that messages give the first text.
        """
        known = [*signature(self._run.__call__).parameters][2:]
        known = [name for each in known for name in (self._run.decoding_options if each == "options" else [each])]
        options = _in_our_words(options, known)
        for name in options:
            if name not in known:
                raise UsageError("unknown-pipeline-option", name=name, names=", ".join(known))
        try:
            remaining = (line for _, line in read_lines(texts)) if isinstance(texts, Path) else iter(texts)
        except TypeError as error:
            raise CorpusError("not-a-text", line=first, found=type(texts).__name__) from error
        while chunk := list(islice(remaining, CHUNK)):
            for line, text in enumerate(chunk, first):
                if not isinstance(text, str) and not (self._run.pairs and _is_pair(text)):
                    raise CorpusError("not-a-text", line=line, found=type(text).__name__)
            yield from self._run(chunk, first=first, **options)
            first += len(chunk)


class Runner(Protocol):
    """What a task does with texts; the keywords behind ``first`` are its options.

    flat: whether of several texts with one result each the results stand alone, not in lists.
    listed_by: an option that asks for lists all the same.
    pairs: whether it takes two texts as one.
    decoding_options: where it has ``**options``: the fields of [decoding] that they may be.
    """

    flat: bool
    listed_by: str
    pairs: bool
    decoding_options: tuple[str, ...]

    def __call__(self, texts: Sequence[Any], first: int = 1, **options: Any) -> list[list[Any]]:
        """Return a list of results for each text; first: the number that messages give the first one."""
        ...


def pipeline(
    task: str | None = None,
    model: Folder | None = None,
    device: Where = "auto",
    precision: str = "fp32",
) -> Pipeline:
    """Return the pipeline of ``task``.

    Args:
        task: "translation" (or "translation_en_to_de"), "sentiment-analysis" or "text-classification",
            "text-generation", "fill-mask", "feature-extraction"; None for what the model was made for.
        model: a run folder, a folder of Transformers, or a model's name on the Hugging Face Hub; None for the one that
            comes with the package, which "sentiment-analysis" and "text-classification" have.
        device, precision: see ``device.choose_device``.

    Raises:
        UsageError: no such task; a model of another one; no model where none comes with the package.
        RunError: the folder is not whole.
        MachineError: the Hub cannot be reached.
    """
    if task is None and model is not None:
        task = MADE_FOR[task_of(members(model_folder(model))[0][0])]
    name = "translation" if re.fullmatch(r"translation_\w+_to_\w+", task or "") else task
    if name not in TASKS:
        raise UsageError("unknown-task", task=task, tasks=", ".join(TASKS))
    if model is None:
        model = SHIPPED / ("sentiment-analysis" if TASKS[name] is _Classification else name)
        if not model.is_dir():
            raise UsageError("no-model", task=task)
    return Pipeline(name, TASKS[name](model, device, precision))


# --- the tasks


class _Translation:
    flat, listed_by, pairs = True, "", False
    decoding_options = tuple(DecodingConfig.model_fields)

    def __init__(self, path: Folder, device: Where, precision: str) -> None:
        self.translator = Translator.load(path, device, precision)

    def __call__(
        self, texts: Sequence[str], first: int = 1, tag: str = "", prefix: str = "", **options: Any
    ) -> list[list[Result]]:
        decoding = changed(self.translator.decoding, options, "pipeline")
        return [
            [{"translation_text": each.text} for each in (translation.n_best or (translation,))]
            for translation in self.translator(texts, tag=tag, prefix=prefix, decoding=decoding, first=first)
        ]


class _Generation:
    flat, listed_by, pairs = False, "", False
    decoding_options = ("temperature", "top_k", "top_p", "seed", "batch_tokens")

    def __init__(self, path: Folder, device: Where, precision: str) -> None:
        self.generator = Generator.load(path, device, precision)

    def __call__(
        self,
        texts: Sequence[str],
        first: int = 1,
        max_new_tokens: int = 50,
        num_return_sequences: int = 1,
        do_sample: bool | None = None,
        return_full_text: bool | None = True,
        stop: str | Sequence[str] | None = None,
        long_texts: str = "refuse",
        **options: Any,
    ) -> list[list[Result]]:
        _check_positive(max_new_tokens=max_new_tokens, num_return_sequences=num_return_sequences)
        if return_full_text not in (True, False, None):
            key, problem = "return_full_text", "True or False"
            raise ConfigError("bad-value", where="pipeline", key=key, value=return_full_text, problem=problem)
        front = return_full_text in (True, None)
        stop = () if stop is None else stop
        sampling = (self.generator.decoding.sampling or num_return_sequences > 1) if do_sample is None else do_sample
        if num_return_sequences > 1 and not sampling:
            problem = "without do_sample there is one continuation"
            key, value = "num_return_sequences", num_return_sequences
            raise ConfigError("bad-value", where="pipeline", key=key, value=value, problem=problem)
        options |= {"n_best": num_return_sequences, "sampling": sampling}
        decoding = changed(self.generator.decoding, options, "pipeline")
        found = self.generator(
            texts, max_new_tokens=max_new_tokens, stop=stop, decoding=decoding, first=first, long_texts=long_texts
        )
        return [
            [{"generated_text": each.prompt * front + each.text} for each in continuations] for continuations in found
        ]


class _Classification:
    """One classifier, or a committee of them: see ``runs.committee``."""

    flat, listed_by, pairs = True, "top_k", True

    def __init__(self, path: Folder, device: Where, precision: str) -> None:
        self.readers: list[tuple[Reader, float]] = []
        self.labels: tuple[str, ...] = ()
        for member, share in members(model_folder(path)):
            run = load(member, "classification")
            labels = run.config.model.labels  # type: ignore[union-attr]  # the task has a classifier
            self.labels = self.labels or labels
            agree(member, labels, self.labels)
            reader = Reader(run.model, run.tokenizers.src, run.config.data.max_tokens, device, precision)
            self.readers.append((reader, share))

    def __call__(
        self, texts: Sequence[Text], first: int = 1, top_k: int | None = 1, long_texts: str = "cut"
    ) -> list[list[Result]]:
        if top_k is not None:
            _check_positive(top_k=top_k)
        log_probs = torch.zeros(len(texts), len(self.labels), dtype=torch.float64)
        for reader, share in self.readers:
            for rows, ids, mask, segments in reader.read(texts, long_texts, first):
                with reader.device.autocast():
                    logits = reader.model(ids, mask, segments)
                log_probs[rows] += share * logits.double().log_softmax(dim=-1).cpu()
        probs = log_probs.softmax(dim=-1).numpy()
        if (bad := np.isnan(probs[:, 0])).any():
            raise RunError("not-a-number", line=first + int(bad.argmax()))
        best = np.argsort(-probs, axis=1, kind="stable")[:, :top_k]
        return [
            [{"label": self.labels[label], "score": float(row[label])} for label in labels]
            for row, labels in zip(probs, best)
        ]


class _MaskFilling:
    """Of a text with one mask a list of what may stand there; of one with several a list of such lists.

    The masks are foretold each by itself, with the others in their places, and so they stand in "sequence".
    """

    flat, listed_by, pairs = False, "", False

    def __init__(self, path: Folder, device: Where, precision: str) -> None:
        run = load(path, "masked-language-model")
        if run.config.model.head != "masked":  # type: ignore[union-attr]  # the task has an encoder alone
            raise UsageError("no-masked-head", path=path)
        self.tokenizer = run.tokenizers.src
        self.reader = Reader(run.model, self.tokenizer, run.config.data.max_tokens, device, precision)

    def __call__(self, texts: Sequence[str], first: int = 1, top_k: int = 5) -> list[list[Any]]:
        _check_positive(top_k=top_k)
        rows = [self._row(text, line) for line, text in enumerate(texts, first)]
        found: list[list[Any]] = [[] for _ in texts]
        for places, ids, mask in self.reader.batches(rows):
            asked = ids == self.tokenizer.mask_id
            with self.reader.device.autocast():
                hidden = self.reader.model.encode(ids, mask).hidden[asked]  # type: ignore[operator]
                logits = iter(self.reader.model.project(self.reader.model.transform(hidden)))  # type: ignore[operator]
            for place, row in zip(places, asked):
                masked = row.nonzero()[:, 0].tolist()
                fillings = [self._fillings(texts[place], rows[place], at, next(logits), top_k) for at in masked]
                found[place] = fillings if len(fillings) > 1 else fillings[0]
        return found

    def _row(self, text: str, line: int) -> list[int]:
        if not ANY_MASK.search(text):
            raise CorpusError("no-mask", text=text, masks=" or ".join(MASKS))
        ids = encode_masked(text, self.tokenizer)
        if len(ids) > self.reader.max_tokens:
            limit = self.reader.max_tokens - 2
            raise CorpusError("masked-too-long", line=line, tokens=len(ids) - 2, limit=limit)
        return ids

    def _fillings(self, text: str, ids: list[int], place: int, logits: Tensor, top_k: int) -> list[Result]:
        """Return what is likeliest at ``place`` of a text's ids; logits: (V,)."""
        ordinary, filled, mask = self.tokenizer.ordinary_ids, [], ANY_MASK.findall(text)[0]
        probs = logits.double().softmax(dim=-1)[ordinary.start : ordinary.stop]
        for score, offset in zip(*(values.tolist() for values in probs.topk(min(top_k, len(probs))))):
            token = ordinary.start + offset
            sequence = decode_masked([*ids[1:place], token, *ids[place + 1 : -1]], mask, self.tokenizer)
            said = {"score": score, "token": token, "token_str": self.tokenizer.decode([token])}
            filled.append({**said, "sequence": sequence})
        return filled


class _Features:
    """What stands under the head, of a masked language model or a classifier: a vector for each token."""

    flat, listed_by, pairs = False, "", False

    def __init__(self, path: Folder, device: Where, precision: str) -> None:
        run = load(path, None)
        if run.config.task not in ("masked-language-model", "classification"):
            wanted = "masked-language-model, classification"
            raise UsageError("wrong-task", path=path, task=run.config.task, wanted=wanted)
        self.reader = Reader(run.model, run.tokenizers.src, run.config.data.max_tokens, device, precision)

    def __call__(self, texts: Sequence[str], first: int = 1, long_texts: str = "cut") -> list[list[Any]]:
        found: list[list[Any]] = [[] for _ in texts]
        for rows, ids, mask, _ in self.reader.read(texts, long_texts, first):
            with self.reader.device.autocast():
                hidden = self.reader.model.body.encode(ids, mask).hidden.float().cpu()  # type: ignore[operator, union-attr]
            for row, vectors, real in zip(rows, hidden, mask.cpu()):
                found[row] = [vectors[real].tolist()]
        return found


def _check_positive(**options: Any) -> None:
    """Check that options that count something do.

    Raises:
        ConfigError: one does not.
    """
    for key, value in options.items():
        if type(value) is not int or value < 1:
            raise ConfigError("bad-value", where="pipeline", key=key, value=value, problem="a whole number above 0")


def _in_our_words(options: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Return options with Transformers' names as a task knows them that has none of these names."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name == "batch_size":
            _check_positive(batch_size=value)
        elif name in known or THEIRS.get(name) not in known:
            found[name] = value
        elif name == "truncation":
            found["long_texts"] = "cut" if value else "refuse"
        else:
            found[THEIRS[name]] = value
    return found


def _is_pair(text: Any) -> bool:
    named = isinstance(text, Mapping) and {"text"} <= text.keys() <= {"text", "text_pair"}
    return named and all(isinstance(side, str) for side in text.values())


TASKS: dict[str, Any] = {
    "translation": _Translation,
    "sentiment-analysis": _Classification,
    "text-classification": _Classification,
    "text-generation": _Generation,
    "fill-mask": _MaskFilling,
    "feature-extraction": _Features,
}
MADE_FOR = {
    "translation": "translation",
    "classification": "text-classification",
    "language-model": "text-generation",
    "masked-language-model": "fill-mask",
}
"""The pipeline for a model of each task that can be trained."""
