"""A beam search as a tree: what it looked at, step by step, heard through its one seam."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearhead.decoding.beam import BeamStep, beam_search
from clearhead.decoding.hypothesis import Hypothesis
from clearhead.decoding.problem import Problem
from clearhead.inspection.explanation import Beam, CacheStep, Node
from clearhead.inspection.steps import steps_of
from clearhead.inspection.trace import CORES, Trace, tracing
from clearhead.models.interface import Seq2Seq
from clearhead.text.foreign import AnyTokenizer


def beam_tree(
    model: Seq2Seq, problem: Problem, tokenizer: AnyTokenizer, beam_size: int, alpha: float, exhaustive: bool = False
) -> tuple[Beam, Hypothesis]:
    """Search one sentence as ``beam_search`` does; return all that it looked at, and the best hypothesis.

    tokenizer: the target's.
    """
    assert len(problem.limits) == 1 and isinstance(model, nn.Module)
    with tracing(model, CORES) as trace:
        recorder = _Recorder(trace, problem, tokenizer, beam_size)
        (found,) = beam_search(model, problem, beam_size, alpha, 1, exhaustive, recorder)
    best = [*found[0].tokens, problem.eos_id] if found[0].finished else [*found[0].tokens]
    beam = Beam(beam_size, alpha, tuple(recorder.nodes), recorder.find(best), tuple(recorder.cache))
    return beam, found[0]


class _Recorder:
    """Turns the steps of a search into nodes.

    rows: the node that each row of the decoder's state stands for, None where there is no hypothesis.
    pool: the finished nodes that are kept, best first, as the search keeps them.
    """

    def __init__(self, trace: Trace, problem: Problem, tokenizer: AnyTokenizer, beam_size: int) -> None:
        self.trace, self.problem, self.tokenizer = trace, problem, tokenizer
        start = problem.decoder_start_id
        self.nodes = [Node(0, None, -1, start, tokenizer.token_text(start), 0.0, 0.0, True, False)]
        self.rows: list[int | None] = [0] + [None] * (beam_size - 1)
        self.pool: list[Node] = []
        self.cache: list[CacheStep] = []

    def __call__(self, step: BeamStep) -> None:
        self._ask(step)
        tokens, beams = step.tokens[0].tolist(), step.beams[0].tolist()
        log_probs, scores = step.log_probs[0].tolist(), step.scores[0].tolist()
        going, ended = step.going[0].tolist(), step.ended[0].tolist()
        places: dict[int, int] = {}  # place among the continuations -> node
        for place, (beam, token, log_prob, score) in enumerate(zip(beams, tokens, log_probs, scores)):
            if log_prob == -torch.inf:
                continue
            number, parent = len(self.nodes), self.rows[beam]
            assert parent is not None
            places[place] = number
            finished = token == self.problem.eos_id
            text = self.tokenizer.token_text(token)
            kept = place in going and not finished
            self.nodes.append(Node(number, parent, step.position, token, text, log_prob, score, kept, finished))
        new = [self.nodes[places[place]] for place in places if ended[place]]
        ranked = sorted([*self.pool, *new], key=lambda node: -node.score)
        for rank, node in enumerate(ranked):
            node.kept = rank < len(self.rows)
        self.pool = ranked[: len(self.rows)]
        self.rows = [places.get(place) for place in going]

    def _ask(self, step: BeamStep) -> None:
        """Note what the model says next of each live hypothesis, and where it looks for it."""
        seen = self.trace.take()
        crosses = [weights for name, weights in seen.items() if name.endswith(CROSS)]
        rows = [row for row, node in enumerate(self.rows) if node is not None]
        said = steps_of(step.logits[rows], self.tokenizer)
        for row, asked in zip(rows, said):
            node = self.nodes[self.rows[row] or 0]
            node.asked = asked
            if crosses:
                node.cross = torch.stack([_of_row(weights, row) for weights in crosses]).float().cpu().numpy()
        own = {name: keys for name, keys in seen.items() if name.endswith((".k", ".v"))}
        filled = [keys.shape[2] for name, keys in own.items() if ".self_attention." in name]
        used = sum(keys.numel() * keys.element_size() for keys in own.values())
        self.cache.append(CacheStep(step.position, max(filled, default=0), used))

    def find(self, tokens: list[int]) -> int:
        """Return the node of a hypothesis."""
        at: int | None = 0
        for token in tokens:
            at = next((node.node for node in self.nodes if node.parent == at and node.id == token), None)
        assert at is not None, "the search found what it did not look at"
        return at


CROSS = (".cross_attention.weights", "decoder.attention.weights")


def _of_row(weights: Tensor, row: int) -> Tensor:
    """Return one row's weights (H, S) of (G, H, W * n, S), a sentence's rows together and n = 1."""
    per_group = weights.shape[2]
    return weights[row // per_group, :, row % per_group]
