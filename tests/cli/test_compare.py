"""Comparing models from the command line: each trained by the one loop, stopped and gone on with, reported together."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import tomllib

import pytest
import tomli_w

from clearhead.cli import comparing, run
from clearhead.cli.comparing import State, TestSet, evaluate
from clearhead.cli.comparison import ABLATIONS, LADDER, differences, make_plan, read_plan
from clearhead.cli.stop import StopRequest
from clearhead.config import RecurrentConfig, TransformerConfig
from clearhead.errors import ConfigError, TrainingError, UsageError
from clearhead.evaluation import paired, scores
from clearhead.evaluation.lengths import bleu_by_length, fifths
from clearhead.runs.folder import RunFolder

SMALL = {"d_model": 16, "d_ff": 32, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1, "max_positions": 64}
MODELS = [
    {"name": "full"}, {"name": "cheat", "model": {"causal_mask": False}},
    {"name": "gru", "model": {"kind": "recurrent", "cell": "gru", "d_model": 16, "n_layers": 1}},
]  # fmt: skip


def table(corpus, **changes):
    """A comparison of three small models on a few pairs."""
    return {
        "base": "gru", "budget": {"steps": 6}, "test": {"src": "odd.en", "ref": "odd.ko"}, "bleu_marks": [0.0, 99.0],
        "languages": {"src": "en", "tgt": "ko"}, "evaluation": {"tokenize": "none"},
        "decoding": {"beam_size": 2, "max_extra_tokens": 3},
        "data": {
            "root": str(corpus), "sources": [{"src": "train.en", "tgt": "train.ko"}],
            "valid": [{"src": "valid.en", "tgt": "valid.ko"}],
        },
        "tokenizer": {"vocabulary_size": 400},
        "training": {
            "batch_tokens": 512, "learning_rate": 0.003, "schedule": "constant", "warmup_steps": 2, "log_every": 2,
            "validate_every": 3, "validate_sentences": 8, "checkpoint_every": 3,
        },
        "kinds": {"transformer": {"model": SMALL}},
        "models": MODELS,
        **changes,
    }  # fmt: skip


def written(path, content):
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    """Intervals and paired tests of twenty resamples in place of a thousand, whoever asks for them."""
    real = paired.PairedTest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "RESAMPLES", 20)
        patch.setattr(paired, "PairedTest", lambda *given, n_samples: real(*given, n_samples=20))
        yield


@pytest.fixture(scope="module")
def compared(corpus, tmp_path_factory):
    """The folder of a comparison that ran through, and its file."""
    folder = tmp_path_factory.mktemp("compared")
    for side in ("en", "ko"):  # sources that are not as long as their references
        lines = (corpus / f"test.{side}").read_text("utf-8").splitlines()
        longer = " the" if side == "en" else ""
        text = "".join(f"{line}{longer * (number % 4)}\n" for number, line in enumerate(lines))
        (corpus / f"odd.{side}").write_text(text, encoding="utf-8")
    file = written(folder / "small.toml", table(corpus))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARHEAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("CLEARHEAD_LANG", "en")
        assert run(["compare", file, "--out", str(folder / "out"), "--threads=1"]) == 0
    return folder / "out", file


def report_of(out):
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_the_reports_figures_are_those_of_evaluate(compared, corpus, tmp_path, capsys):
    out, _ = compared
    shutil.copytree(out, tmp_path / "out")
    names = [model["name"] for model in MODELS]
    files = [f"--src={corpus}/odd.en", f"--ref={corpus}/odd.ko", "--format=json"]
    base_first = sorted(names, key=lambda name: name != "gru")
    assert run(["evaluate", *(str(tmp_path / "out" / name) for name in base_first), *files]) == 0
    scored = json.loads(capsys.readouterr().out)
    sources, references = ((corpus / f"odd.{side}").read_text("utf-8").splitlines() for side in ("en", "ko"))
    runs = report_of(out)["runs"]
    assert [each["name"] for each in runs] == names
    for ours, theirs in zip(sorted(runs, key=lambda each: each["name"] != "gru"), scored["runs"]):
        assert ours["scores"] == theirs["scores"] and ours["weights_sha256"] == theirs["weights_sha256"]
        results = [each for each in scored["paired"]["results"] if each["system"].endswith(ours["name"])]
        assert ours.get("p_values", {}) == {
            each["metric"]: each["p_value"] for each in results if each["p_value"] is not None
        }
        hypotheses = (out / ours["name"] / "evaluations/odd.hyp.txt").read_text("utf-8").split("\n")[:-1]
        config = RunFolder.open(out / ours["name"]).config
        groups = bleu_by_length(hypotheses, references, sources, fifths(sources), config.evaluation, "ko")
        assert ours["lengths"] == [vars(group) for group in groups]
        assert ours["translations"] == [hypotheses[sources.index(each["src"])] for each in report_of(out)["samples"]]


def test_the_report_tells_what_the_logs_tell(compared):
    out, _ = compared
    for each in report_of(out)["runs"]:
        events = [json.loads(line) for line in (out / each["name"] / "log.jsonl").read_text("utf-8").splitlines()]
        started, finished = (next(e for e in events if e["event"] == kind) for kind in ("Started", "Finished"))
        assert each["parameters"] == started["parameters"] and each["steps"] == 6 and each["state"] == "done"
        assert each["training_s"] == finished["training_s"] > 0 and each["valid"] == finished["scores"]
        found = [event for event in events if event["event"] == "Validated"]
        assert [(at["step"], at["training_s"], at["loss"]) for at in each["curve"]] == [
            (event["step"], event["training_s"], event["scores"]["loss"]) for event in found
        ]
        tokens = sum(event["tokens"] for event in events if event["event"] == "Progress")
        assert each["tokens_per_s"] == pytest.approx(tokens / finished["training_s"])
        first = {key: each["curve"][0][key] for key in ("step", "training_s", "bleu")}
        assert each["marks"] == [first, None] and each["cheats"] == (each["name"] == "cheat")
    by_name = {each["name"]: each for each in report_of(out)["runs"]}
    assert by_name["gru"]["differs"] == {} and by_name["full"]["differs"]["model.n_heads"] == 2
    assert by_name["cheat"]["differs"] == {**by_name["full"]["differs"], "model.causal_mask": False}
    page, markdown = ((out / f"report.{end}").read_text("utf-8") for end in ("html", "md"))
    assert all(name in page and f"| {name} |" in markdown for name in by_name)


def without_times(value):
    """A report without what the clock says."""
    times = {"training_s", "tokens_per_s", "decoding_s"}
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in times}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def test_stopped_and_gone_on_with_equals_uninterrupted(compared, tmp_path, monkeypatch, capsys):
    """Stopped twice: within the first model, after some questions whether to stop, and within the second one."""
    whole, file = compared
    out = tmp_path / "out"
    arguments = ["compare", file, "--out", str(out), "--threads=1"]
    asked = iter(range(4))
    for late in (lambda: next(asked, None) is None, (out / "cheat" / "log.jsonl").exists):

        def should_stop(request, late=late):
            if late():
                request.received = signal.SIGINT
            return request.received is not None

        with monkeypatch.context() as patch:
            patch.setattr(StopRequest, "__call__", should_stop)
            assert run(arguments) == 130
        assert f"to go on: clearhead compare {file} --resume --out {out}" in capsys.readouterr().err
        assert "stopped" in [each["state"] for each in report_of(out)["runs"]]
        arguments = [*arguments, "--resume"] if "--resume" not in arguments else arguments
    assert run(arguments) == 0
    begun = [(out / model["name"] / "log.jsonl").read_text("utf-8").count('"Started"') for model in MODELS]
    assert begun == [2, 2, 1]
    assert without_times(report_of(out)) == without_times(report_of(whole))
    for model in MODELS:
        weights = [(folder / model["name"] / "model.safetensors").read_bytes() for folder in (out, whole)]
        assert hashlib.sha256(weights[0]).digest() == hashlib.sha256(weights[1]).digest()


def test_nothing_is_done_twice_and_a_larger_budget_goes_on(compared, corpus, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    done = []
    with monkeypatch.context() as patch:
        patch.setattr(comparing, "carry_out", lambda *_, **__: done.append("trained"))
        patch.setattr(comparing, "evaluate_run", lambda *_: done.append("evaluated"))
        assert run(["compare", compared[1], "--out", str(out), "--resume"]) == 0
        assert done == [] and report_of(out)["runs"] == report_of(compared[0])["runs"]
        greedy = written(tmp_path / "greedy.toml", table(corpus, decoding={"beam_size": 1}))
        assert run(["compare", greedy, "--out", str(out), "--resume"]) == 0
    assert done == ["evaluated"] * 3 and RunFolder.open(out / "gru").config.decoding.beam_size == 1
    longer = written(tmp_path / "longer.toml", table(corpus, budget={"steps": 8}))
    assert run(["compare", longer, "--out", str(out), "--resume", "--threads=1", "--only=full"]) == 0
    assert [each["steps"] for each in report_of(out)["runs"]] == [8, 6, 6]
    capsys.readouterr()
    assert run(["compare", compared[1], "--out", str(out)]) == 2
    assert "--resume" in capsys.readouterr().err
    other = table(corpus)
    other["training"]["learning_rate"] = 0.5
    assert run(["compare", written(tmp_path / "o.toml", other), "--out", str(out), "--resume"]) == 2
    assert "training.learning_rate = 0.003, and the comparison says 0.5" in capsys.readouterr().err


def test_a_training_that_cannot_go_on_does_not_end_the_others(compared, corpus, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    shutil.rmtree(out / "cheat")

    def fails(config, path, **_):
        raise TrainingError("not-finite", step=3, count=10, epoch=0, batch=2, pairs="1:1")

    monkeypatch.setattr(comparing, "carry_out", fails)
    for _ in range(2):  # and it is not tried again
        assert run(["compare", compared[1], "--out", str(out), "--resume"]) == 0
        states = {each["name"]: each["state"] for each in report_of(out)["runs"]}
        assert states == {"full": "done", "cheat": "failed", "gru": "done"}
    assert "not tried again" in capsys.readouterr().err
    assert all("scores" in each for each in report_of(out)["runs"] if each["name"] != "cheat")
    assert "step 3" in (out / "report.md").read_text("utf-8")


def test_two_processes_train_a_comparison_and_neither_loses_what_the_other_notes(tmp_path):
    (tmp_path / "state.json").write_text('{"failed": {"a": "old"}, "penalties": {}, "test": {"c": "3"}}')
    ours, theirs = (State.read(tmp_path / "state.json") for _ in range(2))
    ours.test["a"] = "1"
    theirs.penalties["b"] = {"bleu": {"1.0": 2.0}}
    del ours.failed["a"]
    ours.note("a")
    theirs.note("b")
    assert theirs == State.read(ours.path) == State(ours.path, {}, {"b": {"bleu": {"1.0": 2.0}}}, {"a": "1", "c": "3"})
    theirs.forget("a")
    assert State.read(ours.path).test == {"c": "3"}


def test_a_model_that_is_replaced_leaves_the_others_figures(compared, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    done = []
    monkeypatch.setattr(comparing, "evaluate_run", lambda run, *_: done.append(run.name))
    assert run(["compare", compared[1], "--out", str(out), "--overwrite", "--threads=1", "--only=full"]) == 0
    assert done == ["full"] and all("scores" in each for each in report_of(out)["runs"] if each["name"] != "full")


def states_of(out):
    return {each["name"]: each["state"] for each in report_of(out)["runs"]}


def test_a_model_that_overflows_in_a_validation_does_not_end_the_others(compared, corpus, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    shutil.rmtree(out / "cheat")
    wild = {"name": "cheat", "model": {"norm": "none"}, "training": {"learning_rate": 1e37, "validate_every": 1}}
    file = written(tmp_path / "wild.toml", table(corpus, models=[MODELS[0], wild, MODELS[2]]))
    for _ in range(2):  # and it is not tried again
        assert run(["compare", file, "--out", str(out), "--resume", "--threads=1"]) == 0
        assert states_of(out) == {"full": "done", "cheat": "failed", "gru": "done"}
    said = capsys.readouterr().err
    assert said.count("the others go on without it") == said.count("not tried again") == 1
    assert all(("scores" in each) == (each["name"] != "cheat") for each in report_of(out)["runs"])
    assert re.search("cheat: the loss on validation text is (nan|inf)", (out / "report.md").read_text("utf-8"))


def test_where_minutes_count_each_model_has_a_process_of_its_own(corpus, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(comparing, "carry_out", None)  # in this process
    wild = {"name": "wild", "model": {"norm": "none"}, "training": {"learning_rate": 1e37, "validate_every": 1}}
    changes = {"budget": {"minutes": 0.01}, "models": [wild, MODELS[2]], "base": "gru"}
    arguments = ["compare", written(tmp_path / "minutes.toml", table(corpus, **changes)), "--threads=1"]
    for _ in range(2):
        assert run([*arguments, "--out", str(tmp_path / "out"), "--resume"]) == 0
        assert states_of(tmp_path / "out") == {"wild": "failed", "gru": "done"}
    said = capfd.readouterr().err
    assert said.count("the others go on without it") == said.count("not tried again") == said.count("already") == 1
    assert report_of(tmp_path / "out")["runs"][1]["training_s"] >= 0.6


@pytest.mark.parametrize("changes", [{}, {"length_penalties": [0.0, 1.0]}])
def test_a_model_that_overflows_on_the_test_set_does_not_keep_the_others_from_it(
    changes, compared, corpus, tmp_path, capsys
):
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    folder = RunFolder.open(out / "full")
    folder.write_weights({name: weight.fill_(3e38) for name, weight in folder.weights().items()})
    shutil.rmtree(out / "gru/evaluations")
    file = written(tmp_path / "c.toml", table(corpus, **changes))
    for _ in range(2):  # and it is not tried again
        assert run(["compare", file, "--out", str(out), "--resume", "--threads=1"]) == 0
        assert states_of(out) == {"full": "failed", "cheat": "done", "gru": "done"}
    said = capsys.readouterr().err
    assert said.count("the others go on without it") == said.count("not tried again") == 1
    assert all(("scores" in each) == (each["name"] != "full") for each in report_of(out)["runs"])
    assert re.search("full: sentence [0-9]+: the model gives no numbers", (out / "report.md").read_text("utf-8"))


def test_the_length_penalty_is_chosen_on_validation_text_and_kept(compared, corpus, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    plan = make_plan(table(corpus, length_penalties=[0.0, 1.5, 0.7]))
    asked = []

    def bleu_of(config, run, penalty, device):
        asked.append(penalty)
        return 9.0 - abs(penalty - 1)

    monkeypatch.setattr(comparing, "_validation_bleu", bleu_of)
    tests = TestSet("test", ["the cat", "a"], ["그 고양이", "b"])
    state = State.read(out / "state.json")
    for _ in range(2):
        evaluate(plan, plan.entries[0], out / "full", tests, state, "cpu")
    assert asked == [0.0, 1.5, 0.7] and RunFolder.open(out / "full").config.decoding.length_penalty == 0.7
    kept = json.loads((out / "full/evaluations/test.json").read_text("utf-8"))
    assert kept["decoding"]["length_penalty"] == 0.7 and kept["scores"]["sentences"] == 2
    assert State.read(out / "state.json").penalties["full"]["bleu"] == {"0.0": 8.0, "1.5": 8.5, "0.7": 8.7}


# --- what a file says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "members", "base", "minutes", "steps"),
    [("ladder", LADDER, "transformer-post", 12.0, 1_000_000), ("ablations", ABLATIONS, "full", 0.0, 4000)],
)
def test_the_comparisons_that_come_with_the_package(name, members, base, minutes, steps, monkeypatch):
    monkeypatch.setenv("CLEARHEAD_DATA", "/corpora")
    plan = read_plan(f"compare-{name}-multi30k")
    assert plan.models == list(members) and plan.base == base
    assert plan.root == "/corpora/multi30k-en-de/tok"
    for entry in plan.entries:
        training = entry.config.training
        assert (training.max_minutes, training.max_steps, training.validate_metric) == (minutes, steps, "bleu")
        assert entry.config.decoding.beam_size == 5 and entry.config.evaluation.tokenize == "none"
        for key, value in members[entry.model].items():
            assert getattr(entry.config.model, key) == value
        shared = plan.comparison.kinds.get(entry.config.model.kind)
        for key, value in shared.training.items() if shared else ():
            assert getattr(entry.config.training, key) == value
    kinds = {entry.model: type(entry.config.model) for entry in plan.entries}
    assert kinds[base] is TransformerConfig and kinds.get("lstm", RecurrentConfig) is RecurrentConfig
    sizes = {entry.model: entry.config.tokenizer for entry in plan.entries}
    assert len(set(map(str, sizes.values()))) == 1 and len({entry.config.data.root for entry in plan.entries}) == 1


def test_an_ablation_differs_from_the_whole_in_one_thing():
    table = {"set": "ablations", "budget": {"minutes": 2}, "test": {"builtin": "starter-ko-en", "split": "test"}}
    plan = make_plan(table)
    whole = plan.entries[0].config
    for entry in plan.entries[1:]:
        assert len(differences(entry.config, whole)) == 1, entry.model
    several = make_plan({**table, "seeds": [1, 2], "models": [{"name": "one-head", "training": {"batch_tokens": 7}}]})
    assert len(several.entries) == 2 * len(ABLATIONS) and several.folder(several.entries[-1]) == "no-causal-mask-seed2"
    changed = next(entry for entry in several.entries if entry.model == "one-head").config
    assert changed.model.n_heads == 1 and changed.training.batch_tokens == 7


GOOD = {"set": "ladder", "budget": {"steps": 5}, "test": {"src": "a", "ref": "b"}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sett": "ladder"}, "unknown key 'sett'; did you mean 'set'"),
        ({"set": "lader"}, "set = 'lader'"),
        ({"budget": {}}, "c.toml: budget: name steps or minutes"),
        ({"budget": {"steps": 3, "minutes": 2}}, "name steps or minutes"),
        ({"budget": {"minute": 3}}, "unknown key 'budget.minute'; did you mean 'budget.minutes'"),
        ({"budget": {"minutes": -1}}, "budget.minutes = -1"),
        ({"base": "lstn"}, "base = 'lstn': no model of this name; there are: rnn, gru"),
        ({"seeds": []}, "seeds"),
        ({"models": [{"name": "../x"}]}, "models.0.name = '../x'"),
        ({"models": [{"model": {}}]}, "models.0.name"),
        (
            {"models": [{"name": "gru", "model": {"cel": "gru"}}]},
            "(gru): unknown key 'model.cel'; did you mean 'model.cell'",
        ),
        ({"models": [{"name": "a", "modl": {}}]}, "unknown key 'models.0.modl'; did you mean 'models.0.model'"),
        ({"training": {"max_step": 3}}, "unknown key 'training.max_step'"),
        ({"kinds": {"encoder": {}}}, "kinds.encoder"),
        ({"set": None, "models": []}, "base = '': no model"),
        ({"test": {"src": "a"}}, "c.toml: test.ref is missing"),
        ({"test": {"src": "a", "reff": "b"}}, "unknown key 'test.reff'; did you mean 'test.ref'"),
        ({"test": {"builtin": "starter"}}, "test.builtin = 'starter': Input should be 'starter-ko-en' or"),
        ({"test": {"builtin": "starter-ko-en", "splt": "test"}}, "did you mean 'test.split'"),
        ({"test": 3}, "test = 3"),
        ({"data": {"root": "$NO_SUCH_VARIABLE"}}, "NO_SUCH_VARIABLE"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(changes, said):
    content = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        make_plan(content, "c.toml")
    for language in ("en", "ko"):
        assert "\n" not in caught.value.message(language)
    assert said in caught.value.message("en")


def test_a_file_that_cannot_be_read_and_other_mistakes(tmp_path, corpus, capsys):
    bad = tmp_path / "bad.toml"
    bad.write_text("x = [", encoding="utf-8")
    for file, code in ((bad, 2), (tmp_path / "none.toml", 4), ("no-such-comparison", 2)):
        assert run(["compare", str(file)]) == code
        assert capsys.readouterr().err.count("\n") == 1
    good = written(tmp_path / "good.toml", table(corpus))
    assert run(["compare", good, "--only=lstm"]) == 2
    assert "full, cheat, gru" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("")
    assert run(["compare", good, "--out", str(tmp_path / "mine")]) == 2
    assert "letter.txt" in capsys.readouterr().err
    missing = written(tmp_path / "m.toml", table(corpus, test={"src": "test.en", "ref": "none.ko"}))
    assert run(["compare", missing, "--out", str(tmp_path / "o")]) == 3
    assert str(corpus / "none.ko") in capsys.readouterr().err and not (tmp_path / "o").exists()
    assert run(["compare", missing, "--out", str(tmp_path / "o"), "--data-root=/nowhere"]) == 3
    assert "/nowhere/test.en" in capsys.readouterr().err


def test_a_run_of_another_model_is_refused(compared, corpus, tmp_path):
    folder = tmp_path / "full"
    shutil.copytree(compared[0] / "full", folder)
    other = make_plan(table(corpus, tokenizer={"vocabulary_size": 500})).entries[0].config
    with pytest.raises(UsageError, match=r"tokenizer\.vocabulary_size"):
        comparing._brought_up_to_date(RunFolder.open(folder), other)
    assert tomllib.loads((folder / "run.toml").read_text("utf-8"))["tokenizer"]["vocabulary_size"] == 400
