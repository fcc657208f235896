"""From a config to a training that is ready to run: run folder, tokenizers, corpora, model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from clearhead.config import RunConfig, expand_root
from clearhead.data.corpus import Progress, open_corpora
from clearhead.device import cache_folder, choose_device, keep_freed_memory
from clearhead.errors import UsageError
from clearhead.kernels import library
from clearhead.models.build import build_model
from clearhead.runs.folder import RUN, RunFolder, check_free, cut_off
from clearhead.text.corpus import LostPairs, read_pairs
from clearhead.text.tokenizer import TokenizerPair
from clearhead.training.distributed import Team
from clearhead.training.loop import Training
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
        ClearheadError: whatever is wrong with config, corpora, run folder or machine.
    """
    if not config.data.sources:
        raise UsageError("no-sources")
    chosen = choose_device(device, config.training.precision)
    keep_freed_memory()
    kernels = library.load() if chosen.name == "cpu" else "PyTorch's own operations"
    team = Team.join(chosen.name)
    resolved = {
        "root": expand_root(config.data.root),
        "max_tokens": min(config.data.max_tokens, config.model.max_positions),
    }
    config = config.model_copy(update={"data": config.data.model_copy(update=resolved)})
    if team.leads:
        run = _run_folder(config, out, resume, overwrite)
    team.agree(None)
    if not team.leads:
        run = RunFolder.open(out, weights=False)
    config = run.config
    tokenizers = run.tokenizers()
    corpora = open_corpora(config.data, tokenizers, cache_folder(), config.training.seed, on_tokenised)
    sizes = tokenizers.src.vocabulary_size, tokenizers.tgt.vocabulary_size
    model = build_model(config.model, *sizes, seed=config.training.seed)
    training = Training(run, Translation(corpora, config, chosen), model, chosen, should_stop, team)
    training.kernels = kernels
    return training


def _run_folder(config: RunConfig, out: Path, resume: bool, overwrite: bool) -> RunFolder:
    if resume and (out / RUN).exists() and not cut_off(out):
        return RunFolder.open(out, weights=False).with_config(config)
    check_free(out, overwrite)  # before the minutes that vocabularies may take
    return RunFolder.create(out, config, train_tokenizers(config), overwrite)


def train_tokenizers(config: RunConfig) -> TokenizerPair:
    """Learn the vocabularies from the training sources; the same text gives the same vocabularies."""
    tags = list(dict.fromkeys(source.tag for source in config.data.sources if source.tag))

    def side(name: str) -> Iterator[str]:
        for source in config.data.sources:
            for pair in read_pairs(source, config.data.root, config.data.skip_bad_lines, LostPairs()):
                yield getattr(pair, name)

    return TokenizerPair.train(side("src"), side("tgt"), config.tokenizer, tags)
