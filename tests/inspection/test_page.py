"""The page without a browser: its words, its modules, its fonts, and that text stays text."""

import base64
import hashlib
import json
import re
import unicodedata
from html.parser import HTMLParser
from io import BytesIO

import pytest
from fontTools.ttLib import TTFont

from clearhead.config import PRESETS, DecodingConfig, TransformerConfig
from clearhead.inspection import font, page
from clearhead.inspection.document import document
from clearhead.inspection.explain import explain

from .documents import RUN, classified, continued, hidden, said_by, translated
from .injections import INJECTIONS
from .small import translator as spoken_by

WORDS = page.vocabulary()
SOURCES = page.modules()
EVERYTHING = "\n".join(SOURCES.values())


class Parts(HTMLParser):
    """What an HTML parser makes of a page: its tags, and the text of each element with an id or a policy."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.policy, self.inside = [], {}, "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.inside = values.get("id") or values.get("type") or tag
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        self.texts[self.inside] = self.texts.get(self.inside, "") + data


def used_keys():
    """Every key that a module asks for by a whole word; and the fronts and ends of those it puts together."""
    literals = re.findall(r'"([a-z][\w.-]*)"', EVERYTHING)
    built = re.findall(r"t\(`([^`$]*)\$\{(?:[^{}]|\{[^{}]*\})*\}([^`]*)`", EVERYTHING)
    return set(literals), set(built)


def test_both_languages_have_the_same_words_with_the_same_fields():
    english, korean = WORDS["en"], WORDS["ko"]
    assert english.keys() == korean.keys() and len(english) > 300
    for key in english:
        assert sorted(re.findall(r"\{(\w+)\}", english[key])) == sorted(re.findall(r"\{(\w+)\}", korean[key])), key
        assert english[key].strip() and korean[key].strip(), key
        assert not re.search(r"\}(은|는|이|가|을|를|과|와|으로|로)\b", korean[key]), f"{key}: a particle after a field"
    same = {key for key in english if english[key] == korean[key]}
    assert same == {"language-en", "language-ko", "matrix-z"}
    assert all(re.search("[가-힣]", korean[key]) for key in english.keys() - same)


def test_every_word_is_used_and_every_word_used_is_there():
    literals, built = used_keys()
    made = {key for key in WORDS["en"] for front, end in built if key.startswith(front) and key.endswith(end) and front}
    assert WORDS["en"].keys() - literals - made == {"no-script"}  # page.py's
    asked = set(re.findall(r'\b(?:t|sentence)\("([\w-]+)"', EVERYTHING)) | set(
        re.findall(r'"((?:how|term)-[\w-]+)"', EVERYTHING)
    )
    assert asked - WORDS["en"].keys() == set() and len(asked) > 150


def test_no_module_holds_text_of_its_own():
    found = []
    for name, source in SOURCES.items():
        if name == "equations":
            continue
        code = re.sub(r"^\s*//.*$|\s//\s.*$", "", source, flags=re.MULTILINE)
        for literal in re.findall(r'"((?:[^"\\\n]|\\.)*)"', code):
            plain = re.search(r"[A-Za-z]{2,} [A-Za-z]{2,} [a-z]{2,}", literal)
            if plain or re.search("[가-힣]", literal) or re.fullmatch(r"[A-Z][a-z]+ ?[a-z]*[.:]?", literal):
                found.append(f"{name}: {literal}")
    assert [each for each in found if each.split(": ")[1] not in {"Enter"}] == []


def test_every_module_is_in_the_page_after_those_that_it_imports():
    folder = page.resources.files("clearhead.inspection") / "page"
    files = {each.name for each in folder.iterdir()} | {f"views/{each.name}" for each in (folder / "views").iterdir()}
    assert {name for name in files if name.endswith(".js")} == {f"{name}.js" for name in SOURCES}
    order = list(SOURCES)
    for name, source in SOURCES.items():
        assert source.count("import ") == len(page.IMPORT.findall(source)), f"{name}: an import of another form"
        for _, imported in page.IMPORT.findall(source):
            assert order.index(page._resolved(name, imported)) < order.index(name)


def test_the_page_holds_its_document_and_nothing_of_the_network():
    given = translated()
    parts = Parts(page.render(given, "ko"))
    held = json.loads(parts.texts["document"])
    assert {**held["document"], "sources": None} == {**given, "sources": None}
    assert {part["source"] for part in given["parts"]} == held["document"]["sources"].keys()
    assert not {"link href", "img", "iframe", "object"} & set(parts.tags)
    own = {
        kind: base64.b64encode(hashlib.sha256(parts.texts[kind].encode()).digest()).decode()
        for kind in ("style", "module")
    }
    assert (
        f"script-src 'sha256-{own['module']}'" in parts.policy and f"style-src 'sha256-{own['style']}'" in parts.policy
    )
    assert "default-src 'none'" in parts.policy and "connect-src 'none'" in parts.policy
    assert "http" not in re.sub(
        r"http://www.w3.org/2000/svg|https://arxiv.org/abs/1706.03762", "", parts.texts["module"] + parts.texts["style"]
    )


@pytest.mark.parametrize("make", [classified, lambda: classified("recurrent"), continued, hidden])
def test_each_part_of_each_kind_leads_to_its_code(make):
    document = make()
    sources = page.sources(document)
    assert {part["source"] for part in document["parts"]} == sources.keys()
    for part in document["parts"]:
        if part["kind"] == "sum":
            assert "self.positions(" in sources[part["source"]]


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "megabytes"), [("tiny", 3), ("small", 3), ("paper-base", 10)])
def test_a_page_of_30_tokens_is_small(preset, megabytes, capsys):
    translator = spoken_by(TransformerConfig(**PRESETS[preset]), spread=0.0)
    tokenizers = translator.tokenizers
    translator.model.tgt_embedding.weight.data[tokenizers.tgt.eos_id] = 0.0  # it goes on to the limit
    text = "My sister reads the old book at school. " * 9
    while len(tokenizers.src.encode(text)) > 29:
        text = text[:-1]
    explanation = explain(translator, text, decoding=DecodingConfig(beam_size=4, max_tokens=30))
    assert len(explanation.src) == len(explanation.tgt_inputs) == 30
    size = len(page.render(document(explanation, RUN, translator.model.config.model_dump(mode="json"))).encode()) / 1e6
    with capsys.disabled():
        print(f"\n{preset}: {size:.2f} MB")
    assert size <= megabytes


def test_text_that_looks_like_markup_ends_no_element():
    assert len(INJECTIONS) == len(set(INJECTIONS)) == 200
    plain, hostile = Parts(page.render(translated())), Parts(page.render(said_by(INJECTIONS)))
    assert hostile.tags == plain.tags
    assert json.loads(hostile.texts["document"])["document"]["src"] == said_by(INJECTIONS)["src"]


def test_the_text_is_on_the_screen_before_the_numbers_are_read():
    given = translated()
    content = page.render(given, "ko")
    opening = content[: content.index("<noscript>")]
    assert given["src"]["text"] in opening and WORDS["ko"]["title"] in opening
    hostile = page.render({**given, "src": {**given["src"], "text": "<b>"}}).split("<noscript>")[0]
    assert "<b>" not in hostile and "&lt;b&gt;" in hostile


def test_the_fonts_have_every_syllable_and_the_page_only_what_it_uses():
    syllables = {chr(code) for code in range(0xAC00, 0xD7A4)}
    jamo = {
        chr(code)
        for code in (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3), *range(0x3131, 0x318F))
    }
    assert {ord(letter) for letter in syllables | jamo} <= font._letters("hangul.woff")
    text = "각힣" + unicodedata.normalize("NFD", "값") + "🐕👩‍🔬"
    faces = re.findall(r"font-family:([\w-]+);src:url\(data:font/woff;base64,([^)]+)\)", font.embedded(text))
    kept = {family: set(TTFont(BytesIO(base64.b64decode(data))).getBestCmap()) for family, data in faces}
    assert kept["clearhead-hangul"] - {0x200D} == {
        ord(letter) for letter in "각힣값" + unicodedata.normalize("NFD", "값")
    }
    assert kept["clearhead-emoji"] >= {ord("🐕"), ord("👩"), ord("🔬")} and len(kept["clearhead-emoji"]) < 8
    assert font.embedded("only ASCII") == ""


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_page_without_a_document_says_what_is_wrong(language):
    parts = Parts(
        page.render(None, language, served=True, typed={"text": "</script>"}, error={"en": "wrong", "ko": "틀림"})
    )
    held = json.loads(parts.texts["document"])
    assert held == {
        "document": None,
        "served": True,
        "typed": {"text": "</script>"},
        "error": {"en": "wrong", "ko": "틀림"},
    }
    assert "connect-src 'self'" in parts.policy
