"""The run folder: everything that a run is, in a folder that can be moved.

    run.toml            the whole resolved config, the format's number, the version that wrote it
    tokenizer.json      one for both languages, or tokenizer.src.json and tokenizer.tgt.json
    model.safetensors   the weights, fp32 unless asked otherwise, under the names of the model's state dict
    manifest.json       size and sha256 of the files above: all that translating needs
    log.jsonl           one line per event of the training
    report.html         the training's report
    checkpoints/        see checkpoints.py

Nothing in it is executed or unpickled, and no path outside of it is needed to translate.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import Tensor

from clearhead.config import FORMAT, RunConfig, make_config
from clearhead.errors import ClearheadError, ConfigError, RunError, UsageError
from clearhead.runs.faults import FaultsError, attempt
from clearhead.runs.files import (
    Stamp,
    check_stamp,
    disk_errors,
    make_folder,
    partial_path,
    read_text,
    remove,
    replace_file,
    sync_folder,
    write_file,
)
from clearhead.runs.manifest import MANIFEST, Stamps, manifest_bytes, read_manifest
from clearhead.runs.reduced import Storage, reduced, restored
from clearhead.runs.tensors import as_fp32, check_finite, check_storage, read_tensors, tensor_bytes, tensor_chunks
from clearhead.text.foreign import ForeignTokenizer
from clearhead.text.tokenizer import Tokenizer, TokenizerPair
from clearhead.version import __version__

RUN = "run.toml"
MODEL = "model.safetensors"
JOINT = ("tokenizer.json",)
SEPARATE = ("tokenizer.src.json", "tokenizer.tgt.json")
LOG = "log.jsonl"
FOREIGN = "config.json"
"""What a folder of Hugging Face's Transformers has in run.toml's place."""
REPORT = "report.html"
CHECKPOINTS = "checkpoints"
NEEDED = (RUN, *JOINT, *SEPARATE, MODEL)
"""The names of files that the manifest may list."""
WORTH = {MANIFEST, MODEL, LOG, CHECKPOINTS}
"""Where any of these is, there is something that a new run must not take away unasked."""


@dataclass(frozen=True)
class RunFolder:
    """A run folder that was found whole, or has just been made."""

    path: Path
    config: RunConfig
    _tokenizers: TokenizerPair = field(repr=False)

    # --- opening and making

    @classmethod
    def open(cls, path: str | os.PathLike[str], weights: bool = True) -> RunFolder:
        """Open a run folder after checking everything in it.

        Args:
            path: the folder.
            weights: whether it must hold weights; False to go on with a training that has not written any.

        Raises:
            FaultsError: lists every file that is missing, foreign, changed or wrong.
            RunError: no such folder, or one of a newer format or of Transformers, or one without weights yet.
        """
        path = Path(path)
        if not os.path.isdir(path):
            raise RunError("no-run", path=path)
        if os.path.exists(path / FOREIGN) and not os.path.exists(path / RUN):
            raise RunError("foreign-folder", path=path, name=FOREIGN)
        faults: list[ClearheadError] = []
        table = attempt(faults, _read_toml, path)
        _check_format(path, table or {})
        config = attempt(faults, _make_config, table) if table is not None else None
        stamps = attempt(faults, read_manifest, path)
        if stamps is not None:
            faults += _file_faults(path, config, stamps, weights)
        tokenizers = attempt(faults, _read_tokenizers, path, config) if config and not faults else None
        if config is None or tokenizers is None or faults:
            raise FaultsError("bad-run", faults, path=path)
        if weights and not (path / MODEL).exists():
            raise RunError("no-weights", path=path)
        return cls(path, config, tokenizers)

    @classmethod
    def create(
        cls, path: Path | str, config: RunConfig, tokenizers: TokenizerPair, overwrite: bool = False
    ) -> RunFolder:
        """Make a run folder without weights yet.

        Args:
            path: a folder that does not exist, or is empty.
            config: the full resolved config; the version that writes it is filled in.
            tokenizers: of both sides.
            overwrite: whether a run that is there already gives way; foreign files stay in any case.

        Raises:
            UsageError: the folder holds a run, or something else.
            MachineError: the disk is full or cannot be written.
        """
        path = Path(path)
        check_free(path, overwrite)
        run = cls(path, config.model_copy(update={"clearhead": __version__}), tokenizers)
        with disk_errors(path, 0, partial_path(path / RUN)):
            make_folder(path)
        # run.toml is there as long as anything is: a folder that has it is ours. The manifest goes first and comes
        # last: a folder that has it is whole.
        for name in (MANIFEST, MODEL, *JOINT, *SEPARATE, LOG, REPORT, CHECKPOINTS):
            remove(path / name)
        stamps = {RUN: _put(path / RUN, _toml(run.config))}
        for name, tokenizer in zip(_tokenizer_names(config), (tokenizers.src, tokenizers.tgt)):
            stamps[name] = _put(path / name, tokenizer.to_json().encode())
        _put(path / MANIFEST, manifest_bytes({name: (stamp,) for name, stamp in stamps.items()}))
        return run

    # --- what is in it

    def tokenizers(self) -> TokenizerPair:
        """Return the tokenizers of both sides."""
        return self._tokenizers

    def weights(self, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """Read the weights onto ``device``, in fp32 however they are stored.

        Raises:
            RunError: there are none, or the file is not what was written.
        """
        return restored(read_tensors(self.path / MODEL, device))

    def weights_sha256(self) -> str:
        """Return the sha256 in hex of the file that holds the weights: what they are known by."""
        with open(self.path / MODEL, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write_weights(self, weights: Mapping[str, Tensor], storage: Storage = "fp32") -> None:
        """Write the weights; a kill at any instant leaves the old ones or the new ones.

        Args:
            weights: name -> tensor, each parameter once.
            storage: in how many bits, see ``runs.reduced``.

        Raises:
            MachineError: the disk is full or cannot be written.
            TrainingError: a number is not finite; nothing is written.
        """
        check_finite(weights)
        weights = reduced(as_fp32(weights), storage)
        path = self.path / MODEL
        with disk_errors(path, tensor_bytes(weights), partial_path(path)):
            self._exchange(MODEL, write_file(partial_path(path), tensor_chunks(weights)))

    def with_config(self, config: RunConfig) -> RunFolder:
        """Write another config into run.toml (a resumed training may run longer) and return the folder with it.

        Raises:
            MachineError: the disk is full or cannot be written.
        """
        config = config.model_copy(update={"clearhead": __version__})
        path = self.path / RUN
        content = _toml(config)
        with disk_errors(path, len(content), partial_path(path)):
            self._exchange(RUN, write_file(partial_path(path), [content]))
        return RunFolder(self.path, config, self._tokenizers)

    def _exchange(self, name: str, new: Stamp) -> None:
        """Put the partial file ``name`` in its place; the manifest is right at every instant (see manifest.py)."""
        path = self.path / name
        stamps = read_manifest(self.path)
        try:
            before: tuple[Stamp, ...] = (check_stamp(path, stamps[name]),)
        except (KeyError, RunError):
            before = ()
        _put(self.path / MANIFEST, manifest_bytes({**stamps, name: (new, *before)}))
        os.replace(partial_path(path), path)
        sync_folder(self.path)
        _put(self.path / MANIFEST, manifest_bytes({**stamps, name: (new,)}))

    @property
    def log_path(self) -> Path:
        """The training's events, one JSON line each."""
        return self.path / LOG

    @property
    def report_path(self) -> Path:
        """The training's report."""
        return self.path / REPORT

    @property
    def checkpoints_path(self) -> Path:
        """The folder of checkpoints."""
        return self.path / CHECKPOINTS


def _put(path: Path, content: bytes) -> Stamp:
    return replace_file(path, [content], len(content))


def _toml(config: RunConfig) -> bytes:
    return tomli_w.dumps(config.model_dump(exclude_none=True)).encode()


def check_free(path: Path, overwrite: bool) -> None:
    """Check that a run may be made: nothing is there, or a run that gives way, or one whose making was cut off."""
    if not os.path.exists(path):
        return
    if not os.path.isdir(path):
        raise UsageError("out-is-file", path=path)
    names = {entry.name for entry in path.iterdir()} - {partial_path(path / RUN).name}
    if not names:
        return
    try:
        table = _read_toml(path)
    except ClearheadError:
        table = {}
    if not {"format", "clearhead"} <= set(table):
        raise UsageError("out-not-empty", path=path, name=min(names))
    if not overwrite and names & WORTH:
        raise UsageError("run-exists", path=path)


def cut_off(path: Path) -> bool:
    """Return whether the making of a run was cut off in ``path``: there is nothing yet that could be lost."""
    return not any((path / name).exists() for name in WORTH)


def _read_toml(path: Path) -> dict[str, Any]:
    text = read_text(path / RUN)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError("bad-toml", where=RUN, problem=error) from error


def _check_format(path: Path, table: dict[str, Any]) -> None:
    """A newer format ends it: what else looks wrong may be right there."""
    number = table.get("format")
    if type(number) is int and number > FORMAT:
        raise RunError("newer-format", path=path, format=number, known=FORMAT, version=__version__)


def _make_config(table: dict[str, Any]) -> RunConfig:
    if "format" not in table:
        raise RunError("file-foreign", name=RUN)
    return make_config(table, where=RUN)


def _file_faults(path: Path, config: RunConfig | None, stamps: Stamps, weights: bool) -> list[ClearheadError]:
    """Hold each file against the manifest and the config; without a config, against the manifest alone."""
    faults: list[ClearheadError] = []
    expected = {RUN} | ({MODEL} & stamps.keys())
    expected |= {*_tokenizer_names(config)} if config else stamps.keys() & {*JOINT, *SEPARATE}
    for name in NEEDED:
        if name == MODEL and not weights:
            continue
        if name in expected and name in stamps:
            if attempt(faults, check_stamp, path / name, stamps[name]) and name == MODEL:
                attempt(faults, check_storage, path / name)
        elif name in stamps or (path / name).exists():
            faults.append(RunError("file-foreign", name=name))
        elif name in expected:
            faults.append(RunError("file-missing", name=name))
    faults += [RunError("bad-manifest", name=MANIFEST, entry=name) for name in sorted(stamps.keys() - {*NEEDED})]
    return faults


def _tokenizer_names(config: RunConfig) -> tuple[str, ...]:
    return JOINT if config.tokenizer.joint else SEPARATE


def _read_tokenizers(path: Path, config: RunConfig) -> TokenizerPair:
    return tokenizers_from([read_text(path / name) for name in _tokenizer_names(config)], config)


def tokenizers_from(texts: Sequence[str], config: RunConfig) -> TokenizerPair:
    """Return the tokenizers that ``texts`` are the JSON of: one for both sides, or the source's and the target's."""
    kind = ForeignTokenizer if config.tokenizer.kind == "imported" else Tokenizer
    read = [kind.from_json(text, config.tokenizer.decoder_start) for text in texts]
    return TokenizerPair(read[0], read[-1])
