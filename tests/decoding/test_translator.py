"""From text to text: order, empty lines, long sources, prefixes, n-best and scores, over a model of random weights."""

from __future__ import annotations

import copy
import json
import threading

import pytest
import torch

from clearhead.config import DecodingConfig, RunConfig, TokenizerConfig, make_config
from clearhead.decoding import translator as module
from clearhead.decoding.translator import Translation, Translator
from clearhead.errors import ClearheadError, ConfigError, CorpusError, RunError, UsageError
from clearhead.models.build import build_model, named_weights
from clearhead.runs.folder import RunFolder
from clearhead.text.tokenizer import FIRST_BYTE, TokenizerPair

LINES = [
    f"{subject} {verb} {thing} {place}."
    for subject in ("The dog", "A teacher", "My sister", "We", "Nobody")
    for verb in ("sees", "bought", "will find", "reads")
    for thing in ("a house", "the old book", "three apples")
    for place in ("in the garden", "at school", "today")
]
CONFIG = make_config(
    {
        "tokenizer": {"vocabulary_size": 400},
        "model": {
            "d_model": 16, "d_ff": 32, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1,
            "max_positions": 40, "norm": "pre", "tie": "none",
        },
        "decoding": {"max_extra_tokens": 6, "batch_tokens": 300},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    return TokenizerPair.train(LINES, LINES, TokenizerConfig(vocabulary_size=400), tags=["2de", "2ko"])


@pytest.fixture(scope="module")
def model(tokenizers):
    size = tokenizers.tgt.vocabulary_size
    model = build_model(CONFIG.model, size, size, seed=4)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.3).mul_(2.0)
        model.output_weight[tokenizers.tgt.eos_id] *= 1.5
    return model


@pytest.fixture(scope="module")
def translator(model, tokenizers) -> Translator:
    return Translator(model, tokenizers, CONFIG.decoding, "cpu")


def with_(**changes) -> DecodingConfig:
    return CONFIG.decoding.model_copy(update=changes)


def same(ours: Translation, theirs: Translation) -> None:
    assert (ours.source, ours.text, ours.finished) == (theirs.source, theirs.text, theirs.finished)
    assert ours.score == pytest.approx(theirs.score, abs=1e-4)
    assert [t.id for t in ours.tokens] == [t.id for t in theirs.tokens]


SOURCES = [*LINES[::20], "", "dog", "  \t", "A", *LINES[1::50]]
SEARCHES = {
    "greedy": with_(beam_size=1),
    "beam": with_(beam_size=4, n_best=3),
    "exhaustive": with_(beam_size=2, exhaustive=True),
    "sampling": with_(sampling=True, n_best=2, temperature=0.9, top_k=50, top_p=0.95),
}


@pytest.mark.parametrize("search", SEARCHES)
def test_many_sentences_come_back_in_order_as_each_alone(translator, search):
    together = translator(SOURCES, decoding=SEARCHES[search])
    assert [t.source for t in together] == SOURCES
    assert len({t.text for t in together}) > 5
    for number, (source, translation) in enumerate(zip(SOURCES, together), 1):
        alone = translator(source, decoding=SEARCHES[search], first=number)
        assert isinstance(alone, Translation)
        same(translation, alone)
        for mine, its in zip(translation.n_best, alone.n_best):
            same(mine, its)


@pytest.mark.parametrize("search", ["greedy", "sampling"])
def test_a_stream_reads_little_at_once_and_gives_the_same(translator, monkeypatch, search):
    monkeypatch.setattr(module, "STREAM_SENTENCES", 7)
    read = []
    streamed = translator.stream((read.append(s) or s for s in SOURCES), decoding=SEARCHES[search])
    first = next(streamed)
    assert len(read) == 7
    for ours, theirs in zip([first, *streamed], translator(SOURCES, decoding=SEARCHES[search]), strict=True):
        same(ours, theirs)


def test_an_empty_line_gives_an_empty_line(translator):
    for blank in ("", "   ", "\t", "\u3000"):
        found = translator(blank)
        assert (found.text, found.score, found.tokens, found.finished, len(found.n_best)) == ("", 0.0, (), True, 1)
    assert translator([]) == []


def test_what_a_translation_says_of_itself_hangs_together(translator, tokenizers):
    for translation in translator(LINES[:20], decoding=SEARCHES["beam"]):
        assert tokenizers.tgt.decode(token.id for token in translation.tokens) == translation.text
        assert all(token.id >= FIRST_BYTE and token.log_prob <= 0 for token in translation.tokens)
        assert [t.text for t in translation.tokens] == [tokenizers.tgt.token_text(t.id) for t in translation.tokens]
        assert len(translation.n_best) == 3
        best = translation.n_best[0]
        assert (best.text, best.score, best.n_best) == (translation.text, translation.score, ())
        assert len({each.tokens for each in translation.n_best}) == 3
        limit = len(tokenizers.src.encode(translation.source)) + 6
        assert all(len(each.tokens) <= limit for each in translation.n_best)
        assert all(len(each.tokens) == limit for each in translation.n_best if not each.finished)
        json.dumps(translation.tokens)


def test_the_users_limit_holds(translator):
    assert max(len(t.tokens) for t in translator(LINES[:20], decoding=with_(max_tokens=3))) == 3
    assert max(len(t.tokens) for t in translator(LINES[:20], decoding=with_(max_extra_tokens=1000))) <= 39


def test_a_prefix_is_kept_and_may_differ_from_sentence_to_sentence(translator):
    for search in SEARCHES.values():
        for translation in translator(LINES[:6], prefix="My sister", decoding=search):
            assert all(each.text.startswith("My sister") for each in translation.n_best)
        prefixes = ["", "We", "Nobody reads three", "", "A", "The"]
        translations = translator(LINES[:6], prefix=prefixes, decoding=search)
        assert all(t.text.startswith(prefix) for t, prefix in zip(translations, prefixes))
        for i in (0, 3):
            same(translations[i], translator(LINES[i], decoding=search, first=i + 1))
    with pytest.raises(UsageError, match="2 prefixes for 3 sentences"):
        translator(LINES[:3], prefix=["a", "b"])
    with pytest.raises(UsageError, match="line 2: the prefix has"):
        translator(LINES[:2], prefix=["", "My sister"], decoding=with_(max_tokens=1))


def test_a_tag_goes_in_front_of_the_source(translator):
    plain, tagged, other = (translator(LINES[:6], tag=tag) for tag in ("", "2de", "2ko"))
    assert [t.log_prob for t in plain] != [t.log_prob for t in tagged] != [t.log_prob for t in other]
    with pytest.raises(ConfigError, match="2fr"):
        translator("A dog", tag="2fr")


def test_a_long_source_is_split_at_sentence_ends_or_refused_never_cut(translator, tokenizers):
    source = " ".join(LINES[:9])
    n_tokens = len(tokenizers.src.encode(source))
    assert n_tokens > 39
    found = translator(["A dog.", source], decoding=with_(beam_size=3, n_best=3), tag="2de")[1]
    parts, packed = [], ""
    for line in LINES[:9]:  # the same packing, by hand: as many sentences as fit beside tag and eos
        if len(tokenizers.src.encode(f"{packed} {line}".strip())) > 38:
            parts.append(packed)
            packed = ""
        packed = f"{packed} {line}".strip()
    parts.append(packed)
    assert len(parts) > 2
    alone = translator(parts, decoding=with_(beam_size=3, n_best=3), tag="2de")
    assert found.text == " ".join(t.text for t in alone if t.text)
    assert found.score == pytest.approx(sum(t.score for t in alone), abs=1e-4)
    assert len(found.tokens) == sum(len(t.tokens) for t in alone)
    assert len(found.n_best) == 3
    decoding = with_(beam_size=3)
    prefixed = translator(source, prefix="Nobody", tag="2de", decoding=decoding)
    starts = ["Nobody", *[""] * (len(parts) - 1)]
    expected = translator(parts, prefix=starts, tag="2de", decoding=decoding)
    assert prefixed.text == " ".join(t.text for t in expected if t.text)
    with pytest.raises(CorpusError, match=rf"line 11: {n_tokens} tokens, and the model takes at most 39"):
        translator(["A dog.", source], decoding=with_(long_source="refuse"), first=10)
    endless = "the dog sees " * 40
    with pytest.raises(CorpusError, match="line 2: one sentence of"):
        translator(["A dog.", f"A dog sees. {endless}"])


def test_the_models_limit_holds_tag_and_eos_too(translator, tokenizers):
    words = (word * n for n in range(1, 40) for word in ("dog ", "a ", "the ", "in school "))
    longest = next(text for text in words if len(tokenizers.src.encode(text)) == 39)
    refuse = with_(long_source="refuse")
    assert translator(longest, decoding=refuse).source == longest
    with pytest.raises(CorpusError, match="39 tokens, and the model takes at most 38"):
        translator(longest, tag="2de", decoding=refuse)


def test_parts_of_a_split_source_are_joined_as_the_target_language_does(model, tokenizers):
    source = " ".join(LINES[:9])
    spaced, close = (Translator(model, tokenizers, CONFIG.decoding, "cpu", tgt_language=tag) for tag in ("ko", "zh-TW"))
    assert spaced(source).text != close(source).text
    assert spaced(source).text.replace(" ", "") == close(source).text.replace(" ", "")


def test_the_score_of_a_pair_is_that_of_a_search_forced_to_its_target(translator, tokenizers):
    pairs = [(source, target) for source, target in zip(LINES[:8], LINES[40:48])]
    for tag in ("", "2ko"):
        for (source, target), scored in zip(pairs, translator.score(pairs, tag=tag), strict=True):
            ids = tokenizers.tgt.encode(target)
            forced = translator(source, prefix=target, tag=tag, decoding=with_(beam_size=1, max_tokens=len(ids)))
            assert (scored.source, scored.text, scored.finished) == (source, target, True)
            assert [token.id for token in scored.tokens] == [token.id for token in forced.tokens] == ids
            log_probs = [token.log_prob for token in scored.tokens]
            assert log_probs == pytest.approx([token.log_prob for token in forced.tokens], abs=1e-4)
            assert scored.log_prob < sum(log_probs)  # the end costs something too
            assert scored.score == pytest.approx(scored.log_prob / ((6 + len(ids)) / 6) ** 0.6)
    assert translator.score([]) == []
    assert translator.score([("", "")])[0].tokens == ()
    with pytest.raises(CorpusError, match="pair 2: its longer side"):
        translator.score([("a", "b"), ("a", "dog " * 60)])


def test_samples_depend_on_seed_and_number_alone(translator):
    one = translator(LINES[:20], decoding=SEARCHES["sampling"])
    assert one == translator(LINES[:20], decoding=SEARCHES["sampling"])
    other = translator(LINES[:20], decoding=SEARCHES["sampling"].model_copy(update={"seed": 2}))
    assert [t.text for t in one] != [t.text for t in other]
    twice = translator([LINES[0], LINES[0]], decoding=SEARCHES["sampling"])
    assert twice[0].tokens != twice[1].tokens


def test_threads_may_share_a_translator(translator):
    expected = translator(SOURCES)
    results: dict[int, list[Translation]] = {}
    threads = [
        threading.Thread(target=lambda i=i: results.update({i: translator(SOURCES[i:] + SOURCES[:i])}))
        for i in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        for ours, theirs in zip(results[i], expected[i:] + expected[:i], strict=True):
            same(ours, theirs)


def test_more_hypotheses_than_beams_are_refused(translator):
    with pytest.raises(UsageError, match="n_best = 5"):
        translator("A dog", decoding=with_(n_best=5))


def test_bf16_translates_too(model, tokenizers):
    found = Translator(model, tokenizers, CONFIG.decoding, "cpu", "bf16")(LINES[:5])
    assert all(translation.text for translation in found)


def test_a_loaded_translator_equals_the_one_that_was_stored(translator, tokenizers, model, tmp_path):
    run = RunFolder.create(tmp_path / "run", CONFIG, tokenizers)
    run.write_weights(named_weights(model))
    loaded = Translator.load(tmp_path / "run", "cpu")
    assert loaded(SOURCES) == translator(SOURCES)
    changed = Translator.load(tmp_path / "run", "cpu", overrides=["decoding.beam_size=1"])
    assert changed(SOURCES) == translator(SOURCES, decoding=SEARCHES["greedy"])
    with pytest.raises(ConfigError, match="beam_sise"):
        Translator.load(tmp_path / "run", "cpu", overrides=["decoding.beam_sise=1"])
    with pytest.raises(RunError):
        Translator.load(tmp_path / "nowhere", "cpu")
    weights = named_weights(model)
    lost = next(iter(weights))
    run.write_weights({name: weight for name, weight in weights.items() if name != lost})
    with pytest.raises(ClearheadError, match=lost):
        Translator.load(tmp_path / "run", "cpu")


@pytest.mark.parametrize("search", SEARCHES)
def test_weights_that_give_no_number_are_said(model, tokenizers, search):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.encoder.layers[0].feed_forward.w_1.weight[0, 0] = torch.nan
    with pytest.raises(RunError, match="sentence 3"):
        Translator(broken, tokenizers, device="cpu")(["", " ", "A dog runs."], decoding=SEARCHES[search])


def test_the_defaults_are_those_of_the_config(model, tokenizers):
    assert Translator(model, tokenizers, device="cpu").decoding == RunConfig().decoding
