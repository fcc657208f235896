"""A folder from elsewhere that is not what it should be: everything wrong is listed at once, in one line."""

from __future__ import annotations

import json
import sys
import warnings
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from clearhead.cli import run
from clearhead.config import DecoderConfig, EncoderConfig, RunConfig, TokenizerConfig, TransformerConfig
from clearhead.decoding.translator import Translator
from clearhead.errors import ClearheadError, ConfigError, MachineError, RunError, UsageError
from clearhead.interop.hub import model_folder
from clearhead.interop.huggingface import read_folder, write_folder
from clearhead.models.build import build_model, named_weights
from clearhead.pipelines import pipeline
from clearhead.runs.faults import FaultsError
from clearhead.runs.folder import RunFolder
from clearhead.text.foreign import ForeignTokenizer
from clearhead.text.tokenizer import Tokenizer, TokenizerPair

LINES = ["the cat sits on the mat", "a dog runs over the green hill", "we see what we want to see"] * 3
WIDTHS = {"d_model": 8, "d_ff": 12, "n_heads": 2, "max_positions": 34}
MODELS = {
    "bert": ("masked-language-model", EncoderConfig(**WIDTHS, n_layers=1)),
    "gpt2": ("language-model", DecoderConfig(**WIDTHS, n_layers=1)),
    "marian": ("translation", TransformerConfig(**WIDTHS, n_encoder_layers=1, n_decoder_layers=1)),
}


@pytest.fixture(scope="module")
def tokenizers():
    tokenizer = Tokenizer.train(LINES, TokenizerConfig(vocabulary_size=350))
    return TokenizerPair(tokenizer, tokenizer)


def parts(name, seed=1):
    task, model = MODELS[name]
    return RunConfig(task=task, model=model), named_weights(build_model(model, 350, 350, seed=seed))


@pytest.fixture
def folder(tmp_path, tokenizers, request):
    """A whole folder of the family that the test asks for, BERT's if it does not."""
    write_folder(tmp_path / "model", *parts(getattr(request, "param", "bert")), tokenizers)
    return tmp_path / "model"


def change(folder, **settings):
    table = json.loads((folder / "config.json").read_text(encoding="utf-8")) | settings
    (folder / "config.json").write_text(json.dumps(table), encoding="utf-8")


def rewrite(folder, **tensors):
    table = load_file(folder / "model.safetensors") | tensors
    save_file({name: x.clone() for name, x in table.items() if x is not None}, folder / "model.safetensors")


def refused(folder, kind=FaultsError):
    with pytest.raises(kind) as caught:
        read_folder(folder)
    messages = caught.value.message("en"), caught.value.message("ko")
    assert not any("\n" in message for message in messages)
    return messages


def test_a_whole_folder_is_read(folder):
    assert read_folder(folder).config.model == parts("bert")[0].model


def test_every_wrong_tensor_is_listed(folder):
    rewrite(
        folder,
        **{
            "bert.embeddings.LayerNorm.weight": None,
            "bert.encoder.layer.0.output.dense.weight": torch.ones(8, 13),
            "bert.encoder.layer.1.output.dense.bias": torch.ones(8),
        },
    )
    for message in refused(folder):
        for said in ("'embeddings.LayerNorm.weight'", "(8,)", "'encoder.layer.0.output.dense.weight'", "(8, 13)"):
            assert said in message
        assert "(8, 12)" in message and "'encoder.layer.1.output.dense.bias'" in message


def test_every_setting_without_a_counterpart_is_listed(folder):
    change(folder, hidden_act="mish", position_embedding_type="relative_key", is_decoder=True, hidden_size="8")
    for message in refused(folder):
        for said in (
            "hidden_act = 'mish'",
            "position_embedding_type = 'relative_key'",
            "is_decoder",
            "hidden_size = '8'",
        ):
            assert said in message


@pytest.mark.parametrize("folder", ["marian"], indirect=True)
def test_what_must_be_alike_and_what_decoding_starts_from(folder):
    change(folder, decoder_ffn_dim=99, decoder_start_token_id=77)
    for message in refused(folder):
        assert "decoder_ffn_dim = 99" in message and "decoder_start_token_id = 77" in message


def test_settings_tokenizer_and_tensors_are_all_looked_at(folder):
    change(folder, hidden_act="mish")
    (folder / "tokenizer.json").unlink()
    (folder / "model.safetensors").write_bytes(b"junk")
    for message in refused(folder):
        assert "mish" in message and "tokenizer.json" in message and "model.safetensors" in message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_type": "t5"}, "'t5'"),
        ({"architectures": ["BertForTokenClassification"]}, "BertForMaskedLM"),
        ({"architectures": None}, "None"),
    ],
)
def test_unknown_families_and_architectures(folder, settings, said):
    change(folder, **settings)
    assert all(said in message for message in refused(folder, RunError))


def test_a_pickle_is_not_opened(folder, monkeypatch):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert all("save_pretrained" in message and "pytorch_model.bin" in message for message in refused(folder))


def test_a_larger_vocabulary_than_the_embedding(folder):
    change(folder, vocab_size=349)
    rewrite(
        folder,
        **{"bert.embeddings.word_embeddings.weight": torch.ones(349, 8), "cls.predictions.bias": torch.ones(349)},
    )
    assert all("350" in message and "349" in message for message in refused(folder))


@pytest.mark.parametrize("folder", ["marian"], indirect=True)
def test_a_tokenizer_that_numbers_special_tokens_otherwise(folder, tokenizers):
    """A text would be read without a word, and as nonsense; all of them are listed."""
    own = tokenizers.src
    change(folder, pad_token_id=own.pad_id + 40, eos_token_id=own.eos_id + 40, decoder_start_token_id=own.eos_id + 40)
    for message in refused(folder):
        for said in (f"pad_token_id = {own.pad_id + 40}", f"eos_token_id = {own.eos_id + 40}", f"{own.eos_id}"):
            assert said in message
        assert "bos_token_id" not in message and "decoder_start_token_id" in message


@pytest.mark.parametrize(("unused", "warned"), [(905, 0), (1024, 1)])
def test_far_fewer_tokens_than_rows_are_remarked_upon(folder, unused, warned, capfd):
    rows = 350 + unused
    change(folder, vocab_size=rows)
    embedding, bias = torch.ones(rows, 8), torch.ones(rows)
    rewrite(folder, **{"bert.embeddings.word_embeddings.weight": embedding, "cls.predictions.bias": bias})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_folder(folder)
    assert len(caught) == warned
    assert run(["import", str(folder), "--out", str(folder.with_name("run"))]) == 0
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == warned and all("350" in line and "1,374" in line for line in lines)


@pytest.mark.parametrize("content", ["{", "{}", '{"model": 3}', None])
def test_a_tokenizer_that_is_none(folder, content):
    (folder / "tokenizer.json").unlink()
    if content is not None:
        (folder / "tokenizer.json").write_text(content, encoding="utf-8")
    assert all("tokenizer.json" in message for message in refused(folder))


@pytest.mark.parametrize("content", ["{", "[]", '"x"', ""])
def test_a_config_that_is_none(folder, content):
    (folder / "config.json").write_text(content, encoding="utf-8")
    assert all("config.json" in message for message in refused(folder, RunError))


def test_shards_that_are_missing_or_lie_elsewhere(folder):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}))
    assert all("model-2.safetensors" in message for message in refused(folder))
    index.write_text(json.dumps({"weight_map": {"a": "../model-1.safetensors"}}))
    assert all("weight_map" in message for message in refused(folder))


def test_tensors_that_should_be_one_and_are_not(folder):
    rewrite(folder, **{"cls.predictions.decoder.weight": torch.ones(350, 8)})
    assert all("cls.predictions.decoder.weight" in message for message in refused(folder))


def test_labels_need_numbers(tmp_path, folder):
    change(folder, architectures=["BertForSequenceClassification"], id2label={"0": "a", "2": "b"})
    assert all("id2label" in message for message in refused(folder))


def test_a_classifier_gives_each_text_one_label_of_several(folder):
    labels = {"id2label": {"0": "a"}, "problem_type": "regression", "hidden_act": "mish"}
    change(folder, architectures=["BertForSequenceClassification"], **labels)
    for message in refused(folder):
        assert "id2label = {'0': 'a'}" in message and "problem_type = 'regression'" in message and "'mish'" in message


def test_no_folder(tmp_path):
    assert all("nothing" in message for message in refused(tmp_path / "nothing", RunError))


# --- by name ------------------------------------------------------------------------------------------------------


def test_without_a_network_a_name_is_one_clear_line(capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("CLEARHEAD_DEBUG", raising=False)
    with pytest.raises(MachineError) as caught:
        model_folder("nobody/nothing-of-the-kind")
    assert "nobody/nothing-of-the-kind" in caught.value.message("en") and "\n" not in caught.value.message("ko")
    assert run(["import", "nobody/nothing-of-the-kind", "--out", str(tmp_path / "x")]) == 5
    assert len(capfd.readouterr().err.splitlines()) == 1
    for verb in ("translate", "classify", "generate", "inspect"):
        assert run([verb, "nobody/nothing-of-the-kind", *(["a text"] if verb == "inspect" else [])]) == 5
        (line,) = capfd.readouterr().err.splitlines()
        assert "nobody/nothing-of-the-kind" in line and "Hub" in line
    with pytest.raises(MachineError, match="nobody/nothing-of-the-kind"):
        pipeline("fill-mask", "nobody/nothing-of-the-kind")


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_a_model_with_pickled_weights_alone_is_named_so(folder, monkeypatch, pickle):
    """The Hub is asked what there is; where it does not answer, the line of the missing file says what may be."""
    (folder / "model.safetensors").unlink()
    fetched, listed = [], [["config.json", pickle, "tf_model.h5"]]

    def snapshot_download(name, allow_patterns):
        fetched.extend(allow_patterns)
        return str(folder)

    def list_repo_files(name):
        assert name == "someone/old"
        if not listed:
            raise ConnectionError("offline")
        return listed.pop()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub, "list_repo_files", list_repo_files)
    with pytest.raises(RunError) as caught:
        model_folder("someone/old")
    for language in ("en", "ko"):
        message = caught.value.message(language)
        assert "someone/old" in message and pickle in message and "save_pretrained" in message
    assert not any(fnmatch(pickle, pattern) for pattern in fetched if "index" not in pickle)
    assert model_folder("someone/old") == folder
    for message in refused(folder):
        assert "model.safetensors" in message and "pytorch_model.bin" in message and "save_pretrained" in message


def test_a_model_with_safetensors_is_not_asked_after(folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: str(folder))
    monkeypatch.setattr(huggingface_hub, "list_repo_files", None)
    assert model_folder("someone/new") == folder


def test_what_cannot_be_a_name_or_lies_in_a_folder_that_is_there_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    for path in ("not a name / at all", "runs/mistyped", "./mistyped", "../mistyped", str(tmp_path / "x"), "runs"):
        assert model_folder(path) == Path(path)
    with pytest.raises(RunError, match="runs/mistyped"):
        pipeline("fill-mask", "runs/mistyped")


def test_without_huggingface_hub_a_name_is_answered_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"clearhead\[hub\]"):
        model_folder("nobody/nothing")


# --- the verbs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["back", "out"], ids=["imported", "as it is"])
def test_a_run_that_goes_out_and_comes_back_translates_alike(tmp_path, tokenizers, capfd, way):
    config, weights = parts("marian", seed=4)
    generator = torch.Generator().manual_seed(2)
    weights = {name: weight + torch.randn(weight.shape, generator=generator) * 0.3 for name, weight in weights.items()}
    RunFolder.create(tmp_path / "run", config, tokenizers).write_weights(weights)
    assert run(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    assert run(["import", str(tmp_path / "out"), "--out", str(tmp_path / "back")]) == 0
    assert run(["import", str(tmp_path / "out"), "--out", str(tmp_path / "back")]) == 2  # a run is there already
    assert run(["import", str(tmp_path / "out"), "--out", str(tmp_path / "back"), "--overwrite"]) == 0
    assert run(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 2  # not empty
    assert str(tmp_path / "back") in capfd.readouterr().out.splitlines()
    beam = ["decoding.beam_size=3"]
    here, there = (Translator.load(tmp_path / name, device="cpu", overrides=beam) for name in ("run", way))
    assert here.decoding.beam_size == there.decoding.beam_size == 3
    said = [translator([*LINES[:3], "", "나"]) for translator in (here, there)]
    for one, other in zip(*said):
        assert [token.id for token in one.tokens] == [token.id for token in other.tokens]
        assert one.log_prob == pytest.approx(other.log_prob, rel=1e-5)
    assert len({one.tokens for one in said[0]}) > 3
    for text in LINES:
        assert there.tokenizers.tgt.decode(there.tokenizers.src.encode(text)) == text


# --- the tokenizer in a run folder --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["{", "{}", '{"clearhead": {}, "tokenizer": {}}', "[]", '{"clearhead": 1}'])
def test_a_damaged_tokenizer_is_refused(content):
    with pytest.raises(RunError, match=r"tokenizer\.json"):
        ForeignTokenizer.from_json(content)


def test_ids_that_do_not_fit_are_refused(folder):
    text = read_folder(folder).tokenizers.src.to_json()
    for key, value in (("vocabulary_size", 349), ("roles", {}), ("roles", {"eos": 350}), ("roles", {"eos": -1})):
        content = json.loads(text)
        content["clearhead"][key] = value
        with pytest.raises(RunError):
            ForeignTokenizer.from_json(json.dumps(content))


@pytest.mark.parametrize("folder", ["gpt2"], indirect=True)
def test_a_role_that_is_not_there_is_asked_for_in_vain(folder):
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings = {key: value for key, value in settings.items() if key[:4] not in ("mask", "pad_")}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    tokenizer = read_folder(folder).tokenizers.src
    assert tokenizer.pad_id == tokenizer.eos_id
    with pytest.raises(ConfigError, match="mask"):
        _ = tokenizer.mask_id
    with pytest.raises(ConfigError, match="klingon"):
        tokenizer.tag_id("klingon")


def test_a_vocabulary_cannot_be_learnt_as_imported():
    with pytest.raises(ConfigError, match="clearhead import"):
        Tokenizer.train(LINES, TokenizerConfig(kind="imported"))


def test_errors_are_ours():
    assert issubclass(FaultsError, ClearheadError)
