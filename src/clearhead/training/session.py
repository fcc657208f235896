"""From a config to a training that is ready to run: run folder, tokenizers, corpora, model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from torch import nn

from clearhead.config import (
    ClassifierConfig,
    DecoderConfig,
    EncoderConfig,
    RunConfig,
    make_config,
    resolved,
    with_overrides,
)
from clearhead.data.corpus import Progress, open_corpora
from clearhead.data.texts import open_packed, open_texts
from clearhead.device import Device, cache_folder, choose_device, keep_freed_memory
from clearhead.errors import ConfigError, CorpusError, UsageError
from clearhead.kernels import library
from clearhead.models.build import build_model
from clearhead.models.transfer import Taken, freeze, transfer, unlike
from clearhead.runs.folder import RUN, RunFolder, check_free, cut_off, tokenizers_from
from clearhead.text.corpus import LostPairs, read_pairs
from clearhead.text.tokenizer import TokenizerPair
from clearhead.training.classification import Classification, count_ngrams
from clearhead.training.distributed import Team
from clearhead.training.language import HiddenToken, NextToken
from clearhead.training.launch import note_begun
from clearhead.training.loop import Training
from clearhead.training.task import Task
from clearhead.training.translation import Translation


def open_training(
    config: RunConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    should_stop: Callable[[], bool] = lambda: False,
    on_tokenised: Progress | None = None,
) -> Training:
    """Make (or, to resume, open) the run folder ``out`` and everything the training needs.

    Of processes that train together (torchrun) the first one makes the folder; all must see the same files.

    Args:
        config: what to run; to resume, what was resolved then, with the overrides of now.
        out: the run folder.
        resume: go on from the newest whole checkpoint.
        overwrite: a run that is there gives way.
        device: "auto", "cpu" or "cuda".
        should_stop: asked after every update.
        on_tokenised: told about the tokenising of a corpus.

    Raises:
        ClearheadError: whatever is wrong with config, corpora, run folder or machine; a run to resume stays as it was.
    """
    if not config.data.sources:
        raise UsageError("no-sources")
    chosen = choose_device(device, config.training.precision)
    keep_freed_memory()
    kernels = library.load() if chosen.name == "cpu" else "PyTorch's own operations"
    team = Team.join(chosen.name)
    if team.size > 1 and getattr(config.model, "norm", "") == "batch":
        raise ConfigError("batch-norm-alone", processes=team.size)
    config = resolved(config)
    found = _run_folder(config, out, resume, overwrite, chosen.precision) if team.leads else None
    run, there = _agreed(team, found, out)
    config = run.config
    if config.training.precision not in ("auto", chosen.precision):
        chosen = Device(chosen.name, config.training.precision, "as the run began")
    tokenizers = run.tokenizers()
    task = open_task(config, tokenizers, chosen, on_tokenised)
    sizes = tokenizers.src.vocabulary_size, tokenizers.tgt.vocabulary_size
    model = build_model(config.model, *sizes, seed=config.training.seed)
    taken: list[tuple[str, Taken]] = []
    begun = there and any(run.checkpoints_path.glob("step-*"))
    if not begun:  # else its own weights follow, and the givers may be gone
        count_ngrams(model, task.corpora.train, tokenizers.src.pad_id)
        for path in config.training.init_from:
            taken.append((path, _take(model, run, path, {name for _, former in taken for name in former.taken})))
    _freeze(model, config.training.freeze)
    if team.leads:  # all that could be wrong has been found good, and a run that gives way has not done so for nothing
        run = run if there else RunFolder.create(out, config, tokenizers, overwrite)
        note_begun(out)
    team.agree(None)  # each machine may tokenise for itself, and one be longer about it than gradients are waited for
    if not team.leads:
        note_begun(out)  # where each process may be the first after a restart
    training = Training(run, task, model, chosen, should_stop, team)
    if team.leads and resume:  # only now: what does not go with the run has been refused, and left it as it was
        run.with_config(config)
    training.kernels, training.taken = kernels, taken
    return training


def _take(model: nn.Module, run: RunFolder, path: str, given: set[str]) -> Taken:
    giver = RunFolder.open(path)
    ours, theirs = run.tokenizers(), giver.tokenizers()
    pairs = {"src": (ours.src, theirs.src), "tgt": (ours.tgt, theirs.tgt)}
    strange = [side for side, (our, their) in pairs.items() if our.fingerprint != their.fingerprint]
    taken = transfer(model, giver.weights(), given, strange)
    weights = dict(model.named_parameters())
    if not any(weights[name].dim() > 1 for name in taken.taken):  # a bias may fit by chance
        name, why = next(iter(taken.left.items()), ("all", "taken from another run"))
        raise ConfigError("nothing-taken", path=path, example=f"{name} ({why})")
    return replace(taken, unlike=unlike(run.config.model, giver.config.model))


def _freeze(model: nn.Module, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if not freeze(model, (pattern,)):
            names = [name for name, _ in model.named_parameters()]
            raise ConfigError("nothing-frozen", pattern=pattern, example=names[0])
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ConfigError("all-frozen", patterns=", ".join(patterns))


def open_task(
    config: RunConfig, tokenizers: TokenizerPair, device: Device, on_tokenised: Progress | None = None
) -> Task:
    """Return the task that ``config`` names, its corpora open."""
    opening = config.data, tokenizers, cache_folder(), config.training.seed, on_tokenised
    match config.model:
        case ClassifierConfig(labels=labels):
            return Classification(open_texts(*opening, labels), labels, config, device)
        case EncoderConfig():
            return HiddenToken(open_texts(*opening), config, device)
        case DecoderConfig():
            return NextToken(open_packed(*opening), config, device)
        case _:
            return Translation(open_corpora(*opening), config, device)


def _agreed(team: Team, found: tuple[RunFolder, bool] | None, out: Path) -> tuple[RunFolder, bool]:
    """Return what the first process has ``found``. Nothing of a new run is on the disk yet, so it says all of it."""
    if not found:
        said = team.agree(None)
        heard = make_config(said["config"])
        return RunFolder(out, heard, tokenizers_from(said["tokenizers"], heard)), said["there"]
    if team.size > 1:
        run, there = found
        pair = run.tokenizers()
        texts = [each.to_json() for each in ([pair.src] if pair.joint else [pair.src, pair.tgt])]
        config = run.config.model_dump(mode="json", exclude_none=True)
        team.agree({"config": config, "tokenizers": texts, "there": there})
    return found


def _run_folder(config: RunConfig, out: Path, resume: bool, overwrite: bool, precision: str) -> tuple[RunFolder, bool]:
    """Return the run, and whether it is on the disk already."""
    if resume and (out / RUN).exists() and not cut_off(out):
        run = RunFolder.open(out, weights=False)
        config = _with_labels(config, known=getattr(run.config.model, "labels", ()))
        if config.tokenizer != run.config.tokenizer and not config.training.init_from:  # those come with their own
            raise ConfigError("tokenizer-made", path=out)
        before, now = (_held_out_by(each) for each in (run.config, config))
        for key in now:
            if before.get(key) != now[key]:
                raise ConfigError("held-out-otherwise", key=key, path=out)
        config = config.model_copy(update={"tokenizer": run.config.tokenizer})
        begun_in = run.config.training.precision
        return replace(run, config=with_precision(config, precision if begun_in == "auto" else begun_in)), True
    check_free(out, overwrite)  # before the minutes that vocabularies may take
    config = with_precision(_with_labels(config), precision)
    if not config.training.init_from:
        return RunFolder(out, config, train_tokenizers(config)), False
    givers = [RunFolder.open(path) for path in config.training.init_from]
    tokenizers = TokenizerPair(givers[0].tokenizers().src, givers[-1].tokenizers().tgt)
    if tokenizers.src.fingerprint == tokenizers.tgt.fingerprint:
        tokenizers = TokenizerPair(tokenizers.src, tokenizers.src)
    tokenizer = givers[0].config.tokenizer.model_copy(update={"joint": tokenizers.joint})
    config = config.model_copy(update={"tokenizer": tokenizer})
    config = with_overrides(config, ())  # what does not go with these tokenizers is refused
    return RunFolder(out, config, tokenizers), False


def _held_out_by(config: RunConfig) -> dict[str, object]:
    """Return what decides which pairs are held out of training; {} where there are validation files.

    A run that went on with others would be validated on what it has learnt by heart. Files may have moved.
    """
    data = config.data
    if data.valid:
        return {}
    keys = ("holdout", "max_tokens", "max_ratio", "long_texts", "skip_bad_lines")
    found: dict[str, object] = {f"data.{key}": getattr(data, key) for key in keys}
    return {"training.seed": config.training.seed, "data.sources": len(data.sources), **found}


def with_precision(config: RunConfig, precision: str) -> RunConfig:
    """Fill in the number format where the config leaves it to the machine; a run keeps it, whatever goes on with it."""
    if config.training.precision != "auto":
        return config
    return config.model_copy(update={"training": config.training.model_copy(update={"precision": precision})})


def _with_labels(config: RunConfig, known: tuple[str, ...] = ()) -> RunConfig:
    """Fill in a classifier's labels where the config leaves them open: the ``known`` ones, else the corpus'."""
    model = config.model
    if not isinstance(model, ClassifierConfig) or model.labels:
        return config
    labels = set(known) or {
        pair.label
        for source in config.data.sources
        for pair in read_pairs(source, config.data.root, config.data.skip_bad_lines, LostPairs())
    }
    if len(labels) < 2:
        raise CorpusError("one-label", labels=", ".join(sorted(labels)) or "-")
    return config.model_copy(update={"model": model.model_copy(update={"labels": known or tuple(sorted(labels))})})


def train_tokenizers(config: RunConfig) -> TokenizerPair:
    """Learn the vocabularies from the training sources; the same text gives the same vocabularies."""
    tags = list(dict.fromkeys(source.tag for source in config.data.sources if source.tag))

    def side(name: str) -> Iterator[str]:
        for source in config.data.sources:
            for pair in read_pairs(source, config.data.root, config.data.skip_bad_lines, LostPairs()):
                yield getattr(pair, name)  # of a single text the second side is empty

    return TokenizerPair.train(side("src"), side("tgt"), config.tokenizer, tags)
