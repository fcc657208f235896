"""pipeline(): the shapes that Transformers 4 gives, the numbers that the model gives, in order whatever the batch."""

from __future__ import annotations

import pytest
import torch

import clearhead
from clearhead import pipeline
from clearhead.config import make_config
from clearhead.decoding.generator import Generator
from clearhead.decoding.translator import Translator
from clearhead.errors import ClearheadError, ConfigError, CorpusError, RunError, UsageError
from clearhead.models.build import build_model, named_weights
from clearhead.runs.committee import COMMITTEE
from clearhead.runs.folder import RunFolder
from clearhead.text.tokenizer import Tokenizer, TokenizerPair

LINES = ["나는 집에 갑니다", "the animal did not cross the street", "it was too tired"] * 30
STACK = {"d_model": 16, "d_ff": 32, "n_heads": 2}
MODELS = {
    "translation": {**STACK, "n_encoder_layers": 1, "n_decoder_layers": 1},
    "classification": {
        "kind": "classifier",
        "body": {"kind": "encoder", **STACK, "n_layers": 1},
        "labels": ["A", "B", "C"],
    },
    "masked-language-model": {"kind": "encoder", **STACK, "n_layers": 1},
    "language-model": {"kind": "decoder", **STACK, "n_layers": 1},
}
TEXTS = ["the animal", "it was too tired", "나는 집에", "cross", "the street did not cross the animal", "it"] * 3


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each task with random weights that are far from uniform."""
    folder = tmp_path_factory.mktemp("runs")
    for task, model in MODELS.items():
        make_run(folder / task, task, model)
    return folder


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """A translator whose vocabulary has language tags."""
    path = tmp_path_factory.mktemp("tags") / "run"
    make_run(path, "translation", MODELS["translation"], tags=("2de", "2fr"))
    return path


def make_run(path, task, model, size=380, seed=3, tags=()):
    table = {"task": task, "model": model, "tokenizer": {"vocabulary_size": size}, "data": {"max_tokens": 16}}
    config = make_config(table)
    tokenizer = Tokenizer.train(LINES, config.tokenizer, tags)
    run = RunFolder.create(path, config, TokenizerPair(tokenizer, tokenizer))
    weights = named_weights(build_model(config.model, size, size, seed=seed))
    run.write_weights({name: weight * (3.0 if weight.dim() > 1 else 1.0) for name, weight in weights.items()})


def test_a_translation_is_the_translators(runs):
    pipe = pipeline("translation_en_to_de", runs / "translation")
    expected = [translation.text for translation in Translator.load(runs / "translation")(TEXTS)]
    assert pipe(TEXTS) == [{"translation_text": text} for text in expected]
    assert pipe(TEXTS[0]) == [{"translation_text": expected[0]}]
    assert len(pipe(TEXTS[0], n_best=2, beam_size=3)) == 2


def test_a_translation_takes_a_tag_and_a_prefix(tagged):
    pipe, translator = pipeline("translation", tagged), Translator.load(tagged)
    found = {}
    for tag, prefix in (("", ""), ("2de", ""), ("2fr", ""), ("2de", "it was")):
        said = [translation.text for translation in translator(TEXTS, tag=tag, prefix=prefix)]
        assert [each["translation_text"] for each in pipe(TEXTS, tag=tag, prefix=prefix)] == said
        found[tag, prefix] = tuple(said)
    assert len(set(found.values())) == 4
    with pytest.raises(ConfigError, match="2nl"):
        pipe(TEXTS, tag="2nl")


@pytest.mark.parametrize("name", ["sentiment-analysis", "text-classification"])
def test_a_classification_is_the_models(runs, name):
    pipe = pipeline(name, runs / "classification")
    found = pipe(TEXTS)
    assert all(set(each) == {"label", "score"} for each in found)
    assert pipe(TEXTS[1]) == [pytest.approx(found[1])]
    scored = pipe(TEXTS, top_k=None)
    for text, best, every in zip(TEXTS, found, scored):
        ((reader, _),) = pipe._run.readers
        row = torch.tensor([[2, *reader.tokenizer.encode(text), 3]])
        with torch.no_grad():
            probs = reader.model(row, torch.ones_like(row, dtype=torch.bool)).double().softmax(-1)[0]
        assert {each["label"]: each["score"] for each in every} == pytest.approx(
            dict(zip("ABC", probs.tolist())), abs=1e-6
        )
        assert every[0] == pytest.approx(best) and best["score"] == pytest.approx(float(probs.max()), abs=1e-6)


def test_two_texts_are_read_as_in_training(runs):
    """Each cut to its share of the room, one eos between them, the second a segment of its own."""
    pipe = pipeline("text-classification", runs / "classification")
    ((reader, _),) = pipe._run.readers
    long, short = "the animal did not cross the street", "it was"
    twos = [(short, "나는"), (long, short), (short, long), (long, long), (short, "")]
    given = [{"text": first, "text_pair": second} for first, second in twos]
    with pytest.warns(UserWarning, match="cut to the 13"):
        found = pipe([*given, {"text": short}, short], top_k=None)
    assert found[-1] == [pytest.approx(each) for each in found[-2]]
    for (first, second), said in zip(twos, found):
        a, b = reader.tokenizer.encode(first), reader.tokenizer.encode(second)
        while len(a) + len(b) > 13:
            (a if len(a) > len(b) else b).pop()
        row = torch.tensor([[2, *a, 3, *b, 3]])
        segments = torch.tensor([[0] * (len(a) + 2) + [1] * (len(b) + 1)])
        with torch.no_grad():
            probs = reader.model(row, torch.ones_like(row, dtype=torch.bool), segments).double().softmax(-1)[0]
        expected = dict(zip("ABC", probs.tolist()))
        assert {each["label"]: each["score"] for each in said} == pytest.approx(expected, abs=1e-6)
    assert pipe(given[0]) == pytest.approx(found[0][0])


def test_a_committee_answers_with_the_mean_of_its_log_probabilities(runs, tmp_path):
    bag = {"kind": "classifier", "body": {"kind": "bag", "d_model": 8}, "pooling": "mean", "labels": ["A", "B", "C"]}
    make_run(tmp_path / "bag", "classification", bag, size=384, seed=4)
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / COMMITTEE).write_text(
        f'format = 1\nruns = ["{runs}/classification", "../bag"]\nweights = [6, 2]'
    )
    folders = (runs / "classification", tmp_path / "bag", tmp_path / "both")
    one, two, both = (
        [
            {each["label"]: each["score"] for each in row}
            for row in pipeline("text-classification", path)(TEXTS, top_k=None)
        ]
        for path in folders
    )
    for a, b, c in zip(one, two, both):
        mean = {label: a[label] ** 0.75 * b[label] ** 0.25 for label in "ABC"}
        assert c == pytest.approx({label: share / sum(mean.values()) for label, share in mean.items()}, abs=1e-9)
    assert one != two


def test_a_committee_that_cannot_be_is_refused(runs, tmp_path):
    make_run(tmp_path / "other", "classification", {**MODELS["classification"], "labels": ["B", "A", "C"]})
    file = tmp_path / COMMITTEE
    for text, error, says in (
        (f'runs = ["{runs}/classification", "other"]', UsageError, "'B, A, C'"),
        ("runs = []", ConfigError, "at least 1"),
        ('runs = ["other"]\nweights = [1, 2]', ConfigError, "2 weights for 1 runs"),
        ('runs = ["other"]\nweights = [0]', ConfigError, "weights.0"),
        ('runs = ["other"]\nnames = []', ConfigError, "names"),
        ("runs = [", ConfigError, COMMITTEE),
        ('runs = ["nothing"]', RunError, "nothing"),
        (f'runs = ["{runs}/translation"]', UsageError, "'classification'"),
    ):
        file.write_text(text)
        with pytest.raises(error) as caught:
            pipeline("text-classification", tmp_path)
        assert says in caught.value.message("en")


def test_without_a_model_the_one_in_the_package_is_taken(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("clearhead.pipelines.SHIPPED", tmp_path)
    with pytest.raises(UsageError, match="run folder"):
        pipeline("sentiment-analysis")
    run = RunFolder.open(runs / "classification")
    shipped = RunFolder.create(tmp_path / "sentiment-analysis", run.config, run.tokenizers())
    shipped.write_weights(run.weights(), "int8")
    found, expected = (
        pipeline("sentiment-analysis")(TEXTS),
        pipeline("sentiment-analysis", runs / "classification")(TEXTS),
    )
    for one, other in zip(found, expected):
        assert one["score"] == pytest.approx(other["score"], abs=0.05)
    assert found == pipeline("sentiment-analysis", tmp_path / "sentiment-analysis")(TEXTS)
    assert found == pipeline("text-classification")(TEXTS)
    with pytest.raises(UsageError, match="run folder"):
        pipeline("fill-mask")


def test_any_iterable_a_file_and_progress(runs, tmp_path):
    pipe = pipeline("text-classification", runs / "classification")
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    expected, told = pipe(TEXTS), []
    assert pipe(iter(TEXTS), on_progress=told.append) == expected and told == list(range(1, len(TEXTS) + 1))
    assert pipe(tmp_path / "texts.txt") == expected
    assert [results for (results,) in pipe.stream(text for text in TEXTS)] == expected


def test_a_long_text_is_cut_with_a_warning_or_refused(runs):
    pipe = pipeline("text-classification", runs / "classification")
    long = " ".join(TEXTS)
    with pytest.warns(UserWarning, match="text 2: .* cut to the 14"):
        found = pipe(["it", long])
    assert found[0] == pytest.approx(pipe("it")[0])
    with pytest.raises(CorpusError) as caught:
        pipe(["it", long], long_texts="refuse")
    assert caught.value.fields["line"] == 2


def test_generated_text(runs):
    pipe = pipeline("text-generation", runs / "language-model")
    ((expected,),) = Generator.load(runs / "language-model")("the animal", max_new_tokens=5)
    assert pipe("the animal", max_new_tokens=5) == [{"generated_text": "the animal" + expected.text}]
    assert pipe(["the animal"], max_new_tokens=5) == [[{"generated_text": "the animal" + expected.text}]]
    assert pipe("the animal", max_new_tokens=5, return_full_text=False) == [{"generated_text": expected.text}]
    several = pipe("the animal", max_new_tokens=5, num_return_sequences=3, temperature=2.0)
    assert len({each["generated_text"] for each in several}) > 1 and len(several) == 3
    (whole,) = pipe("the animal", max_new_tokens=20, return_full_text=False)
    end = whole["generated_text"][1:3]
    assert pipe("the animal", max_new_tokens=20, return_full_text=False, stop=f"{end}☃") == [whole]
    (cut,) = pipe("the animal", max_new_tokens=20, return_full_text=False, stop=end)
    assert cut["generated_text"] == whole["generated_text"].partition(end)[0]


def test_a_stream_of_prompts_draws_as_if_it_were_one_call(runs, monkeypatch):
    pipe = pipeline("text-generation", runs / "language-model")
    options = {"max_new_tokens": 4, "do_sample": True, "temperature": 3.0, "num_return_sequences": 2}
    expected = pipe(TEXTS, **options)
    assert expected[0] != expected[6]  # the same prompt, at another place
    assert pipe(TEXTS, **options, batch_tokens=1) == expected
    monkeypatch.setattr("clearhead.pipelines.CHUNK", 4)
    assert pipe(iter(TEXTS), **options) == expected


def test_a_generator_whose_run_says_so_draws(runs, tmp_path):
    run = RunFolder.open(runs / "language-model")
    decoding = run.config.decoding.model_copy(update={"sampling": True, "temperature": 3.0})
    RunFolder.create(
        tmp_path / "drawing", run.config.model_copy(update={"decoding": decoding}), run.tokenizers()
    ).write_weights(run.weights())
    pipes = [pipeline("text-generation", path) for path in (runs / "language-model", tmp_path / "drawing")]
    expected = pipes[0]("the animal", max_new_tokens=9, do_sample=True, temperature=3.0)
    assert pipes[1]("the animal", max_new_tokens=9, return_full_text=None, stop=None) == expected
    greedy = [pipe("the animal", max_new_tokens=9, do_sample=False) for pipe in pipes]
    assert greedy[0] == greedy[1] != expected


def test_weights_that_overflow_give_no_label(runs, tmp_path):
    run = RunFolder.open(runs / "classification")
    damaged = RunFolder.create(tmp_path / "damaged", run.config, run.tokenizers())
    damaged.write_weights({name: weight * 1e30 for name, weight in run.weights().items()})
    with pytest.raises(RunError) as caught:
        list(pipeline("text-classification", damaged.path).stream(["it", "was"], first=5))
    assert caught.value.code == "not-a-number" and caught.value.fields["line"] == 5


def test_filled_masks(runs):
    pipe = pipeline("fill-mask", runs / "masked-language-model")
    found = pipe("the [MASK] did not cross", top_k=3)
    assert [set(each) for each in found] == [{"score", "token", "token_str", "sequence"}] * 3
    tokenizer, model = pipe._run.tokenizer, pipe._run.reader.model
    before, after = tokenizer.encode("the"), tokenizer.encode("did not cross")
    row = torch.tensor([[2, *before, tokenizer.mask_id, *after, 3]])
    with torch.no_grad():
        hidden = model.encode(row, torch.ones_like(row, dtype=torch.bool)).hidden[0, 1 + len(before)]
        probs = model.project(model.transform(hidden)).double().softmax(-1)
    ordinary = [id for id in probs.argsort(descending=True).tolist() if id in tokenizer.ordinary_ids][:3]
    assert [each["token"] for each in found] == ordinary
    assert [each["score"] for each in found] == pytest.approx([float(probs[id]) for id in ordinary])
    for each in found:
        assert each["token_str"] == tokenizer.decode([each["token"]])
        assert each["sequence"] == tokenizer.decode([*before, each["token"], *after])
    assert pipe(["<mask> tired", "it [MASK]"], top_k=2)[1] == [pytest.approx(e) for e in pipe("it [MASK]", top_k=2)]
    with pytest.raises(CorpusError, match="no mask in it"):
        pipe("no mask")
    with pytest.raises(CorpusError, match=r"text 7: .* more than the 14 that the model takes; keep what"):
        list(pipe.stream(["it [MASK]", f"[MASK] {' '.join(TEXTS)}"], first=6))
    each_alone = [pipe(f"{text} [MASK]") for text in TEXTS[:5]]
    for alone, together in zip(each_alone, pipe([f"{text} [MASK]" for text in TEXTS[:5]]), strict=True):
        assert together == [pytest.approx(each) for each in alone]


def test_several_masks_are_filled_each_by_itself(runs):
    pipe = pipeline("fill-mask", runs / "masked-language-model")
    text = "[MASK] animal did <mask> cross [MASK]"
    one, several = pipe(["it [MASK]", text], top_k=2)
    assert one == [pytest.approx(each) for each in pipe("it [MASK]", top_k=2)]
    assert [len(fillings) for fillings in several] == [2, 2, 2]
    tokenizer, model = pipe._run.tokenizer, pipe._run.reader.model
    pieces = [tokenizer.encode("animal did"), tokenizer.encode("cross")]
    mask = tokenizer.mask_id
    row = torch.tensor([[2, mask, *pieces[0], mask, *pieces[1], mask, 3]])
    with torch.no_grad():
        hidden = model.encode(row, torch.ones_like(row, dtype=torch.bool)).hidden[0]
        probs = model.project(model.transform(hidden)).double().softmax(-1)
    at = [place for place, id in enumerate(row[0].tolist()) if id == mask]
    said = [[tokenizer.decode([each["token"]]) for each in fillings] for fillings in several]
    for place, fillings in zip(at, several):
        scores = [float(probs[place, each["token"]]) for each in fillings]
        assert [each["score"] for each in fillings] == pytest.approx(scores) == sorted(scores, reverse=True)
    assert several[1][0]["sequence"] == tokenizer.decode([*pieces[0], several[1][0]["token"], *pieces[1]]).join(
        ("[MASK] ", " [MASK]")
    )
    assert several[0][1]["sequence"].startswith(said[0][1]) and several[0][1]["sequence"].endswith("cross [MASK]")


def test_features_are_a_vector_a_token(runs):
    pipe = pipeline("feature-extraction", runs / "masked-language-model")
    (found,) = pipe("it was too tired")
    tokenizer, model = pipe._run.reader.tokenizer, pipe._run.reader.model
    row = torch.tensor([[2, *tokenizer.encode("it was too tired"), 3]])
    with torch.no_grad():
        hidden = model.encode(row, torch.ones_like(row, dtype=torch.bool)).hidden[0]
    torch.testing.assert_close(torch.tensor(found), hidden)
    assert [len(matrix) for (matrix,) in pipe(TEXTS)] == [len(tokenizer.encode(text)) + 2 for text in TEXTS]


def test_what_users_of_transformers_write_is_understood(runs):
    translate, classify = pipeline("translation", runs / "translation"), pipeline(model=runs / "classification")
    assert classify.task == "text-classification" and pipeline(model=runs / "masked-language-model").task == "fill-mask"
    assert pipeline(model=runs / "language-model").task == "text-generation"
    text, long = "the animal", " ".join(TEXTS)
    assert translate(text, num_beams=3) == translate(text, beam_size=3, batch_size=8)
    assert translate(text, num_beams=3, num_return_sequences=2) == translate(text, beam_size=3, n_best=2)
    with pytest.warns(UserWarning, match="cut to the 14"):
        assert classify(long, truncation=True) == classify(long, long_texts="cut")
    with pytest.raises(CorpusError, match="text 1"):
        classify(long, truncation=False)
    for device in (-1, "cpu", torch.device("cpu")):
        assert pipeline("text-classification", runs / "classification", device=device)(text) == classify(text)
    praise = "I love this product! It's amazing and works perfectly."
    assert pipeline("text-classification")(praise) == pipeline("sentiment-analysis")(praise)


@pytest.mark.parametrize("device", [3, "cuda:3", "tpu", "meta"])
def test_another_device_is_refused_without_a_flag_that_python_has_not(runs, device):
    with pytest.raises(UsageError) as caught:
        pipeline("text-classification", runs / "classification", device=device)
    assert f"device {device}" in caught.value.message("en") and "--" not in caught.value.message("en")


@pytest.mark.parametrize(
    ("task", "run", "options", "error", "says"),
    [
        ("sentiment", None, {}, UsageError, "text-classification"),
        ("fill-mask", None, {}, UsageError, "run folder"),
        ("fill-mask", "nowhere", {}, RunError, "nowhere"),
        ("fill-mask", "translation", {}, UsageError, "masked-language-model"),
        ("translation", "translation", {"num_beams": 0}, ConfigError, "pipeline: beam_size = 0"),
        ("translation", "translation", {"truncation": True}, UsageError, "beam_size"),
        ("translation", "translation", {"beam_size": 0}, ConfigError, "pipeline: beam_size = 0"),
        ("text-generation", "language-model", {"temperature": "hot"}, ConfigError, "temperature = 'hot'"),
        (
            "text-generation",
            "language-model",
            {"num_return_sequences": 2, "do_sample": False},
            ConfigError,
            "one cont",
        ),
        ("text-generation", "language-model", {"num_return_sequences": 0}, ConfigError, "num_return_sequences = 0"),
        ("text-generation", "language-model", {"max_new_tokens": 0}, ConfigError, "max_new_tokens = 0"),
        ("text-classification", "classification", {"top_k": "all"}, ConfigError, "top_k = 'all'"),
        ("fill-mask", "masked-language-model", {"top_k": 0}, ConfigError, "top_k = 0"),
        ("text-generation", "language-model", {"max_length": 3}, UsageError, "max_new_tokens"),
        ("text-generation", "language-model", {"num_beams": 3}, UsageError, "'num_beams'"),
        ("text-generation", "language-model", {"n_best": 2}, UsageError, "num_return_sequences"),
        ("text-generation", "language-model", {"sampling": True}, UsageError, "do_sample"),
        ("text-generation", "language-model", {"stop": 5}, ConfigError, "stop = 5"),
        ("text-generation", "language-model", {"stop": ["it", None]}, ConfigError, "stop = ['it', None]"),
        ("text-generation", "language-model", {"stop": ""}, ConfigError, "none of them empty"),
        ("text-generation", "language-model", {"return_full_text": "no"}, ConfigError, "return_full_text = 'no'"),
        ("text-classification", "classification", {"long_texts": "split"}, ConfigError, "long_texts = 'split': cut or"),
        ("text-classification", "classification", {"batch_size": 0}, ConfigError, "batch_size = 0"),
        ("text-classification", "classification", {"num_beams": 3}, UsageError, "top_k, long_texts"),
        ("fill-mask", "masked-language-model", {"targets": "x"}, UsageError, "top_k"),
        ("feature-extraction", "masked-language-model", {"top_k": 1}, UsageError, "long_texts"),
    ],
)
def test_what_cannot_be_is_said(runs, task, run, options, error, says):
    with pytest.raises(error) as caught:
        pipeline(task, run and runs / run)("the animal", **options)
    assert isinstance(caught.value, ClearheadError) and says in caught.value.message("en")


@pytest.mark.parametrize(
    ("task", "run", "text"),
    [
        ("text-classification", "classification", 5),
        ("text-classification", "classification", {"text": "it", "pair": "it"}),
        ("text-classification", "classification", {"text": "it", "text_pair": 3}),
        ("text-classification", "classification", ("it", "was")),
        ("translation", "translation", {"text": "it"}),
        ("text-generation", "language-model", b"it"),
        ("fill-mask", "masked-language-model", None),
    ],
)
def test_what_is_no_text_is_said(runs, task, run, text):
    with pytest.raises(CorpusError) as caught:
        pipeline(task, runs / run)(["it", text])
    assert caught.value.code == "not-a-text" and caught.value.fields["line"] == 2
    assert type(text).__name__ in caught.value.message("ko")


def test_it_is_found_where_the_readme_says():
    assert clearhead.pipeline is pipeline
