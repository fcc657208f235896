"""Cutting a text at its sentence ends, so that a source longer than a model's limit can be translated in parts."""

from __future__ import annotations

import re

ABBREVIATIONS = frozenset(
    """
    mr mrs ms dr prof sr jr st rev gen col capt lt sgt gov sen rep hon vs etc vol fig figs eq sec ch pp al inc ltd co
    corp dept approx est e.g i.e a.m p.m u.s u.k cf jan feb apr jun jul aug sep sept oct nov dec
    hr fr z.b d.h u.a usw bzw ca nr bspw
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
"""English and German words that end in a full stop inside a sentence; a single letter (an initial) counts too."""

_LONGEST = 1 + max(map(len, ABBREVIATIONS))
_CLOSING = "\"'”’»›)\\]}」』】〉》）"
_END = re.compile(
    rf"""
    (?<![.!?…]) (?P<stops>[.!?…]++) [{_CLOSING}]*+ \s+  # 3.5 and example.com have no white space behind the stop
    | [。！？．]+ [{_CLOSING}]* \s*              # these end a sentence wherever they stand
    | \n\s*
    """,
    re.VERBOSE,
)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of ``text``, each with the white space behind it; ``"".join`` gives the text back.

    A sentence ends at ``. ! ? …`` before white space (not after an abbreviation or an initial), at ``。！？`` and at a
    line's end; closing quotes and brackets belong to it. A text without words or ends is one sentence; "" is none.
    """
    sentences, start = [], 0
    for end in _END.finditer(text):
        if end["stops"] == "." and _abbreviated(text[max(start, end.start() - _LONGEST) : end.start()]):
            continue
        if end["stops"] or text[start : end.start()].strip():
            sentences.append(text[start : end.end()])
            start = end.end()
    if start < len(text):
        sentences.append(text[start:])
    return sentences


def _abbreviated(before: str) -> bool:
    """Whether the full stop behind ``before`` belongs to a word, as in "Mr." or "J. S. Bach"."""
    word = re.split(r"\s", before)[-1].lstrip("([{\"'“‘«„").lower()
    return word in ABBREVIATIONS or (len(word) == 1 and word.isascii() and word.isalpha())
