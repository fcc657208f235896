"""What a comparison is: its TOML, the two sets of models that come with clearhead, and one config for each model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from clearhead.cli.recipe import find_recipe
from clearhead.config import (
    BuiltIn,
    NonNegative,
    Positive,
    RunConfig,
    Section,
    expand_root,
    fault_as_error,
    first_fault,
    make_config,
    place_of,
    read_toml,
)
from clearhead.errors import ConfigError

Table = dict[str, Any]
MANY_STEPS: Final = 1_000_000
"""More than any budget of minutes has room for."""
FolderName = Annotated[str, Field(pattern=r"^[\w][\w+.-]*$", max_length=80)]
"""A model's name is its folder's."""

LADDER: Final[dict[str, Table]] = {
    "rnn": {"kind": "recurrent", "cell": "rnn", "attention": "none"},
    "gru": {"kind": "recurrent", "cell": "gru", "attention": "none"},
    "lstm": {"kind": "recurrent", "cell": "lstm", "attention": "none"},
    "lstm-additive": {"kind": "recurrent", "cell": "lstm", "attention": "additive"},
    "lstm-multiplicative": {"kind": "recurrent", "cell": "lstm", "attention": "general"},
    "transformer-post": {"norm": "post"},
    "transformer-pre": {"norm": "pre"},
}
"""From one vector for a whole sentence to attention, and from attention beside recurrence to attention alone."""

ABLATIONS: Final[dict[str, Table]] = {
    "full": {},
    "no-positions": {"positions": "none"},
    "counted-positions": {"positions": "counted"},
    "normalised-count": {"positions": "normalised"},
    "learned-positions": {"positions": "learned"},
    "no-residual": {"residual": False},
    "no-norm": {"norm": "none"},
    "batch-norm": {"norm": "batch"},
    "one-head": {"n_heads": 1},
    "no-scale": {"attention_scale": False},
    "no-causal-mask": {"causal_mask": False},
}
"""The Transformer, and the Transformer with one part switched off or replaced; "full" has sinusoidal positions."""

SETS: Final = {"ladder": (LADDER, "transformer-post"), "ablations": (ABLATIONS, "full")}
"""Each set with the model that the others are compared with."""


class Shared(Section):
    """What models have in common, as tables of a recipe."""

    data: Table = Field(default={})
    tokenizer: Table = Field(default={})
    model: Table = Field(default={})
    training: Table = Field(default={})
    decoding: Table = Field(default={})
    evaluation: Table = Field(default={})


class Model(Shared):
    """A model to compare: what differs from what all, or all of its kind, have in common."""

    name: FolderName
    """Its name, and its folder's; that of a model of the set adds to what the set says of it."""


class Budget(Section):
    """How long each model is trained: one of the two."""

    steps: NonNegative = 0
    """Updates."""
    minutes: Annotated[float, Field(ge=0.0)] = 0.0
    """Minutes of updates, validations and checkpoints not counted."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Budget:
        if bool(self.steps) == bool(self.minutes):
            raise ValueError("name steps or minutes, one of them")
        return self


class FilePair(Section):
    """A test set: line i of one file belongs to line i of the other."""

    src: str
    """Path of the source sentences, relative to ``data.root``."""
    ref: str
    """Path of the reference translations, relative to ``data.root``."""


TESTS: dict[object, type[Section]] = {"files": FilePair, "builtin": BuiltIn}


def _test_kind(value: object) -> str:
    return "builtin" if isinstance(value, (dict, BuiltIn)) and "builtin" in dict(value) else "files"


class Comparison(Shared):
    """A comparison, whole. What stands beside it in the file are tables of a recipe that all models share."""

    set: Literal["ladder", "ablations"] | None = None
    """The built-in set; ``models`` adds to it."""
    base: str = ""
    """Name of the model that the others are compared with; empty: the set's, or the first."""
    seeds: Annotated[tuple[NonNegative, ...], Field(min_length=1)] = (1,)
    """Each model is trained once with each."""
    budget: Budget
    """How long each model is trained."""
    test: Annotated[
        Annotated[FilePair, Tag("files")] | Annotated[BuiltIn, Tag("builtin")],
        Discriminator(_test_kind),
    ]
    """What is translated once, when all models are trained."""
    length_penalties: tuple[Annotated[float, Field(ge=0.0)], ...] = ()
    """Of these each model gets the one with the best BLEU on ``data.valid``; empty: ``decoding.length_penalty``."""
    bleu_marks: tuple[float, ...] = (10.0, 20.0, 30.0, 35.0)
    """How long each model took to come so far on validation text, greedily decoded."""
    lengths: tuple[Positive, ...] = ()
    """Lengths of a source, in words, at which a further group begins; empty: fifths of the test set."""
    languages: Table = Field(default={})
    kinds: dict[Literal["transformer", "recurrent"], Shared] = Field(default={})
    """What all models of a kind share."""
    models: tuple[Model, ...] = ()
    """Models besides those of the set, or what differs in them."""


@dataclass(frozen=True)
class Entry:
    """One run of a comparison: a model with a seed."""

    model: str
    seed: int
    config: RunConfig

    def folder(self, several_seeds: bool) -> str:
        """Return its folder's name."""
        return f"{self.model}-seed{self.seed}" if several_seeds else self.model


@dataclass(frozen=True)
class Plan:
    """A comparison that was read: what it says, and its runs, seed by seed; ``root``: what its paths start from."""

    comparison: Comparison
    base: str
    entries: tuple[Entry, ...]
    root: str

    @property
    def models(self) -> list[str]:
        """The models' names, in their order."""
        return list(dict.fromkeys(entry.model for entry in self.entries))

    def folder(self, entry: Entry) -> str:
        """Return the name of a run's folder."""
        return entry.folder(len(self.comparison.seeds) > 1)


def read_plan(file: str, data_root: str = "") -> Plan:
    """Read a comparison from a TOML file, or from one of that name that comes with the package.

    data_root: what goes before the file's ``data.root``.

    Raises:
        ConfigError: not TOML, an unknown key, a value out of range, a base that is none of the models.
        RunError: the file cannot be read.
        UsageError: no file of that name comes with the package.
    """
    path = find_recipe(file)
    table = read_toml(path)
    if data_root and isinstance(table.setdefault("data", {}), dict):
        table["data"]["root"] = data_root
    return make_plan(table, str(path))


def make_plan(table: Table, where: str = "comparison") -> Plan:
    """Return the comparison that ``table`` describes; errors name ``where``."""
    try:
        said = Comparison.model_validate(table)
    except ValidationError as error:
        raise _as_config_error(error, where) from error
    members, base = SETS[said.set] if said.set else ({}, "")
    models = {name: Model(name=name, model=model) for name, model in members.items()}
    for more in said.models:
        models[more.name] = _laid_over(models[more.name], more) if more.name in models else more
    base = said.base or base or next(iter(models), "")
    if base not in models:
        raise ConfigError("no-such-base", where=where, value=base, names=", ".join(models) or "-")
    entries = [
        Entry(name, seed, _config(said, model, seed, where)) for seed in said.seeds for name, model in models.items()
    ]
    return Plan(said, base, tuple(entries), expand_root(entries[0].config.data.root))


def _config(said: Comparison, model: Model, seed: int, where: str) -> RunConfig:
    """Return a model's config: what all share, what its kind shares, what is its own, and the budget."""
    kind = {**said.model, **model.model}.get("kind", "transformer")
    layers = [said, *([said.kinds[kind]] if kind in said.kinds else []), model]
    table: Table = {"languages": said.languages}
    for section in Shared.model_fields:
        table[section] = {key: value for layer in layers for key, value in getattr(layer, section).items()}
    # Time to a BLEU needs BLEU; what ends a training is the budget alone.
    table["training"] = {"validate_metric": "bleu", **table["training"], "seed": seed}
    if said.budget.steps:
        table["training"]["max_steps"] = said.budget.steps
    else:
        table["training"] = {"max_steps": MANY_STEPS, **table["training"], "max_minutes": said.budget.minutes}
    return make_config(table, where=f"{where} ({model.name})")


def _laid_over(model: Model, more: Model) -> Model:
    tables = {section: {**getattr(model, section), **getattr(more, section)} for section in Shared.model_fields}
    return Model(name=model.name, **tables)


def _as_config_error(error: ValidationError, where: str) -> ConfigError:
    first = first_fault(error)
    place = place_of(first["loc"], {"test": TESTS})
    return fault_as_error(first, where, place, _section(first["loc"]).model_fields)


def _section(place: tuple[int | str, ...]) -> type[Section]:
    sections: dict[object, type[Section]] = {"budget": Budget, "kinds": Shared, "models": Model, **TESTS}
    return next((sections[part] for part in reversed(place[:-1]) if part in sections), Comparison)


def differences(config: RunConfig, other: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Return what two configs say differently, by dotted key; where one has no such key it is None."""
    ours, theirs = (_flat(each.model_dump(mode="json")) for each in (config, other))
    keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    return {key: (ours.get(key), theirs.get(key)) for key in keys}


def _flat(table: Table, above: str = "") -> Table:
    found: Table = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found
