"""The starter corpus: everyday Korean sentences and their English, from a grammar of this project.

The frames (``starter_people``, ``starter_things``, ``starter_times``) draw words from the lexicon and build both sides
by rule (``korean``, ``english``). A Korean sentence has one English; politeness makes several Korean ones of the same
English. Statements end without a full stop, questions with a question mark.

What a sentence combines, (verb, object), (noun, adjective), (person, job) and so on, decides its split: of all
combinations a few are held out for "valid" and "test" and never occur in "train", while each of their words does, in
other combinations. ``python -m clearhead.text.starter`` shows a sample.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import blake2b
from typing import Literal

from clearhead.text import starter_clauses, starter_people, starter_things, starter_times
from clearhead.text.starter_clauses import Combination, Pick, Sentence
from clearhead.text.starter_lexicon import Lexicon, lexicon

Split = Literal["train", "valid", "test"]
Frame = Callable[[Lexicon, Pick], Sentence | None]

FRAMES: dict[Frame, int] = {
    starter_people.statement: 7000,
    starter_people.question: 2600,
    starter_clauses.wh_question: 4500,
    starter_people.two_things: 5000,
    starter_people.preference: 3500,
    starter_people.giving: 900,
    starter_people.request: 900,
    starter_people.because: 2500,
    starter_people.identity: 1700,
    starter_people.feeling: 1600,
    starter_people.taller: 500,
    starter_things.quality: 1800,
    starter_things.owned_quality: 2000,
    starter_things.quality_before_noun: 1800,
    starter_things.comparison: 1600,
    starter_things.contrast: 1200,
    starter_things.belonging: 900,
    starter_things.having: 1000,
    starter_things.there_is: 1000,
    starter_things.where_it_is: 800,
    starter_things.where_they_are: 700,
    starter_things.directions: 200,
    starter_things.counted: 1100,
    starter_things.crowd: 800,
    starter_things.price: 500,
    starter_things.crossing: 2000,
    starter_times.now: 400,
    starter_times.event: 700,
    starter_times.routine: 1000,
    starter_times.age: 500,
    starter_times.calendar: 600,
    starter_times.weather: 1200,
}
"""How often each frame is tried; repetitions and misfits fall away."""

TEXTBOOK = (
    Sentence("나는 학생입니다", "I am a student", (("I", "학생"),)),
    Sentence("나는 선생님입니다", "I am a teacher", (("I", "선생님"),)),
    Sentence("나는 집에 갑니다", "I go home", (("가다", "집"),)),
    Sentence(
        "그 동물은 길을 건너지 않았다, 왜냐하면 그것은 너무 피곤했기 때문이다",
        "The animal did not cross the street because it was too tired",
        (("동물", "피곤하다"), ("동물", "길")),
    ),
    Sentence(
        "그 동물은 길을 건너지 않았다, 왜냐하면 그것은 너무 넓었기 때문이다",
        "The animal did not cross the street because it was too wide",
        (("길", "넓다"), ("동물", "길")),
    ),
)
"""Sentences that every training split holds, whatever the seed; the grammar builds them too."""

HELD_OUT = 1 / 30
"""The share of the combinations that each of "valid" and "test" holds out."""
KEPT = 3
"""How many of its combinations each word keeps in training."""
LARGEST_HELD_OUT = 1000
"""How many pairs "valid" and "test" have at most."""


def starter_pairs(split: Split, seed: int = 1) -> list[tuple[str, str]]:
    """Return the (Korean, English) pairs of one split: about 29,000 of "train", up to 1,000 of "valid" and "test".

    The same on every machine for the same ``seed``. No sentence of one split, in either language, is in another.
    """
    return [(sentence.ko, sentence.en) for sentence in splits(seed)[split]]


@cache
def splits(seed: int) -> dict[Split, list[Sentence]]:
    """Return the sentences of each split with their combinations."""
    drawn = draw(seed)
    held_out = hold_out(drawn, seed)
    found: dict[Split, list[Sentence]] = {"train": [], "valid": [], "test": []}
    for sentence in drawn:
        names = {held_out.get(combination, "train") for combination in sentence.combinations}
        held = names - {"train"}
        if len(held) < 2:
            found[held.pop() if held else "train"].append(sentence)
    known = {word for sentence in found["train"] for word in words_of(sentence)}
    for split in ("valid", "test"):
        learnable = [sentence for sentence in found[split] if known.issuperset(words_of(sentence))]
        found[split] = learnable[:LARGEST_HELD_OUT]
    return found


@cache
def draw(seed: int) -> tuple[Sentence, ...]:
    """Return all distinct sentences of ``seed``, shuffled."""
    words = lexicon()
    sentences = {sentence.ko: sentence for sentence in TEXTBOOK}
    for frame, tries in FRAMES.items():
        pick = picker(f"{seed} {frame.__name__}")
        for _ in range(tries):
            sentence = frame(words, pick)
            if sentence is not None:
                known = sentences.setdefault(sentence.ko, sentence)
                assert known.en == sentence.en, f"two translations: {known} {sentence}"
    return tuple(sorted(sentences.values(), key=lambda sentence: _digest(f"{seed} {sentence.ko}")))


def picker(key: str) -> Pick:
    """Return a function that chooses one of a sequence; its choices depend on ``key`` only.

    Of Python's generator only ``random()`` is promised to stay the same from version to version, so nothing else is
    asked of it.
    """
    fraction = random.Random(key).random
    return lambda options: options[int(fraction() * len(options))]


def hold_out(sentences: Iterable[Sentence], seed: int) -> dict[Combination, Split]:
    """Return which combinations are held out, and for which split."""
    combinations = {combination for sentence in sentences for combination in sentence.combinations}
    left = Counter(word for combination in combinations for word in combination)
    never = {combination for sentence in TEXTBOOK for combination in sentence.combinations}
    never |= {pair for pair in combinations if pair[0] in lexicon().homonyms}  # 쓰다: only the object tells which verb
    wanted = int(len(combinations) * HELD_OUT)
    held_out: dict[Combination, Split] = {}
    for combination in sorted(combinations - never, key=lambda pair: _digest(f"{seed} {pair[0]} {pair[1]}")):
        if len(held_out) == 2 * wanted:
            break
        if min(left[word] for word in combination) > KEPT:
            left.subtract(combination)
            held_out[combination] = "test" if len(held_out) % 2 else "valid"
    return held_out


def words_of(sentence: Sentence) -> set[str]:
    """Return the words of both sides without punctuation."""
    return {word.strip("?,") for word in f"{sentence.ko} {sentence.en}".split()}


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


if __name__ == "__main__":
    for korean, english in starter_pairs("train")[:40]:
        print(f"{korean}\t{english}")
