"""Whatever is done to the bytes of a run or a checkpoint: it is refused in our own words, or it opens."""

import hashlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearhead.errors import ClearheadError
from clearhead.runs.checkpoints import average_weights, latest_checkpoint, load_checkpoint, save_checkpoint
from clearhead.runs.files import Stamp
from clearhead.runs.folder import RunFolder
from clearhead.runs.log import EventLog, read_log
from clearhead.runs.manifest import manifest_bytes
from clearhead.training.events import Skipped

RUN = ["run.toml", "tokenizer.json", "model.safetensors", "manifest.json", "log.jsonl"]
CHECKPOINT = ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]
STEP = "checkpoints/step-00000001"


@pytest.fixture(scope="module")
def original(tmp_path_factory, config, joint) -> Path:
    run = RunFolder.create(tmp_path_factory.mktemp("original") / "run", config, joint)
    weights = {"embedding": torch.arange(12.0).reshape(3, 4), "scale": torch.tensor(2.0)}
    run.write_weights(weights)
    save_checkpoint(run, 1, weights, {"m": torch.zeros(3)}, {"epoch": 1, "best": 0.5})
    for step in (1, 2, 3):
        EventLog(run.log_path).write(Skipped(step, "loss"))
    return run.path


EDITS = {
    "flip": lambda content, at, piece: content[:at] + bytes([content[at] ^ (piece[0] or 1)]) + content[at + 1 :],
    "cut": lambda content, at, piece: content[:at],
    "drop": lambda content, at, piece: content[:at] + content[at + len(piece) :],
    "insert": lambda content, at, piece: content[:at] + piece + content[at:],
    "twice": lambda content, at, piece: content * 2,
}


@st.composite
def mutations(draw, names):
    """Some changes: (file, what, where as a share of its length, bytes, another file)."""
    change = st.tuples(
        st.sampled_from(names),
        st.sampled_from([*EDITS, "swap", "remove", "folder"]),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=12) | st.sampled_from([b'"', b"[", b"9" * 30, b"\n", b"null", b"-1", b"\xff"]),
        st.sampled_from(names),
    )
    return draw(st.lists(change, min_size=1, max_size=3))


def mutate(folder: Path, changes, restamp: bool) -> None:
    for name, what, share, piece, other in changes:
        path = folder / name
        if not path.is_file() or not (folder / other).is_file():
            continue
        content = path.read_bytes() or b"\0"
        if what in EDITS:
            path.write_bytes(EDITS[what](content, int(share * (len(content) - 1)), piece))
        elif what == "swap":
            path.write_bytes((folder / other).read_bytes())
        else:
            path.unlink()
            if what == "folder":
                path.mkdir()
    if restamp and not (folder / "manifest.json").is_dir():  # so that the readers are tried too, not the sha256 alone
        files = [
            path for path in folder.iterdir() if path.is_file() and path.name not in ("manifest.json", "log.jsonl")
        ]
        stamps = {path.name: (Stamp(path.stat().st_size, digest(path)),) for path in files}
        (folder / "manifest.json").write_bytes(manifest_bytes(stamps))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def put_back(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        if (folder / name).is_dir():
            (folder / name).rmdir()
        (folder / name).write_bytes(content)


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_mutated_run_is_refused_or_opens(original):
    contents = contents_of(original)

    @quick
    @given(changes=mutations(RUN), restamp=st.booleans())
    def check(changes, restamp):
        put_back(original, contents)
        mutate(original, changes, restamp)
        for use in (lambda: RunFolder.open(original).weights(), lambda: read_log(original / "log.jsonl")):
            try:
                use()
            except ClearheadError as error:
                assert "\n" not in error.message("en") and error.message("ko")

    check()
    put_back(original, contents)


def test_a_mutated_checkpoint_is_refused_or_opens(original):
    run, path = RunFolder.open(original), original / STEP
    contents = contents_of(path)

    @quick
    @given(changes=mutations(CHECKPOINT), restamp=st.booleans())
    def check(changes, restamp):
        put_back(path, contents)
        mutate(path, changes, restamp)
        newest, damaged = latest_checkpoint(run)
        assert (newest is None) == bool(damaged)
        for use in (lambda: load_checkpoint(path), lambda: average_weights([path])):
            try:
                use()
            except ClearheadError as error:
                assert "\n" not in error.message("en") and error.message("ko")

    check()
