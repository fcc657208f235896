"""Models as Transformers writes them, against Transformers: logits, texts, ids, and the way there and back."""

from __future__ import annotations

import copy
import io
import json
import sys
import warnings

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from clearhead.config import (
    BagConfig,
    ClassifierConfig,
    DecoderConfig,
    EncoderConfig,
    NgramConfig,
    RecurrentConfig,
    RunConfig,
    TokenizerConfig,
    TransformerConfig,
)
from clearhead.data.batch import Batch
from clearhead.decoding.generator import Generator
from clearhead.decoding.greedy import greedy_search
from clearhead.decoding.problem import Problem, pad_prefixes
from clearhead.decoding.translator import Translator
from clearhead.errors import UsageError
from clearhead.inspection.inspector import Inspector
from clearhead.interop.huggingface import read_folder, write_folder
from clearhead.models.build import build_model, load_weights, make_model, named_weights
from clearhead.pipelines import pipeline
from clearhead.runs.faults import FaultsError
from clearhead.runs.folder import RunFolder
from clearhead.text.tokenizer import Tokenizer, TokenizerPair

from .folders import LINES, MODELS, ROWS
from .folders import write_folder as write_theirs

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
LENGTHS = (9, 4, 7)
TEXTS = ["the cat sees the green hill", "Hello, WORLD!  naïve", "", "  we 1234 don't ", "über\tx"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a function that gives (folder, Transformers' model) of a name, made once."""
    made = {}

    def get(name):
        if name not in made:
            path = tmp_path_factory.mktemp(name)
            made[name] = path, write_theirs(path, name)
        return made[name]

    return get


def ours_of(imported):
    model = make_model(imported.config.model, ROWS, ROWS)
    load_weights(model, imported.weights)
    return model.eval()


def rows(seed=0, lengths=LENGTHS):
    ids = torch.randint(5, 60, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    return ids, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


@torch.no_grad()
def both_answers(name, ours, theirs):
    """Return what the two say of the same ids, where there are tokens."""
    ids, mask = rows()
    given = {"input_ids": ids, "attention_mask": mask.long()}
    form = getattr(ours.config, "head", ours.config.kind)
    if name.startswith("bert"):
        given["token_type_ids"] = (torch.arange(9) > 3).long().expand_as(ids)
    if form == "transformer":
        tgt, tgt_mask = rows(1, (5, 8, 3))
        theirs_say = theirs(**given, decoder_input_ids=tgt).logits[tgt_mask]
        return ours.project(ours(Batch(ids, mask, tgt, tgt, tgt_mask)))[tgt_mask], theirs_say
    if form == "decoder":
        return ours.project(ours(ids))[mask], theirs(**given).logits[mask]
    if form == "classifier":
        return ours(ids, mask, given.get("token_type_ids")), theirs(**given).logits
    hidden = ours.encode(ids, mask, given.get("token_type_ids")).hidden
    if form == "masked":
        return ours.project(ours.transform(hidden))[mask], theirs(**given).logits[mask]
    said = theirs(**given)
    if form == "none":
        return hidden[mask], said.last_hidden_state[mask]
    return torch.cat([hidden[mask], torch.tanh(ours.w_pooler(hidden[:, 0]))]), torch.cat(
        [said.last_hidden_state[mask], said.pooler_output]
    )


@pytest.mark.parametrize("name", MODELS)
def test_our_logits_are_theirs(folders, name):
    path, theirs = folders(name)
    ours, expected = both_answers(name, ours_of(read_folder(path)), theirs)
    assert expected.std() > 0.3
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_gives_the_same_bits_and_the_same_logits(folders, tmp_path, name):
    path, theirs = folders(name)
    imported = read_folder(path)
    out = tmp_path / "out"
    write_folder(out, imported.config, imported.weights, imported.tokenizers)
    before, after = load_file(path / "model.safetensors"), load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        unused = {"roberta": 2, "bart": 2}.get(name.split("-")[0], 0) if "position" in key else 0
        assert torch.equal(tensor[unused:], after[key][unused:]), key
        assert not after[key][:unused].any()
    again, info = type(theirs).from_pretrained(out, output_loading_info=True)
    assert not any(info.values())
    torch.testing.assert_close(*both_answers(name, ours_of(read_folder(out)), again.eval()), atol=1e-4, rtol=1e-4)
    same = read_folder(out)
    assert same.config == imported.config
    assert all(torch.equal(weight, same.weights[key]) for key, weight in imported.weights.items())


@pytest.mark.parametrize("name", MODELS)
def test_what_a_run_folder_holds_goes_out_as_it_came(folders, tmp_path, name):
    """A run folder gives its weights in the order of their names, W_K before W_Q."""
    path, _ = folders(name)
    imported = read_folder(path)
    run = RunFolder.create(tmp_path / "run", imported.config, imported.tokenizers)
    run.write_weights(imported.weights)
    write_folder(tmp_path / "out", run.config, run.weights(), run.tokenizers())
    same = read_folder(tmp_path / "out")
    assert same.config.model == imported.config.model
    assert same.weights.keys() == imported.weights.keys()
    for key, weight in imported.weights.items():
        assert torch.equal(weight, same.weights[key]), key


@pytest.mark.parametrize("name", ["bert-masked", "roberta", "gpt2", "marian", "bart"])
@pytest.mark.parametrize("side", ["src", "tgt"])
def test_our_ids_are_theirs(folders, tmp_path, name, side):
    path, _ = folders(name)
    imported = read_folder(path)
    out = tmp_path / "out"
    write_folder(out, imported.config, imported.weights, imported.tokenizers)
    ours = getattr(imported.tokenizers, side)
    for folder in (path, out):
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        for text in TEXTS:
            text = text.upper() if (name, side) == ("marian", "tgt") else text  # as its pieces are
            expected = theirs(text_target=text) if side == "tgt" else theirs(text)
            ids = ours.encode(text)
            if name == "gpt2":
                assert ids == expected["input_ids"]
            else:
                assert [*ours.start_ids, *ids, ours.eos_id] == expected["input_ids"], text
            shown = theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            assert ours.decode(ids) == shown or name == "marian"


def test_a_text_in_front_of_which_a_language_is_named_is_tagged(folders):
    """As MarianTokenizer has it, whose text is otherwise silently translated into another language."""
    path, _ = folders("marian")
    tokenizer, theirs = read_folder(path).tokenizers.src, transformers.AutoTokenizer.from_pretrained(path)
    tag = tokenizer.tag_id("fra")
    texts = [
        ">>fra<< the cat",
        ">>fra<<the cat",
        ">>fra<<",
        ">>fra<<  we see >>fra<< it",
        "the >>fra<< cat",
        " >>fra<< x",
    ]
    texts += [">>fra<<>>fra<< the cat", ">>fra< the cat", "<<fra>> the cat"]
    expected = [theirs(text)["input_ids"][:-1] for text in texts]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts] == expected
    assert [ids.count(tag) for ids in expected] == [1] * 4 + [0] * 2 + [1] + [0] * 2
    for text, ids in zip(texts, expected):
        tokens = tokenizer.tokens(text)
        assert [token.id for token in tokens] == ids
        if tag in ids:
            assert (tokens[0].text, tokens[0].start, tokens[0].end) == (">>fra<<", 0, 7)
            assert all(token.start >= 7 for token in tokens[1:])
    assert tokenizer.encode(">>deu<< the cat").count(tokenizer.unk_id) > 1  # no such tag: a text like others
    assert tokenizer.encode_batch([]) == []


def test_a_language_named_by_the_text_or_by_the_call_is_the_same(folders):
    translator = Translator.load(folders("marian")[0], device="cpu", overrides=["decoding.max_tokens=6"])
    tag = translator.tokenizers.src.tag_id("fra")
    (named,), (called,) = (
        list(translator._parts([text], [""], tag, translator.decoding, 1))
        for text, tag in ((">>fra<< the cat", ""), ("the cat", "fra"))
    )
    assert named.src == called.src and named.src[0] == tag
    assert (
        translator(">>fra<< the cat").tokens == translator("the cat", tag="fra").tokens != translator("the cat").tokens
    )
    long = ">>fra<< " + "we see the cat. " * 12
    parts = list(translator._parts([long], [""], "", translator.decoding, 1))
    assert len(parts) > 1 and all(part.src.count(tag) == 1 and part.src[0] == tag for part in parts)
    assert max(len(part.src) for part in parts) <= 34


@pytest.mark.parametrize("name", ["roberta", "gpt2"])
def test_vocabulary_and_merges_are_read_where_there_is_no_tokenizer_json(folders, tmp_path, name):
    path, _ = folders(name)
    for file in ("config.json", "model.safetensors", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((path / file).read_bytes())
    model = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")
    whole, files = (read_folder(folder).tokenizers.src for folder in (path, tmp_path))
    assert whole.encode_batch(TEXTS) == files.encode_batch(TEXTS)
    assert [files.decode(ids) for ids in files.encode_batch(TEXTS)] == TEXTS
    assert (whole.start_ids, whole.special_ids, whole.roles()) == (files.start_ids, files.special_ids, files.roles())


@pytest.mark.parametrize("name", ["bert-masked", "roberta", "gpt2", "marian", "bart"])
def test_no_text_spells_a_special_token(folders, name):
    tokenizers = read_folder(folders(name)[0]).tokenizers
    for tokenizer in (tokenizers.src, tokenizers.tgt):
        assert len(tokenizer.special_ids) > 90  # unused rows among them
        for id in tokenizer.special_ids:
            text = f"we see {tokenizer.token_text(id)}"
            assert not {*tokenizer.encode(text)} & {*tokenizer.special_ids} - {tokenizer.unk_id}


def test_what_only_the_other_language_has_as_a_piece_is_said_as_they_say_it(folders):
    path, _ = folders("marian")
    theirs, ours = transformers.AutoTokenizer.from_pretrained(path), read_folder(path).tokenizers.tgt
    ids = [id for id in range(ROWS) if id not in ours.special_ids]
    for some in (*([id] for id in ids), *zip(ids, ids[1:], ids[2:])):
        assert ours.decode(some).strip() == theirs.decode(some, skip_special_tokens=True)  # which strips it, too


@torch.no_grad()
def test_greedy_continuations_are_gpt2s(folders):
    path, theirs = folders("gpt2")
    ours, (ids, _) = ours_of(read_folder(path)), rows(2, (6, 6, 6))
    expected = theirs.generate(ids, max_new_tokens=20, min_new_tokens=20, do_sample=False, pad_token_id=0)
    said, state, tokens = [], ours.start(3, 26), ids
    for _ in range(20):
        hidden, state = ours.step(tokens, state)
        logits = ours.project(hidden[:, -1])
        logits[:, 0] = -torch.inf
        tokens = logits.argmax(-1, keepdim=True)
        said.append(tokens)
    assert torch.equal(torch.cat([ids, *said], 1), expected)
    assert len({tuple(row) for row in torch.cat(said, 1).tolist()}) == 3


@torch.no_grad()
@pytest.mark.parametrize("name", ["marian", "bart"])
def test_greedy_translations_are_theirs(folders, name):
    path, theirs = folders(name)
    imported = read_folder(path)
    ours, (ids, mask) = ours_of(imported), rows(3)
    tokenizer = imported.tokenizers.tgt
    theirs.generation_config.forced_eos_token_id = None
    given = {"do_sample": False, "num_beams": 1, "max_new_tokens": 20, "bad_words_ids": [[tokenizer.pad_id]]}
    expected = theirs.generate(input_ids=ids, attention_mask=mask.long(), **given)
    problem = Problem(
        memory=ours.encode(ids, mask),
        limits=torch.full((3,), 20),
        prefixes=pad_prefixes([[], [], []]),
        forbidden=torch.tensor([tokenizer.pad_id]),
        decoder_start_id=tokenizer.decoder_start_id,
        eos_id=tokenizer.eos_id,
    )
    for row, hypothesis in zip(expected.tolist(), greedy_search(ours, problem)):
        assert row[0] == tokenizer.decoder_start_id
        assert [*row[1:], tokenizer.eos_id].index(tokenizer.eos_id) == len(hypothesis.tokens)
        assert tuple(row[1 : len(hypothesis.tokens) + 1]) == hypothesis.tokens


def test_a_translator_says_what_a_pipeline_of_theirs_says(folders):
    path, theirs = folders("marian")
    imported, their_tokenizer = read_folder(path), transformers.AutoTokenizer.from_pretrained(path)
    special = [id for id in imported.tokenizers.tgt.special_ids if id != 0]
    ours, theirs = ours_of(imported), copy.deepcopy(theirs)
    with torch.no_grad():  # tempted by what is no text
        theirs.final_logits_bias[0, special] = ours.output_bias[special] = 9.0
    translator = Translator(ours, imported.tokenizers, device="cpu")
    translator.decoding = translator.decoding.model_copy(update={"beam_size": 1, "max_tokens": 12})
    theirs.generation_config.forced_eos_token_id = None
    for text in TEXTS[:2]:
        ids = theirs.generate(
            **their_tokenizer(text, return_tensors="pt"),
            max_new_tokens=12,
            num_beams=1,
            bad_words_ids=[[id] for id in special],
        )
        assert [token.id for token in translator(text).tokens] == [id for id in ids[0, 1:].tolist() if id != 0]


@pytest.mark.parametrize("name", ["marian", "gpt2", "distilbert-classifier"])
def test_an_imported_model_is_an_ordinary_run(folders, tmp_path, name):
    path, _ = folders(name)
    imported = read_folder(path)
    RunFolder.create(tmp_path / "run", imported.config, imported.tokenizers).write_weights(imported.weights)
    run = RunFolder.open(tmp_path / "run")
    assert run.config == imported.config.model_copy(update={"clearhead": run.config.clearhead})
    assert all(torch.equal(weight, imported.weights[key]) for key, weight in run.weights().items())
    for side in ("src", "tgt"):
        here, there = getattr(run.tokenizers(), side), getattr(imported.tokenizers, side)
        assert here.fingerprint == there.fingerprint and here.special_ids == there.special_ids
        assert [here.encode(text) for text in TEXTS] == there.encode_batch(TEXTS)
        assert here.roles() == there.roles() and here.decoder_start_id == there.decoder_start_id
    write_folder(tmp_path / "out", run.config, run.weights(), run.tokenizers())
    for file in ("source.spm", "target.spm", "vocab.json"):
        if (path / file).exists():
            before, after = (path / file).read_bytes(), (tmp_path / "out" / file).read_bytes()
            assert before == after or {**json.loads(before)}.items() <= {**json.loads(after)}.items()


@torch.no_grad()
def test_a_pipeline_takes_an_imported_model_as_one_of_ours(folders, tmp_path):
    for name in ("distilbert-classifier", "roberta-masked"):
        imported = read_folder(folders(name)[0])
        RunFolder.create(tmp_path / name, imported.config, imported.tokenizers).write_weights(imported.weights)
    path, theirs = folders("distilbert-classifier")
    their_tokenizer, texts = transformers.AutoTokenizer.from_pretrained(path), [text for text in TEXTS if text]
    found = pipeline("text-classification", tmp_path / "distilbert-classifier", device="cpu")(texts, top_k=3)
    for text, said in zip(texts, found):
        probs = theirs(**their_tokenizer(text, return_tensors="pt")).logits[0].softmax(-1).tolist()
        assert {each["label"]: each["score"] for each in said} == pytest.approx(
            dict(zip(("bad", "so-so", "good"), probs)), abs=1e-4
        )
    path, theirs = folders("roberta-masked")
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    found = pipeline("fill-mask", tmp_path / "roberta-masked", device="cpu")("the<mask>", top_k=3)
    given = torch.tensor([[0, *their_tokenizer("the")["input_ids"][1:-1], 4, 2]])
    assert their_tokenizer.convert_ids_to_tokens(4) == "<mask>"
    expected = theirs(given).logits[0, -2].softmax(-1)
    for each in found:
        assert each["score"] == pytest.approx(float(expected[each["token"]]), rel=1e-3)


TWO = [{"text": "the cat sits", "text_pair": "a dog"}, {"text": "Hello, WORLD!", "text_pair": "it is half past ten"}]
CALLS = [
    (TEXTS[0], {}), (TEXTS[:2], {}), (TEXTS[0], {"top_k": 1}), (TEXTS[0], {"top_k": 2}), (TEXTS[:2], {"top_k": 1}),
    (TEXTS[:2], {"top_k": None}), (TWO[0], {}), (TWO, {}), (TWO[0], {"top_k": 2}),
]  # fmt: skip


def same_shape(found, expected):
    """The same lists, keys and words; numbers nearly so."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        pairs = [(found[key], value) for key, value in expected.items()]
    elif isinstance(expected, list):
        assert isinstance(found, list) and len(found) == len(expected)
        pairs = list(zip(found, expected))
    else:
        assert found == (pytest.approx(expected, abs=1e-4) if isinstance(expected, float) else expected)
        return
    for one, other in pairs:
        same_shape(one, other)


def their_pipeline(task, folder):
    path, theirs = folder
    return transformers.pipeline(task, model=theirs, tokenizer=transformers.AutoTokenizer.from_pretrained(path))


@pytest.mark.parametrize("name", ["bert-classifier", "distilbert-classifier", "roberta-classifier"])
def test_labels_come_in_the_shapes_that_their_pipeline_gives(folders, name):
    """Of one text and several, of pairs (RoBERTa puts two separators between them), and with top_k."""
    theirs = their_pipeline("text-classification", folders(name))
    ours = pipeline("text-classification", folders(name)[0], device="cpu")
    for given, options in CALLS:
        same_shape(ours(given, **options), theirs(given, **options))


@pytest.mark.parametrize(("name", "mask"), [("bert-masked", "[MASK]"), ("roberta-masked", "<mask>")])
def test_filled_masks_come_in_the_shapes_that_their_pipeline_gives(folders, name, mask):
    theirs = their_pipeline("fill-mask", folders(name))
    ours = pipeline("fill-mask", folders(name)[0], device="cpu")
    text = f"the {mask} sees the green hill"
    ordinary = ours._run.tokenizer.ordinary_ids  # they also give rows of the embedding that no token has
    expected = [each for each in theirs(text, top_k=ROWS) if each["token"] in ordinary][:5]
    same_shape(ours(text), expected)
    same_shape(ours([text, text]), [expected, expected])
    two = theirs(f"the {mask} sees {mask}", top_k=ROWS)
    found = ours(f"the {mask} sees {mask}")
    for fillings, theirs_say in zip(found, two, strict=True):
        expected = [each for each in theirs_say if each["token"] in ordinary][:5]
        same_shape([each["score"] for each in fillings], [each["score"] for each in expected])
        assert all(each["sequence"].count(f" {mask}") < 2 and "  " not in each["sequence"] for each in fillings)


def test_texts_go_on_as_in_their_pipeline(folders):
    """From the prompt alone, for GPT-2's tokenizer puts nothing in front; an empty prompt is an end of text."""
    theirs = their_pipeline("text-generation", folders("gpt2"))
    ours = pipeline("text-generation", folders("gpt2")[0], device="cpu")
    generator = ours._run.generator
    names = (generator.tokenizer.token_text(id).removeprefix("Ġ") for id in range(ROWS))
    unused = [id for id, name in enumerate(names) if not (name.isascii() and name.isalpha())]  # bytes that are no text
    generator._forbidden = torch.tensor(unused)
    prompts = ["the cat sees", "Hello, World!", "x", "we see what we want", ""]
    greedy = {"do_sample": False, "max_new_tokens": 12}
    found = ours(prompts, **greedy)
    for prompt, said in zip(prompts, found):
        same_shape(said, theirs(prompt, **greedy, suppress_tokens=unused, pad_token_id=0))
    assert len({each["generated_text"][-5:] for (each,) in found}) == len(prompts)


@torch.no_grad()
def test_texts_are_scored_from_what_their_tokenizer_gives(folders):
    """Examples before a prompt are parted from it, and from each other, by an end of text."""
    path, theirs = folders("gpt2")
    generator, their_tokenizer = Generator.load(path, device="cpu"), transformers.AutoTokenizer.from_pretrained(path)

    def by_hand(prompt, label):
        ids = torch.tensor([their_tokenizer(prompt + label)["input_ids"]])
        asked = range(len(their_tokenizer(prompt)["input_ids"]), ids.shape[1])
        log_probs = theirs(ids).logits[0].log_softmax(-1)
        return sum(float(log_probs[place - 1, ids[0, place]]) for place in asked)

    labels = [" green hill", " cat"]
    expected = [by_hand("the dog sees the", label) for label in labels]
    assert generator.score_continuations("the dog sees the", labels) == pytest.approx(expected, abs=1e-4)
    for examples, before in (([], ""), ([("a dog", "mat"), ("x", "y z")], "a dog mat<|endoftext|>x y z<|endoftext|>")):
        expected = [by_hand(f"{before}we see", label) for label in labels]
        found = generator.score_labels(["we see"], [label[1:] for label in labels], "{text} {label}", examples)
        assert found == [pytest.approx(expected, abs=1e-4)]


@pytest.mark.parametrize("name", ["bert", "bert-masked", "roberta-classifier"])
def test_features_come_in_the_shapes_that_their_pipeline_gives(folders, name):
    path, model = folders(name)
    theirs = their_pipeline("feature-extraction", (path, model.base_model))
    ours = pipeline("feature-extraction", path, device="cpu")
    for given in (TEXTS[0], TEXTS[:2]):
        same_shape(ours(given), theirs(given))


def test_an_encoder_without_a_head_fills_no_masks(folders):
    with pytest.raises(UsageError, match="BertForMaskedLM"):
        pipeline("fill-mask", folders("bert")[0], device="cpu")


def test_a_model_in_the_hubs_cache_is_used_by_its_name(tmp_path, monkeypatch):
    models = {"someone/small": ("fill-mask", "bert-masked"), "classifier": ("text-classification", "bert-classifier")}
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for name, (task, theirs) in models.items():
        cached = tmp_path / f"models--{name.replace('/', '--')}"
        path = cached / "snapshots" / ("0" * 40)
        write_theirs(path, theirs)
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text("0" * 40)
        by_name, by_path = (pipeline(task, given, device="cpu") for given in (name, path))
        assert by_name("the [MASK] sees") == by_path("the [MASK] sees")


def test_the_verbs_take_a_models_name(folders, tmp_path, monkeypatch, capfd):
    from clearhead.cli import run

    monkeypatch.chdir(tmp_path)
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append(name)
        return str(folders(name.partition("/")[2])[0])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    calls = {
        "marian": ["translate", "--max-tokens", "5"], "bert-classifier": ["classify"],
        "gpt2": ["generate", "-", "--max-new-tokens", "5"], "roberta-masked": ["inspect", "the <mask> sees"],
    }  # fmt: skip
    for name, (verb, *more) in calls.items():
        said = []
        for model in (f"someone/{name}", str(folders(name)[0])):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the cat sees\n")))
            assert run([verb, model, *more]) == 0
            said.append(capfd.readouterr().out)
        assert said[0] == said[1] != "" and asked == [f"someone/{name}"]
        asked.clear()
    assert Inspector("someone/gpt2", "cpu").run["name"] == "someone/gpt2"


def test_a_run_imported_without_a_place_lies_under_its_models_name(folders, tmp_path, monkeypatch, capfd):
    from clearhead.cli import run

    monkeypatch.chdir(tmp_path)
    path, _ = folders("bert")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: str(path))
    for model, name in ((str(path), path.name), ("someone/bert", "bert")):
        assert run(["import", model]) == 0
        assert capfd.readouterr().out == f"runs/{name}\n"
        assert RunFolder.open(tmp_path / "runs" / name).config.task == "masked-language-model"
        assert run(["import", model]) == 2
        assert f"runs/{name}" in capfd.readouterr().err


# --- what real folders look like ----------------------------------------------------------------------------------


def rewritten(path, out, change):
    """Copy a folder with other tensors."""
    out.mkdir()
    for file in path.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    tensors = change(load_file(path / "model.safetensors"))
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    return out


def test_other_spellings_of_the_same_tensors(folders, tmp_path):
    """As bert-base-uncased and gpt2 have them: gamma and beta, copies of tied tensors, a pooler of old, masks."""

    def bert(tensors):
        named = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): x for name, x in tensors.items()}
        named = {name.replace("LayerNorm.bias", "LayerNorm.beta"): x for name, x in named.items()}
        return named | {
            "bert.embeddings.position_ids": torch.arange(34)[None],
            "bert.pooler.dense.weight": torch.ones(24, 24),
            "cls.seq_relationship.bias": torch.ones(2),
            "cls.predictions.decoder.weight": tensors["bert.embeddings.word_embeddings.weight"].clone(),
        }

    def gpt2(tensors):
        named = {name.removeprefix("transformer."): x for name, x in tensors.items()}
        return named | {"h.0.attn.bias": torch.ones(1, 1, 34, 34)}

    for name, change in (("bert-masked", bert), ("gpt2", gpt2)):
        path, _ = folders(name)
        here, there = read_folder(path), read_folder(rewritten(path, tmp_path / name, change))
        assert here.weights.keys() == there.weights.keys()
        assert all(torch.equal(weight, there.weights[key]) for key, weight in here.weights.items())


def test_another_vocabulary_than_berts(tmp_path):
    write_theirs(tmp_path, "bert-masked")
    words = (tmp_path / "vocab.txt").read_text(encoding="utf-8").split("\n")
    (tmp_path / "vocab.txt").write_text("\n".join([*words[5:19], *words[:5], *words[19:]]), encoding="utf-8")
    with pytest.raises(FaultsError, match=r"pad_token_id = 0.* 14"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "settings", "named"),
    [
        (
            "bert-masked",
            {"bos_token_id": 0, "eos_token_id": 2},
            {},
        ),  # hfl/chinese-roberta-wwm-ext: [CLS], [SEP] are 101, 102
        ("bert-masked", {"pad_token_id": None}, {}),
        ("gpt2", {"bos_token_id": 50256, "eos_token_id": 50256}, {}),  # GPT2Config's own, with fewer rows
        ("gpt2", {"pad_token_id": 0}, {"pad_token": "!"}),  # padded with eos by the one, by a token by the other
        ("gpt2", {"pad_token_id": 7}, {}),
        ("gpt2", {"eos_token_id": [0, 5]}, {}),
        ("marian", {"bos_token_id": 7}, {}),
    ],
)
def test_what_only_one_of_them_numbers_is_no_contradiction(tmp_path, name, settings, named):
    write_theirs(tmp_path, name)
    for file, more in (("config.json", settings), ("tokenizer_config.json", named)):
        table = json.loads((tmp_path / file).read_text(encoding="utf-8")) | more
        (tmp_path / file).write_text(json.dumps(table), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_folder(tmp_path)


def test_shards_and_half_precision(folders, tmp_path):
    path, theirs = folders("bert-classifier")
    imported = read_folder(path)
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    for file in ("vocab.txt", "tokenizer_config.json"):
        (tmp_path / "shards" / file).write_bytes((path / file).read_bytes())
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    shards = read_folder(tmp_path / "shards")
    assert all(torch.equal(weight, shards.weights[key]) for key, weight in imported.weights.items())
    half = read_folder(rewritten(path, tmp_path / "half", lambda x: {key: value.half() for key, value in x.items()}))
    for key, weight in imported.weights.items():
        assert half.weights[key].dtype == torch.float32
        assert torch.equal(weight.half().float(), half.weights[key])


def test_the_labels_keep_their_names_and_order(folders):
    model = read_folder(folders("bert-classifier")[0]).config.model
    assert model.labels == ("bad", "so-so", "good")
    assert named_weights(make_model(model, ROWS, ROWS))["w_label.weight"].shape == (3, 24)


def test_languages_and_start_come_along(folders):
    marian, bart = (read_folder(folders(name)[0]) for name in ("marian", "bart"))
    assert (marian.config.languages.src, marian.config.languages.tgt) == ("en", "fr")
    assert (marian.config.tokenizer.decoder_start, bart.config.tokenizer.decoder_start) == ("pad", "eos")
    ids = json.loads((folders("marian")[0] / "vocab.json").read_text(encoding="utf-8"))
    assert marian.tokenizers.src.tag_id("fra") == ids[">>fra<<"]
    assert bart.tokenizers.src.start_ids == [0] and marian.tokenizers.src.start_ids == []


# --- our own models go out ----------------------------------------------------------------------------------------

WIDTHS = {"d_model": 24, "d_ff": 40, "n_heads": 4, "max_positions": 34}
OWN = {
    "paper": ("translation", TransformerConfig(**WIDTHS, n_encoder_layers=2, n_decoder_layers=2)),
    "bart-like": (
        "translation",
        TransformerConfig(
            **WIDTHS,
            n_encoder_layers=1,
            n_decoder_layers=2,
            positions="learned",
            embedding_norm=True,
            activation="gelu",
        ),
    ),
    "bert": ("masked-language-model", EncoderConfig(**WIDTHS, n_layers=2)),
    "bert-classifier": (
        "classification",
        ClassifierConfig(body=EncoderConfig(**WIDTHS, n_layers=2), labels=("no", "yes", "perhaps")),
    ),
    "gpt-2": ("language-model", DecoderConfig(**WIDTHS, n_layers=2)),
}


@pytest.fixture(scope="module")
def own_tokenizers():
    tokenizer = Tokenizer.train(LINES * 3, TokenizerConfig(vocabulary_size=360))
    return TokenizerPair(tokenizer, tokenizer)


@pytest.mark.parametrize("name", OWN)
def test_our_own_models_go_out_with_their_tokenizer(own_tokenizers, tmp_path, name):
    task, model_config = OWN[name]
    ours = build_model(model_config, 360, 360, seed=5).eval()
    with torch.no_grad():
        for weight in ours.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    config = RunConfig(task=task, model=model_config)
    run = RunFolder.create(tmp_path / "run", config, own_tokenizers)
    run.write_weights(named_weights(ours))
    write_folder(tmp_path / "out", config, run.weights(), own_tokenizers)
    settings = json.loads((tmp_path / "out/config.json").read_text(encoding="utf-8"))
    theirs, info = getattr(transformers, settings["architectures"][0]).from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(info.values())
    said, expected = both_answers("bert" if "bert" in name else name, ours, theirs.eval())
    torch.testing.assert_close(said, expected, atol=1e-4, rtol=1e-4)
    their_tokenizer, tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out"), own_tokenizers.src
    front = {"translation": [], "language-model": [tokenizer.eos_id]}.get(task, [tokenizer.bos_id])
    back = [] if task == "language-model" else [tokenizer.eos_id]
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert their_tokenizer(text)["input_ids"] == [*front, *ids, *back]
        assert their_tokenizer.decode(ids) == tokenizer.decode(ids)
    if task == "classification":
        assert theirs.config.id2label == {0: "no", 1: "yes", 2: "perhaps"}
        for folder in ("out", "run"):
            found = pipeline("text-classification", tmp_path / folder, device="cpu")(TWO, top_k=None)
            same_shape(found, their_pipeline("text-classification", (tmp_path / "out", theirs))(TWO, top_k=None))
    if task == "language-model":
        for prompt in ("the cat", ""):
            here, there = (
                Generator.load(tmp_path / folder, "cpu")(prompt, max_new_tokens=9) for folder in ("out", "run")
            )
            assert here[0][0].tokens == there[0][0].tokens


@pytest.mark.parametrize("given", ["own", "roberta-classifier"])
def test_a_text_too_long_is_cut_to_what_the_model_takes(folders, own_tokenizers, tmp_path, given):
    """Of our own, and of one that came without a length; RoBERTa's table has two rows more than it takes tokens."""
    if given == "own":
        task, model = OWN["bert-classifier"]
        config, weights = RunConfig(task=task, model=model), named_weights(build_model(model, 360, 360, seed=5))
        tokenizers, longest = own_tokenizers, 34
    else:
        imported = read_folder(folders(given)[0])
        config, weights, tokenizers, longest = imported.config, imported.weights, imported.tokenizers, 32
    write_folder(tmp_path / "out", config, weights, tokenizers)
    theirs = transformers.pipeline("text-classification", model=str(tmp_path / "out"), device="cpu")
    text = " ".join(LINES * 3)
    (said,) = theirs([text], top_k=None, truncation=True)
    assert len(theirs.tokenizer(text, truncation=True)["input_ids"]) == theirs.tokenizer.model_max_length == longest
    with pytest.warns(UserWarning, match=f"{longest - 2}"):
        found = pipeline("text-classification", tmp_path / "out", device="cpu")(text, top_k=None)
    same_shape(found, said)


WITH_NGRAMS = ClassifierConfig(labels=("a", "b"), ngram_evidence=NgramConfig(longest=2))


@pytest.mark.parametrize(
    ("task", "model", "named"),
    [
        ("translation", TransformerConfig(norm="pre"), "model.norm = 'pre'"),
        ("translation", TransformerConfig(activation="swiglu"), "model.activation = 'swiglu'"),
        ("language-model", DecoderConfig(band=5), "model.band = 5"),
        ("masked-language-model", EncoderConfig(positions="sinusoidal"), "model.positions = 'sinusoidal'"),
        ("classification", ClassifierConfig(body=BagConfig(), labels=("a", "b")), "model.kind = 'bag'"),
        ("classification", ClassifierConfig(pooling="mean", labels=("a", "b")), "model.pooling = 'mean'"),
        ("classification", WITH_NGRAMS, "model.ngram_evidence.longest = 2"),
        ("translation", RecurrentConfig(), "model.kind = 'recurrent'"),
    ],
)
def test_what_they_have_no_words_for_is_refused(own_tokenizers, tmp_path, task, model, named):
    with pytest.raises(FaultsError) as caught:
        write_folder(tmp_path / "out", RunConfig(task=task, model=model), {}, own_tokenizers)
    assert named in caught.value.message("en") and named in caught.value.message("ko")
    assert not (tmp_path / "out").exists()
