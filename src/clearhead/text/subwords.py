"""What a subword consists of: the two tokens that it was last merged from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from clearhead.errors import ConfigError

if TYPE_CHECKING:
    from clearhead.text.foreign import AnyTokenizer


def parts_of_tokens(tokenizer: AnyTokenizer) -> np.ndarray:
    """Return the two tokens that each one splits into, (V, 2) int32; -1 where it is of one piece.

    Of BPE these are the two sides of the merge that made it; of a unigram model the likeliest two pieces that make it.

    Raises:
        ConfigError: no token of this vocabulary consists of two others.
    """
    content = json.loads(tokenizer.to_json())
    model: dict[str, Any] = content.get("tokenizer", content)["model"]  # the library's own format, whoever it is from
    halves = {"BPE": _of_merges, "Unigram": _of_pieces}.get(model["type"], lambda model: {})(model)
    if not halves:
        raise ConfigError("nothing-to-split")
    parts = np.full((tokenizer.vocabulary_size, 2), -1, np.int32)
    for whole, (left, right) in halves.items():
        parts[whole] = left, right
    return parts


def _of_merges(model: dict[str, Any]) -> dict[int, tuple[int, int]]:
    ids, halves = model["vocab"], dict[int, tuple[int, int]]()
    for left, right in model["merges"]:
        halves.setdefault(ids[left + right], (ids[left], ids[right]))  # an earlier merge comes first
    return halves


def _of_pieces(model: dict[str, Any]) -> dict[int, tuple[int, int]]:
    pieces = {piece: (id, score) for id, (piece, score) in enumerate(model["vocab"])}
    halves = {}
    for whole, (id, _) in pieces.items():
        if whole.startswith("<"):  # special tokens and bytes; a "<" of the text is a piece by itself
            continue
        cuts = ((whole[:i], whole[i:]) for i in range(1, len(whole)))
        splits = [(pieces[left], pieces[right]) for left, right in cuts if left in pieces and right in pieces]
        if splits:
            (left, _), (right, _) = max(splits, key=lambda split: split[0][1] + split[1][1])
            halves[id] = left, right
    return halves
