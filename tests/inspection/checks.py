"""The checks that what is shown is what the model computed. Each takes a translator and looks at one sentence."""

from __future__ import annotations

import math

import numpy as np
import torch
from safetensors.numpy import load, save

from clearhead.decoding.hypothesis import length_penalty
from clearhead.inspection.ablation import ablations, heads_of, without_heads
from clearhead.inspection.document import document, unpack
from clearhead.inspection.explain import answer, ask, teach
from clearhead.inspection.rivals import rivals
from clearhead.models.build import named_weights

from .numpy_model import NumpyStack, NumpyTransformer
from .small import TEXT


def look(translator, text=TEXT):
    question = ask(translator, text)
    return question, answer(translator, question)


def stored(model):
    """The weights as they lie in a run folder."""
    return load(save({name: weight.numpy() for name, weight in named_weights(model).items()}))


# --- every number


def check_numbers(translator, text=TEXT):
    _, explanation = look(translator, text)
    src, tgt = ([token.id for token in tokens] for tokens in (explanation.src, explanation.tgt_inputs))
    assert tgt == [translator.tokenizers.tgt.decoder_start_id, *[token.id for token in explanation.tgt_outputs[:-1]]]
    check_traced(translator.model, explanation, NumpyTransformer, src, tgt)


def check_stack(model, explanation, stack):
    """The same of a model with one stack."""
    ids = [token.id for token in (explanation.src if stack == "encoder" else explanation.tgt_inputs)]
    check_traced(model, explanation, NumpyStack, ids, stack)


def check_traced(model, explanation, recomputed, *arguments):
    weights, config, traced = stored(model), model.config, explanation.tensors
    for given, within in ((traced, 1e-5), (None, 1e-4)):
        model = recomputed(weights, config, given)
        logits = model(*arguments)
        assert set(model.values) == set(traced)
        for name, expected in model.values.items():
            close(name, traced[name], expected, within)
        for step, row in zip(explanation.steps, logits, strict=True):
            check_step(step, row, within * np.abs(logits).max())
    for name in traced:
        if name.endswith(".weights"):
            check_weights(traced[name], traced[name.replace(".weights", ".mask")])


def close(name, found, expected, within):
    assert found.shape == expected.shape, name
    if expected.dtype == bool:
        assert found.dtype == bool and (found == expected).all(), name
    else:
        apart = np.abs(found.astype(np.float64) - expected).max()
        assert apart <= within * np.abs(expected).max(), f"{name}: {apart}"


def check_weights(weights, mask):
    assert np.abs(weights.astype(np.float64).sum(-1) - 1).max() <= 1e-6
    assert (weights[:, ~mask] == 0).all() and (weights >= 0).all()


def check_step(step, logits, within):
    log_probs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    assert [each.id for each in step.top] == list(np.argsort(-logits, kind="stable")[:10])
    for each in step.top:
        assert abs(each.logit - logits[each.id]) <= within and abs(each.log_prob - log_probs[each.id]) <= within
    assert abs(step.entropy + (np.exp(log_probs) * log_probs).sum()) <= within
    if step.chosen is not None:
        assert abs(step.log_prob - log_probs[step.chosen]) <= within


# --- the beam


def check_beam(translator, text=TEXT):
    """Each node against teacher forcing of its prefix, and each step's nodes against all continuations there were."""
    question, explanation = look(translator, text)
    beam, alpha, said = explanation.beam, question.alpha, translator(text)
    forbidden = set(question.problem.forbidden.tolist())
    continuations = {}
    for node in beam.nodes:
        assert node.node == beam.nodes.index(node)
        if node.asked is None:
            continue
        tokens = beam.tokens(node.node)
        traced, logits = teach(translator, question.ids, [*tokens, 0])
        log_probs = logits.log_softmax(-1)
        own = sum(float(log_probs[place, token]) for place, token in enumerate(tokens))
        assert abs(own - node.log_prob) <= 1e-5 * max(1.0, abs(own))
        check_step(node.asked, logits[-1].double().numpy(), 1e-5 * float(logits.abs().max()))
        check_cross(node, traced)
        best = log_probs[-1].topk(2 * beam.beam_size + len(forbidden))
        mine = [(own + p, node.node, id) for p, id in zip(best.values.tolist(), best.indices.tolist())]
        continuations.setdefault(node.step + 1, []).extend(each for each in mine if each[2] not in forbidden)
    for step, possible in continuations.items():
        nodes = [node for node in beam.nodes if node.step == step]
        expected = sorted(possible, reverse=True)[: 2 * beam.beam_size]
        assert [(node.parent, node.id) for node in nodes] == [each[1:] for each in expected]
        for node, (log_prob, _, _) in zip(nodes, expected):
            assert abs(node.log_prob - log_prob) <= 1e-5 * max(1.0, abs(log_prob))
            assert abs(node.score - node.log_prob / length_penalty(step + 1, alpha)) <= 1e-6 * max(1.0, abs(node.score))
    check_kept(beam, said)


def check_cross(node, traced):
    crosses = [weights[:, -1].numpy() for name, weights in traced.items() if name.endswith("cross_attention.weights")]
    if "attention.weights" in traced:  # a recurrent model's, of one layer and one head
        crosses = [traced["attention.weights"][None, -1].numpy()]
    if crosses:
        assert np.abs(node.cross - np.stack(crosses)).max() <= 1e-5
    else:
        assert node.cross is None


def check_kept(beam, said):
    """The best hypothesis is the translation; what was kept lived on, or is among the best that ended."""
    best = beam.nodes[beam.best]
    tokens = [token.id for token in said.tokens]
    assert beam.tokens(beam.best) == ([*tokens, best.id] if said.finished else tokens)
    assert abs(best.score - said.score) <= 1e-6 * max(1.0, abs(said.score)) and best.kept
    finished = [node for node in beam.nodes if node.finished and node.kept]
    assert len(finished) <= beam.beam_size
    for node in beam.nodes:
        alive = node.kept and not node.finished
        assert alive or node.asked is None
        if alive and node.step + 1 < len(beam.cache):
            assert node.asked is not None
    if beam.cache[0].positions:  # what a recurrent model keeps does not grow
        assert [each.positions for each in beam.cache] == list(range(1, len(beam.cache) + 1))


# --- what if


def check_rivals(translator):
    """A forced rival is what a translation with that prefix is."""
    question, explanation = look(translator)
    found, compared = rivals(translator, question, explanation), 0
    tokens, tgt = [token.id for token in explanation.tgt_outputs], translator.tokenizers.tgt
    for rival in found:
        assert rival.id != tokens[rival.step]
        assert rival.id in [each.id for each in explanation.steps[rival.step].top[:5]]
        assert rival.outcome.tokens[: rival.step + 1] in (
            (*tokens[: rival.step], rival.id),
            tuple(tokens[: rival.step]),  # the rival is eos
        )
        prefix = tgt.decode([*tokens[: rival.step], rival.id])
        if tgt.encode(prefix) == [*tokens[: rival.step], rival.id]:
            said = translator(TEXT, prefix=prefix)
            assert (said.text, said.tokens[rival.step].id) == (rival.outcome.text, rival.id)
            assert abs(said.score - rival.outcome.score) <= 1e-5 and abs(said.log_prob - rival.outcome.log_prob) <= 1e-5
            assert abs(said.tokens[rival.step].log_prob - rival.log_prob) <= 1e-5
            compared += 1
    assert compared >= 3


@torch.no_grad()
def check_heads(translator):
    """A head that is off is a head whose slice of W_O is zero: bit for bit; and so is what comes of it."""
    question, explanation = look(translator)
    model, tokens = translator.model, [token.id for token in explanation.tgt_outputs]
    heads = heads_of(model)
    assert len(heads) == model.config.n_heads * (model.config.n_encoder_layers + 2 * model.config.n_decoder_layers)
    batch = translator.teacher_batch([question.ids] * len(heads), [tokens] * len(heads))
    with without_heads(model, heads) as silenced:
        hidden = silenced.forward(batch)
    before = model.forward(batch)
    with_all = sum(step.log_prob for step in explanation.steps)
    for number, (found, (part, head)) in enumerate(zip(ablations(translator, question, explanation), heads)):
        w_o, width = model.get_submodule(part).w_o.weight, model.config.d_model // model.config.n_heads
        kept = w_o.clone()
        w_o[:, head * width : (head + 1) * width] = 0.0
        without = model.forward(batch)
        assert torch.equal(hidden[number], without[number]) and not torch.equal(hidden[number], before[number])
        said = translator(TEXT) if number % 5 == 0 else None
        w_o.copy_(kept)
        log_probs = model.project(without[number]).log_softmax(-1)
        expected = sum(float(log_probs[place, token]) for place, token in enumerate(tokens)) - with_all
        assert (found.part, found.head) == (part, head) and abs(found.delta_log_prob - expected) <= 1e-4
        if said is not None:
            assert found.outcome.text == said.text and abs(found.outcome.score - said.score) <= 1e-5


# --- the document


def check_document(translator):
    """What the page gets is what was recorded, rounded to 16 bits; what it leaves out follows by one operation."""
    _, explanation = look(translator)
    made = document(explanation, {}, translator.model.config.model_dump(mode="json"))
    arrays = unpack(made["tensors"], made["blob"])
    crosses = np.stack([node.cross for node in explanation.beam.nodes if node.cross is not None])
    for name, array in {**explanation.tensors, "beam.cross": crosses}.items():
        if name.endswith((".scaled", ".concatenated", ".stack", "_residual.sum", ".activated")):
            assert name not in arrays
        elif array.dtype == bool:
            assert (arrays[name] == array).all()
        else:
            assert np.abs(arrays[name] - array).max() <= np.abs(array).max() / 65534 * (1 + 1e-6)
            assert (arrays[name][array == 0] == 0).all()
    d_k = translator.model.config.d_model // translator.model.config.n_heads
    for name, scaled in explanation.tensors.items():
        if name.endswith(".scaled"):
            derived = arrays[name.replace(".scaled", ".scores")] / math.sqrt(d_k)
            assert np.abs(derived - scaled).max() <= np.abs(scaled).max() / 30000
        if name.endswith("_residual.sum"):
            x, y = arrays[name.replace(".sum", ".input")], arrays[name.replace("_residual.sum", ".output")]
            assert np.abs(x + y - scaled).max() <= (np.abs(x).max() + np.abs(y).max()) / 60000
        if name.endswith(".activated"):
            inner = arrays[name.replace(".activated", ".inner")]
            assert np.abs(np.maximum(inner, 0) - scaled).max() <= np.abs(inner).max() / 60000
    for node, written in zip(explanation.beam.nodes, made["beam"]["nodes"], strict=True):
        assert (written["cross"] is None) == (node.cross is None)
        if node.cross is not None:
            assert np.abs(arrays["beam.cross"][written["cross"]] - node.cross).max() <= 1 / 65534 * (1 + 1e-6)


CHECKS = {
    "numbers": check_numbers,
    "beam": check_beam,
    "rivals": check_rivals,
    "heads": check_heads,
    "document": check_document,
}
