"""config.json in our terms, and our config in its."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clearhead.config import ModelConfig
from clearhead.errors import ClearheadError, RunError
from clearhead.interop.families import ACTIVATIONS, FAMILIES, Family, Head
from clearhead.runs.faults import FaultsError
from clearhead.text.tokenizer import TokenizerPair

LABELS = {"0": "LABEL_0", "1": "LABEL_1"}
"""What labels are called where config.json does not say."""
SINGLE = "single_label_classification"


def pad_id(settings: Mapping[str, Any]) -> int:
    """Return the token that a model is padded with."""
    found = settings.get("pad_token_id")
    return found if type(found) is int else 1


def read_settings(settings: Mapping[str, Any], family: Family, head: Head, output_bias: bool) -> dict[str, Any]:
    """Return the [model] table that config.json amounts to.

    output_bias: whether the tensors have one; config.json does not say.

    Raises:
        FaultsError: lists every setting that cannot be expressed.
    """
    faults = _refused(settings, family, head)
    if faults:
        raise FaultsError("bad-settings", faults)
    table = {**family.fixed, **{ours: settings.get(key, default) for key, (ours, default) in family.fields.items()}}
    table["activation"] = ACTIVATIONS[table["activation"]]
    table["d_ff"] = table["d_ff"] or 4 * table["d_model"]
    if family.counts_unused:
        table["max_positions"] -= family.unused(pad_id(settings))
    match head.form:
        case "classifier":
            return _classifier(settings, family, table)
        case "transformer":
            return {**table, "output_bias": output_bias}
        case "decoder":
            return table
        case _:
            return {**table, "head": head.form}


def _refused(settings: Mapping[str, Any], family: Family, head: Head) -> list[ClearheadError]:
    """Return what is not of the kind that it should be, or says what we have no words for."""
    refused: list[tuple[str, object]] = []
    for key, allowed in family.demands.items():
        if key in settings and settings[key] not in allowed:
            refused.append((key, _or(allowed)))
    for one, other in family.twins:
        if settings.get(one) != settings.get(other):
            refused.append((other, f"{one} = {settings.get(one)!r}"))
    for key, (ours, default) in {**family.fields, "vocab_size": ("", 0)}.items():
        value = settings.get(key, default if ours else None)
        kinds = {float: (float, int), type(None): (int, type(None))}.get(type(default), (type(default),))
        if type(value) not in kinds:
            refused.append((key, kinds[0].__name__))
        elif ours == "activation" and value not in ACTIVATIONS:
            refused.append((key, _or(ACTIVATIONS)))
    refused += _refused_labels(settings) if head.form == "classifier" else []
    return [RunError("foreign-setting", key=key, value=settings.get(key), wanted=wanted) for key, wanted in refused]


def _refused_labels(settings: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return the same of what a classifier says: each text has one label, of two at least."""
    refused: list[tuple[str, object]] = []
    named = settings.get("id2label") or LABELS
    if not isinstance(named, dict) or named.keys() != {*map(str, range(max(2, len(named))))}:
        refused.append(("id2label", '{"0": ..., "1": ...}'))
    if settings.get("problem_type") not in (None, SINGLE):
        refused.append(("problem_type", repr(SINGLE)))
    return refused


def _classifier(settings: Mapping[str, Any], family: Family, body: dict[str, Any]) -> dict[str, Any]:
    named = settings.get("id2label") or LABELS
    dropout = settings.get(family.label_dropout)
    return {
        "kind": "classifier",
        "body": {**body, "head": "none"},
        "labels": [named[key] for key in sorted(named, key=int)],
        "pooling": "first",
        "pooler": True,
        "pooler_activation": family.pooler_activation,
        "dropout": body["dropout"] if dropout is None else dropout,
    }


def expressing(config: ModelConfig) -> tuple[Family, Head]:
    """Return the family and the head that ``config`` is one of.

    Raises:
        FaultsError: there is none; lists what keeps it from being the nearest one.
    """
    said = config.model_dump()
    body = said.get("body", said)
    both = said | body | {"ngram_evidence.longest": said.get("ngram_evidence", {}).get("longest", 0)}
    form = "classifier" if "body" in said else said.get("head", said["kind"])
    nearest: list[ClearheadError] = []
    for family in FAMILIES.values():
        heads = [head for head in family.heads if head.form == form]
        if not heads:
            continue
        wanted = {"activation": tuple(ACTIVATIONS.values())} | {key: (value,) for key, value in family.fixed.items()}
        wanted |= family.allowed
        if form == "classifier":
            wanted |= {"pooling": ("first",), "pooler": (True,), "pooler_activation": (family.pooler_activation,)}
            wanted["ngram_evidence.longest"] = (0,)
        faults: list[ClearheadError] = [
            RunError("cannot-express", key=key, value=value, wanted=_or(dict.fromkeys(allowed)))
            for key, allowed in wanted.items()
            if key in both and (value := both[key]) not in allowed
        ]
        if not faults:
            return family, heads[0]
        if not nearest or len(faults) < len(nearest):
            nearest = faults
    kinds = dict.fromkeys(family.fixed["kind"] for family in FAMILIES.values())
    faults = nearest or [RunError("cannot-express", key="kind", value=said["kind"], wanted=_or(kinds))]
    raise FaultsError("cannot-export", faults)


def write_settings(family: Family, head: Head, config: ModelConfig, tokenizers: TokenizerPair) -> dict[str, Any]:
    """Return config.json."""
    said = config.model_dump()
    body, tokenizer = said.get("body", said), tokenizers.tgt
    table = {**body, "activation": next(its for its, ours in ACTIVATIONS.items() if ours == body["activation"])}
    if family.counts_unused:
        table["max_positions"] += family.unused(tokenizer.pad_id)
    settings: dict[str, Any] = {
        "model_type": family.name,
        "architectures": [head.architecture[0]],
        "dtype": "float32",
        "vocab_size": tokenizer.vocabulary_size,
        "pad_token_id": tokenizer.pad_id,
        "bos_token_id": tokenizer.roles().get("bos"),
        "eos_token_id": tokenizer.eos_id,
    }
    settings |= {key: table[ours] for key, (ours, _) in family.fields.items()}
    settings |= {other: settings[one] for one, other in family.twins}
    if head.form == "transformer":
        settings["decoder_start_token_id"] = tokenizer.decoder_start_id
        settings["forced_eos_token_id"] = tokenizer.eos_id
    if head.form == "classifier":
        settings["id2label"] = {str(number): label for number, label in enumerate(said["labels"])}
        settings["label2id"] = {label: number for number, label in enumerate(said["labels"])}
        settings[family.label_dropout] = said["dropout"]
    return settings


def _or(values: Iterable[object]) -> str:
    return " or ".join(map(repr, values))
