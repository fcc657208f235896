"""Checkpoints: exact, whole or not there, whatever happens while one is written."""

import json
import math
import os
import resource
import shutil
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.errors import MachineError
from clearhead.runs.checkpoints import (
    average_weights,
    begin_checkpoint,
    check_checkpoint,
    checkpoint_path,
    finish_checkpoint,
    latest_checkpoint,
    load_checkpoint,
    prune,
    save_checkpoint,
    write_part,
)
from clearhead.runs.faults import FaultsError
from clearhead.runs.folder import RunFolder

STATE = {
    "epoch": 3,
    "batch": 17,
    "best": 0.1 + 0.2,
    "bad_validations": 0,
    "name": "학습",
    "steps": [1, 2],
    "none": None,
}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def steps(run):
    return sorted(int(path.name[5:]) for path in run.checkpoints_path.glob("step-*"))


def newest(run):
    path, damaged = latest_checkpoint(run)
    assert not damaged
    return load_checkpoint(path)


def test_a_checkpoint_comes_back_exactly(run, weights):
    optimizer = {"step": torch.tensor(7), "m.scale": torch.randn(5).double(), "v.scale": torch.randn(5).bfloat16()}
    path = save_checkpoint(run, 1000, weights(1), optimizer, STATE)
    assert path == run.checkpoints_path / "step-00001000" == checkpoint_path(run, 1000)
    found = load_checkpoint(path)
    assert (found.step, found.state) == (1000, STATE) and same(found.weights, weights(1))
    assert same(found.optimizer, optimizer) and found.optimizer["v.scale"].dtype == torch.bfloat16
    assert same(load_checkpoint(save_checkpoint(run, 2000, weights(2), {}, {})).optimizer, {})
    assert RunFolder.open(run.path, weights=False)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50)
@given(state=st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_the_state_comes_back_exactly(tmp_path_factory, config, joint, state):
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "run", config, joint)
    assert repr(load_checkpoint(save_checkpoint(run, 1, {}, {}, state)).state) == repr(state)


def test_numbers_that_json_does_not_know(run):
    state = load_checkpoint(
        save_checkpoint(run, 1, {}, {}, {"best": math.inf, "worst": -math.inf, "x": math.nan})
    ).state
    assert state["best"] == math.inf and state["worst"] == -math.inf and math.isnan(state["x"])


@pytest.mark.parametrize("state", [{"pair": (1, 2)}, {1: "x"}, {"deep": [{"t": ()}]}])
def test_a_state_that_would_come_back_as_something_else_is_our_bug(run, state):
    with pytest.raises(AssertionError):
        save_checkpoint(run, 1, {}, {}, state)


def test_the_newest_whole_one_is_found_and_the_damaged_ones_are_named(run, weights):
    assert latest_checkpoint(run) == (None, [])
    for step in (5, 20, 100_000_000, 300):
        save_checkpoint(run, step, weights(step), {}, {})
    assert newest(run).step == 100_000_000

    (checkpoint_path(run, 100_000_000) / "state.json").unlink()
    (checkpoint_path(run, 100_000_000) / "model.safetensors").write_bytes(b"short")
    (checkpoint_path(run, 300) / "manifest.json").write_text("{")
    (run.checkpoints_path / "step-junk").write_text("not ours")
    path, damaged = latest_checkpoint(run)
    assert load_checkpoint(path).step == 20 and len(damaged) == 2
    message = damaged[0].message("en")
    assert "step-100000000: damaged checkpoint" in message
    assert "model.safetensors: 5 bytes" in message and "state.json: missing" in message
    assert "손상" in damaged[1].message("ko") and "manifest.json: JSON이 아님" in damaged[1].message("ko")
    with pytest.raises(FaultsError, match=r"state\.json: missing"):
        load_checkpoint(checkpoint_path(run, 100_000_000))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
def test_each_file_is_needed_and_each_byte_counts(run, weights, name):
    path = save_checkpoint(run, 1, weights(1), {"m": torch.ones(3)}, STATE)
    content = (path / name).read_bytes()
    for at in (0, len(content) // 2, len(content) - 2):
        changed = bytearray(content)
        changed[at] ^= 1
        (path / name).write_bytes(changed)
        with pytest.raises(FaultsError):
            check_checkpoint(path)
    (path / name).unlink()
    with pytest.raises(FaultsError, match="missing"):
        check_checkpoint(path)


def test_a_folder_that_is_no_checkpoint(run, tmp_path):
    with pytest.raises(FaultsError, match=r"manifest\.json: missing"):
        load_checkpoint(tmp_path / "nowhere")


# --- pruning and averaging


@pytest.mark.parametrize("keep_last, protect, left", [
    (1, (), [40]), (2, [10], [10, 30, 40]), (9, [], [10, 20, 30, 40]), (2, {40, 5}, [30, 40]),
])  # fmt: skip
def test_pruning(run, weights, keep_last, protect, left):
    for step in (10, 20, 30, 40):
        save_checkpoint(run, step, weights(step), {}, {})
    prune(run, keep_last, protect)
    assert steps(run) == left
    assert newest(run).step == 40


def test_a_kill_while_pruning_leaves_no_damaged_checkpoint(run, weights, cut):
    for at in range(1, 100):
        for step in (10, 20, 30):
            save_checkpoint(run, step, weights(step), {}, {})
        with cut(at) as this:
            prune(run, 1)
        for step in steps(run):
            check_checkpoint(checkpoint_path(run, step))
        assert newest(run).step == 30
        if len(this.trace) < at:
            break
    save_checkpoint(run, 30, weights(30), {}, {})
    assert [entry.name for entry in run.checkpoints_path.iterdir()] == ["step-00000030"]


def test_the_average_is_the_mean(run, weights):
    paths = [save_checkpoint(run, step, weights(step), {}, {}) for step in (1, 2, 3)]
    mean = average_weights(paths)
    for name, tensor in mean.items():
        stacked = torch.stack([weights(step)[name] for step in (1, 2, 3)])
        torch.testing.assert_close(tensor, stacked.mean(0))
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, stacked.double().mean(0).float(), rtol=1e-7, atol=0)
    assert same(average_weights(paths[:1]), weights(1)) and same(average_weights(paths[1:2] * 5), weights(2))


def test_what_cannot_be_averaged(run, weights):
    paths = [save_checkpoint(run, 1, weights(1), {}, {}), save_checkpoint(run, 2, {"scale": torch.ones(2)}, {}, {})]
    with pytest.raises(FaultsError, match="'scale' has the shape"):
        average_weights(paths)
    (paths[1] / "model.safetensors").unlink()
    with pytest.raises(FaultsError, match=r"model\.safetensors: missing"):
        average_weights(paths)


# --- whatever happens while one is written


@pytest.mark.parametrize("step", [2, 1], ids=["another step", "the same step again"])
def test_a_kill_at_any_instant_leaves_a_whole_checkpoint(tmp_path, config, joint, weights, cut, step):
    run = RunFolder.create(tmp_path / "run", config, joint)
    save_checkpoint(run, 1, weights(1), {"m": torch.ones(2)}, {"number": 1})
    seen = []
    for at in range(1, 100):
        with cut(at) as this:
            save_checkpoint(run, step, weights(7), {"m": torch.zeros(2)}, {"number": 2})
        found = newest(run)
        assert found.state["number"] in (1, 2)
        assert same(found.weights, weights(1 if found.state["number"] == 1 else 7))
        seen.append(found.state["number"])
        if len(this.trace) < at:
            break
        shutil.copytree(run.path, tmp_path / "copy")
        copy = RunFolder.open(tmp_path / "copy", weights=False)
        save_checkpoint(copy, 3, weights(3), {}, {})  # the next save clears up what the kill has left
        assert newest(copy).step == 3
        assert {entry.name for entry in copy.checkpoints_path.iterdir()} <= {f"step-{n:08d}" for n in (1, 2, 3)}
        assert copy.checkpoints_path.joinpath("step-00000001").exists()
        shutil.rmtree(tmp_path / "copy")
        shutil.rmtree(run.checkpoints_path)
        save_checkpoint(run, 1, weights(1), {"m": torch.ones(2)}, {"number": 1})
    assert seen == sorted(seen) and {*seen} == {1, 2} and len(seen) > 15


def test_everything_is_on_the_disk_before_the_name_is(run, weights, cut):
    with cut() as this:
        save_checkpoint(run, 1, weights(1), {}, {})
    partial, place = (str(run.checkpoints_path / name) for name in (".step-00000001.partial", "step-00000001"))
    kinds = [(what, name) for what, name in this.trace if what in ("fsync", "rename")]
    renamed = kinds.index(("rename", partial))
    names = ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]
    before = [("fsync", name) for name in (str(run.path), *(f"{partial}/{name}" for name in names), partial)]
    assert kinds[:renamed] == before and kinds[renamed + 1 :] == [("fsync", str(run.checkpoints_path))]
    assert os.path.isdir(place)


def test_a_full_disk_leaves_nothing_under_a_good_name(run, weights, cut):
    save_checkpoint(run, 1, weights(1), {}, {})
    with cut() as this:
        save_checkpoint(run, 2, weights(2), {}, STATE)
    prune(run, 1)
    for at in [i for i, (_, name) in enumerate(this.trace, 1) if ".partial" in name]:
        with pytest.raises(MachineError) as caught, cut(at, OSError(28, "No space left on device")):
            save_checkpoint(run, 3, weights(3), {}, STATE)
        assert caught.value.code == "no-room" and caught.value.exit_code == 5
        assert [entry.name for entry in run.checkpoints_path.iterdir()] == ["step-00000002"]
    assert "step-00000003: no space left on the disk for 0.0 MB" in caught.value.message("en")
    assert "공간이 없습니다" in caught.value.message("ko")


def test_a_limit_that_the_system_really_sets(run):
    save_checkpoint(run, 1, {"w": torch.ones(10)}, {}, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(MachineError, match=r"step-00000002: cannot be written \(File too large\)"):
            save_checkpoint(run, 2, {"w": torch.ones(100_000)}, {}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert newest(run).step == 1 and len(list(run.checkpoints_path.iterdir())) == 1


def test_a_checkpoint_of_another_making(run, weights):
    path = save_checkpoint(run, 1, weights(1), {}, {})
    manifest = json.loads((path / "manifest.json").read_text())
    import hashlib

    for content in (b"[]", b'{"step": "1", "state": {}}', b'{"step": 1, "state": []}'):
        (path / "state.json").write_bytes(content)
        manifest["files"]["state.json"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(FaultsError, match=r"state\.json: not a file of this run"):
            load_checkpoint(path)


def test_a_checkpoint_in_parts_is_put_together_tensor_by_tensor(run, monkeypatch):
    """A process that goes on with its share of a divided model never holds the whole of it."""
    whole = {f"w{i}": torch.randn(7, 3) for i in range(5)} | {"step": torch.tensor(3.0)}
    begin_checkpoint(run, 5)
    rows = [
        {name: w[:4] if w.ndim else w for name, w in whole.items()},
        {f"w{i}": whole[f"w{i}"][4:] for i in range(5)},
    ]
    stamps = write_part(run, 5, rows[0], {}, 0, 2) | write_part(run, 5, rows[1], {}, 1, 2)
    path = finish_checkpoint(run, 5, stamps, {})
    joined: list[weakref.ref[torch.Tensor]] = []
    cat = torch.cat

    def counted(*arguments):
        assert not [tensor for tensor in joined if tensor() is not None]
        found = cat(*arguments)
        joined.append(weakref.ref(found))
        return found

    found = load_checkpoint(path).weights
    monkeypatch.setattr(torch, "cat", counted)
    for name in found:
        assert torch.equal(found[name], whole[name])
    assert len(joined) == 5 and whole.keys() == set(found)


def test_parts_that_do_not_fit_are_refused(run):
    begin_checkpoint(run, 5)
    stamps = write_part(run, 5, {"w": torch.ones(4, 3)}, {}, 0, 2)
    stamps |= write_part(run, 5, {"w": torch.ones(3, 2)}, {}, 1, 2)
    path = finish_checkpoint(run, 5, stamps, {})
    with pytest.raises(FaultsError, match=r"model-00002-of-00002\.safetensors"):
        load_checkpoint(path)
