"""A run folder: comes back as written, wherever it is moved; whatever is wrong with one is listed at once."""

import json
import os
import shutil

import pytest
import tomli_w
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.config import (
    BuiltIn,
    DataConfig,
    DecodingConfig,
    Languages,
    ParallelFiles,
    RunConfig,
    TokenizerConfig,
    TrainingConfig,
    TransformerConfig,
    TsvColumns,
    read_config,
)
from clearhead.errors import MachineError, RunError, UsageError
from clearhead.runs.faults import FaultsError
from clearhead.runs.files import Stamp
from clearhead.runs.folder import RunFolder
from clearhead.runs.manifest import manifest_bytes, read_manifest
from clearhead.version import __version__


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def restamp(path):
    """Make the manifest say what the files are now."""
    import hashlib

    stamps = {}
    for name in read_manifest(path):
        if (path / name).is_file():
            content = (path / name).read_bytes()
            stamps[name] = (Stamp(len(content), hashlib.sha256(content).hexdigest()),)
    (path / "manifest.json").write_bytes(manifest_bytes(stamps))


def faults_of(path, **options):
    with pytest.raises(FaultsError) as caught:
        RunFolder.open(path, **options)
    for language in ("en", "ko"):
        message = caught.value.message(language)
        assert "\n" not in message and all(fault.message(language) in message for fault in caught.value.faults)
    return {(fault.fields.get("name", fault.fields.get("where", "")), fault.code) for fault in caught.value.faults}


# --- what is written comes back


def test_a_run_comes_back(run, config, joint, weights):
    run.write_weights(weights(1))
    found = RunFolder.open(run.path)
    assert found.config == run.config == config.model_copy(update={"clearhead": __version__})
    assert found.tokenizers().joint and found.tokenizers().src.to_json() == joint.src.to_json()
    assert same(found.weights(), weights(1)) and found.weights()["scale"].dtype == torch.float32
    assert sorted(entry.name for entry in run.path.iterdir()) == [
        "manifest.json", "model.safetensors", "run.toml", "tokenizer.json"
    ]  # fmt: skip
    assert read_config(run.path / "run.toml") == run.config


def test_separate_vocabularies_come_back(tmp_path, separate):
    config = RunConfig(
        model=TransformerConfig(tie="two-way"), tokenizer=TokenizerConfig(joint=False, decoder_start="eos")
    )
    run = RunFolder.create(tmp_path / "run", config, separate)
    found = RunFolder.open(run.path, weights=False).tokenizers()
    assert found.src.to_json() == separate.src.to_json() != found.tgt.to_json() == separate.tgt.to_json()
    assert found.tgt.decoder_start_id == found.tgt.eos_id


strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
floats = st.floats(min_value=1e-300, max_value=1e300)
sources = st.one_of(
    st.builds(ParallelFiles, src=strings, tgt=strings, weight=floats, tag=strings),
    st.builds(
        TsvColumns, tsv=strings, src_column=st.one_of(st.integers(0, 99), strings.filter(len)), header=st.booleans()
    ),
    st.builds(BuiltIn, builtin=st.sampled_from(["starter-ko-en", "starter-en-ko"])),
)
configs = st.builds(
    RunConfig,
    languages=st.builds(Languages, src=strings, tgt=strings),
    data=st.builds(DataConfig, root=strings, sources=st.lists(sources, max_size=3).map(tuple), max_ratio=floats),
    training=st.builds(
        TrainingConfig,
        seed=st.integers(0, 2**62),
        micro_batch_tokens=st.just("auto") | st.integers(1, 10**9),
        learning_rate=floats,
        betas=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2),
    ),
    decoding=st.builds(DecodingConfig, max_tokens=st.none() | st.integers(1, 999), sampling=st.booleans()),
)


@settings(deadline=None, max_examples=50)
@given(config=configs)
def test_run_toml_round_trips_exactly(tmp_path_factory, joint, config):
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "run", config, joint)
    assert RunFolder.open(run.path, weights=False).config == run.config


def test_a_run_can_be_moved(run, weights, tmp_path, monkeypatch):
    run.write_weights(weights(2))
    moved = tmp_path / "elsewhere" / "옮긴 곳"
    moved.parent.mkdir()
    shutil.move(run.path, moved)
    monkeypatch.chdir(moved)
    assert same(RunFolder.open(".").weights(), weights(2))
    assert all(str(run.path).encode() not in file.read_bytes() for file in moved.iterdir())


def test_another_config_takes_the_place_of_the_first(run, config):
    longer = config.model_copy(update={"training": TrainingConfig(max_steps=77)})
    assert run.with_config(longer).config == RunFolder.open(run.path, weights=False).config
    assert RunFolder.open(run.path, weights=False).config.training.max_steps == 77


# --- where a run may be made


def test_a_run_is_not_made_over_anything(run, config, joint, tmp_path, weights):
    run.write_weights(weights(1))
    with pytest.raises(UsageError, match="--resume"):
        RunFolder.create(run.path, config, joint)
    assert same(RunFolder.open(run.path).weights(), weights(1))

    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"thesis\.tex.*another --out"):
            RunFolder.create(tmp_path / "home", config, joint, overwrite)
    with pytest.raises(UsageError, match="a file is there"):
        RunFolder.create(tmp_path / "home" / "thesis.tex", config, joint)
    with pytest.raises(MachineError, match="name too long"):
        RunFolder.create("x" * 5000, config, joint)
    with pytest.raises(MachineError, match="Not a directory"):
        RunFolder.create(tmp_path / "home" / "thesis.tex" / "run", config, joint)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"


def test_a_run_gives_way_when_told_to_but_foreign_files_stay(run, config, joint, weights):
    run.write_weights(weights(1))
    run.log_path.write_text("{}\n")
    (run.checkpoints_path / "step-00000001").mkdir(parents=True)
    (run.path / "notes.txt").write_text("mine")
    RunFolder.create(run.path, config, joint, overwrite=True)
    with pytest.raises(RunError, match="no weights yet"):
        RunFolder.open(run.path)
    assert sorted(entry.name for entry in run.path.iterdir()) == [
        "manifest.json", "notes.txt", "run.toml", "tokenizer.json"
    ]  # fmt: skip


def test_an_empty_folder_and_another_programs_run_toml(tmp_path, config, joint):
    (tmp_path / "empty").mkdir()
    RunFolder.create(tmp_path / "empty", config, joint)
    for number, content in enumerate(["x = 1\n", "=", "format = 1\n"]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "run.toml").write_text(content)
        with pytest.raises(UsageError, match="not a run folder"):
            RunFolder.create(tmp_path / str(number), config, joint, overwrite=True)


# --- what can be wrong with one


@pytest.fixture
def whole(run, weights):
    run.write_weights(weights(1))
    return run.path


def test_no_such_run(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nowhere", tmp_path / "file", str(tmp_path / "nowhere"), "x" * 5000):
        with pytest.raises(RunError, match="no such run folder") as caught:
            RunFolder.open(path)
        assert "run 폴더가 없습니다" in caught.value.message("ko")
    (tmp_path / "folder").mkdir()
    assert faults_of(tmp_path / "folder") == {("run.toml", "file-missing"), ("manifest.json", "file-missing")}


def test_every_fault_is_listed_at_once(whole, config):
    (whole / "model.safetensors").unlink()
    (whole / "tokenizer.json").write_text("{}")
    (whole / "tokenizer.tgt.json").write_text("{}")
    (whole / "run.toml").write_text((whole / "run.toml").read_text().replace("d_model", "d_modle"))
    assert faults_of(whole) == {
        ("run.toml", "unknown-key"), ("run.toml", "file-sha256"), ("tokenizer.json", "file-size"),
        ("tokenizer.tgt.json", "file-foreign"), ("model.safetensors", "file-missing"),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["run.toml", "tokenizer.json", "model.safetensors", "manifest.json"])
def test_each_file_is_needed(whole, name):
    (whole / name).unlink()
    assert (name, "file-missing") in faults_of(whole)
    (whole / name).mkdir()
    assert (name, "file-not-regular") in faults_of(whole)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("name", ["run.toml", "tokenizer.json", "model.safetensors", "manifest.json"])
def test_a_pipe_or_a_device_is_not_read(whole, name):
    (whole / name).unlink()
    os.mkfifo(whole / name)
    assert (name, "file-not-regular") in faults_of(whole)
    (whole / name).unlink()
    (whole / name).symlink_to("/dev/zero")
    assert (name, "file-not-regular") in faults_of(whole)


@pytest.mark.parametrize("name", ["run.toml", "tokenizer.json", "model.safetensors"])
def test_a_changed_byte_is_noticed(whole, name):
    content = bytearray((whole / name).read_bytes())
    content[len(content) // 2] ^= 1
    (whole / name).write_bytes(content)
    assert (name, "file-sha256") in faults_of(whole)


def test_a_file_that_the_manifest_does_not_list(whole, weights):
    manifest = json.loads((whole / "manifest.json").read_text())
    entry = manifest["files"].pop("model.safetensors")
    (whole / "manifest.json").write_text(json.dumps(manifest))
    assert faults_of(whole) == {("model.safetensors", "file-foreign")}
    manifest["files"] |= {"model.safetensors": entry, "../../etc/passwd": entry}
    (whole / "manifest.json").write_text(json.dumps(manifest))
    assert faults_of(whole) == {("manifest.json", "bad-manifest")}


def test_weights_that_were_replaced_are_no_longer_accepted(whole, weights):
    former = (whole / "model.safetensors").read_bytes()
    RunFolder.open(whole).write_weights(weights(2))
    (whole / "model.safetensors").write_bytes(former)
    assert faults_of(whole) == {("model.safetensors", "file-sha256")}


@pytest.mark.parametrize("content, code", [
    ("[", "not-json"), ("[1]", "bad-manifest"), ("{}", "bad-manifest"), ('{"files": {"run.toml": 1}}', "bad-manifest"),
    ('{"files": {"run.toml": {"size": "1", "sha256": ""}}}', "bad-manifest"), ("[" * 200_000, "not-json"),
    ('{"files": {"run.toml": {"size": 1, "sha256": "", "former": 3}}}', "bad-manifest"), ("\udcff", "file-not-text"),
    ("9" * 5000, "not-json"),
])  # fmt: skip
def test_a_manifest_that_is_none(whole, content, code):
    (whole / "manifest.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert faults_of(whole) == {("manifest.json", code)}


@pytest.mark.parametrize("content, code", [
    ("x = = 1", "bad-toml"), ("x = 1", "file-foreign"), ("format = 0", "bad-value"), ('format = "1"', "bad-value"),
    ("format = 1\nmodel = 3", "bad-value"), ("format = 1\nlearning = 3", "unknown-key"),
    ("format = 1\nx = " + "[" * 100_000, "bad-toml"), ("format = " + "9" * 5000, "bad-toml"),
    ("format = 1\n[data]\nsources = 3", "bad-value"),
    ("format = 1\n[data]\nsources = [{}]", "missing-key"),
])  # fmt: skip
def test_a_run_toml_that_is_none(whole, content, code):
    (whole / "run.toml").write_text(content)
    restamp(whole)
    assert faults_of(whole) == {("run.toml", code)}


def test_a_newer_format_asks_for_a_newer_version(whole):
    (whole / "run.toml").write_text('format = 2\nclearhead = "9.1"\nshape = "unheard of"\n')
    (whole / "manifest.json").unlink()
    with pytest.raises(RunError) as caught:
        RunFolder.open(whole)
    assert caught.value.code == "newer-format"
    assert "format 2" in caught.value.message("en") and "새 버전" in caught.value.message("ko")


def test_a_file_without_end(whole, monkeypatch):
    with open(whole / "manifest.json", "r+b") as file:
        file.truncate(2**40)  # takes no room: a hole
    assert faults_of(whole) == {("manifest.json", "file-too-large")}


def test_a_tokenizer_and_a_model_that_are_none(whole, weights):
    (whole / "tokenizer.json").write_text("{}")
    restamp(whole)
    with pytest.raises(FaultsError) as caught:
        RunFolder.open(whole)
    assert [fault.code for fault in caught.value.faults] == ["bad-tokenizer"]
    (whole / "model.safetensors").write_bytes(b"\x80\x04pickle")
    restamp(whole)
    assert ("model.safetensors", "not-safetensors") in faults_of(whole)
    import safetensors.torch

    whole_numbers, scale = torch.ones(2, 3, dtype=torch.int8), torch.ones(2, 1).bfloat16()
    for tensors in (
        {"w": torch.ones(2, dtype=torch.float16)},
        {"w": whole_numbers},
        {"w": whole_numbers, "w.scale": torch.ones(2).bfloat16()},
        {"w": whole_numbers, "w.scale": scale.float()},
        {"w": whole_numbers[:, 0].contiguous(), "w.scale": scale},
    ):
        safetensors.torch.save_file(tensors, whole / "model.safetensors")
        restamp(whole)
        assert ("model.safetensors", "wrong-storage") in faults_of(whole)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file on this system that fails to be read")
def test_a_file_that_cannot_be_read(whole):
    (whole / "manifest.json").unlink()
    (whole / "manifest.json").symlink_to("/proc/self/mem")
    with pytest.raises(FaultsError, match="cannot be read") as caught:
        RunFolder.open(whole)
    assert "읽을 수 없습니다" in caught.value.message("ko")


# --- whatever happens while it is written


def test_a_kill_while_weights_are_written_leaves_the_old_or_the_new(tmp_path, config, joint, weights, cut):
    run = RunFolder.create(tmp_path / "run", config, joint)
    run.write_weights(weights(1))
    seen = []
    for at in range(1, 100):
        with cut(at) as this:
            run.write_weights(weights(2))
        found = RunFolder.open(run.path).weights()
        assert same(found, weights(1)) or same(found, weights(2))
        seen.append(same(found, weights(2)))
        if len(this.trace) < at:
            break
        run.write_weights(weights(1))  # over what the kill has left
        assert same(RunFolder.open(run.path).weights(), weights(1))
    assert seen == sorted(seen) and seen[-1] and not seen[0] and len(seen) > 8
    assert not [entry for entry in run.path.iterdir() if entry.name.endswith(".partial")]


def test_a_kill_while_the_first_weights_are_written(tmp_path, config, joint, weights, cut):
    for at in range(1, 100):
        run = RunFolder.create(tmp_path / str(at), config, joint)
        with cut(at) as this:
            run.write_weights(weights(1))
        if len(this.trace) < at:
            break
        RunFolder.open(run.path, weights=False).write_weights(weights(1))
        assert same(RunFolder.open(run.path).weights(), weights(1))


def test_a_kill_while_the_config_is_replaced(run, config, cut):
    longer = config.model_copy(update={"training": TrainingConfig(max_steps=77)})
    for at in range(1, 100):
        with cut(at) as this:
            run.with_config(longer)
        assert RunFolder.open(run.path, weights=False).config.training.max_steps in (20_000, 77)
        if len(this.trace) < at:
            break
        run.with_config(config)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_kill_while_a_run_is_made_leaves_nothing_in_the_way(tmp_path, config, joint, weights, cut, overwrite):
    for at in range(1, 100):
        path = tmp_path / str(at)
        if overwrite:
            RunFolder.create(path, config, joint).write_weights(weights(1))
        with cut(at) as this:
            RunFolder.create(path, config, joint, overwrite)
        if len(this.trace) < at:
            break
        try:
            RunFolder.create(path, config, joint, overwrite)
        except UsageError as error:  # killed when all was done: the run stands
            assert error.code == "run-exists" and not overwrite
        RunFolder.open(path, weights=False)


def test_a_full_disk_leaves_the_old_weights(run, weights, cut):
    run.write_weights(weights(1))
    with cut() as this:
        run.write_weights(weights(1))
    for at in [i for i, (what, _) in enumerate(this.trace, 1) if what in ("write", "fsync")]:
        with pytest.raises(MachineError) as caught, cut(at, OSError(28, "No space left on device")):
            run.write_weights(weights(2))
        assert caught.value.code == "no-room" and "--resume" in caught.value.message("en")
        found = RunFolder.open(run.path).weights()
        assert same(found, weights(1)) or same(found, weights(2))
        assert not [entry for entry in run.path.iterdir() if entry.name.endswith(".partial")]
        run.write_weights(weights(1))


def test_a_link_laid_in_the_way_is_not_written_through(whole, tmp_path, weights):
    (tmp_path / "precious").write_text("mine")
    for name in (".model.safetensors.partial", ".manifest.json.partial"):
        (whole / name).symlink_to(tmp_path / "precious")
    RunFolder.open(whole).write_weights(weights(2))
    assert (tmp_path / "precious").read_text() == "mine" and same(RunFolder.open(whole).weights(), weights(2))


def test_what_is_not_set_is_not_in_run_toml(whole):
    table = RunFolder.open(whole).config.model_dump(exclude_none=True)
    assert "max_tokens" not in table["decoding"] and tomli_w.dumps(table) == (whole / "run.toml").read_text()
