"""Carrying out a comparison: each model trained by the one loop, then the test set translated once by each."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from clearhead.cli.apart import in_own_process
from clearhead.cli.comparison import Entry, Plan, differences
from clearhead.cli.evaluations import evaluation_path, read_evaluation
from clearhead.cli.scoring import evaluate_run, read_test_set, test_set_name
from clearhead.cli.training import carry_out
from clearhead.config import BuiltIn, RunConfig, expand_root, resolved
from clearhead.decoding.translator import Translator
from clearhead.errors import ClearheadError, ConfigError, RunError, TrainingError, UsageError
from clearhead.evaluation.scores import validation_scores
from clearhead.runs.files import make_folder, one_at_a_time, read_json, replace_file
from clearhead.runs.folder import MODEL, RUN, RunFolder, cut_off
from clearhead.runs.log import read_log
from clearhead.text.corpus import LostPairs, read_pairs
from clearhead.training.session import with_precision

STATE = "state.json"
OF_STATE = ("failed", "penalties", "test")
DONE = ("max-steps", "max-minutes", "patience")
OF_NO_ACCOUNT = ("format", "clearhead", "data.root", "training.max_steps", "training.max_minutes")
"""What may differ between a run and its config without its being another model: who wrote it, where, how long."""


@dataclass(frozen=True)
class TestSet:
    """What every model translates once."""

    __test__ = False  # to pytest

    name: str
    sources: list[str]
    references: list[str]

    @property
    def sha256(self) -> str:
        """What it is known by."""
        return hashlib.sha256(json.dumps([self.sources, self.references]).encode()).hexdigest()


@dataclass
class State:
    """What of a comparison no run folder tells; by the runs' names. Several processes may train at once (``--only``).

    failed: why a training could not go on, or its model could not translate.
    penalties: BLEU on validation text by length penalty, with the sha256 of the weights ("weights_sha256").
    test: sha256 of the test set that evaluations are of.
    """

    path: Path
    failed: dict[str, str] = field(default_factory=dict)
    penalties: dict[str, dict[str, Any]] = field(default_factory=dict)
    test: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> State:
        """Return the state in ``path``; that of a beginning where there is none.

        Raises:
            RunError: it is not one.
        """
        if not path.exists():
            return cls(path)
        table = read_json(path)
        if not (isinstance(table, dict) and all(isinstance(table.get(name), dict) for name in OF_STATE)):
            raise RunError("file-foreign", name=path.name)
        return cls(path, *(table[name] for name in OF_STATE))

    def read_again(self) -> None:
        """Take over what other processes have written meanwhile."""
        found = State.read(self.path)
        self.failed, self.penalties, self.test = found.failed, found.penalties, found.test

    def note(self, run: str) -> None:
        """Write what there is of ``run`` now, and take over what others have written of theirs."""
        with one_at_a_time(self.path.parent):
            mine = {name: getattr(self, name).get(run) for name in OF_STATE}
            self.read_again()
            for name, value in mine.items():
                getattr(self, name).pop(run, None)
                if value is not None:
                    getattr(self, name)[run] = value
            self.write()

    def forget(self, run: str) -> None:
        """Have nothing of ``run`` any more."""
        for name in OF_STATE:
            getattr(self, name).pop(run, None)
        self.note(run)

    def write(self) -> None:
        """Write it; a kill leaves the old one or the new one."""
        content = json.dumps({name: getattr(self, name) for name in OF_STATE}, ensure_ascii=False, indent=2).encode()
        replace_file(self.path, [content, b"\n"], len(content) + 1)


def open_folder(out: Path, resume: bool, overwrite: bool, only: Sequence[str]) -> State:
    """Make the comparison's folder, or go on in it; ``overwrite`` forgets the runs in ``only``, all if it is empty.

    Raises:
        UsageError: a comparison is there, and nobody said what is to become of it; or something else is there.
    """
    if out.exists() and not out.is_dir():
        raise UsageError("out-is-file", path=out)
    there = sorted(path.name for path in out.iterdir()) if out.exists() else []
    if there and STATE not in there:
        raise UsageError("out-not-empty", path=out, name=there[0])
    if there and not (resume or overwrite):
        raise UsageError("comparison-exists", path=out)
    make_folder(out)
    state = State(out / STATE)
    if not there or (overwrite and not only):
        state.write()
    state.read_again()
    for run in only if overwrite else ():
        state.forget(run)
    return state


def read_tests(plan: Plan) -> TestSet:
    """Return the comparison's test set.

    Raises:
        CorpusError: a file cannot be read, or its lines do not match.
    """
    test = plan.comparison.test
    if isinstance(test, BuiltIn):
        pairs = list(read_pairs(test, plan.root, False, LostPairs()))
        return TestSet(f"{test.builtin}-{test.split}", [pair.src for pair in pairs], [pair.tgt for pair in pairs])
    src, ref = (Path(plan.root, path) for path in (test.src, test.ref))
    return TestSet(test_set_name(src), *read_test_set(src, ref))


def train(plan: Plan, entry: Entry, run: Path, state: State, **how: Any) -> int:
    """Train one model, or go on with it, or see that it is done; return the exit code.

    how: resume, overwrite, device, threads and again, as in ``carry_out``. A training that cannot go on, or whose
    model gives no numbers, is noted in ``state``: the others do without it.

    Raises:
        UsageError: its folder holds another model.
        ClearheadError: whatever is wrong with config, corpora, run folder or machine.
    """
    if how["resume"] and (entry_name := run.name) in state.failed:
        print(f"{entry_name}: not tried again ({state.failed[entry_name]})", file=sys.stderr)
        return 0
    if how["resume"] and (run / RUN).exists() and not cut_off(run):
        folder = _brought_up_to_date(RunFolder.open(run, weights=False), entry.config)
        if _finished(folder) and (folder.path / MODEL).exists():
            print(f"{run.name}: trained already", file=sys.stderr)
            return 0
    number = plan.entries.index(entry) + 1
    print(f"model {number} of {len(plan.entries)}: {entry.model}, seed {entry.seed}, in {run}", file=sys.stderr)
    try:
        return carry_out(entry.config, run, label=run.name, **how)
    except ClearheadError as error:
        _go_on_without(run, state, error)
        return 0


def train_apart(plan: Plan, entry: Entry, run: Path, state: State, **how: Any) -> int:
    """As ``train``, in a process of its own: where minutes count, no model is to find the heap as another has left it.

    What several models leave of it, in pieces, costs the next one five to ten per cent of its speed.
    """
    return in_own_process(partial(train, plan, entry, run, state, **how), run.name)


def _go_on_without(run: Path, state: State, error: ClearheadError) -> None:
    """Note why a model is of no use, where its own numbers are to blame; raise ``error`` again where they are not."""
    if not isinstance(error, TrainingError) and error.code != "not-a-number":
        raise error
    state.failed[run.name] = error.message("en")
    state.test.pop(run.name, None)  # what former weights have translated is not this model's any more
    state.note(run.name)
    print(f"{run.name}: {error.message()}; the others go on without it", file=sys.stderr)


def _brought_up_to_date(folder: RunFolder, config: RunConfig) -> RunFolder:
    """Give a run the budget and the decoding that the comparison has now; what is learnt must be the same."""
    config = with_precision(resolved(config), folder.config.training.precision)
    for key, (found, wanted) in differences(folder.config, config).items():
        if key in OF_NO_ACCOUNT or key.startswith(("decoding.", "evaluation.")):
            continue
        raise UsageError("comparison-differs", path=folder.path, key=key, found=found, wanted=wanted)
    return folder.with_config(config)


def _finished(folder: RunFolder) -> bool:
    """Whether a run has come to its end, and to that of the budget it has now."""
    events = [event for event in read_log(folder.log_path) if event["event"] in ("Started", "Finished")]
    if not events or events[-1].get("reason") not in DONE:
        return False
    training, last = folder.config.training, events[-1]
    spent = last["step"] >= training.max_steps or last.get("training_s", 0.0) >= 60.0 * training.max_minutes > 0.0
    return spent or last["reason"] == "patience"


def evaluate(plan: Plan, entry: Entry, run: Path, tests: TestSet, state: State, device: str) -> None:
    """Choose the length penalty on validation text where the comparison asks for it, then translate the test set.

    What was done already for the same weights is not done again. A model that gives no numbers is noted in ``state``.

    Raises:
        ClearheadError: whatever is wrong with run folder, corpora or machine.
    """
    try:
        _evaluate(plan, entry, run, tests, state, device)
    except ClearheadError as error:
        _go_on_without(run, state, error)


def _evaluate(plan: Plan, entry: Entry, run: Path, tests: TestSet, state: State, device: str) -> None:
    folder = RunFolder.open(run)
    sha256 = folder.weights_sha256()
    if plan.comparison.length_penalties:
        folder = _choose_penalty(plan, entry, folder, sha256, state, device)
    kept = read_evaluation(evaluation_path(run, f"{tests.name}.json"))
    wanted = {"decoding": folder.config.decoding.model_dump(), "evaluation": folder.config.evaluation.model_dump()}
    if kept and state.test.get(run.name) == tests.sha256 and kept | wanted | {"weights_sha256": sha256} == kept:
        return
    print(f"{run.name}: translating {len(tests.sources):,} test sentences", file=sys.stderr)
    evaluate_run(run, tests.name, tests.sources, tests.references, [], device)
    state.test[run.name] = tests.sha256
    state.note(run.name)


def _choose_penalty(plan: Plan, entry: Entry, folder: RunFolder, sha256: str, state: State, device: str) -> RunFolder:
    """Return the run with the best length penalty in its config."""
    run = folder.path
    penalties = [str(each) for each in plan.comparison.length_penalties]
    tried = state.penalties.get(run.name, {})
    if tried.get("weights_sha256") != sha256 or set(tried["bleu"]) != set(penalties):
        print(f"{run.name}: choosing among {len(penalties)} length penalties on validation text", file=sys.stderr)
        tried = {"weights_sha256": sha256, "bleu": {}}
        for penalty in penalties:
            tried["bleu"][penalty] = _validation_bleu(entry.config, run, float(penalty), device)
        state.penalties[run.name] = tried
        state.note(run.name)
    best = max(penalties, key=lambda penalty: tried["bleu"][penalty])
    decoding = folder.config.decoding.model_copy(update={"length_penalty": float(best)})
    if decoding == folder.config.decoding:
        return folder
    # so that evaluate and translate use it too
    return folder.with_config(folder.config.model_copy(update={"decoding": decoding}))


def _validation_bleu(config: RunConfig, run: Path, length_penalty: float, device: str) -> float:
    if not config.data.valid:
        raise ConfigError("penalties-need-valid")
    translator = Translator.load(run, device=device)
    decoding = translator.decoding.model_copy(update={"length_penalty": length_penalty})
    hypotheses: list[str] = []
    references: list[str] = []
    for source in config.data.valid:
        root = expand_root(config.data.root)
        pairs = list(read_pairs(source, root, config.data.skip_bad_lines, LostPairs()))
        translations = translator([pair.src for pair in pairs], tag=source.tag, decoding=decoding)
        hypotheses += [each.text for each in translations]
        references += [pair.tgt for pair in pairs]
    return validation_scores(hypotheses, references, config.evaluation, config.languages.tgt)["bleu"]


def evaluations(runs: Sequence[Path], name: str) -> dict[str, dict[str, Any]]:
    """Return what evaluations of ``runs`` on the test set ``name`` wrote down, by the runs' names."""
    found = {run.name: read_evaluation(evaluation_path(run, f"{name}.json")) for run in runs}
    return {run: table for run, table in found.items() if table}
