"""The guides and the other documents name commands, options and formats that there are."""

import json
import re
import shlex
import tomllib
from dataclasses import fields
from typing import get_args

import pytest
from typer.main import get_command

from .conftest import ROOT, blocks, commands

GUIDES = ["docs/en/guide.md", "docs/ko/guide.md"]
DOCUMENTS = ["README.md", "README.ko.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", *GUIDES]
INSPECT = ["docs/en/inspect.md", "docs/ko/inspect.md"]
DOCUMENTS += [*INSPECT, "docs/paper-map.md", "docs/formats.md", "docs/decisions.md"]


@pytest.mark.parametrize("language", ["sh", "python", "toml"])
def test_both_guides_say_the_same(language):
    english, korean = (blocks(path, language) for path in GUIDES)
    assert english == korean and english


def test_both_pages_on_clusters_give_the_same_commands():
    english, korean = ((ROOT / "docs" / name / "cluster.md").read_text(encoding="utf-8") for name in ("en", "ko"))
    fenced = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    assert fenced.findall(english) == fenced.findall(korean) and len(fenced.findall(english)) == 5
    assert re.findall(r"^(#+) ", english, re.MULTILINE) == re.findall(r"^(#+) ", korean, re.MULTILINE)


def test_both_pages_on_looking_inside_have_the_same_parts_and_pictures():
    english, korean = ((ROOT / page).read_text(encoding="utf-8") for page in INSPECT)
    for what in (r"^(#+|-) ", r"\(([^)]+\.(?:png|md))\)", r"\d+\.\d MB"):
        found = re.findall(what, english, re.MULTILINE)
        assert found == re.findall(what, korean, re.MULTILINE) and found
    for picture in re.findall(r"\(([^)]+\.png)\)", english):
        assert (ROOT / "docs/en" / picture).resolve().stat().st_size < 150_000
    assert blocks(INSPECT[0], "sh") == blocks(INSPECT[1], "sh") != []


def test_both_pages_on_recurrent_models_say_the_same_and_it_is_so(capsys):
    pages = ["docs/en/recurrent.md", "docs/ko/recurrent.md"]
    english, korean = ((ROOT / page).read_text(encoding="utf-8") for page in pages)
    assert re.findall(r"^(#+|-) ", english, re.MULTILINE) == re.findall(r"^(#+|-) ", korean, re.MULTILINE)
    for language in ("python", "text"):
        assert blocks(pages[0], language) == blocks(pages[1], language) != []
    (code,) = blocks(pages[0], "python")
    exec(compile(code, pages[0], "exec"), {})
    assert f"# {capsys.readouterr().out.strip()}\n" in code


@pytest.mark.parametrize("what", [r"^(#+) ", r"^\|(?=[^-])", r"`([a-z]+\.[a-z_]+)`"])
def test_both_guides_have_the_same_parts(what):
    english, korean = (re.findall(what, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE) for path in GUIDES)
    assert sorted(set(english)) == sorted(set(korean)) and (what[0] == "`" or english == korean)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_command_named_parses(path):
    from clearhead.cli import app
    from clearhead.config import make_config

    text = (ROOT / path).read_text(encoding="utf-8")
    named = [line for line in commands(path) if line.startswith("clearhead ")]
    named += re.findall(r"`(clearhead [^`]+)`", text)
    for command in named:
        words = [word for word in shlex.split(command.split(" <")[0].replace(" N", " 2"))[1:] if word != "--debug"]
        while words and words[0].startswith("--"):
            del words[:2]
        if not words:
            continue
        verb = get_command(app).commands[words[0]]
        bare = len(words) == 1 or (len(words) == 3 and "--threads" in words)  # named in passing, without what it needs
        parsed = verb.make_context(words[0], words[1:], resilient_parsing=bare)
        make_config({}, parsed.params.get("set") or [])


@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_option_named_is_in_the_config(path):
    from clearhead.config import MODELS, RunConfig

    text = (ROOT / path).read_text(encoding="utf-8")
    keys = {name: getattr(field.annotation, "model_fields", {}) for name, field in RunConfig.model_fields.items()}
    keys["model"] = {key for kind in MODELS.values() for key in kind.model_fields}
    for section, key in re.findall(r"`(data|tokenizer|model|training|decoding|evaluation)\.([a-z_]+)", text):
        if key not in ("safetensors", "json", "src", "tgt"):
            assert key in keys[section], f"{section}.{key}"


@pytest.mark.parametrize("path", GUIDES)
def test_the_recipes_shown_are_valid(path):
    from clearhead.cli.comparison import make_plan
    from clearhead.config import make_config

    for block in blocks(path, "toml"):
        table = tomllib.loads(block)
        configs = [entry.config for entry in make_plan(table).entries] if "budget" in table else [make_config(table)]
        assert all(config.data.sources for config in configs)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_links_lead_somewhere(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (ROOT / path).parent.joinpath(link).exists(), link


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in ("test", "check"):
        asked += project["project"]["optional-dependencies"][extra]
    section = (ROOT / "docs/decisions.md").read_text(encoding="utf-8").split("## Text")[0]
    for name in (re.split("[><=]", requirement)[0] for requirement in asked):
        assert f"| {name} |" in section or f"**{name}**" in section, name


def test_every_weight_has_a_name_in_the_formats():
    import torch

    from clearhead.config import ClassifierConfig, DecoderConfig, EncoderConfig, TransformerConfig
    from clearhead.models.build import make_model
    from clearhead.models.transformer import Transformer

    sizes = {"d_model": 8, "d_ff": 8, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1}
    with torch.device("meta"):
        model = Transformer(
            TransformerConfig(
                norm="pre", activation="swiglu", positions="learned", tie="none", output_bias=True, embedding_norm=True,
                **sizes,
            ),
            400,
            400,
        )  # fmt: skip
    names = {re.sub(r"\.\d+\.", ".{i}.", name) for name, _ in model.named_parameters()}
    text = (ROOT / "docs/formats.md").read_text(encoding="utf-8").split("### model.safetensors")[1]
    text, others = text.split("\nA recurrent model")[0].split("A decoder alone")
    rows = re.findall(r"`((?:encoder|src|tgt|output)[^`]+)`", text)
    written = set(rows) | {name.replace("encoder", "decoder", 1) for name in rows if name.startswith("encoder")}
    written |= {name.replace("self_attention", "cross_attention") for name in written if name.startswith("decoder")}
    assert written == names

    small = {"d_model": 8, "d_ff": 8, "n_heads": 2, "n_layers": 1}
    kinds = [EncoderConfig(**small), EncoderConfig(**small, head="pooler"), DecoderConfig(**small)]
    kinds.append(ClassifierConfig(body=EncoderConfig(**small), labels=("a", "b")))
    with torch.device("meta"):
        names = {name for config in kinds for name, _ in make_model(config, 400, 400).named_parameters()}
    names = {re.sub(r"\.\d+\.", ".{i}.", name) for name in names}
    layers = {name for name in names if re.match(r"(body\.encoder|decoder)\.", name)}
    assert {re.sub(r"^(body\.encoder|decoder)", "encoder", name) for name in layers} <= written
    assert {*re.findall(r"`(\w+[^`]*\.[^`.]+|output_bias)`", others.split("|---|---|")[1])} == names - layers


def test_every_event_has_its_fields_in_the_formats():
    from clearhead.cli.training import CorporaRead, WeightsTaken
    from clearhead.training.events import Event, Sample

    text = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z]\w+)` \| (.+) \|$", text, re.MULTILINE))
    kinds = [*get_args(Event), CorporaRead, WeightsTaken]
    assert sorted(rows) == sorted(kind.__name__ for kind in kinds)
    for kind in kinds:
        names = [field.name for field in fields(kind)]
        names += [field.name for field in fields(Sample)] if kind.__name__ == "Validated" else []
        assert all(f"`{name}`" in rows[kind.__name__] for name in names), kind


def test_what_is_said_of_checkpoints_and_vocabularies():
    from clearhead.training.position import Position

    text = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    assert all(f"`{field.name}`" in text.split("The position:")[1].split("\n\n")[0] for field in fields(Position))
    tokenizer = json.loads((ROOT / "tests/golden/format-1/tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    assert [vocabulary[name] for name in ("<pad>", "<unk>", "<bos>", "<eos>")] == [0, 1, 2, 3]
    assert (vocabulary["<0x00>"], vocabulary["<0xFF>"]) == (68, 323)
