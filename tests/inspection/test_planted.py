"""Bugs planted in what is recorded, and in the model itself: each one turns a check red.

| bug | where | seen by |
|---|---|---|
| the heads of W_Q, W_K and W_V are taken crosswise | model | numbers |
| 1 / sqrt(d_k) is missing | model | numbers |
| the causal mask lets one later position through | model | numbers |
| positions are counted from 1 | model | numbers |
| the embedding is not scaled by sqrt(d_model) | model | numbers |
| layer normalisation before the sum, not behind it | model | numbers |
| the decoder's state does not follow the beams | model | beam |
| scores are divided twice where they are shown | trace | numbers |
| the softmax runs over the queries | trace | numbers |
| the source's and the target's embeddings are exchanged | trace | numbers |
| what goes into a residual connection is shown as its sum | trace | numbers |
| what comes before the activation is shown as what comes behind | trace | numbers |
| beams are not followed where they cross | tree | beam |
| a node has another beam's cross-attention | tree | beam |
| the last token's log-probability is shown as the hypothesis's | tree | beam |
| a hypothesis that fell out of the finished ones is still shown as kept | tree | beam |
| entropy is in bits | steps | numbers |
| a rival is forced one step too early | rivals | rivals |
| the head behind the one that is meant is off | ablation | heads |
| a head is off in every sentence of the batch | ablation | heads |
| 16-bit numbers lose their sign | document | document |
| tensors lie in the file one number too late | document | document |
"""

from __future__ import annotations

import math
import re

import pytest
import torch

from clearhead.inspection import ablation, document, explain, rivals, steps, trace, tree
from clearhead.inspection.explanation import Node
from clearhead.models import transformer as transformer_module
from clearhead.nn.attention import MultiHeadAttention
from clearhead.nn.embedding import TokenEmbedding
from clearhead.nn.layers import Residual
from clearhead.nn.positions import SinusoidalPositions

from .checks import CHECKS
from .small import transformer


def crosswise_heads(patch):
    def split(self, x):
        return x.unflatten(-1, (-1, self.n_heads)).transpose(2, 3).transpose(1, 2)

    patch.setattr(MultiHeadAttention, "_split", split)


def no_scale(patch):
    attend = MultiHeadAttention.attend

    def unscaled(self, q, k, v, mask):
        return attend(self, q * math.sqrt(q.shape[-1]), k, v, mask)

    patch.setattr(MultiHeadAttention, "attend", unscaled)


def mask_off_by_one(patch):
    right = transformer_module.causal_mask
    patch.setattr(transformer_module, "causal_mask", lambda length, device: right(length + 1, device=device)[1:, :-1])


def positions_from_one(patch):
    right = SinusoidalPositions.forward
    patch.setattr(SinusoidalPositions, "forward", lambda self, positions: right(self, positions + 1))


def unscaled_embedding(patch):
    patch.setattr(TokenEmbedding, "forward", lambda self, tokens: self.weight[tokens])


def norm_before_the_sum(patch):
    patch.setattr(Residual, "forward", lambda self, x, sublayer, is_token=None: x + self.norm(sublayer(x)))


def state_stays(patch):
    right = transformer_module.TransformerState.select

    def select(self, rows):
        return right(self, torch.arange(len(rows)) if len(rows) == len(self.lengths) else rows)

    patch.setattr(transformer_module.TransformerState, "select", select)
    patch.setattr(tree, "beam_search", tree.beam_search)


def changed_tensor(name, change):
    """Plant a change of what is recorded, behind all checks that the trace makes of itself."""

    def plant(patch):
        right = trace.Trace.put

        def put(self, path, tensor):
            right(self, path, change(tensor) if path.endswith(name) else tensor)

        patch.setattr(trace.Trace, "put", put)

    return plant


def exchanged_embeddings(patch):
    patch.setattr(trace, "_next", lambda seen, paths: paths[0] if paths[-1] in seen.calls else paths[-1])


def renamed(name, other):
    def plant(patch):
        right = explain.named

        def wrong(traced):
            found = right(traced)
            return {n: found[n.replace(name, other)] if n.endswith(name) else x for n, x in found.items()}

        patch.setattr(explain, "named", wrong)

    return plant


def beams_not_followed(patch):
    right = tree._Recorder.__call__

    def call(self, step):
        right(self, step)
        self.rows = [*sorted(row for row in self.rows if row is not None)][::-1] + [None] * self.rows.count(None)

    patch.setattr(tree._Recorder, "__call__", call)


def another_beams_attention(patch):
    patch.setattr(tree, "_of_row", lambda weights, row: weights[0, :, row - 1])


def last_token_only(patch):
    def node(number, parent, step, id, text, log_prob, score, *rest):
        return Node(number, parent, step, id, text, log_prob / (step + 2), score, *rest)

    patch.setattr(tree, "Node", node)


def all_finished_kept(patch):
    right = tree._Recorder.__call__

    def call(self, step):
        right(self, step)
        for node in self.nodes:
            node.kept = node.kept or node.finished

    patch.setattr(tree._Recorder, "__call__", call)


def entropy_in_bits(patch):
    right = steps.Step
    patch.setattr(steps, "Step", lambda top, entropy, *rest: right(top, entropy / math.log(2), *rest))


def forced_too_early(patch):
    right = rivals.forced
    patch.setattr(
        rivals,
        "forced",
        lambda translator, question, each, *rest: right(translator, question, [p[-1:] for p in each], *rest),
    )


def next_head(patch):
    right = ablation._Silenced.silence

    def silence(self, path, n_heads, heads):
        return right(self, path, n_heads, [(part, (head + 1) % n_heads) for part, head in heads])

    patch.setattr(ablation._Silenced, "silence", silence)


def off_in_every_sentence(patch):
    right = ablation._Silenced.silence

    def silence(self, path, n_heads, heads):
        return right(self, path, n_heads, [next(each for each in heads if each[0] == path)] * len(heads))

    patch.setattr(ablation._Silenced, "silence", silence)


def unsigned(patch):
    right = document.np.rint
    patch.setattr(document.np, "rint", lambda x: abs(right(x)))


def one_number_too_late(patch):
    right = document.pack

    def pack(arrays, room):
        table, *rest = right(arrays, room)
        return {name: {**entry, "offset": max(0, entry["offset"] - 2)} for name, entry in table.items()}, *rest

    patch.setattr(document, "pack", pack)


BUGS = {
    "the heads of W_Q, W_K and W_V are taken crosswise": (crosswise_heads, "numbers"),
    "1 / sqrt(d_k) is missing": (no_scale, "numbers"),
    "the causal mask lets one later position through": (mask_off_by_one, "numbers"),
    "positions are counted from 1": (positions_from_one, "numbers"),
    "the embedding is not scaled by sqrt(d_model)": (unscaled_embedding, "numbers"),
    "layer normalisation before the sum, not behind it": (norm_before_the_sum, "numbers"),
    "the decoder's state does not follow the beams": (state_stays, "beam"),
    "scores are divided twice where they are shown": (changed_tensor(".scaled", lambda x: x / 2), "numbers"),
    "the softmax runs over the queries": (changed_tensor(".weights", lambda x: x.softmax(-2)), "numbers"),
    "the source's and the target's embeddings are exchanged": (exchanged_embeddings, "numbers"),
    "what goes into a residual connection is shown as its sum": (
        renamed("_residual.sum", "_residual.input"),
        "numbers",
    ),
    "what comes before the activation is shown as what comes behind": (renamed(".activated", ".inner"), "numbers"),
    "beams are not followed where they cross": (beams_not_followed, "beam"),
    "a node has another beam's cross-attention": (another_beams_attention, "beam"),
    "the last token's log-probability is shown as the hypothesis's": (last_token_only, "beam"),
    "a hypothesis that fell out of the finished ones is still shown as kept": (all_finished_kept, "beam"),
    "entropy is in bits": (entropy_in_bits, "numbers"),
    "a rival is forced one step too early": (forced_too_early, "rivals"),
    "the head behind the one that is meant is off": (next_head, "heads"),
    "a head is off in every sentence of the batch": (off_in_every_sentence, "heads"),
    "16-bit numbers lose their sign": (unsigned, "document"),
    "tensors lie in the file one number too late": (one_number_too_late, "document"),
}
WHERE_IT_SHOWS = {
    "the source's and the target's embeddings are exchanged": {"tie": "three-way"},
    "a hypothesis that fell out of the finished ones is still shown as kept": {"seed": 8},
}
"""The model to look at, where not any shows a bug."""


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_turns_the_suite_red(bug, monkeypatch):
    plant, check = BUGS[bug]
    translator = transformer(**WHERE_IT_SHOWS.get(bug, {}))
    plant(monkeypatch)
    with pytest.raises((AssertionError, LookupError, ValueError)):  # also where shapes no longer fit
        CHECKS[check](translator)


def test_the_list_above_is_what_is_planted():
    rows = [row for row in re.findall(r"^\| (.+?) \| \w+ \| (\w+) \|$", __doc__, re.MULTILINE) if row[0] != "bug"]
    assert rows == [(bug, check) for bug, (_, check) in BUGS.items()] and len(rows) >= 12
