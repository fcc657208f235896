"""What a file leaves out where it would grow too large: what weighs most and matters least goes first."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

LIMIT, LEAST_LIMIT = 10_000_000, 3_000_000
"""Bytes of a file with a page; the second of a short text by a narrow model."""

SHORT, NARROW = 30, 256
"""How many tokens on either side are short, and how wide a model is narrow."""

PAGE = 350_000
"""Bytes of a page beside its document: style, modules, words, glyphs, our own code of the parts."""

ORDER = (
    ("checkpoints", r"checkpoints\..+"),
    ("units", r".*feed_forward\.(?:inner|gate|activated)"),
    ("nodes", r"beam\.cross"),
    ("gates", r"\w+\.layers\.\d+(?:\.(?:for|back)ward)?\.(?:\w+_gate|candidate|cell|input)"),
    ("steps", r"(?:.*\.\w+_|)attention\.(?:q|k|v|scores|z|context)"),
    ("vectors", r".*layers\.\d+.*\.(?:input|normed|gamma|beta|output|hidden)|decoder\.(?:context_and_state|combined)"),
    ("self", r".*self_attention\.(?:weights|mask)"),
    ("cross", r"(?:.*\.cross_|)attention\.(?:weights|mask)"),
    ("rest", r".*"),
)
"""What goes, from first to last, and its tensors' names. Of what every layer has, that of upper layers goes first."""


class Left(NamedTuple):
    """What was left out: one of ``ORDER``, of how many of its layers (or checkpoints), and of how many there are."""

    what: str
    left: int
    of: int


def limit(tokens: int, d_model: int, documents: int = 1) -> int:
    """Return how many bytes a document may take of a file that holds so many; ``tokens``: of its longer side."""
    return (LEAST_LIMIT if tokens <= SHORT and d_model <= NARROW else LIMIT) // documents - PAGE


def leaving(names: Collection[str], weigh: Callable[[Collection[str]], int], room: int) -> tuple[set[str], list[Left]]:
    """Return which tensors do not fit, and what they are.

    weigh: the bytes of some of the tensors together, which may share theirs.
    """
    kept, left = list(names), []
    for what, groups in _groups(names):
        gone = 0
        for group in groups:
            if weigh(kept) <= room:
                break
            kept, gone = [name for name in kept if name not in group], gone + 1
        if gone:
            left.append(Left(what, gone, len(groups)))
    return set(names) - set(kept), left


def _groups(names: Collection[str]) -> list[tuple[str, list[set[str]]]]:
    """Return what goes, and its tensors in the order in which they go."""
    found: dict[str, dict[int, set[str]]] = {what: {} for what, _ in ORDER}
    for name in names:
        what = next(what for what, pattern in ORDER if re.fullmatch(pattern, name))
        layer = re.search(r"layers\.(\d+)", name)
        place = len(found[what]) if what == "checkpoints" else -int(layer[1]) if layer else 0
        found[what].setdefault(place, set()).add(name)
    last = len(found["checkpoints"]) - 1
    return [
        (
            what,
            [groups[place] for place in sorted(groups, key=lambda p: _rank(p, last) if what == "checkpoints" else p)],
        )
        for what, groups in found.items()
    ]


def _rank(place: int, last: int) -> int:
    """Return when a checkpoint goes: every second one first, then every fourth; the first and the last at the end."""
    return place & -place if 0 < place < last else last + 1
