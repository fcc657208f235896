"""From TOML and ``key=value`` to a config; what is wrong is told with its place and the nearest name."""

from __future__ import annotations

import copy
import difflib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from clearhead.config.data import SOURCES
from clearhead.config.models import (
    ALL_PRESETS,
    MODELS,
    RECURRENT_PRESETS,
    BagConfig,
    ClassifierConfig,
    EncoderConfig,
    RecurrentEncoderConfig,
)
from clearhead.config.run import TASKS, RunConfig
from clearhead.config.section import Section
from clearhead.errors import ConfigError, RunError

BODIES = (EncoderConfig, RecurrentEncoderConfig, BagConfig)
AnySection = TypeVar("AnySection", bound=Section)


def read_config(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> RunConfig:
    """Read a recipe or a run.toml and apply ``key=value`` overrides (TOML values, dotted keys).

    Raises:
        ConfigError: not TOML, an unknown key (with the nearest name), a value out of range.
        RunError: the file cannot be read.
    """
    return make_config(read_toml(path), overrides, where=str(path))


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file as nested tables.

    Raises:
        ConfigError: not TOML.
        RunError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise RunError("cannot-read", path=path, problem=error.strerror) from error
    except UnicodeDecodeError as error:
        raise ConfigError("bad-toml", where=path, problem="not UTF-8") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError; too many digits; nested too deep
        raise ConfigError("bad-toml", where=path, problem=error) from error


def make_config(table: dict[str, Any], overrides: list[str] | tuple[str, ...] = (), where: str = "config") -> RunConfig:
    """Turn a nested table into a RunConfig: preset filled in, overrides applied, every key checked.

    Raises:
        ConfigError: an unknown key (with the nearest name), a value out of range, an override that is not key=value.
    """
    table = copy.deepcopy(table)  # the caller's stays as it is
    for override in overrides:
        _apply(table, override)
    table = _with_kind(_with_preset(table, where))
    try:
        return RunConfig.model_validate(table)
    except ValidationError as error:
        raise _as_config_error(error, where) from error


def with_overrides(config: RunConfig, overrides: list[str] | tuple[str, ...]) -> RunConfig:
    """Return ``config`` with ``key=value`` overrides applied."""
    return make_config(config.model_dump(exclude_none=True), overrides, where="--set")


def changed(section: AnySection, changes: dict[str, Any], where: str) -> AnySection:
    """Return ``section`` with other values of some of its fields.

    Raises:
        ConfigError: a value is none that the field may have; ``where`` is where it was given.
    """
    try:
        return type(section).model_validate({**section.model_dump(), **changes})
    except ValidationError as error:
        raise _as_config_error(error, where) from error


def check_long_texts(value: str) -> None:
    """Check the option that says what becomes of a text that a model cannot take whole.

    Raises:
        ConfigError: it is neither "cut" nor "refuse".
    """
    if value not in ("cut", "refuse"):
        raise ConfigError("bad-value", where="pipeline", key="long_texts", value=value, problem="cut or refuse")


def resolved(config: RunConfig) -> RunConfig:
    """Return ``config`` as a run folder keeps it: ``data.root`` expanded, ``data.max_tokens`` what the model takes.

    Raises:
        ConfigError: ``data.root`` names a variable that is not set.
    """
    limit = min(config.data.max_tokens, config.model.max_positions)
    data = config.data.model_copy(update={"root": expand_root(config.data.root), "max_tokens": limit})
    return config.model_copy(update={"data": data})


def expand_root(root: str) -> str:
    """Return ``data.root`` with ~ and environment variables filled in.

    Raises:
        ConfigError: a variable is not set.
    """
    for name in re.findall(r"\$\{?(\w+)\}?", root):
        if name not in os.environ:
            raise ConfigError("unset-variable", where="data.root", value=root, name=name)
    return os.path.expanduser(os.path.expandvars(root))


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError("bad-set", value=override)
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()  # a bare word is a string: --set model.norm=pre
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError("bad-set", value=override)
    table[names[-1]] = parsed


def _with_preset(table: dict[str, Any], where: str, key: str = "model") -> dict[str, Any]:
    """Return ``table`` with the preset that the model at its last ``key``, and that one's body, may name filled in."""
    model = table.get(key.rpartition(".")[2])
    if not isinstance(model, dict):
        return table
    presets = RECURRENT_PRESETS if model.get("kind") == "recurrent" else ALL_PRESETS
    rest = {key: value for key, value in model.items() if key != "preset"}
    if "preset" in model:
        name = model["preset"]
        if name not in presets:
            problem = _one_of(name, list(presets))
            raise ConfigError("bad-value", where=where, key=f"{key}.preset", value=name, problem=problem)
        rest = {**presets[name], **rest}
    return {**table, key.rpartition(".")[2]: _with_preset(rest, where, f"{key}.body")}


def _with_kind(table: dict[str, Any]) -> dict[str, Any]:
    """Return ``table`` with the kind of model that its task is learnt by, where it names none; a classifier's body is
    an encoder."""
    task, model = table.get("task"), table.get("model", {})
    if not (isinstance(task, str) and task in TASKS and isinstance(model, dict)):
        return table
    model = {"kind": TASKS[task][0][0], **model}
    if isinstance(body := model.get("body"), dict):
        model["body"] = {"kind": EncoderConfig().kind, **body}
    return {**table, "model": model}


def first_fault(error: ValidationError) -> ErrorDetails:
    """Return the fault to tell of: an unknown key, if there is one, since it may be what a missing one is meant by."""
    return min(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")


IN_TOML = {"tuple_type": "Input should be a list: [..., ...]"} | dict.fromkeys(
    ("dict_type", "model_type", "model_attributes_type", "union_tag_invalid"), "Input should be a table"
)
"""What Python's types, of which pydantic speaks, are called in a recipe."""


KINDS: dict[str, Collection[object]] = {"sources": SOURCES, "valid": SOURCES, "model": MODELS, "body": MODELS}
"""After which keys of a recipe pydantic puts the name of a kind, and which names."""


def fault_as_error(fault: ErrorDetails, where: str, place: list[str], known: Collection[str]) -> ConfigError:
    """Return what is wrong at ``place``, the keys on the way to it; the last of them may be any of the ``known``."""
    key = ".".join(place)
    if fault["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.0)
        return ConfigError("unknown-key", where=where, key=key, nearest=".".join([*place[:-1], *nearest]))
    problem = IN_TOML.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "missing":
        return ConfigError("missing-key", where=where, key=key)
    if isinstance(fault["input"], (dict, BaseModel)):  # of several values, or of a table's own kind
        return ConfigError("bad-section", where=f"{where}: {key}" if key else where, problem=problem)
    return ConfigError("bad-value", where=where, key=key, value=fault["input"], problem=problem)


def _as_config_error(error: ValidationError, where: str) -> ConfigError:
    first = first_fault(error)
    place = place_of(first["loc"], KINDS)
    if first["type"] == "union_tag_invalid" and isinstance(first["input"], (dict, BaseModel)):
        kinds = re.findall(r"'([^']+)'", first["ctx"]["expected_tags"])
        key, value = ".".join([*place, "kind"]), first["ctx"]["tag"]
        return ConfigError("bad-value", where=where, key=key, value=value, problem=_one_of(value, kinds))
    return fault_as_error(first, where, place, _known(first["loc"]))


def place_of(loc: tuple[int | str, ...], kinds: Mapping[str, Collection[object]]) -> list[str]:
    """Return the keys on the way to a place, without the names of the ``kinds`` that pydantic puts after some keys."""
    found: list[str] = []
    last = ""
    for part in loc:
        if part not in kinds.get(last, ()):
            found.append(str(part))
        last = last if isinstance(part, int) else part
    return found


def _known(loc: tuple[int | str, ...]) -> list[str]:
    """Return what the last key of a place might have been."""
    section: Any = RunConfig
    for part in loc[:-1]:
        kinds = SOURCES | MODELS
        if part in kinds:
            section = kinds[part]
        elif not isinstance(part, int) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            section = annotation if isinstance(annotation, type) else section
    if section is ClassifierConfig and any(loc[-1] in body.model_fields for body in BODIES):
        return [f"body.{loc[-1]}"]
    return [*section.model_fields, *(["preset"] if section in MODELS.values() else [])]


def _one_of(value: object, names: list[str]) -> str:
    close = difflib.get_close_matches(str(value), names, n=1, cutoff=0.0)[0]
    return f"one of {', '.join(names)}; the nearest is {close!r}"
