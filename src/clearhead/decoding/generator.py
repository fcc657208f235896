"""From a prompt to its continuation by a decoder-only model, token by token; and what the model says of given ones."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from clearhead.config import DecodingConfig, check_long_texts
from clearhead.decoding.continuation import Continuation, Continuations, before_stop, whole_characters
from clearhead.decoding.greedy import Choose, likeliest
from clearhead.decoding.sampling import sampler, uniforms
from clearhead.device import Where, choose_device
from clearhead.errors import ConfigError, CorpusError, RunError, UsageError
from clearhead.interop.load import load
from clearhead.models.interface import DecoderState, LanguageModel
from clearhead.text.foreign import AnyTokenizer

BATCH_TOKENS = 4096
"""So many tokens of prompts are read at once."""


class Generator:
    """A language model with its tokenizer: ``generator("text")`` or ``generator(["several", "texts"])``.

    A text stands behind what its tokenizer puts in front of one: an eos in runs of ours, as in training; nothing for
    GPT-2. An empty one is an eos. Puts the model on the device and into evaluation mode.

    Args:
        model: answers ``models.interface.LanguageModel``.
        tokenizer: the one it was trained with.
        decoding: how to continue where a call does not say: beam_size does not matter, length_penalty neither.
        device, precision: see ``device.choose_device``.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: AnyTokenizer,
        decoding: DecodingConfig | None = None,
        device: Where = "auto",
        precision: str = "fp32",
    ) -> None:
        self.device = choose_device(device, precision)
        if isinstance(model, nn.Module):
            model.to(self.device.name).eval()
        self.model = model
        self.tokenizer = tokenizer
        self.decoding = decoding or DecodingConfig()
        self._front = tokenizer.prompt_start
        forbidden = [id for id in tokenizer.special_ids if id != tokenizer.eos_id]
        self._forbidden = torch.tensor(forbidden, device=self.device.name)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        device: Where = "auto",
        precision: str = "fp32",
        overrides: Sequence[str] = (),
    ) -> Generator:
        """Return the generator that a run folder holds, or a folder of Hugging Face's Transformers.

        Raises: as ``interop.load.load``; UsageError also where there is no such device.
        """
        run = load(path, "language-model", overrides)
        return cls(run.model, run.tokenizers.src, run.config.decoding, device, precision)  # type: ignore[arg-type]

    def __call__(
        self,
        prompts: str | Sequence[str],
        *,
        max_new_tokens: int = 50,
        stop: str | Sequence[str] = (),
        decoding: DecodingConfig | None = None,
        first: int = 1,
        long_texts: str = "refuse",
    ) -> list[list[Continuation]]:
        """Continue each prompt ``decoding.n_best`` times: by drawing where ``decoding.sampling``, else the likeliest.

        Args:
            prompts: one or several; an empty one is continued from nothing.
            max_new_tokens: a continuation has at most so many.
            stop: a text, or several, that end a continuation; they are not part of it.
            decoding: how, instead of ``self.decoding``: sampling, temperature, top_k, top_p, seed, n_best.
            first: number of the first prompt, by which samples are drawn and messages tell it.
            long_texts: "cut" leaves out the beginning of a prompt that has no room before ``max_new_tokens``, with a
                warning.

        Raises:
            CorpusError: a prompt leaves no room for a continuation, and is to be refused.
            ConfigError: ``long_texts`` is neither "cut" nor "refuse"; ``max_new_tokens`` is below 1; ``stop`` holds an
                empty text, or none.
            RunError: what the weights amount to is not a number.
        """
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        decoding = decoding or self.decoding
        count = decoding.n_best if decoding.sampling else 1
        _check(max_new_tokens, stop)
        encoded = self._encoded(texts, max_new_tokens, long_texts, first)
        found: list[list[Continuation]] = [[] for _ in texts]
        order = sorted(range(len(texts)), key=lambda place: -len(encoded[place]))
        while order:
            size = max(1, decoding.batch_tokens // (count * (len(encoded[order[0]]) + max_new_tokens)))
            chunk, order = order[:size], order[size:]
            places = [place for place in chunk for _ in range(count)]
            made = Continuations([texts[i] for i in places], [encoded[i] for i in places], self.tokenizer, stop)
            keys = [(first - 1 + place, row % count) for row, place in enumerate(places)]
            for _ in self._steps(made, max_new_tokens, decoding, keys):
                pass
            for place, continuation in zip(places, made.result()):
                found[place].append(continuation)
        return found

    def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 50,
        stop: str | Sequence[str] = (),
        decoding: DecodingConfig | None = None,
        first: int = 1,
        long_texts: str = "refuse",
    ) -> Iterator[str]:
        """Yield the continuation of ``prompt`` piece by piece, never half a character as a reader sees it.

        A syllable of Jamo, or an emoji with what belongs to it, waits until something else follows; what the limit
        leaves unfinished is not said. Arguments and errors as in a call.
        """
        decoding = (decoding or self.decoding).model_copy(update={"n_best": 1})
        _check(max_new_tokens, stop)
        encoded = self._encoded([prompt], max_new_tokens, long_texts, first)
        made = Continuations([prompt], encoded, self.tokenizer, stop)
        said = 0
        for _ in self._steps(made, max_new_tokens, decoding, [(first - 1, 0)]):
            text = made.text(0)
            safe = len(text) if made.stopped[0] else min(whole_characters(text), before_stop(text, made.stop))
            if safe > said:
                yield text[said:safe]
                said = safe
        rest = made.text(0)[said:]
        if rest:
            yield rest

    @torch.no_grad()
    def score_continuations(self, prompt: str, continuations: Sequence[str]) -> list[float]:
        """Return the log-probability of each continuation after ``prompt``, the sum over its tokens.

        Raises:
            CorpusError: prompt and continuation are longer than the model's positions.
        """
        start = self._begun(self.tokenizer.encode(prompt))
        return self.score_ids(start, [self._continued(prompt, text) for text in continuations])

    def classify_by_prompt(
        self,
        text: str,
        labels: Sequence[str],
        template: str = "{text} {label}",
        examples: Sequence[tuple[str, str]] = (),
    ) -> list[tuple[str, float]]:
        """Return the labels with the log-probability of their words in the template's place, the likeliest first.

        Zero-shot where there are no ``examples``, else few-shot (Brown et al. 2020, section 2): each example is a text
        of its own before the one that is asked about.

        Args:
            text: what is to be classified.
            labels: words that may fill ``{label}``.
            template: how a text and its label read; it ends in ``{label}``.
            examples: (text, label) pairs.

        Raises:
            UsageError: the template does not have ``{text}`` and then, at its end, ``{label}``.
            CorpusError: all together is longer than the model's positions.
        """
        (scores,) = self.score_labels([text], labels, template, examples)
        return sorted(zip(labels, scores), key=lambda each: -each[1])

    def score_labels(
        self, texts: Sequence[str], labels: Sequence[str], template: str, examples: Sequence[tuple[str, str]] = ()
    ) -> list[list[float]]:
        """Return of each text the log-probability of each label's words; see ``classify_by_prompt``.

        What all prompts begin with, the examples, is read once.

        Raises:
            UsageError, CorpusError: as ``classify_by_prompt``.
        """
        if (template.count("{text}"), template.count("{label}")) != (1, 1) or not template.endswith("{label}"):
            raise UsageError("bad-template", template=template)
        before = template.removesuffix("{label}")
        shown = [before.replace("{text}", example) + label for example, label in examples]
        shared: list[int] = []
        for ids in self.tokenizer.encode_batch(shown):
            shared += self._begun(ids, not shared)
        space = before[len(before.rstrip(" ")) :]  # it belongs to the word that follows
        prompts, continuations = [], []
        for text in texts:
            prompt = before.replace("{text}", text).removesuffix(space)
            prompts += [self._begun(self.tokenizer.encode(prompt), not shared)] * len(labels)
            continuations += [self._continued(prompt, space + label) for label in labels]
        scores = self._score_behind(shared, prompts, continuations)
        return [scores[i * len(labels) : (i + 1) * len(labels)] for i in range(len(texts))]

    @torch.no_grad()
    def _score_behind(
        self, shared: Sequence[int], prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> list[float]:
        """Return the log-probability of each continuation behind its prompt, all of them behind ``shared``."""
        rows = [[*prompt, *more] for prompt, more in zip(prompts, continuations)]
        longest = len(shared) + max(map(len, rows), default=0)
        if longest - 1 > self.model.max_positions:
            raise CorpusError("examples-too-long", tokens=longest, limit=self.model.max_positions)
        scores = [0.0] * len(rows)
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
        while order:
            size = max(1, BATCH_TOKENS // (len(shared) + len(rows[order[0]])))
            chunk, order = order[:size], order[size:]
            width = len(rows[chunk[0]]) - 1
            ids = [[*rows[row][:-1], *[self.tokenizer.pad_id] * (width + 1 - len(rows[row]))] for row in chunk]
            asked = [
                (place, len(prompts[row]) - 1 + at, token)
                for place, row in enumerate(chunk)
                for at, token in enumerate(continuations[row])
            ]
            row_of, position, target = torch.tensor(asked, device=self.device.name).reshape(-1, 3).T
            with self.device.autocast():
                state = self._behind(shared, len(chunk), longest - 1)
                hidden, _ = self.model.step(torch.tensor(ids, device=self.device.name), state)
                log_probs = self.model.project(hidden[row_of, position]).float().log_softmax(-1)  # (N, V)
            for (place, _, _), each in zip(asked, log_probs.gather(1, target[:, None])[:, 0].tolist()):
                scores[chunk[place]] += each
        return scores

    def _behind(self, shared: Sequence[int], rows: int, max_length: int) -> DecoderState:
        """Return a state of so many rows that have all taken in ``shared``."""
        if not shared:
            return self.model.start(rows, max_length)
        ids = torch.tensor([shared], device=self.device.name)
        _, state = self.model.step(ids, self.model.start(1, max_length))
        return state.select(torch.zeros(rows, dtype=torch.int64, device=self.device.name))

    @torch.no_grad()
    def score_ids(self, start: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[float]:
        """Return the log-probability of each continuation's tokens after those of ``start``.

        Raises:
            CorpusError: both together are longer than the model's positions.
        """
        rows = [[*start, *ids] for ids in continuations]
        if not rows:
            return []
        longest = max(map(len, rows))
        if longest - 1 > self.model.max_positions:
            raise CorpusError("continuation-too-long", tokens=longest, limit=self.model.max_positions)
        ids = torch.tensor([[*row, *[self.tokenizer.pad_id] * (longest - len(row))] for row in rows])
        ids = ids.to(self.device.name)
        with self.device.autocast():
            hidden = self.model(ids[:, :-1])[:, len(start) - 1 :]
            log_probs = self.model.project(hidden).float().log_softmax(-1)
        each = log_probs.gather(2, ids[:, len(start) :, None])[:, :, 0].double()
        return [float(row[: len(continuation)].sum()) for row, continuation in zip(each, continuations)]

    # --- the steps

    def _encoded(self, texts: Sequence[str], max_new_tokens: int, long_texts: str, first: int) -> list[list[int]]:
        """Return the ids of each prompt with what stands in front of it, cut where it is too long and may be."""
        check_long_texts(long_texts)
        limit = self.model.max_positions + 1 - max_new_tokens
        front, rows = len(self._front), [self._begun(ids) for ids in self.tokenizer.encode_batch(texts)]
        for line, row in enumerate(rows, first):
            if len(row) <= limit:
                continue
            if long_texts != "cut" or limit <= front:
                raise CorpusError("prompt-too-long", line=line, tokens=len(row), limit=max(0, limit))
            warnings.warn(CorpusError("prompt-cut", line=line, tokens=len(row), limit=limit).message(), stacklevel=3)
            del row[front : front + len(row) - limit]
        return rows

    def _begun(self, ids: list[int], first: bool = True) -> list[int]:
        """Return the ids of a text with what stands in front of it; an eos parts it from a text before it."""
        begun = [*self._front, *ids] if first else []
        return begun or [self.tokenizer.eos_id, *ids]

    def _continued(self, prompt: str, text: str) -> list[int]:
        """Return the tokens that ``text`` adds to ``prompt``."""
        before, whole = self.tokenizer.encode(prompt), self.tokenizer.encode(prompt + text)
        return whole[len(before) :] if whole[: len(before)] == before else self.tokenizer.encode(text)

    @torch.no_grad()
    def _steps(
        self, made: Continuations, max_new_tokens: int, decoding: DecodingConfig, keys: Sequence[tuple[int, int]]
    ) -> Iterator[None]:
        """Add a token to every row that goes on, again and again; ``made`` holds what has come out.

        keys: of each row its prompt's number, from 0, and which of the prompt's continuations it is.
        """
        device = self.device.name
        choose: Choose = likeliest
        if decoding.sampling:
            draws = uniforms(decoding.seed, keys, max_new_tokens, device)
            choose = sampler(draws, decoding.temperature, decoding.top_k, decoding.top_p)
        with self.device.autocast():
            rows, logits, state = self._take_in(made.ids, max_new_tokens)
        for position in range(max_new_tokens):
            with self.device.autocast():
                log_probs = logits.float().log_softmax(-1).index_fill_(1, self._forbidden, -torch.inf)
                tokens = choose(log_probs, rows, position)
                chosen = log_probs.gather(1, tokens[:, None])[:, 0].tolist()
                numbers = rows.tolist()
                for row, log_prob in zip(numbers, chosen):
                    if math.isnan(log_prob):
                        raise RunError("not-a-number", line=keys[row][0] + 1)
                going = made.add(numbers, tokens.tolist(), chosen)
            yield
            if not going or position + 1 == max_new_tokens:
                return
            if len(going) < len(rows):
                stay = torch.tensor(going, device=device)
                rows, tokens, state = rows[stay], tokens[stay], state.select(stay)
            with self.device.autocast():
                hidden, state = self.model.step(tokens[:, None], state)
                logits = self.model.project(hidden[:, -1])

    def _take_in(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> tuple[Tensor, Tensor, DecoderState]:
        """Read all prompts, those of one length at once; return the rows' numbers, their next logits and the state."""
        by_length: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt), []).append(row)
        rows: list[int] = []
        logits: list[Tensor] = []
        state: DecoderState | None = None
        for length, group in by_length.items():
            ids = torch.tensor([prompts[row] for row in group], device=self.device.name)
            hidden, entering = self.model.step(ids, self.model.start(len(group), length + max_new_tokens - 1))
            logits.append(self.model.project(hidden[:, -1]))
            rows += group
            state = entering if state is None else state.join(entering)
        assert state is not None
        return torch.tensor(rows, device=self.device.name), torch.cat(logits), state


def _check(max_new_tokens: int, stop: str | Sequence[str]) -> None:
    """Check what a continuation may end by.

    Raises:
        ConfigError: it has no token; or what is to stop it is no text, or none at all, with which everything begins.
    """
    problem = "a whole number above 0"
    if type(max_new_tokens) is not int or max_new_tokens < 1:
        raise ConfigError("bad-value", where="generate", key="max_new_tokens", value=max_new_tokens, problem=problem)
    stops, problem = [stop] if isinstance(stop, str) else stop, "a text, or several, none of them empty"
    if not isinstance(stops, Sequence) or not all(isinstance(each, str) and each for each in stops):
        raise ConfigError("bad-value", where="generate", key="stop", value=stop, problem=problem)
