"""Generation: with the cache as without, alone as in a batch, streamed as at once, scored as made."""

from __future__ import annotations

import pytest
import regex
import torch

from clearhead.config import DecoderConfig, DecodingConfig, TokenizerConfig
from clearhead.data.randomness import generator as draws_of
from clearhead.decoding.continuation import whole_characters
from clearhead.decoding.few_shot import few_shot
from clearhead.decoding.generator import Generator
from clearhead.errors import ConfigError, CorpusError, RunError, UsageError
from clearhead.models.build import build_model
from clearhead.text.tokenizer import FIRST_BYTE, Tokenizer

LINES = ["나는 집에 갑니다", "the animal did not cross the street", "it was too tired"] * 30
PROMPTS = ["the animal", "", "it was too", "나는 집", "the", "it was not"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(LINES, TokenizerConfig(vocabulary_size=380))


@pytest.fixture(params=[0, 3], ids=["dense", "banded"])
def generator(request, tokenizer) -> Generator:
    config = DecoderConfig(
        d_model=24, d_ff=48, n_heads=2, n_layers=3, max_positions=40, dropout=0.2, band=request.param
    )
    model = build_model(config, tokenizer.vocabulary_size, tokenizer.vocabulary_size, seed=4)
    with torch.no_grad():
        for weight in model.parameters():  # far from uniform, so that a mistake shows
            weight.mul_(4.0 if weight.dim() > 1 else 1.0)
        model.token_embedding.weight[tokenizer.eos_id] *= 2.5  # some end early
    return Generator(model, tokenizer, device="cpu")


def recomputed(generator: Generator, prompt: str, count: int) -> tuple[list[int], float]:
    """Greedy search that reads everything anew for each token."""
    ids, new, total = [generator.tokenizer.eos_id, *generator.tokenizer.encode(prompt)], [], 0.0
    for _ in range(count):
        with torch.no_grad():
            logits = generator.model.project(generator.model(torch.tensor([[*ids, *new]]))[0, -1])
        log_probs = logits.log_softmax(-1)
        log_probs[[id for id in range(FIRST_BYTE) if id != generator.tokenizer.eos_id]] = -torch.inf
        token = int(log_probs.argmax())
        total += float(log_probs[token])
        if token == generator.tokenizer.eos_id:
            break
        new.append(token)
    return new, total


def test_in_a_batch_with_the_cache_as_alone_without(generator):
    found = generator(PROMPTS, max_new_tokens=12)
    assert len({continuation.tokens for (continuation,) in found}) > 3
    for prompt, (continuation,) in zip(PROMPTS, found):
        tokens, log_prob = recomputed(generator, prompt, 12)
        assert list(continuation.tokens) == tokens and continuation.prompt == prompt
        assert continuation.log_prob == pytest.approx(log_prob, abs=1e-4)
        assert continuation.finished == (len(tokens) < 12)
    assert {continuation.finished for (continuation,) in found} == {True, False}


def test_a_sample_depends_on_its_prompts_place_and_number_alone(generator):
    drawing = DecodingConfig(sampling=True, n_best=3, seed=7, temperature=1.5, beam_size=1)
    together = generator(PROMPTS, max_new_tokens=8, decoding=drawing)
    again = generator([*PROMPTS[:2], "something else"], max_new_tokens=8, decoding=drawing)
    assert [[c.tokens for c in row] for row in again[:2]] == [[c.tokens for c in row] for row in together[:2]]
    assert len({c.tokens for row in together for c in row}) > 12
    other = generator(PROMPTS, max_new_tokens=8, decoding=drawing.model_copy(update={"seed": 8}))
    assert [c.tokens for c in other[0]] != [c.tokens for c in together[0]]


def test_what_is_made_scores_what_it_was_made_with(generator):
    for (made,) in generator(PROMPTS, max_new_tokens=6):
        start = [generator.tokenizer.eos_id, *generator.tokenizer.encode(made.prompt)]
        ids = [*made.tokens, *([generator.tokenizer.eos_id] if made.finished else [])]
        with torch.no_grad():
            logits = generator.model.project(generator.model(torch.tensor([start + ids]))[0]).log_softmax(-1)
        by_hand = sum(float(logits[len(start) - 1 + n, id]) for n, id in enumerate(ids))
        assert generator.score_ids(start, [ids, ids[:1]])[0] == pytest.approx(by_hand, abs=1e-4)


def test_continuations_are_scored_by_the_tokens_that_they_add(generator):
    texts = [" tired", " cross the street", " 갑니다"]
    assert generator.score_continuations("it was", []) == []
    found = generator.score_continuations("it was", texts)
    for text, score in zip(texts, found):
        before = generator.tokenizer.encode("it was")
        whole = generator.tokenizer.encode("it was" + text)
        assert whole[: len(before)] == before
        start = [generator.tokenizer.eos_id, *before]
        assert score == pytest.approx(generator.score_ids(start, [whole[len(before) :]])[0], abs=1e-4)


def test_labels_are_ranked_by_the_likelihood_of_their_words(generator):
    tokenizer, eos = generator.tokenizer, generator.tokenizer.eos_id
    examples = [("the animal", "tired"), ("it was", "cross")]
    found = generator.classify_by_prompt("the street", ["tired", "cross"], "{text} was {label}", examples)
    before = [id for text in ("the animal was tired", "it was was cross") for id in (eos, *tokenizer.encode(text))]
    for label, score in found:
        start = [*before, eos, *tokenizer.encode("the street was")]
        whole = tokenizer.encode(f"the street was {label}")
        continuation = whole[len(tokenizer.encode("the street was")) :]
        assert score == pytest.approx(generator.score_ids(start, [continuation])[0], abs=1e-5)
    assert found[0][1] >= found[1][1] and {label for label, _ in found} == {"tired", "cross"}
    bare = dict(generator.classify_by_prompt("the street", ["tired", "cross"], "{text} was {label}"))
    assert bare != pytest.approx(dict(found), abs=1e-3), "examples matter"
    for template in ("{text}", "{label} {text}", "{label}", "{label} {text} {label}"):
        with pytest.raises(UsageError, match="label"):
            generator.classify_by_prompt("x", ["a"], template)


def test_many_texts_at_once_get_what_each_gets_alone(generator, monkeypatch):
    texts = ["the street", "it", "the animal did not cross the street", "", "was too"]
    labels, template, examples = ["tired", "cross the street"], "{text} was {label}", [("the animal", "tired")]
    for shown in (examples, examples * 2, ()):
        together = generator.score_labels(texts, labels, template, shown)
        monkeypatch.setattr("clearhead.decoding.generator.BATCH_TOKENS", 30)
        assert generator.score_labels(texts, labels, template, shown) == [
            pytest.approx(row, abs=1e-5) for row in together
        ]
        monkeypatch.undo()
        for text, row in zip(texts, together):
            alone = dict(generator.classify_by_prompt(text, labels, template, shown))
            assert [alone[label] for label in labels] == pytest.approx(row, abs=1e-5)
    with pytest.raises(CorpusError, match="tokens"):
        generator.score_labels(texts, labels, template, examples * 30)


def test_few_shot_is_classifying_by_prompt_text_by_text(generator):
    texts, words = ["the street", "it", "the animal did not"], ["tired", "cross", "집에"]
    examples = [(f"it was {word}", number % 3) for number, word in enumerate(["the", "too", "not", "it", "나는"])]
    trials = few_shot(generator, texts, examples, words, "{text} {label}", [0, 2, 3], [1, 2])
    assert [(each.shots, each.seed) for each in trials] == [(0, 1), (2, 1), (2, 2), (3, 1), (3, 2)]
    shown = {}
    for trial in trials:
        order = draws_of(trial.seed, "few-shot").permutation(5)[: trial.shots]
        shown[trial.shots, trial.seed] = [(examples[i][0], words[examples[i][1]]) for i in order]
        asked = {"labels": words, "examples": shown[trial.shots, trial.seed]}
        nothing = dict(generator.classify_by_prompt("", **asked))
        for text, plain, against in zip(texts, trial.plain, trial.against_empty):
            found = generator.classify_by_prompt(text, **asked)
            assert found[0][0] == words[plain]
            assert max(found, key=lambda each: each[1] - nothing[each[0]])[0] == words[against]
    assert shown[3, 1][:2] == shown[2, 1] != shown[2, 2]


def test_streamed_as_at_once(generator):
    for prompt in PROMPTS:
        whole = generator(prompt, max_new_tokens=12)[0][0].text
        pieces = list(generator.stream(prompt, max_new_tokens=12))
        assert "".join(pieces) == whole and all(pieces)


def test_a_stream_draws_by_its_prompts_place(generator):
    drawing = {"max_new_tokens": 12, "decoding": DecodingConfig(sampling=True, temperature=2.0)}
    found = [continuation.text for (continuation,) in generator(["the animal"] * 4, **drawing)]
    assert ["".join(generator.stream("the animal", first=place, **drawing)) for place in range(1, 5)] == found
    assert len(set(found)) > 2


@pytest.mark.parametrize("options", [{"max_new_tokens": 0}, {"max_new_tokens": -1}, {"stop": [""]}, {"stop": b"a b"}])
def test_what_nothing_can_come_of_is_refused(generator, options):
    ((key, value),) = options.items()
    for call in (generator, lambda prompt, **more: list(generator.stream(prompt, **more))):
        with pytest.raises(ConfigError) as caught:
            call("the animal", **options)
        assert f"{key} = {value!r}" in caught.value.message("en")


def test_without_labels_there_is_nothing_to_rank(generator):
    assert generator.classify_by_prompt("it was", []) == []
    assert generator.score_labels(["it", "was"], [], "{text} {label}") == [[], []]


class Saying:
    """A language model that says one text, token by token, whatever it is asked."""

    max_positions = 400

    def __init__(self, ids: list[int], vocabulary_size: int) -> None:
        self.ids, self.vocabulary_size = ids, vocabulary_size

    def start(self, rows, max_length):
        return 0

    def step(self, tokens, state):
        return torch.full((*tokens.shape, 1), state), state + 1

    def project(self, hidden, candidates=None):
        return 50.0 * torch.nn.functional.one_hot(torch.tensor(self.ids)[hidden[..., 0]], self.vocabulary_size).float()


TEXT = "a각\u1100\u1161\u11a8 👩‍👩‍👧 e\u0301 🇰🇷🇩🇪 👍🏽 뷁 stop here STOP and more"


def test_no_piece_of_a_stream_ends_within_a_character(tokenizer):
    said = TEXT.replace("e\u0301", "é").replace("\u1100\u1161\u11a8", "각")  # what tokens say is NFC
    model = Saying([*tokenizer.encode(TEXT), tokenizer.eos_id], tokenizer.vocabulary_size)
    generator = Generator(model, tokenizer, device="cpu")
    pieces = list(generator.stream("x", max_new_tokens=300))
    assert "".join(pieces) == " " + said
    characters = regex.findall(r"\X", " " + said)
    assert [c for piece in pieces for c in regex.findall(r"\X", piece)] == characters
    assert len(pieces) > 30


def test_no_limit_leaves_half_a_character(tokenizer):
    """Streamed or at once; but a U+FFFD that a text holds stays."""
    said = " a👩‍👩‍👧 ❤️‍🔥\ufffd뷁 b"
    ids = tokenizer.encode(said[1:])
    generator = Generator(Saying([*ids, tokenizer.eos_id], tokenizer.vocabulary_size), tokenizer, device="cpu")
    texts = []
    for limit in range(1, len(ids) + 2):
        ((found,),) = generator("x", max_new_tokens=limit)
        assert "".join(generator.stream("x", max_new_tokens=limit)) == found.text
        assert len(found.tokens) == min(limit, len(ids))
        texts.append(found.text)
    assert set(texts) == {said[:end] for end in range(2, len(said) + 1) if said[end - 1] not in "\u200d\ufffd"}
    assert texts[-1] == said and texts[len(tokenizer.encode("a👩‍👩‍")) - 1] == " a"
    ends = Generator(Saying([*tokenizer.encode("a\ufffd"), tokenizer.eos_id], 380), tokenizer, device="cpu")
    assert ends("x")[0][0].text == "".join(ends.stream("x")) == " a\ufffd"


def test_a_stop_string_ends_it_and_no_part_of_it_is_said(tokenizer):
    model = Saying([*tokenizer.encode(TEXT), tokenizer.eos_id], tokenizer.vocabulary_size)
    generator = Generator(model, tokenizer, device="cpu")
    expected = (" " + TEXT).partition("STOP")[0]
    ((found,),) = generator("x", max_new_tokens=300, stop=["STOP", "never"])
    assert len(found.text) == len(expected) - 1 - 2 and found.finished  # NFC is shorter
    pieces = list(generator.stream("x", max_new_tokens=300, stop=["STOP", "never"]))
    assert "".join(pieces) == found.text and found.text.endswith("stop here ")


@pytest.mark.parametrize(("text", "sure"), [("", 0), ("a", 0), ("ab", 1), ("ab\ufffd", 1), ("a\ufffd\ufffd", 0)])
def test_all_but_the_last_character_is_sure(text, sure):
    assert whole_characters(text) == sure


def test_a_prompt_without_room_is_refused(generator):
    with pytest.raises(CorpusError) as caught:
        generator(["", "the animal did not"], max_new_tokens=40, first=7)
    assert caught.value.code == "prompt-too-long" and caught.value.fields["line"] == 8


def test_or_its_end_is_continued(generator):
    """As if it had been cut by hand, behind what stands in front of every text; its own text is given back whole."""
    text, room = "the animal did not cross the street " * 4, 20
    ids = generator.tokenizer.encode(text)
    limit = generator.model.max_positions + 1 - room
    kept = [generator.tokenizer.eos_id, *ids[1 - limit :]]
    with pytest.warns(UserWarning, match=f"prompt 3: {len(ids) + 1:,} tokens, of which the last {limit}"):
        ((found,),) = generator(text, max_new_tokens=room, first=3, long_texts="cut")
    with torch.no_grad():
        logits = generator.model.project(generator.model(torch.tensor([kept]))[0, -1])
    logits[generator.tokenizer.special_ids] = -torch.inf
    assert int(logits.argmax()) == found.tokens[0] and found.prompt == text
    with pytest.warns(UserWarning, match="prompt 1: "):
        assert "".join(generator.stream(text, max_new_tokens=room, long_texts="cut")) == found.text
    with pytest.raises(CorpusError):  # nothing of it would be left
        generator(text, max_new_tokens=generator.model.max_positions, long_texts="cut")
    with pytest.raises(ConfigError, match="cut or refuse"):
        generator(text, long_texts="short")


@pytest.mark.parametrize("sampling", [False, True])
def test_weights_that_give_no_number_are_said(generator, sampling):
    with torch.no_grad():
        next(generator.model.parameters()).fill_(torch.nan)
    decoding = DecodingConfig(beam_size=1, sampling=sampling)
    with pytest.raises(RunError) as caught:
        generator(["the", "it"], max_new_tokens=4, decoding=decoding)
    assert caught.value.code == "not-a-number" and caught.value.fields["line"] == 1
