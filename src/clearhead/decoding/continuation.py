"""The continuations of prompts as their tokens come: where each ends, and which of its characters are whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from clearhead.text.foreign import AnyTokenizer

TAIL = 64
"""No character is longer than so many code points."""
UNFINISHED = regex.compile(r"(?:\p{Extended_Pictographic}\p{Grapheme_Cluster_Break=Extend}*\u200d)*\ufffd*\Z")
"""The beginning of a character at a text's end: emoji of which the last one waits for another, bytes of the next."""


@dataclass(frozen=True)
class Continuation:
    """What follows a prompt.

    text: what the tokens say, but for a character that the limit left unfinished.
    log_prob: of the tokens, and of the end where the model ended it.
    finished: whether the model or a stop string ended it; False where the limit did.
    """

    prompt: str
    text: str
    tokens: tuple[int, ...]
    log_prob: float
    finished: bool


class Continuations:
    """The tokens that come after each prompt, a row each, until an eos or one of the ``stop`` strings."""

    def __init__(
        self, prompts: list[str], ids: list[list[int]], tokenizer: AnyTokenizer, stop: str | Sequence[str]
    ) -> None:
        self.prompts = prompts
        self.ids = ids
        self.tokenizer = tokenizer
        self.stop = [stop] if isinstance(stop, str) else stop
        self.tokens: list[list[int]] = [[] for _ in ids]
        self.log_probs = [0.0] * len(ids)
        self.stopped = [False] * len(ids)
        self._skip = [len(tokenizer.decode(row)) for row in ids]

    def add(self, rows: list[int], tokens: list[int], log_probs: list[float]) -> list[int]:
        """Add a token to each of ``rows``; return which of them, by their place, go on."""
        going = []
        for place, (row, token, log_prob) in enumerate(zip(rows, tokens, log_probs)):
            self.log_probs[row] += log_prob
            if token == self.tokenizer.eos_id:
                self.stopped[row] = True
                continue
            self.tokens[row].append(token)
            self.stopped[row] = bool(self.stop) and self._cut(self._whole(row)) is not None
            if not self.stopped[row]:
                going.append(place)
        return going

    def text(self, row: int) -> str:
        """Return what has come so far, up to a stop string; while it goes on, without a character that is begun."""
        text = self._whole(row)
        if not self.stopped[row]:
            return UNFINISHED.sub("", text)
        return text[: self._cut(text)]

    def result(self) -> list[Continuation]:
        """Return what has come out."""
        return [
            Continuation(prompt, self.text(row), tuple(self.tokens[row]), self.log_probs[row], self.stopped[row])
            for row, prompt in enumerate(self.prompts)
        ]

    def _whole(self, row: int) -> str:
        return self.tokenizer.decode([*self.ids[row], *self.tokens[row]])[self._skip[row] :]

    def _cut(self, text: str) -> int | None:
        """Where the first stop string begins in ``text``, or None."""
        return min((at for at in map(text.find, self.stop) if at >= 0), default=None)


def whole_characters(text: str) -> int:
    """Return how much of ``text`` stays as it is whatever follows: all but its last character.

    A character is what a reader takes for one (Unicode's extended grapheme cluster): a syllable made of Jamo, a letter
    with its marks, an emoji with all that belongs to it. Bytes of an unfinished one show as U+FFFD at the end.
    """
    finished = text.rstrip("\ufffd")
    *_, last = (0, *(found.start() for found in regex.finditer(r"\X", finished, pos=max(0, len(finished) - TAIL))))
    return last


def before_stop(text: str, stop: Sequence[str]) -> int:
    """Return how much of ``text`` cannot be the beginning of a stop string any more."""
    longest = max(map(len, stop), default=1) - 1
    begun = (at for at in range(max(0, len(text) - longest), len(text)) if any(s.startswith(text[at:]) for s in stop))
    return next(begun, len(text))
