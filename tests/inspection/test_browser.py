"""The page in a real browser: Debian's Chromium, headless, driven through a pipe (see chromium.py)."""

import json
import math
import os
import re
import unicodedata
from pathlib import Path

import pytest

from clearhead.inspection import page
from clearhead.inspection.document import unpack

from . import chromium
from .documents import bounded, classified, committee, continued, hidden, said_by, sized, translated
from .injections import INJECTIONS

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium here (Debian: apt-get install chromium)")
AXE = Path(os.environ.get("CLEARHEAD_AXE", Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"))
VIEWS = ["model", "tokens", "attention", "heads", "layers", "decoding"]


@pytest.fixture(scope="module")
def browser():
    with chromium.chromium() as tab:
        yield tab


@pytest.fixture
def show(browser, tmp_path):
    """Open a document's page at a place; give the tab."""

    def opened(document, place="view=model", language="en", served=False, **screen):
        file = tmp_path / "page.html"
        file.write_text(page.render(document, language, served), encoding="utf-8")
        browser.errors.clear()
        browser.open(f"{file.as_uri()}#{place}", **screen)
        return browser

    return opened


def go(tab, place):
    tab.run(f"location.hash = {place!r}")
    tab.run("new Promise((done) => setTimeout(done, 20))")


def text(tab):
    return tab.run("document.getElementById('app').innerText")


def test_every_view_is_drawn_in_both_languages_without_asking_anybody(show):
    tab = show(translated())
    for view in VIEWS:
        for language in ("en", "ko"):
            tab.run(f"document.getElementById('choose-{language}').click()")
            tab.run(f"document.getElementById('tab-{view}').click()")
            shown = text(tab)
            assert page.vocabulary()[language][f"view-{view}"] in shown
            assert not re.search(
                r"\?[\w-]+\?|undefined|NaN|\[object", tab.run("document.getElementById('app').innerHTML")
            )
            assert tab.run("document.documentElement.lang") == language
            tab.run("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert tab.errors == []
    assert [address.split("#")[0] for address in tab.requests] == [tab.run("location.href.split('#')[0]")]


def foreign(tab):
    """What is neither data nor a word of the page's: words in the page, in labels and titles."""
    return tab.run("""(() => {
      const walk = document.createTreeWalker(document.getElementById('app'), NodeFilter.SHOW_TEXT);
      let all = '';
      for (let node = walk.nextNode(); node; node = walk.nextNode()) {
        if (!node.parentElement.closest('.data, .math, code, option')) all += ` ${node.textContent}`;
      }
      for (const each of document.querySelectorAll('#app [aria-label], #app [title]')) {
        all += ` ${each.getAttribute('aria-label') ?? ''} ${each.getAttribute('title') ?? ''}`;
      }
      for (const each of document.querySelectorAll('#app option')) {
        if (!/^\\d+ /.test(each.textContent)) all += ` ${each.textContent}`;
      }
      for (let before = ''; before !== all; ) [before, all] = [all, all.replace(/⟦[^⟦⟧]*⟧/gs, '')];
      return [...all.matchAll(/[^ ]*\\p{L}{2,}[^ ]*/gu)].map((found) => found[0]);
    })()""")


def test_nothing_is_left_untranslated(show, monkeypatch):
    """Every word of a made-up language stands in brackets; what has none comes from somewhere else."""
    marked = {key: f"⟦{value}⟧" for key, value in page.vocabulary()["en"].items()}
    monkeypatch.setattr(page, "vocabulary", lambda: {"en": marked, "ko": marked})
    places = [f"view={view}" for view in VIEWS] + [
        "view=model&block=encoder.layers.0.self_attention",
        "view=heads&tour=3",
    ]
    places += [
        f"view=attention&follow=encoder.layers.1.self_attention.{what}:0.1.2"
        for what in ("q", "scores", "weights", "z")
    ]
    tab = show(translated())
    for place in places:
        go(tab, place)
        tab.run("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        assert foreign(tab) == [], place
    tab = show(classified(), "view=classifier")
    assert foreign(tab) == []
    for place in ("pooling.output:0.3", "pooler.output:0.3", "labels.logits:0.1", "labels.probabilities:0.1"):
        go(tab, f"view=classifier&follow={place}")
        assert foreign(tab) == [], place
    tab = show(committee(), "view=classifier&follow=labels.ngrams:1.1")
    assert foreign(tab) == []
    document = bounded(translated(), 0)
    tab = show(document)
    for view in VIEWS:
        go(tab, f"view={view}")
        assert foreign(tab) == [], view
    tab = show(translated("recurrent"), "view=recurrent")
    assert foreign(tab) == []
    tab = show(hidden(), "view=masked")
    assert foreign(tab) == []
    go(tab, "view=model&block=transform")
    assert foreign(tab) == []


def test_the_numbers_shown_are_the_documents(show):
    document = translated()
    arrays = unpack(document["tensors"], document["blob"])
    part = "decoder.layers.1.self_attention"
    tab = show(document, f"view=attention&part={part}&head=2&i=1")
    rows = tab.run(
        "[...document.querySelectorAll('.ladder tbody tr')]"
        ".map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText))"
    )
    scores = arrays[f"{part}.scores"][2, 1]
    scaled = scores / 2  # d_k = 4
    masked = [f"{value:.3f}" if may else "-∞" for value, may in zip(scaled, arrays[f"{part}.mask"][1])]
    expected = [[f"{value:.3f}" for value in scores], [f"{value:.3f}" for value in scaled], masked]
    expected.append([f"{value:.3f}" for value in arrays[f"{part}.weights"][2, 1]])
    shown = [[value.replace("−", "-") for value in row] for row in rows]
    assert [[value.replace("-0.000", "0.000") for value in row] for row in expected] == shown
    assert "-∞" in shown[2] and shown[3][shown[2].index("-∞")] == "0.000"


def last(tab):
    """Which number leads on: the last one; of a normalisation the first, for γ and β lead nowhere."""
    return "0" if "γ" in tab.run("document.querySelector('.follow .formula')?.innerText ?? ''") else "-1"


def panel(tab):
    return tab.run("[...document.querySelectorAll('.follow .value, .follow .total')].map((each) => each.innerText)")


@pytest.mark.parametrize(("norm", "layer"), [("post", 1), ("pre", 0)])
def test_a_number_is_followed_to_the_tokens_it_came_from(show, norm, layer):
    """By the panel's own buttons from an output to a token's id; what is added up on the way is the number itself."""
    tab = show(translated(norm=norm), f"view=tokens&follow=encoder.layers.{layer}.self_attention.output:1.3")
    ways, value = [], None
    for _ in range(60):
        ways.append(tab.run("document.querySelector('.follow code').innerText"))
        value, *total = panel(tab)
        if total:
            assert abs(float(total[0].split("=")[1].replace("−", "-")) - float(value.replace("−", "-"))) < 2e-3
        if tab.run("document.querySelectorAll('.follow td .number').length") == 0:
            break
        tab.run("[...document.querySelectorAll('.follow td .number')].at(LAST).click()".replace("LAST", last(tab)))
    assert {"weights", "z", "v"} <= {way.rpartition(".")[2] for way in ways} | {"weights"}
    assert ways[-1] in ("src_positions", "src_embedding"), ways
    assert layer == 0 or any(way.endswith("feed_forward.inner") for way in ways)


def test_what_a_normalisation_has_learned_is_followed_too(show):
    document = translated(norm="pre")
    arrays = unpack(document["tensors"], document["blob"])
    tab = show(document, "view=layers&stem=encoder.layers.1&follow=encoder.layers.1.self_attention_residual.normed:2.5")
    value, total = panel(tab)
    assert abs(float(total.split("=")[1].replace("−", "-")) - float(value.replace("−", "-"))) < 2e-3
    for place, what in ((1, "gamma"), (2, "beta")):
        go(tab, "view=layers&stem=encoder.layers.1&follow=encoder.layers.1.self_attention_residual.normed:2.5")
        tab.run(f"[...document.querySelectorAll('.follow td .number')].at({place}).click()")
        expected = arrays[f"encoder.layers.1.self_attention_residual.{what}"][5]
        assert abs(float(panel(tab)[0].replace("−", "-")) - expected) < 1e-4
        assert page.vocabulary()["en"]["how-learned"] in text(tab)
    assert tab.run("document.getElementById('flow-gamma') !== null && document.getElementById('flow-beta') !== null")


@pytest.mark.parametrize("head", ["masked", "none"])
def test_a_hidden_word_can_be_chosen_and_its_guesses_are_there(show, head):
    document = hidden(head)
    tab = show(document, "view=masked")
    shown = text(tab)
    assert document["tgt"]["text"] in shown and page.vocabulary()["en"]["masked-words"] in shown
    place = next(at for at, token in enumerate(document["src"]["tokens"]) if token["text"] == "<mask>")
    tab.run(f"document.getElementById('step-{place}').click()")
    rows = tab.run("[...document.querySelectorAll('main table tbody tr')].map((row) => row.innerText)")
    for each in document["steps"][place]["top"]:
        assert any(f"{each['logit']:.3f}".replace("-", "−") in row for row in rows)
    assert tab.run("document.getElementById('transform.output') !== null") == (head == "masked")
    for name in ("model", "tokens", "attention", "heads", "layers"):
        tab.run(f"document.getElementById('tab-{name}').click()")
        assert not re.search(r"\?[\w-]+\?|undefined|NaN", tab.run("document.getElementById('app').innerHTML")), name
    if head == "masked":
        go(tab, "view=masked&follow=transform.output:1.3")
        value, total = panel(tab)
        assert abs(float(total.split("=")[1].replace("−", "-")) - float(value.replace("−", "-"))) < 2e-3
    assert tab.errors == []


def test_what_a_number_is_added_up_of_is_the_number(show):
    tab = show(translated())
    for part in ("encoder.layers.0.self_attention", "decoder.layers.1.cross_attention"):
        for what in ("scores", "z"):
            go(tab, f"view=tokens&follow={part}.{what}:1.2.3")
            value, total = panel(tab)
            assert abs(float(total.split("=")[1].replace("−", "-")) - float(value.replace("−", "-"))) < 2e-3, (
                part,
                what,
            )


def test_text_from_a_user_is_text(show):
    tab = show(said_by(INJECTIONS), "view=tokens")
    for place in ("view=tokens", "view=attention", "view=heads", "view=decoding"):
        go(tab, place)
    assert tab.run("[window.injected ?? null, document.body.dataset.injected ?? null, document.title]")[:2] == [
        None,
        None,
    ]
    assert tab.run("document.title") != "injected"
    assert (
        tab.run("document.querySelectorAll('#app script, #app img, #app iframe, #app object, #app form').length") == 0
    )
    assert len(tab.requests) == 1 and tab.errors == []
    assert INJECTIONS[0] in tab.run("document.querySelector('h1').innerText")


def test_the_keyboard_is_enough(show):
    tab = show(translated())
    for _ in range(60):
        tab.press("Tab")
        if tab.run("document.activeElement.id").startswith("block-"):
            break
    block = tab.run("document.activeElement.id").removeprefix("block-")
    tab.press("Enter")
    assert block in text(tab) and tab.run("document.activeElement.id") == f"block-{block}"
    go(tab, "view=attention")
    tab.run("document.getElementById('matrix-weights').focus()")
    tab.press("ArrowDown")
    tab.press("ArrowRight")
    said = tab.run("document.getElementById('matrix-weights').closest('figure').querySelector('output').innerText")
    assert any(figure.isdigit() for figure in said)
    tab.press("Enter")
    assert tab.run("document.querySelector('.follow') !== null")
    go(tab, "view=decoding")
    tab.run("document.getElementById('node-2').focus()")
    tab.press("Enter")
    assert tab.run("document.getElementById('node-2').getAttribute('aria-pressed')") == "true"


@pytest.mark.parametrize(
    ("make", "places"),
    [
        (classified, ["places", "label"]),
        (lambda: classified("recurrent"), ["recurrent", "label"]),
        (continued, ["places", "next"]),
        (hidden, ["places", "hidden"]),
        (lambda: translated("recurrent"), ["recurrent", "beam"]),
    ],
    ids=["classifier", "recurrent classifier", "language model", "masked language model", "recurrent translator"],
)
def test_each_kind_has_a_tour_and_equations_of_its_own(show, make, places):
    document, words = make(), page.vocabulary()["en"]
    tab = show(document)
    tab.run("document.getElementById('tour').click()")
    assert words[f"tour-welcome-{document['kind']}"] in text(tab)
    seen = []
    while tab.run("document.querySelector('.tour') !== null"):
        seen.append(tab.run("[...document.querySelectorAll('.tour h2, .tour h2 + p')].map((each) => each.innerText)"))
        assert not re.search(r"\?[\w-]+\?|undefined|NaN", tab.run("document.getElementById('app').innerHTML")), seen
        tab.run("document.getElementById('tour-next').click()")
    assert all([words[f"tour-{place}"], words[f"tour-{place}-words"]] in seen for place in places)
    assert words["tour-positions-words"] not in [said for _, said in seen]  # none of these has waves
    for part in document["parts"]:
        go(tab, f"view=model&block={part['name']}")
        assert "undefined" not in tab.run("document.getElementById('app').innerHTML")
    if "transform" in [part["name"] for part in document["parts"]]:
        go(tab, "view=model&block=encoder.layers.0.feed_forward")
        assert "gelu(x W" in text(tab) and "max(0" not in text(tab).split("In our code")[0]
    assert tab.errors == []


def test_a_normalised_sum_below_the_first_layer_is_followed(show):
    tab = show(hidden(), "view=tokens&follow=src_input:2.5")
    value, total = panel(tab)
    assert abs(float(total.split("=")[-1].replace("−", "-")) - float(value.replace("−", "-"))) < 2e-3
    tab.run("document.querySelector('.follow td .number').click()")
    assert tab.run("document.querySelector('.follow code').innerText") == "src_input.sum"
    assert tab.run("document.querySelectorAll('.follow td .number').length") == 3


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_recurrent_models_numbers_are_followed(show, cell):
    document = translated("recurrent", cell=cell)
    shapes = {name: entry["shape"] for name, entry in document["tensors"].items()}
    rows = shapes["encoder.layers.0.forward.hidden"][0]
    places = ["attention.context:2.1", "attention.weights:1.2", "attention.v:3.12"]
    places += ["decoder.layers.1.hidden:2.3", "decoder.layers.1.hidden:0.3", "decoder.layers.0.hidden:0.12"]
    for way in ("forward", "backward"):
        places += [f"encoder.layers.1.{way}.hidden:{row}.3" for row in (0, 4, rows - 1)]
        if cell == "lstm":
            places += [f"encoder.layers.1.{way}.cell:{row}.3" for row in (0, 4, rows - 1)]
    tab = show(document, "view=recurrent")
    for place in places:
        go(tab, f"view=recurrent&follow={place}")
        value, *total = panel(tab)
        name = place.split(":")[0]
        if total:
            assert abs(float(total[0].split("=")[-1].replace("−", "-")) - float(value.replace("−", "-"))) < 2e-3, place
        assert bool(total) == (name.endswith(("context", "cell")) or (name.endswith("hidden") and cell != "rnn"))
        assert tab.run("document.querySelectorAll('.follow td .number').length") > 0, place
        if name.endswith((".weights", ".v")) or (name.endswith("hidden") and cell == "rnn"):
            tab.run("document.querySelector('.follow td .number').click()")
            assert tab.run("document.querySelector('.follow code').innerText") != name
    assert tab.errors == []


def test_the_tour_goes_through_and_ends(show):
    tab = show(translated())
    tab.run("document.getElementById('tour').click()")
    seen = []
    while tab.run("document.querySelector('.tour') !== null"):
        seen.append(tab.run("document.querySelector('.tour h2').innerText"))
        tab.run("document.getElementById('tour-next').click()")
        assert len(seen) < 20
    assert len(seen) == len(set(seen)) == 11
    assert tab.errors == []


def top_ten(document, step=1):
    return [(f"output.logits:{step}.{each['id']}", each) for each in document["steps"][step]["top"]]


@pytest.mark.parametrize("make", [translated, continued, hidden, lambda: translated("recurrent")])
def test_a_logit_leads_to_a_vector_and_a_probability_to_all_logits(show, make):
    document = make()
    view = {"language-model": "language", "masked-language-model": "masked"}.get(document["kind"], "decoding")
    place, each = top_ten(document)[3]
    step = "node=0" if view == "decoding" else "step=1"
    if view == "decoding":
        place, each = top_ten(document, 0)[3]
    tab = show(document, f"view={view}&{step}")
    seen = tab.run("[...document.querySelectorAll('main table .number')].map((each) => each.innerText)")
    assert f"{each['logit']:.3f}".replace("-", "−") in seen and f"{each['log_prob']:.3f}".replace("-", "−") in seen
    go(tab, f"view={view}&follow={place}")
    assert abs(float(panel(tab)[0].replace("−", "-")) - each["logit"]) < 1e-4
    assert tab.run("document.querySelectorAll('.follow td .number').length") == document["config"]["d_model"]
    tab.run("document.querySelector('.follow td .number').click()")
    name = tab.run("document.querySelector('.follow code').innerText")
    vectors = "transform.output" if view == "masked" else "decoder.output"
    assert name == ("decoder.attentional" if document["kind"] == "recurrent" else vectors)
    for what, value in (("log_probs", each["log_prob"]), ("probabilities", math.exp(each["log_prob"]))):
        go(tab, f"view={view}&follow={place.replace('logits', what)}")
        shown, total = panel(tab)
        assert abs(float(shown.replace("−", "-")) - value) < 1e-4
        normaliser = float(total.split("=")[1].replace("−", "-"))
        assert abs(normaliser - (each["logit"] - each["log_prob"])) < 1e-4
        cells = tab.run("[...document.querySelectorAll('.follow tbody tr')].map((row) => row.lastChild.innerText)")
        assert len(cells) == 11 and abs(sum(map(float, cells)) - 1) < 0.01
    go(tab, f"view={view}&follow=output.logits:1.99999")  # of other tokens nothing is known
    assert tab.run("document.querySelector('.follow') === null") and tab.errors == []


@pytest.mark.parametrize(
    ("body", "choices"),
    [
        ("encoder", {}),
        ("encoder", {"pooling": "max", "pooler_activation": "relu"}),
        ("encoder", {"pooling": "first"}),
        ("recurrent", {"pooling": "final", "pooler": False}),
        ("bag", {"pooling": "root", "pooler": False, "ngram_evidence": {"longest": 2, "buckets": 64}}),
    ],
)
def test_a_label_is_followed_to_the_tokens(show, body, choices):
    """From a probability by way of pooler and pooling; what is added up on the way is the number itself."""
    document = classified(body, **choices)
    tab = show(document, "view=classifier&follow=labels.probabilities:0.1")
    assert tab.run("document.getElementById('pooling.output') !== null")
    ways = []
    for _ in range(9):
        ways.append(tab.run("document.querySelector('.follow code').innerText"))
        value, *total = panel(tab)
        if total:
            assert abs(float(total[0].split("=")[-1].replace("−", "-")) - float(value.replace("−", "-"))) < 2e-3, ways
        if ways[-1].startswith(("encoder.", "src_")):
            break
        tab.run("[...document.querySelectorAll('.follow td .number')].at(0).click()")
    sums = ["labels.linear"] if "ngram_evidence" in choices else []
    pooler = ["pooler.output", "pooler.inner"] if choices.get("pooler", True) else []
    assert ways[:-1] == ["labels.probabilities", "labels.logits", *sums, *pooler, "pooling.output"], ways
    if "ngram_evidence" in choices:
        go(tab, "view=classifier&follow=labels.pooled_ngrams:0.1")
        value, total = panel(tab)
        assert abs(float(total.split("=")[-1].replace("−", "-")) - float(value.replace("−", "-"))) < 2e-3
    assert tab.errors == []


def test_a_committees_answer_and_its_members_are_shown(show):
    document = committee()
    tab = show(document, "view=classifier")
    shown = text(tab)
    assert page.vocabulary()["en"]["committee"] in shown and "clearhead inspect runs/other" in shown
    tab.run("document.getElementById('tab-compare').click()")
    assert tab.run("document.querySelectorAll('.sides > section').length") == 2


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5, 0.3, 0.0])
@pytest.mark.parametrize(
    "make", [translated, lambda: translated("recurrent"), classified, hidden, continued],
    ids=["translator", "recurrent", "classifier", "masked", "language"],
)  # fmt: skip
def test_what_was_left_out_is_said_wherever_it_would_stand(show, make, share):
    document, words = make(), page.vocabulary()
    document = bounded(document, int(share * (len(document["blob"]) + 100 * len(document["tensors"]))))
    tab = show(document)
    for language in ("en", "ko"):
        tab.run(f"document.getElementById('choose-{language}').click()")
        said = text(tab)
        assert words[language]["left-out"].split("{")[0] in said and "clearhead inspect RUN --serve" in said
        for each in document["left_out"]:
            assert words[language][f"left-{each['what']}"].format(**each) in said
    notes = 0
    for each in tab.run("[...document.querySelectorAll('.tab')].map((each) => each.id.slice(4))"):
        tab.run(f"document.getElementById('tab-{each}').click()")
        assert not re.search(r"\?[\w-]+\?|undefined|NaN|\[object", tab.run("document.getElementById('app').innerHTML"))
        if each != "model":
            notes += tab.run("document.querySelectorAll('main .note').length")
    assert notes > 0 or share > 0.5
    for name in list(document["tensors"])[::5]:
        go(tab, f"view=model&follow={name}:{'.'.join('0' for _ in document['tensors'][name]['shape'])}")
        assert tab.run("document.querySelector('.follow') !== null"), name
    assert tab.errors == []


KINDS = {
    "recurrent": ("recurrent", lambda: translated("recurrent")),
    "classifier": ("classifier", classified),
    "recurrent classifier": ("recurrent", lambda: classified("recurrent")),
    "bag of words": ("classifier", lambda: classified("bag")),
    "committee": ("compare", committee),
    "language model": ("language", continued),
    "masked language model": ("masked", hidden),
    "two classified": ("compare", lambda: {**classified(), "compare": [classified("recurrent")]}),
    "two with hidden words": ("compare", lambda: {**hidden(), "compare": [hidden("none")]}),
    "two documents": ("compare", lambda: {**translated(), "compare": [translated(norm="pre")]}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_documents(show, kind):
    view, make = KINDS[kind]
    tab = show(make(), f"view={view}")
    tabs = tab.run("[...document.querySelectorAll('.tab')].map((each) => each.id.slice(4))")
    assert view in tabs
    for each in tabs:
        tab.run(f"document.getElementById('tab-{each}').click()")
        assert tab.run("document.querySelector('.tab[aria-current]').id") == f"tab-{each}"
        assert not re.search(r"\?[\w-]+\?|undefined|NaN|\[object", tab.run("document.getElementById('app').innerHTML"))
    for block in tab.run("[...document.querySelectorAll('.block')].map((each) => each.id)"):
        tab.run(f"document.getElementById({block!r}).dispatchEvent(new MouseEvent('click'))")
    assert tab.errors == []


def test_a_classifiers_heads_switched_off_stand_beside_them(show):
    document, words = classified(), page.vocabulary()["en"]
    tab = show(document, "view=heads&part=encoder.layers.1.self_attention")
    assert words["without-classifier"] in text(tab) and words["delta-log-prob"] in text(tab)
    own = [each for each in document["ablations"] if each["part"] == "encoder.layers.1.self_attention"]
    shown = tab.run("[...document.querySelectorAll('main section table tbody tr')].map((row) => row.innerText)")
    for each in own:
        assert any(f"{each['delta_log_prob']:.3f}".replace("-", "−") in row for row in shown), shown


def test_another_head_leaves_the_rest_as_it_stands(show):
    """What shows nothing of a head is not made anew; what was out of sight is painted all the same."""
    tab = show(sized(32), "view=attention")
    tab.run("for (const name of ['nav', '#together-heads', '#matrix-weights']) "
            "document.querySelector(name).dataset.before = 'yes'")  # fmt: skip
    before = tab.run("document.querySelector('.ladder').innerText")
    tab.run("location.hash = 'view=attention&head=1'; new Promise((done) => setTimeout(done))")
    go(tab, "view=attention&head=2")
    tab.wait("document.documentElement.dataset.painted === 'true'")
    marks = "['nav', '#together-heads', '#matrix-weights'].map((name) => document.querySelector(name).dataset.before)"
    assert tab.run(marks) == ["yes", "yes", None] and tab.run("document.querySelector('.ladder').innerText") != before
    bare = """[...document.querySelectorAll('main canvas')].filter((each) =>
      each.getContext('2d').getImageData(0, 0, each.width, each.height).data.every((value) => value === 0)).length"""
    assert tab.run("document.querySelectorAll('main canvas').length") > 9 and tab.run(bare) == 0
    tab.run("""for (const [id, value] of [['choose-query', '2'], ['choose-head', '3']]) {
      const field = document.getElementById(id);
      field.value = value;
      field.dispatchEvent(new Event('change'));
    }""")  # the second before what the first made anew has been painted
    tab.wait("document.documentElement.dataset.painted === 'true'")
    assert tab.run(bare) == 0
    go(tab, "view=heads&head=2")
    pressed = "[...document.querySelectorAll('.small[aria-pressed=true]')].map((each) => each.dataset.head)"
    assert tab.run(pressed) == ["encoder.layers.0.self_attention.2"]
    tab.run("document.querySelector('.small[aria-pressed=false]').click()")
    assert tab.run(pressed) == ["encoder.layers.0.self_attention.0"]
    tab.run("document.getElementById('choose-ko').click()")
    assert page.vocabulary()["ko"]["overview"] in text(tab) and page.vocabulary()["ko"]["view-heads"] in text(tab)
    assert tab.errors == []


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(show, width):
    tab = show(translated(), width=width)
    for view in VIEWS:
        tab.run(f"document.getElementById('tab-{view}').click()")
        assert tab.run("document.documentElement.scrollWidth") <= width, view


@pytest.mark.slow
def test_speed(show, capsys):
    """Printed, not asserted: another machine, another load."""
    for length in (32, 256):
        tab = show(sized(length), "view=attention")
        tab.wait("performance.getEntriesByName('first-contentful-paint').length")
        paint = tab.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        switch = tab.run("""new Promise((done) => {
          const select = document.getElementById('choose-head'), start = performance.now();
          select.value = '1';
          select.dispatchEvent(new Event('change'));
          requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
        })""")
        with capsys.disabled():
            print(f"\n{length} x {length}: first paint {paint:.0f} ms, head switch {switch:.0f} ms")
        assert tab.errors == [] and switch < 5000


@pytest.mark.slow
@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core here (npm install --no-save axe-core, or CLEARHEAD_AXE)")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("make", "places"),
    [
        (
            translated,
            [
                *(f"view={view}" for view in VIEWS),
                "view=heads&tour=7",
                "view=attention&follow=encoder.layers.0.self_attention.z:0.1.2",
                "view=layers&follow=encoder.layers.0.self_attention_residual.output:1.2",
            ],
        ),
        (lambda: translated("recurrent"), ["view=recurrent", "view=decoding"]),
        (classified, ["view=classifier", "view=heads", "view=classifier&follow=labels.probabilities:0.1"]),
        (committee, ["view=classifier", "view=compare", "view=model&block=labels"]),
        (lambda: bounded(translated(), 0), [f"view={view}" for view in VIEWS]),
        (continued, ["view=language", "view=heads"]),
        (hidden, ["view=masked", "view=model&block=transform", "view=masked&follow=transform.output:1.2"]),
        (lambda: {**classified(), "compare": [classified()]}, ["view=compare"]),
        (lambda: {**translated(), "compare": [translated()]}, ["view=compare"]),
    ],
    ids=[
        "translator",
        "recurrent",
        "classifier",
        "committee",
        "left out",
        "language model",
        "masked language model",
        "two labels",
        "two",
    ],
)
def test_axe_finds_nothing(show, make, places, dark):
    tab = show(make(), dark=dark)
    tab.run(AXE.read_text(encoding="utf-8") + "; 0")
    found = []
    for place in places:
        go(tab, place)
        answer = tab.run(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']}).then((said) => "
            "JSON.stringify(said.violations.map((each) => [each.id, each.nodes.map((node) => node.html).slice(0, 4)])))"
        )
        found += [(place, *each) for each in json.loads(answer)]
    assert found == []


@pytest.mark.slow
def test_hangul_and_emoji_show_whole_without_korean_fonts(tmp_path):
    """On a machine with DejaVu alone every syllable, decomposed ones too, and emoji come from the page's own fonts."""
    fonts = tmp_path / "fonts.conf"
    fonts.write_text(
        f"<fontconfig><dir>/usr/share/fonts/truetype/dejavu</dir><cachedir>{tmp_path}/cache</cachedir></fontconfig>"
    )
    syllables = "".join(map(chr, range(0xAC00, 0xD7A4)))
    document = translated()
    document["src"]["text"] = syllables + unicodedata.normalize("NFD", "값싼 값") + "🐕👩‍🔬🏖️"
    document["tgt"]["text"] = "what random weights say may be no text"
    file = tmp_path / "page.html"
    file.write_text(page.render(document, "ko"), encoding="utf-8")
    with chromium.chromium({"FONTCONFIG_FILE": str(fonts)}) as tab:
        tab.open(file.as_uri())
        for domain in ("DOM", "CSS"):
            tab.call(f"{domain}.enable")
        root = tab.call("DOM.getDocument")["root"]["nodeId"]
        node = tab.call("DOM.querySelector", nodeId=root, selector="h1 .data")["nodeId"]
        used = tab.call("CSS.getPlatformFontsForNode", nodeId=node)["fonts"]
        whole = tab.call("DOM.querySelector", nodeId=root, selector="#app")["nodeId"]
        assert "\ufffd" not in tab.run("document.body.innerText")
    glyphs = {each["familyName"]: each["glyphCount"] for each in used if each["isCustomFont"]}
    assert sum(count for name, count in glyphs.items() if "KR" in name) >= 11172 and any(
        "Emoji" in name for name in glyphs
    ), used
    assert sum(each["glyphCount"] for each in used if not each["isCustomFont"]) <= 4, used  # the spaces
    assert whole
