"""Texts in which words are hidden: to ids and back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clearhead.text.foreign import AnyTokenizer
from clearhead.text.library import Token

MASKS = ("[MASK]", "<mask>")
"""Either stands for a hidden token in a text."""

ANY_MASK = re.compile("|".join(map(re.escape, MASKS)))


def encode_masked(text: str, tokenizer: AnyTokenizer) -> list[int]:
    """Return the ids of a text between bos and eos."""
    return [tokenizer.bos_id, *(token.id for token in masked_tokens(text, tokenizer)), tokenizer.eos_id]


def masked_tokens(text: str, tokenizer: AnyTokenizer) -> list[Token]:
    """Return the tokens of a text over its characters; spaces before a mask are the mask's own."""
    masks = list(ANY_MASK.finditer(text))
    starts, ends = [0, *(mask.end() for mask in masks)], [*(mask.start() for mask in masks), len(text)]
    found = []
    for place, (start, end) in enumerate(zip(starts, ends)):
        if place:
            mask = masks[place - 1]
            found.append(Token(tokenizer.mask_id, mask[0], *mask.span()))
            start += tokenizer.fronts_space and text[start:end].startswith(" ")
        piece = text[start:end] if place == len(masks) else text[start:end].rstrip(" ")
        for token in tokenizer.tokens(piece):
            found.append(Token(token.id, token.text, start + token.start, start + token.end))
    return found


def decode_masked(ids: Sequence[int], mask: str, tokenizer: AnyTokenizer) -> str:
    """Return the text of ids in which some may still be hidden; they are written as ``mask``."""
    at = [place for place, id in enumerate(ids) if id == tokenizer.mask_id]
    pieces = [tokenizer.decode(ids[a + 1 : b]).removeprefix(" ") for a, b in zip([-1, *at], [*at, len(ids)])]
    if len(pieces) == 1:
        return pieces[0]
    return " ".join(filter(None, [pieces[0], *(part for piece in pieces[1:] for part in (mask, piece))]))
