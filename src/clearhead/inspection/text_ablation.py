"""Heads of a model of texts switched off: what each is worth to a label, to a text as it goes on, to hidden words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clearhead.device import Device
from clearhead.inspection.ablation import Ablation, Head, chosen_heads, heads_of, texts_without_heads
from clearhead.inspection.explanation import Explanation, Outcome
from clearhead.inspection.rivals import ROWS, Progress, silent
from clearhead.inspection.texts import filled, label_log_probs, likeliest_ordinary
from clearhead.text.foreign import AnyTokenizer

Judged = list[tuple[float, str]]
"""For each row of a batch the log-probability of what came out with all heads, and what comes out now."""


@torch.no_grad()
def text_ablations(
    model: nn.Module,
    tokenizer: AnyTokenizer,
    device: Device,
    explanation: Explanation,
    heads: Sequence[Head] | None = None,
    on_progress: Progress = silent,
) -> list[Ablation]:
    """Return what each of ``heads`` (all, where None), named as in the explanation, is worth to what came out.

    Of a classifier that is its label; of a language model the text, and what comes next; of a masked language model
    what it puts in the place of hidden words, or the words, where none is hidden.

    Raises:
        UsageError: there is no such head.
    """
    judge = JUDGES[explanation.kind]
    ids = torch.tensor([[token.id for token in explanation.src or explanation.tgt_inputs]], device=device.name)
    paths = {(path.removeprefix("body."), head): (path, head) for path, head in heads_of(model)}
    heads, found = chosen_heads(list(paths), heads), []
    with device.autocast():
        ((before, _),) = judge(model, ids, explanation, tokenizer)
        for start in range(0, len(heads), ROWS):
            some = heads[start : start + ROWS]
            with texts_without_heads(model, [paths[each] for each in some]):
                judged = judge(model, ids.expand(len(some), -1), explanation, tokenizer)
            for (part, head), (log_prob, text) in zip(some, judged):
                outcome = Outcome(text, (), log_prob, log_prob)
                found.append(Ablation(part, head, log_prob, log_prob - before, outcome))
            on_progress(len(found), len(heads))
    return found


def _label(model: Any, ids: Tensor, explanation: Explanation, tokenizer: AnyTokenizer) -> Judged:
    labels = [each.label for each in explanation.labels]
    segments = torch.tensor(explanation.segments, device=ids.device).expand(len(ids), -1)
    log_probs = label_log_probs(model, ids, segments)  # (n, C)
    own = log_probs[:, labels.index(explanation.tgt_text)].tolist()
    return [(log_prob, labels[best]) for log_prob, best in zip(own, log_probs.argmax(-1).tolist())]


def _text(model: Any, ids: Tensor, explanation: Explanation, tokenizer: AnyTokenizer) -> Judged:
    log_probs = model.project(model(ids)).float().log_softmax(-1)  # (n, T, V)
    own = log_probs[:, :-1].gather(-1, ids[:, 1:, None]).sum(dim=(1, 2)).tolist()
    return [(each, tokenizer.token_text(best)) for each, best in zip(own, log_probs[:, -1].argmax(-1).tolist())]


def _hidden(model: Any, ids: Tensor, explanation: Explanation, tokenizer: AnyTokenizer) -> Judged:
    said = torch.tensor([step.chosen for step in explanation.steps], device=ids.device)
    asked = said != ids[0]
    places = asked if bool(asked.any()) else torch.tensor([token.start is not None for token in explanation.src])
    logits = model.project(model.transform(model.encode(ids, torch.ones_like(ids, dtype=torch.bool)).hidden))
    own = logits.float().log_softmax(-1).gather(-1, said.expand(len(ids), -1)[:, :, None])[:, places.to(ids.device), 0]
    texts = [filled(row, likeliest_ordinary(each, tokenizer), tokenizer)[0] for row, each in zip(ids.tolist(), logits)]
    return list(zip(own.sum(dim=1).tolist(), texts))


JUDGES: dict[str, Callable[[Any, Tensor, Explanation, AnyTokenizer], Judged]] = {
    "classifier": _label,
    "language-model": _text,
    "masked-language-model": _hidden,
}
