"""What a model says next: the likeliest tokens with their logits, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from clearhead.inspection.explanation import Candidate, PlacedToken, Step
from clearhead.text.foreign import AnyTokenizer
from clearhead.text.library import Token

TOP = 10


def steps_of(logits: Tensor, tokenizer: AnyTokenizer, chosen: Sequence[int] | None = None) -> list[Step]:
    """Return what each row of logits (N, V) says; ``chosen`` are the tokens that came."""
    logits = logits.float()
    log_probs = logits.log_softmax(-1)
    exact = logits.double().log_softmax(-1)
    entropies = -(exact.exp() * exact).nan_to_num().sum(-1)  # 0 log 0 = 0
    tops = log_probs.topk(min(TOP, logits.shape[1]))
    found = []
    for row, (ids, entropy) in enumerate(zip(tops.indices.tolist(), entropies.tolist())):
        top = tuple(
            Candidate(id, tokenizer.token_text(id), float(logits[row, id]), float(log_probs[row, id])) for id in ids
        )
        if chosen is None:
            found.append(Step(top, entropy))
        else:
            found.append(Step(top, entropy, chosen[row], float(log_probs[row, chosen[row]])))
    return found


def placed(
    text: str, tokenizer: AnyTokenizer, front: Sequence[int] = (), back: Sequence[int] = ()
) -> list[PlacedToken]:
    """Return the tokens of ``text`` (NFC) over its characters, between special ones."""
    return [*unplaced(front, tokenizer), *map(as_placed, tokenizer.tokens(text)), *unplaced(back, tokenizer)]


def as_placed(token: Token) -> PlacedToken:
    """Return a tokenizer's token, which has a place."""
    return PlacedToken(token.id, token.text, token.start, token.end)


def placed_ids(ids: Sequence[int], tokenizer: AnyTokenizer) -> tuple[str, list[PlacedToken]]:
    """Return the text of ``ids`` and each over its characters; part of a character is over the whole of it."""
    text, special = tokenizer.decode(ids), frozenset(tokenizer.special_ids)
    found, start = [], 0
    for n, id in enumerate(ids, 1):
        if id in special:
            found += unplaced([id], tokenizer)
            continue
        so_far = tokenizer.decode(ids[:n])
        end = min(len(so_far), len(text))
        found.append(PlacedToken(id, tokenizer.token_text(id), min(start, end), end))
        start = len(so_far.rstrip("\ufffd"))
    return text, found


def unplaced(ids: Sequence[int], tokenizer: AnyTokenizer) -> list[PlacedToken]:
    """Return tokens that are no text."""
    return [PlacedToken(id, tokenizer.token_text(id), None, None) for id in ids]
