"""An explanation as one JSON-able document: words and numbers as they are, tensors in 16 bits, deflated."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from clearhead.inspection.ablation import Ablation
from clearhead.inspection.checkpoints import Moment
from clearhead.inspection.explanation import Beam, Explanation, Outcome, PlacedToken, Step
from clearhead.inspection.parts import parts
from clearhead.inspection.rivals import Rival
from clearhead.inspection.room import Left, leaving, limit

FORMAT = 1
LARGEST = 32767
"""Numbers become whole multiples of a 32767th of a tensor's largest magnitude."""

COARSE = 255
"""Steps between 0 and 1 of the weights at each checkpoint, which are many and only looked at."""

ENTRY = 130
"""Bytes of a tensor's row in the table, its name left out."""

DERIVED = (".scaled", ".concatenated", ".stack", "_residual.sum")
"""What one operation gives of what is in the file: scores / sqrt(d_k), z's heads side by side, x + sublayer(x)."""


def document(
    explanation: Explanation, run: Mapping[str, Any], config: Mapping[str, Any], in_file: int = 0, **more: Any
) -> dict[str, Any]:
    """Return ``explanation`` with what is known of its run; the format is described in docs/formats.md.

    Args:
        run: name, version, parameters and weights_sha256 of the run.
        config: the model's config, with the sizes of the vocabularies.
        in_file: how many documents share the file that this one is for, which leaves out what would make it too large
            (see ``room.py``); 0 where there is none.
        more: what else is known (see ``inspector.py``): rivals, ablations, checkpoints; compare, other documents.
    """
    tensors = dict(explanation.tensors)
    beam, crosses = _beam(explanation.beam)
    if len(crosses):
        tensors["beam.cross"] = crosses
    moments = more.get("checkpoints", [])
    tensors |= {
        _moment_name(moment): np.rint(moment.cross * COARSE) / COARSE for moment in moments if moment.cross is not None
    }
    body = config.get("body") or config
    derived = (*DERIVED, ".activated") if body.get("activation") == "relu" else DERIVED  # max(0, inner)
    made = {
        "format": FORMAT,
        "kind": explanation.kind,
        "run": dict(run),
        "config": dict(config),
        "src": {"text": explanation.src_text, "tokens": _tokens(explanation.src)},
        "tgt": {
            "text": explanation.tgt_text,
            "inputs": _tokens(explanation.tgt_inputs),
            "outputs": _tokens(explanation.tgt_outputs),
            "log_prob": explanation.log_prob,
            "score": explanation.score,
        },
        "parts": parts(explanation, body.get("positions", "")),
        "steps": [_step(step) for step in explanation.steps],
        "greedy": _outcome(explanation.greedy),
        "beam": beam,
        "cache": [each._asdict() for each in explanation.beam.cache] if explanation.beam else [],
        "labels": [label._asdict() for label in explanation.labels],
        "contributions": {name: list(values) for name, values in explanation.contributions.items()},
        "rivals": [rival_of(each) for each in more.get("rivals", [])],
        "ablations": [ablation_of(each) for each in more.get("ablations", [])],
        "checkpoints": [_moment(each, explanation) for each in moments],
        "compare": more.get("compare", []),
    }
    room = None
    if in_file:
        longest = max(len(explanation.src), len(explanation.tgt_inputs))
        room = limit(longest, body["d_model"], in_file) - len(json.dumps(made, ensure_ascii=False).encode())
    kept = {name: array for name, array in tensors.items() if not name.endswith(derived)}
    table, blob, left = pack(kept, room)
    return {**made, "tensors": table, "blob": blob, "left_out": [each._asdict() for each in left]}


def pack(
    arrays: Mapping[str, np.ndarray], room: int | None = None
) -> tuple[dict[str, dict[str, Any]], str, list[Left]]:
    """Return a table of tensors, their bytes, deflated (raw, RFC 1951) and in base 64, and what was left out.

    A number is ``scale`` times its 16-bit integer, which is off by half a ``scale`` at most; zero stays zero. Tensors
    of the same bytes lie in the file once.

    room: how many bytes all of that may take; None where there is no bound.
    """
    entries: dict[str, dict[str, Any]] = {}
    own: dict[str, bytes] = {}
    for name, array in arrays.items():
        if array.dtype == np.bool_:
            scale, kind = 1.0, "bool"
            data = array.astype(np.uint8).tobytes()
            data += b"\0" * (len(data) % 2)
        else:
            largest = float(np.abs(array).max()) if array.size else 0.0
            scale, kind = (largest / LARGEST or 1.0), "int16"
            data = np.rint(array.astype(np.float64) / scale).astype("<i2").tobytes()
        own[name] = data
        entries[name] = {"shape": list(array.shape), "dtype": kind, "scale": scale}
    squeezed = {data: _deflated(data) for data in set(own.values())}

    def weigh(names: Collection[str]) -> int:
        deflated = sum(len(squeezed[data]) for data in {own[name] for name in names})
        return 4 * (deflated // 3 + 1) + sum(len(name) + ENTRY for name in names)

    gone, left = (set[str](), []) if room is None else leaving(own, weigh, room)
    places: dict[bytes, int] = {}
    table, length = {}, 0
    for name, data in own.items():
        if name not in gone:
            if data not in places:
                places[data] = length
                length += len(data)
            table[name] = {**entries[name], "offset": places[data]}
    blob = b"".join(squeezed[data] for data in places) + _deflated(b"", zlib.Z_FINISH)
    return table, base64.b64encode(blob).decode(), left


def _deflated(data: bytes, end: int = zlib.Z_FULL_FLUSH) -> bytes:
    """Return ``data`` as part of a stream that stands by itself: it weighs the same whatever is beside it."""
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeezed.compress(data) + squeezed.flush(end)


def unpack(table: Mapping[str, Mapping[str, Any]], blob: str) -> dict[str, np.ndarray]:
    """Return the arrays that ``pack`` was given, rounded to 16 bits."""
    data = zlib.decompress(base64.b64decode(blob), -zlib.MAX_WBITS)
    found = {}
    for name, entry in table.items():
        kind = np.dtype("<i2") if entry["dtype"] == "int16" else np.dtype(np.uint8)
        count = int(np.prod(entry["shape"], dtype=np.int64))
        flat = np.frombuffer(data, kind, count, entry["offset"]).reshape(entry["shape"])
        found[name] = flat * np.float64(entry["scale"]) if entry["dtype"] == "int16" else flat.astype(np.bool_)
    return found


def _tokens(tokens: tuple[PlacedToken, ...]) -> list[dict[str, Any]]:
    return [token._asdict() for token in tokens]


def _step(step: Step) -> dict[str, Any]:
    said = {"top": [each._asdict() for each in step.top], "entropy": step.entropy}
    return said if step.chosen is None else {**said, "chosen": step.chosen, "log_prob": step.log_prob}


def _outcome(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {"text": outcome.text, "tokens": list(outcome.tokens), "log_prob": outcome.log_prob, "score": outcome.score}


def _beam(beam: Beam | None) -> tuple[dict[str, Any] | None, np.ndarray]:
    """Return the tree, and the cross-attention (nodes that were asked, L, H, S) that its nodes point into."""
    if beam is None:
        return None, np.zeros((0, 0, 0, 0), np.float32)
    nodes: list[dict[str, Any]] = []
    crosses: list[np.ndarray] = []
    for node in beam.nodes:
        asked = {"top": None, "entropy": None} if node.asked is None else _step(node.asked)
        row = None
        if node.cross is not None:
            row = len(crosses)
            crosses.append(node.cross)
        names = ("node", "parent", "step", "id", "text", "log_prob", "score", "kept", "finished")
        nodes.append({**{name: getattr(node, name) for name in names}, **asked, "cross": row})
    tree = {"beam_size": beam.beam_size, "length_penalty": beam.length_penalty, "nodes": nodes, "best": beam.best}
    return tree, np.stack(crosses) if crosses else np.zeros((0, 0, 0, 0), np.float32)


def compared(document: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return ``document`` with ``other``, and what stands beside that, beside it."""
    return {**document, "compare": [*document["compare"], {**other, "compare": []}, *other["compare"]]}


def rival_of(rival: Rival) -> dict[str, Any]:
    """Return a rival as the document has it."""
    own = {"step": rival.step, "id": rival.id, "text": rival.text, "log_prob": rival.log_prob}
    return {**own, "translation": rival.outcome.text, "score": rival.outcome.score}


def ablation_of(ablation: Ablation) -> dict[str, Any]:
    """Return a head that was switched off as the document has it."""
    own = {"part": ablation.part, "head": ablation.head, "delta_log_prob": ablation.delta_log_prob}
    return {**own, **said(ablation.outcome)}


def _moment(moment: Moment, explanation: Explanation) -> dict[str, Any]:
    own = {"step": moment.step, "reference_log_prob": moment.log_prob, "loss": moment.loss, **said(moment.outcome)}
    rows = [{"id": token.id, "text": token.text} for token in explanation.tgt_outputs]
    return {**own, "tokens": rows, "cross": None if moment.cross is None else _moment_name(moment)}


def _moment_name(moment: Moment) -> str:
    return f"checkpoints.{'final' if moment.step is None else moment.step}.cross"


def said(outcome: Outcome) -> dict[str, Any]:
    """Return what came out as the document has it."""
    return {"translation": outcome.text, "log_prob": outcome.log_prob, "score": outcome.score}
