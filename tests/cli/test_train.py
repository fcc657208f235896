"""Training from the command line: recipes, flags, files of one's own, and going on after Ctrl-C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from clearhead import Translator
from clearhead.cli import run
from clearhead.cli import stop as stop_module
from clearhead.cli.recipe import Flags, config_from, find_recipe, language_of
from clearhead.cli.stop import ECHO_S, StopRequest
from clearhead.errors import UsageError
from clearhead.runs.files import hold_folder


def events(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_training_leaves_a_whole_run_folder(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"run.toml", "tokenizer.json", "model.safetensors", "manifest.json", "log.jsonl", "report.html"} <= names
    kinds = [event["event"] for event in events(trained)]
    assert kinds[:2] == ["CorporaRead", "Started"] and kinds[-1] == "Finished" and kinds.count("Validated") == 2


def test_progress_goes_to_stderr_and_the_result_to_stdout(corpus, tmp_path, capsys, train_arguments):
    out = tmp_path / "run"
    assert run(train_arguments(corpus, out, steps=3)) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    assert "600 lines = 600 kept + 0 dropped" in said.err
    assert "step 3" in said.err and "target tokens/s" in said.err and "left" in said.err


def test_resume_goes_on_with_the_config_of_the_folder(trained, corpus, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    assert run(["train", "--resume", f"--out={out}", "--set=training.max_steps=18"]) == 0
    started = [event for event in events(out) if event["event"] == "Started"]
    assert [event["step"] for event in events(out) if event["event"] == "Progress"] == [3, 6, 9, 12, 15, 18]
    assert started[-1]["step"] == 12 and started[-1]["max_steps"] == 18
    assert events(out)[-1]["step"] == 18


def test_a_recurrent_model_is_a_setting(corpus, tmp_path):
    """Without a recipe, with the size that suits a corpus of one's own: trained, gone on with, used."""
    out = tmp_path / "run"
    files = [f"--src={corpus}/train.en", f"--tgt={corpus}/train.ko", f"--out={out}", "--threads=1"]
    small = ["model.d_model=16", "tokenizer.vocabulary_size=400", "training.batch_tokens=512"]
    settings = ["model.kind=recurrent", *small, "training.max_steps=2", "training.log_every=1"]
    assert run(["train", *files, *(f"--set={setting}" for setting in settings)]) == 0
    assert run(["train", "--resume", f"--out={out}", "--set=training.max_steps=3", "--threads=1"]) == 0
    assert [event["step"] for event in events(out) if event["event"] == "Progress"] == [1, 2, 3]
    assert 'kind = "recurrent"' in (out / "run.toml").read_text()
    translator = Translator.load(out, device="cpu")
    translations = translator(["the cat", "the old dog sees"])
    assert [type(translation.text) for translation in translations] == [str, str]
    scored = translator.score([(each.source, each.text) for each in translations if each.finished])
    again = [each.log_prob for each in translations if each.finished]
    assert [each.log_prob for each in scored] == pytest.approx(again, abs=1e-3)


def test_a_run_is_not_replaced_unasked(trained, corpus, tmp_path, capsys, train_arguments):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    assert run(train_arguments(corpus, out, steps=3)) == 2
    assert "a run is there already" in capsys.readouterr().err
    assert run(train_arguments(corpus, out, "--overwrite", steps=3)) == 0
    assert events(out)[-1]["step"] == 3


def test_two_trainings_do_not_share_a_folder(trained, corpus, tmp_path, capsys, train_arguments):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    before = sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*"))
    with hold_folder(out):
        for how in ("--resume", "--overwrite"):
            assert run([*train_arguments(corpus, out, steps=3), how]) == 2
            assert "another process trains here" in capsys.readouterr().err
    assert sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*")) == before
    with hold_folder(out):  # those two let go
        pass
    with hold_folder(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()  # nothing came into it


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_writes_a_checkpoint_and_the_training_goes_on_from_it(corpus, tmp_path, number, code, train_arguments):
    out = tmp_path / "run"
    arguments = train_arguments(corpus, out, "--threads=1", "--set=training.log_every=1", steps=100_000)
    process = subprocess.Popen([sys.executable, "-m", "clearhead", *arguments], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("step 2 "):
            break
    process.send_signal(number)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == code
    assert "a checkpoint will be written" in rest and f"clearhead train --resume --out {out}" in rest
    assert "Traceback" not in rest
    stopped = events(out)[-1]
    assert stopped["event"] == "Finished" and stopped["reason"] == "interrupted"
    assert (out / "checkpoints" / f"step-{stopped['step']:08d}").is_dir()
    last = stopped["step"] + 2
    assert run(["train", "--resume", f"--out={out}", f"--set=training.max_steps={last}", "--threads=1"]) == 0
    assert events(out)[-1]["step"] == last


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["as usual", "in the background"])
def ctrl_c(request):
    """Ctrl-C as Python has it from the start, or as a script's background job ignores it."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_signal_is_not_caught_but_an_echo_of_the_first_is(ctrl_c, monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(stop_module.time, "monotonic", lambda: now)
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            assert stop() and stop.exit_code == 130
            now += 0.9 * ECHO_S / 2
        assert capsys.readouterr().err.count("stopping after this update") == 1
        now += ECHO_S
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        assert signal.getsignal(signal.SIGINT) is before


def test_a_stop_request_outside_the_main_thread_takes_no_signal():
    said = []

    def enter():
        with StopRequest() as stop:
            said.append(stop())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert said == [False]


# --- torchrun, which starts anew what has ended -------------------------------------------------------------------

DIES_AT_FIRST = """
import os, signal, sys
from clearhead.cli import run
from clearhead.training import session
from clearhead.training.loop import Training

events, place = Training.events, sys.argv.pop(1)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def until_saved(training):
    for event in events(training):
        yield event
        if type(event).__name__ == "Saved":
            die()

if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    if place == "before the run is made":
        session._run_folder = die
    elif place == "later":
        Training.events = until_saved
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("place", "flags", "code", "started"),
    [
        ("nowhere", [], 1, [0]),  # refused twice, and what was there is as it was
        ("before the run is made", ["--overwrite"], 0, [0]),
        ("later", ["--overwrite"], 0, [0, 6]),
    ],
)
def test_a_restart_goes_on_with_what_its_launch_has_begun_alone(
    trained, corpus, tmp_path, train_arguments, place, flags, code, started
):
    out, script = tmp_path / "run", tmp_path / "train.py"
    shutil.copytree(trained, out)
    before = (out / "log.jsonl").read_bytes()
    script.write_text(DIES_AT_FIRST)
    launch = [sys.executable, "-m", "torch.distributed.run", "--max-restarts=1", script, place]
    done = subprocess.run([*launch, *train_arguments(corpus, out, *flags, steps=13)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert [event["step"] for event in events(out) if event["event"] == "Started"] == started
    assert events(out)[-1]["step"] == (13 if flags else 12)
    assert flags or (done.stderr.count("a run is there already") == 2 and (out / "log.jsonl").read_bytes() == before)


# --- what becomes of flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("train.en", "en"),
        ("a/b.c/train.de.gz", "de"),
        ("train.ko.txt", "ko"),
        ("train.txt", "und"),
        ("train.src", "und"),
        ("en", "und"),
        ("", "und"),
    ],
)
def test_the_language_is_the_end_of_the_name(path, language):
    assert language_of(path) == language


def test_flags_name_files_from_here_and_a_recipe_from_its_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_from(None, Flags(src="a.en", tgt="b.ko.gz", settings=["training.max_steps=7"]))
    assert config.data.sources[0].src == str(tmp_path / "a.en")
    assert (config.languages.src, config.languages.tgt, config.training.max_steps) == ("en", "ko", 7)
    assert config.training.patience > 0 and config.data.valid == ()
    elsewhere = config_from(None, Flags(src="a.en", tgt="b.ko", data_root="/corpora"))
    assert (elsewhere.data.root, elsewhere.data.sources[0].src) == ("/corpora", "a.en")


def test_flags_win_over_the_recipe_and_set_wins_over_flags():
    flags = Flags(tsv='odd "name".tsv', src_lang="ko", preset="tiny", settings=["model.d_model=64", "languages.tgt=fr"])
    config = config_from("starter-ko-en", flags)
    assert config.data.sources[0].tsv.endswith('odd "name".tsv')
    assert config.model.d_model == 64 and config.model.dropout == 0.3
    assert (config.languages.src, config.languages.tgt) == ("ko", "fr")


def test_a_small_corpus_gets_a_small_vocabulary(tmp_path):
    sizes = []
    for size in (10_000, 400_000, 5_000_000, 50_000_000):
        for name in ("a.en", "a.ko"):
            with open(tmp_path / name, "wb") as file:
                file.truncate(size)
        config = config_from(None, Flags(src=str(tmp_path / "a.en"), tgt=str(tmp_path / "a.ko")))
        sizes.append(config.tokenizer.vocabulary_size)
    assert sizes == sorted(sizes) and sizes[0] < sizes[1] < sizes[2] < sizes[3]


@pytest.mark.parametrize("name", ["starter-ko-en", "multi30k-en-de-tiny"])
def test_the_recipes_that_come_with_the_package(name):
    assert find_recipe(name).name == f"{name}.toml"
    config = config_from(name, Flags())
    assert config.data.sources and config.data.valid


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (Flags(), "no-data"),
        (Flags(src="a.en"), "half-a-pair"),
        (Flags(tgt="a.en"), "half-a-pair"),
        (Flags(src="a", tgt="b", valid_tgt="c"), "half-a-pair"),
        (Flags(src="a", tgt="b", tsv="c"), "two-corpora"),
    ],
)
def test_half_said_data(flags, code):
    with pytest.raises(UsageError) as caught:
        config_from(None, flags)
    assert caught.value.code == code


def test_an_unknown_recipe(capsys):
    assert run(["train", "multi30k"]) == 2
    assert "multi30k-en-de-tiny" in capsys.readouterr().err
