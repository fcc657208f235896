"""From text to text: sentences are tokenised, sorted into batches, searched, and come back in order."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import NamedTuple, overload

import torch
from torch import Tensor, nn

from clearhead.config import DecodingConfig
from clearhead.data.batch import Batch
from clearhead.decoding.beam import beam_search
from clearhead.decoding.greedy import greedy_search
from clearhead.decoding.hypothesis import Hypothesis
from clearhead.decoding.problem import Problem, pad_prefixes
from clearhead.decoding.sampling import sampler, uniforms
from clearhead.decoding.scoring import score_pairs
from clearhead.device import Where, choose_device
from clearhead.errors import CorpusError, RunError, UsageError
from clearhead.interop.load import load
from clearhead.models.interface import Seq2Seq
from clearhead.text.sentences import split_sentences
from clearhead.text.tokenizer import TokenizerPair

STREAM_SENTENCES = 2048
"""How many sentences ``Translator.stream`` holds at once."""

WITHOUT_SPACES = ("zh", "ja", "th", "lo", "km", "my")
"""Languages that put no space between sentences."""


class ScoredToken(NamedTuple):
    """A target token, its name (" the", "<0xE2>") and its log-probability given what stands before it."""

    id: int
    text: str
    log_prob: float


@dataclass(frozen=True)
class Translation:
    """A source sentence and what became of it.

    score: log-probability over the length penalty, summed over the parts of a source that had to be split.
    log_prob: log-probability of the tokens and of the end.
    finished: whether the model ended it; False where the length limit did.
    n_best: this one and the next best, where they were asked for; those have no n_best of their own.
    """

    source: str
    text: str
    score: float
    log_prob: float
    finished: bool
    tokens: tuple[ScoredToken, ...]
    n_best: tuple[Translation, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class _Part:
    """What is searched at once: a whole sentence, or a part of one that is too long for the model.

    sentence: its place among the sentences given; part: its place in the sentence; src: ids with tag and eos.
    """

    sentence: int
    part: int
    src: list[int]
    prefix: list[int]
    limit: int


class Translator:
    """A model with its tokenizers, ready to translate: ``translator("text")`` or ``translator(["several", "texts"])``.

    Nothing changes in it in use, so that threads may share one. Puts the model on the device and into evaluation mode.

    Args:
        model: answers ``models.interface.Seq2Seq``.
        tokenizers: those it was trained with.
        decoding: how to search where a call does not say.
        device, precision: see ``device.choose_device``. In fp32 a sentence's translation does not depend on the others
            it is decoded with; in bf16 their number may turn a near tie.
        tgt_language: BCP-47; decides whether the parts of a split source are joined by a space.
    """

    def __init__(
        self,
        model: Seq2Seq,
        tokenizers: TokenizerPair,
        decoding: DecodingConfig | None = None,
        device: Where = "auto",
        precision: str = "fp32",
        tgt_language: str = "und",
    ) -> None:
        self.device = choose_device(device, precision)
        if isinstance(model, nn.Module):  # an engine answers the same questions and looks after itself
            model.to(self.device.name).eval()
        self.model = model
        self.tokenizers = tokenizers
        self.decoding = decoding or DecodingConfig()
        self.joiner = "" if tgt_language.partition("-")[0] in WITHOUT_SPACES else " "
        forbidden = [id for id in tokenizers.tgt.special_ids if id != tokenizers.tgt.eos_id]
        self._forbidden = torch.tensor(forbidden, device=self.device.name)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        device: Where = "auto",
        precision: str = "fp32",
        overrides: Sequence[str] = (),
    ) -> Translator:
        """Return the translator that a run folder holds, or a folder of Hugging Face's Transformers.

        Args:
            path: the folder.
            device, precision: see ``device.choose_device``.
            overrides: ``decoding.key=value`` in place of what the run's config says.

        Raises:
            RunError: the folder is not a whole run folder.
            ConfigError: an override is wrong.
            UsageError: there is no such device.
        """
        run = load(path, "translation", overrides)
        config = run.config
        return cls(run.model, run.tokenizers, config.decoding, device, precision, config.languages.tgt)  # type: ignore[arg-type]

    # --- translating

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is an Iterable[str] too, and comes first
        self,
        source: str,
        *,
        prefix: str | Sequence[str] = "",
        tag: str = "",
        decoding: DecodingConfig | None = None,
        first: int = 1,
    ) -> Translation: ...
    @overload
    def __call__(
        self,
        source: Iterable[str],
        *,
        prefix: str | Sequence[str] = "",
        tag: str = "",
        decoding: DecodingConfig | None = None,
        first: int = 1,
    ) -> list[Translation]: ...
    def __call__(
        self,
        source: str | Iterable[str],
        *,
        prefix: str | Sequence[str] = "",
        tag: str = "",
        decoding: DecodingConfig | None = None,
        first: int = 1,
    ) -> Translation | list[Translation]:
        """Translate one sentence, or many in their order; a blank one gives an empty one with score 0.

        Args:
            source: a sentence or several.
            prefix: what the translation starts with; or one such text for each sentence.
            tag: name of the language tag put in front of the source.
            decoding: how to search, instead of ``self.decoding``.
            first: number of the first sentence: errors name it and samples are drawn by it.

        Raises:
            CorpusError: a source is longer than the model's limit, and ``long_source`` says to refuse it, or a single
                sentence of it is.
            UsageError: a prefix is longer than its translation may be, or there are not as many as sentences; more
                hypotheses are asked for than beams.
            ConfigError: the tokenizer has no such tag.
            RunError: what the weights amount to is not a number.
        """
        sources = [source] if isinstance(source, str) else list(source)
        prefixes = [prefix] * len(sources) if isinstance(prefix, str) else list(prefix)
        if len(prefixes) != len(sources):
            raise UsageError("prefix-counts", prefixes=len(prefixes), sentences=len(sources))
        decoding = decoding or self.decoding
        if decoding.n_best > decoding.beam_size and not decoding.sampling:
            raise UsageError("n-best-over-beams", n_best=decoding.n_best, beam_size=decoding.beam_size)
        parts = list(self._parts(sources, prefixes, tag, decoding, first))
        found: list[list[list[Hypothesis]]] = [[] for _ in sources]  # sentence -> part -> rank
        for part, hypotheses in zip(parts, self._search_all(parts, decoding, first)):
            found[part.sentence].append(hypotheses)
        translations = [self._translation(text, ranked) for text, ranked in zip(sources, found)]
        return translations[0] if isinstance(source, str) else translations

    def stream(
        self,
        sources: Iterable[str],
        *,
        prefix: str | Iterable[str] = "",
        tag: str = "",
        decoding: DecodingConfig | None = None,
    ) -> Iterator[Translation]:
        """Translate any number of sentences, reading and holding ``STREAM_SENTENCES`` of them at once.

        Arguments and errors as in a call; ``sources`` and ``prefix`` may be generators.
        """
        remaining = iter(sources)
        prefixes = repeat(prefix) if isinstance(prefix, str) else iter(prefix)
        first = 1
        while chunk := list(islice(remaining, STREAM_SENTENCES)):
            starts = list(islice(prefixes, len(chunk)))
            yield from self(chunk, prefix=starts, tag=tag, decoding=decoding, first=first)
            first += len(chunk)

    def score(
        self, pairs: Iterable[tuple[str, str]], *, tag: str = "", decoding: DecodingConfig | None = None
    ) -> list[Translation]:
        """Return each (source, target) as the translation it would be: its log-probability, score and tokens'.

        Raises:
            CorpusError: a side is longer than the model's limit.
            ConfigError: the tokenizer has no such tag.
        """
        decoding, src, tgt = decoding or self.decoding, self.tokenizers.src, self.tokenizers.tgt
        pairs = list(pairs)
        front = self.front_ids(tag)
        sources = [[*front, *ids, src.eos_id] for ids in src.encode_batch([source for source, _ in pairs])]
        targets = [[*ids, tgt.eos_id] for ids in tgt.encode_batch([target for _, target in pairs])]
        lengths = [max(map(len, pair)) for pair in zip(sources, targets)]
        for line, length in enumerate(lengths, 1):
            if length > self.model.max_positions:
                raise CorpusError("pair-too-long", line=line, tokens=length, limit=self.model.max_positions)
        scored: list[Hypothesis | None] = [None] * len(pairs)
        for rows in _batches(lengths, decoding.batch_tokens):
            batch = self.teacher_batch([sources[i] for i in rows], [targets[i] for i in rows])
            with self.device.autocast():
                for i, hypothesis in zip(rows, score_pairs(self.model, batch, decoding.length_penalty)):
                    scored[i] = hypothesis
        return [self._translation(pair[0], [[hypothesis]]) for pair, hypothesis in zip(pairs, scored) if hypothesis]

    # --- from text to parts

    def front_ids(self, tag: str = "") -> list[int]:
        """Return what stands in front of a source for the encoder: the language tag, and what the model wants there."""
        src = self.tokenizers.src
        return [*src.start_ids, *([src.tag_id(tag)] if tag else [])]

    def limit(self, tokens: int, decoding: DecodingConfig) -> int:
        """Return how many tokens the translation of so many may have, eos not counted."""
        limit = min(tokens + decoding.max_extra_tokens, self.model.max_positions - 1)
        return min(limit, decoding.max_tokens or limit)

    def _parts(
        self, sources: Sequence[str], prefixes: Sequence[str], tag: str, decoding: DecodingConfig, first: int
    ) -> Iterator[_Part]:
        src, tgt = self.tokenizers.src, self.tokenizers.tgt
        front = self.front_ids(tag)
        longest = self.model.max_positions - 1 - len(front)
        encoded = zip(src.encode_batch(sources), tgt.encode_batch(prefixes))
        for sentence, (source, (ids, prefix)) in enumerate(zip(sources, encoded)):
            if not source.strip():
                continue
            pieces = (
                [ids] if len(ids) <= longest else self._split(source, len(ids), longest, decoding, first + sentence)
            )
            for number, piece in enumerate(pieces):
                limit = self.limit(len(piece), decoding)
                start = prefix if number == 0 else []
                if len(start) > limit:
                    raise UsageError("prefix-too-long", line=first + sentence, tokens=len(start), limit=limit)
                yield _Part(sentence, number, [*front, *piece, src.eos_id], start, limit)

    def _split(self, source: str, tokens: int, longest: int, decoding: DecodingConfig, line: int) -> list[list[int]]:
        """Return the ids of ``source`` in pieces of whole sentences, each as many as fit into ``longest`` tokens."""
        if decoding.long_source == "refuse":
            raise CorpusError("source-too-long", line=line, tokens=tokens, limit=longest)
        tag, text = self.tokenizers.src.without_tag(source)  # every piece is to become that language
        longest -= len(tag)
        sentences = split_sentences(text)
        pieces, room = [""], longest
        for sentence, ids in zip(sentences, self.tokenizers.src.encode_batch([s.strip() for s in sentences])):
            if len(ids) > room:
                pieces.append("")
                room = longest
            pieces[-1] += sentence
            room -= len(ids)
        encoded = self.tokenizers.src.encode_batch([piece.strip() for piece in pieces if piece.strip()])
        for ids in encoded:
            if len(ids) > longest:
                raise CorpusError("sentence-too-long", line=line, tokens=len(ids), limit=longest)
        return [[*tag, *ids] for ids in encoded]

    # --- from parts to hypotheses

    def _search_all(self, parts: Sequence[_Part], decoding: DecodingConfig, first: int) -> list[list[Hypothesis]]:
        """Return each part's hypotheses, best first."""
        beams = decoding.n_best if decoding.sampling else decoding.beam_size
        found: list[list[Hypothesis]] = [[] for _ in parts]
        for rows in _batches([len(part.src) for part in parts], decoding.batch_tokens // beams):
            for i, hypotheses in zip(rows, self._search([parts[i] for i in rows], decoding, first)):
                if not hypotheses or math.isnan(hypotheses[0].log_prob):
                    raise RunError("not-a-number", line=first + parts[i].sentence)
                found[i] = hypotheses
        return found

    @torch.no_grad()  # not inference_mode: in it autocast turns the weights into bf16 anew at every step
    def _search(self, parts: Sequence[_Part], decoding: DecodingConfig, first: int) -> list[list[Hypothesis]]:
        assert not getattr(self.model, "training", False), "the model went back to training: make a new Translator"
        device, alpha, n_best = self.device.name, decoding.length_penalty, decoding.n_best
        with self.device.autocast():
            sources, prefixes = [part.src for part in parts], [part.prefix for part in parts]
            problem = self.problem(sources, prefixes, [part.limit for part in parts])
            if decoding.sampling:
                keys = [(first + part.sentence, part.part, draw) for part in parts for draw in range(n_best)]
                draws = uniforms(decoding.seed, keys, problem.max_length, device)
                choose = sampler(draws, decoding.temperature, decoding.top_k, decoding.top_p)
                flat = greedy_search(self.model, problem, alpha, choose, n_best)
                rows = [flat[i : i + n_best] for i in range(0, len(flat), n_best)]
                return [sorted(row, key=lambda hypothesis: -hypothesis.score) for row in rows]
            if decoding.beam_size == 1:
                return [[hypothesis] for hypothesis in greedy_search(self.model, problem, alpha)]
            return beam_search(self.model, problem, decoding.beam_size, alpha, n_best, decoding.exhaustive)

    def problem(self, sources: Sequence[list[int]], prefixes: Sequence[list[int]], limits: Sequence[int]) -> Problem:
        """Return what a search is asked of ``sources`` (ids with all that the encoder sees), which are read for it."""
        device = self.device.name
        return Problem(
            memory=self.model.encode(*self._padded(sources, self.tokenizers.src.pad_id)),
            limits=torch.tensor(limits, device=device),
            prefixes=pad_prefixes(prefixes, device),
            forbidden=self._forbidden,
            decoder_start_id=self.tokenizers.tgt.decoder_start_id,
            eos_id=self.tokenizers.tgt.eos_id,
        )

    def _padded(self, rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
        """Return ``rows`` as ids (N, S) with ``pad_id`` behind each, and their mask (N, S), on the device."""
        lengths = torch.tensor([len(row) for row in rows])
        longest = int(lengths.max())
        ids = torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows])
        return ids.to(self.device.name), (torch.arange(longest) < lengths.unsqueeze(1)).to(self.device.name)

    def teacher_batch(self, sources: Sequence[list[int]], targets: Sequence[list[int]]) -> Batch:
        """Return pairs of ids as a batch: the decoder takes in each target moved by one, behind its start."""
        tgt = self.tokenizers.tgt
        src, src_mask = self._padded(sources, self.tokenizers.src.pad_id)
        tgt_output, tgt_mask = self._padded(targets, tgt.pad_id)
        tgt_input, _ = self._padded([[tgt.decoder_start_id, *target[:-1]] for target in targets], tgt.pad_id)
        return Batch(src, src_mask, tgt_input, tgt_output, tgt_mask)

    # --- from hypotheses to text

    def _translation(self, source: str, ranked: Sequence[Sequence[Hypothesis]]) -> Translation:
        """Join a sentence's parts, the best of each to the best, the second of each to the second, and so on."""
        if not ranked:
            blank = Translation(source, "", 0.0, 0.0, True, ())
            return Translation(source, "", 0.0, 0.0, True, (), (blank,))
        each = [self._joined(source, hypotheses) for hypotheses in zip(*ranked)]
        best = each[0]
        return Translation(source, best.text, best.score, best.log_prob, best.finished, best.tokens, tuple(each))

    def _joined(self, source: str, hypotheses: Sequence[Hypothesis]) -> Translation:
        tgt = self.tokenizers.tgt
        texts = tgt.decode_batch([hypothesis.tokens for hypothesis in hypotheses])
        tokens = [
            ScoredToken(id, tgt.token_text(id), log_prob)
            for hypothesis in hypotheses
            for id, log_prob in zip(hypothesis.tokens, hypothesis.token_log_probs)
        ]
        return Translation(
            source,
            self.joiner.join(filter(None, texts)),
            sum(hypothesis.score for hypothesis in hypotheses),
            sum(hypothesis.log_prob for hypothesis in hypotheses),
            all(hypothesis.finished for hypothesis in hypotheses),
            tuple(tokens),
        )


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Yield the places of ``lengths``, longest first, in batches of at most ``tokens`` with padding, or of one."""
    rows: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if rows and lengths[rows[0]] * (len(rows) + 1) > tokens:
            yield rows
            rows = []
        rows.append(i)
    if rows:
        yield rows
