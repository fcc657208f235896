"""The config: what differs from the defaults is enough, and what is wrong is answered with the nearest right name."""

import pytest
import tomli_w
from pydantic import ValidationError

from clearhead.config import (
    DECODER_PRESETS,
    ENCODER_PRESETS,
    PRESETS,
    RECURRENT_PRESETS,
    DecoderConfig,
    EncoderConfig,
    RecurrentConfig,
    RunConfig,
    TransformerConfig,
    expand_root,
    make_config,
    read_config,
    with_overrides,
)
from clearhead.errors import ConfigError, RunError


def test_a_config_comes_back_from_its_own_file(tmp_path):
    sources = [{"src": "a", "tgt": "b", "weight": 2.0}, {"tsv": "c", "header": True}, {"builtin": "starter-ko-en"}]
    config = make_config({"data": {"sources": sources}, "model": {"preset": "tiny"}}, ["training.betas=[0.9, 0.997]"])
    path = tmp_path / "run.toml"
    path.write_text(tomli_w.dumps(config.model_dump(exclude_none=True)), encoding="utf-8")
    assert read_config(path) == config


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_differs_from_the_paper(name):
    model = make_config({"model": {"preset": name, "dropout": 0.25}}).model
    assert model == TransformerConfig(**{**PRESETS[name], "dropout": 0.25})


@pytest.mark.parametrize("name", RECURRENT_PRESETS)
def test_each_kind_has_presets_of_its_own(name):
    model = make_config({"model": {"preset": name}}, ["model.kind=recurrent", "model.cell=gru"]).model
    assert model == RecurrentConfig(**{**RECURRENT_PRESETS[name], "cell": "gru"})


def test_without_a_kind_a_model_is_a_transformer():
    assert make_config({"model": {"d_model": 16}}).model == TransformerConfig(d_model=16)
    assert make_config({"model": {"kind": "recurrent"}}).model == RecurrentConfig()


@pytest.mark.parametrize(("name", "kind"), [("bert-mini", EncoderConfig), ("gpt-2-xl", DecoderConfig)])
def test_a_preset_knows_its_kind(name, kind):
    preset = (ENCODER_PRESETS | DECODER_PRESETS)[name]
    task = {EncoderConfig: "masked-language-model", DecoderConfig: "language-model"}[kind]
    assert make_config({"task": task, "model": {"preset": name, "dropout": 0.25}}).model == kind(**preset, dropout=0.25)


def test_a_body_may_be_a_preset_too():
    model = {"kind": "classifier", "body": {"preset": "bert-mini", "d_ff": 64}}
    body = make_config({"task": "classification", "model": model}).model.body
    assert body == EncoderConfig(**{**ENCODER_PRESETS["bert-mini"], "d_ff": 64})
    with pytest.raises(ConfigError, match=r"model\.body\.preset.*bert-mini"):
        make_config({"task": "classification", "model": {**model, "body": {"preset": "bert-mine"}}})


@pytest.mark.parametrize(
    ("value", "expected"),
    [("training.max_steps=5", 5), ("training.max_steps = 5", 5), ("training.max_steps=5_0", 50)],
)
def test_set_takes_toml_values(value, expected):
    assert make_config({}, [value]).training.max_steps == expected


def test_set_takes_bare_words_and_the_last_one_wins():
    assert make_config({}, ["model.norm=post", "model.norm=pre"]).model.norm == "pre"
    assert with_overrides(RunConfig(), ["decoding.beam_size=7"]).decoding.beam_size == 7


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("training.max_step", "training.max_steps"),
        ("trainig", "training"),
        ("model.dmodel", "model.d_model"),
        ("model.pre_set", "model.preset"),
        ("decoding.beamsize", "decoding.beam_size"),
        ("data.source", "data.sources"),
    ],
)
@pytest.mark.parametrize(("language", "said"), [("en", "did you mean"), ("ko", "뜻하셨나요")])
def test_an_unknown_key_is_answered_with_the_nearest(key, nearest, language, said):
    with pytest.raises(ConfigError) as caught:
        make_config({}, [f"{key}=1"])
    message = caught.value.message(language)
    assert repr(key) in message and repr(nearest) in message and said in message


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model.kind=recurent", "model.kind = 'recurent': one of transformer, recurrent"),
        ("model.atention=dot", "unknown key 'model.atention'; did you mean 'model.attention'?"),
        ("model.n_heads=4", "unknown key 'model.n_heads'; did you mean 'model."),
        ("model.attention=local", "model.attention = 'local': "),
        ("model.d_model=33", 'd_model 33 is odd; direction = "both"'),
        ("model.preset=paper-base", "model.preset = 'paper-base': one of small, tiny, starter"),
        ("tokenizer.joint=false", 'model.tie = "three-way" needs one vocabulary'),
    ],
)
def test_mistakes_in_a_recurrent_model_are_answered_by_its_own_keys(setting, said):
    with pytest.raises(ConfigError) as caught:
        make_config({}, ["model.kind=recurrent", setting])
    assert said in caught.value.message("en")


def test_to_attend_before_or_to_feed_input_needs_an_attention():
    for when in ("before", "input-feeding"):
        make_config({}, ["model.kind=recurrent", f"model.attends={when}"])
        with pytest.raises(ConfigError, match="needs an attention"):
            make_config({}, ["model.kind=recurrent", "model.attention=none", f"model.attends={when}"])


def test_a_classifiers_sizes_are_its_bodys():
    with pytest.raises(ConfigError, match=r"unknown key 'model\.n_layers'; did you mean 'model\.body\.n_layers'\?"):
        make_config({"task": "classification", "model": {"n_layers": 2}})


def test_an_unknown_key_inside_a_source():
    with pytest.raises(ConfigError) as caught:
        make_config({"data": {"sources": [{"src": "a", "tgt": "b", "wight": 2.0}]}})
    assert caught.value.fields["nearest"].endswith("weight")


def test_a_missing_key_is_named_and_one_that_is_misspelt_is_not_called_missing():
    for source, said in (
        ({"src": "a"}, "config: data.sources.0.tgt is missing"),
        ({"builtin": "starter"}, "config: data.sources.0.builtin = 'starter': Input should be 'starter-ko-en' or"),
        (3, "config: data.sources.0 = 3: Input should be a table"),
        ({"src": "a", "tgtt": "b"}, "unknown key 'data.sources.0.tgtt'; did you mean 'data.sources.0.tgt'"),
    ):
        with pytest.raises(ConfigError) as caught:
            make_config({"data": {"sources": [source]}})
        assert said in caught.value.message("en")
    for section, said in (
        ({"model": 3}, "config: model = 3: Input should be a table"),
        ({"training": {"init_from": "runs/a"}}, "training.init_from = 'runs/a': Input should be a list"),
    ):
        with pytest.raises(ConfigError) as caught:
            make_config(section)
        assert said in caught.value.message("en")


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("training.max_steps=0", "training.max_steps"),
        ("training.max_steps=many", "training.max_steps"),
        ("model.dropout=1.0", "model.dropout"),
        ("model.preset=huge", "model.preset"),
        ("model.n_heads=7", "model"),
        ("model.n_encoder_layers=1001", "model.n_encoder_layers"),
        ("model.max_positions=131073", "model.max_positions"),
        ("training.schedule=cosin", "training.schedule"),
        ("tokenizer.vocabulary_size=10", "tokenizer.vocabulary_size"),
        ("format=2", "format"),
    ],
)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_wrong_value_is_named_with_its_key(setting, key, language):
    with pytest.raises(ConfigError) as caught:
        make_config({}, [setting], where="recipe.toml")
    message = caught.value.message(language)
    assert message.startswith("recipe.toml: ") and key in message and "\n" not in message


@pytest.mark.parametrize("setting", ["max_steps", "=5", "training.=5", "", "format.x=1"])
def test_a_set_that_is_not_key_equals_value(setting):
    with pytest.raises(ConfigError):
        make_config({"format": 1}, [setting])


def test_three_way_tying_needs_one_vocabulary():
    with pytest.raises(ConfigError, match="three-way"):
        make_config({}, ["tokenizer.joint=false"])
    make_config({}, ["tokenizer.joint=false", "model.tie=two-way"])


@pytest.mark.parametrize(("content", "kind"), [(b"x = [", ConfigError), (b'x = "\xff"', ConfigError), (None, RunError)])
def test_a_recipe_that_cannot_be_read(tmp_path, content, kind):
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind) as caught:
        read_config(path)
    assert "recipe.toml" in caught.value.message("en") and "recipe.toml" in caught.value.message("ko")


def test_the_data_root_may_name_variables(monkeypatch):
    monkeypatch.setenv("CLEARHEAD_DATA", "/corpora")
    assert expand_root("$CLEARHEAD_DATA/x") == expand_root("${CLEARHEAD_DATA}/x") == "/corpora/x"
    monkeypatch.delenv("CLEARHEAD_DATA")
    with pytest.raises(ConfigError, match="CLEARHEAD_DATA"):
        expand_root("$CLEARHEAD_DATA/x")


def test_a_config_cannot_be_changed():
    with pytest.raises(ValidationError):
        RunConfig().training.max_steps = 5


def test_the_callers_table_stays_as_it_was():
    table = {"training": {"max_steps": 3}}
    assert make_config(table, ["training.max_steps=4", "model.d_model=16"]).training.max_steps == 4
    assert table == {"training": {"max_steps": 3}}


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("translation", "transformer"), ("classification", "classifier"), ("masked-language-model", "encoder"),
        ("language-model", "decoder"),
    ],
)  # fmt: skip
def test_a_model_that_names_no_kind_is_of_that_of_its_task(task, kind):
    assert make_config({"task": task}).model.kind == kind
    width = "body.d_model" if kind == "classifier" else "d_model"
    config = make_config({"task": task, "model": {"dropout": 0.25}}, [f"model.{width}=768"])
    assert config.model.kind == kind and config.model.dropout == 0.25 and "768" in config.model.model_dump_json()
    assert config == make_config(config.model_dump(exclude_none=True))
    with pytest.raises(ConfigError, match=r"^config: task = .* needs model.kind = "):
        make_config({"task": task, "model": {"kind": "encoder" if kind != "encoder" else "decoder"}})
