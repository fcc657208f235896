"""Texts in batches for a model that reads them: what classifiers and masked language models share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

import numpy as np
import torch
from torch import Tensor, nn

from clearhead.config import check_long_texts
from clearhead.data.texts import fitted
from clearhead.device import Device, Where, choose_device
from clearhead.errors import CorpusError
from clearhead.text.foreign import AnyTokenizer

BATCH_TOKENS = 4096

Text = str | Mapping[str, str]
"""A text, or two that are read together: {"text": ..., "text_pair": ...}."""


class Reader:
    """A model with its tokenizer, which it gives texts in batches, each text between bos and eos.

    Args:
        max_tokens: the longest row; a longer text is cut with a warning, or refused.
    """

    def __init__(
        self, model: nn.Module, tokenizer: AnyTokenizer, max_tokens: int, device: Where, precision: str
    ) -> None:
        self.device: Device = choose_device(device, precision)
        self.model = model.to(self.device.name).eval()
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    def read(
        self, texts: Sequence[Text], long_texts: str = "cut", first: int = 1
    ) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
        """Yield (places of texts (B,), ids, mask, segments, (B, S) each as in ``data.texts.TextBatch``).

        long_texts: "cut" or "refuse"; first: the number that messages give the first text.

        Raises:
            CorpusError: a text is too long and to be refused.
            ConfigError: ``long_texts`` is neither.
        """
        check_long_texts(long_texts)
        tokenizer = self.tokenizer
        pairs = [(text, None) if isinstance(text, str) else (text["text"], text.get("text_pair")) for text in texts]
        one, other = (tokenizer.encode_batch([side or "" for side in sides]) for sides in zip(*pairs))
        between = tokenizer.separators * np.array([second is not None for _, second in pairs], np.int64)
        room = self.max_tokens - 2 - between
        lengths = np.array([list(map(len, side)) for side in (one, other)])
        for line, tokens, limit in zip(count(first), lengths.sum(axis=0).tolist(), room.tolist()):
            if tokens > limit:
                if long_texts != "cut":
                    raise CorpusError("text-too-long", line=line, tokens=tokens, limit=limit)
                said = CorpusError("text-cut", line=line, tokens=tokens, limit=limit)
                warnings.warn(said.message(), stacklevel=2)
        kept = np.stack([*fitted(lengths[0], lengths[1], room), between]).T.tolist()
        bos, eos = tokenizer.bos_id, tokenizer.eos_id
        rows = [[bos, *a[:m], *[eos] * gap, *b[:n], eos] for a, b, (m, n, gap) in zip(one, other, kept)]
        for places, ids, mask in self.batches(rows):
            begins = torch.tensor([len(rows[i]) - (kept[i][1] + 1 if kept[i][2] else 0) for i in places])
            segments = mask & (torch.arange(ids.shape[1]) >= begins[:, None]).to(mask.device)
            yield places, ids, mask, segments.long()

    def batches(self, rows: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Yield (places of rows (B,), ids (B, S), mask (B, S)), without gradients for whoever computes with them."""
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        while order:
            longest = len(rows[order[0]])
            size = max(1, BATCH_TOKENS // longest)
            places, order = order[:size], order[size:]
            padded = [[*rows[i], *[self.tokenizer.pad_id] * (longest - len(rows[i]))] for i in places]
            mask = torch.arange(longest) < torch.tensor([len(rows[i]) for i in places])[:, None]
            with torch.inference_mode():
                yield places, torch.tensor(padded, device=self.device.name), mask.to(self.device.name)
