"""Looking inside models from elsewhere: what is shown is what Transformers computes for the same folder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from clearhead.decoding.generator import Generator
from clearhead.errors import ClearheadError, UsageError
from clearhead.inspection.inspector import Inspector

from .folders import write_folder

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
TEXT = "the cat sees the green hill"
SIDES = {"encoder_attention": "encoder_attentions", "decoder_attention": "decoder_attentions"}


@torch.no_grad()
def theirs(model, explanation):
    """Return their attention weights, and their logits where the explanation has steps."""
    model.set_attn_implementation("eager")
    src, tgt = ([token.id for token in tokens] for tokens in (explanation.src, explanation.tgt_inputs))
    if src and tgt:
        given = {"input_ids": torch.tensor([src]), "decoder_input_ids": torch.tensor([tgt])}
    else:
        given = {"input_ids": torch.tensor([src or tgt])}
    said = model(**given, output_attentions=True)
    if src and tgt:
        found = {ours: getattr(said, name) for ours, name in SIDES.items()}
        found["cross_attention"] = said.cross_attentions
    else:
        found = {"encoder_attention" if src else "decoder_attention": said.attentions}
    return {name: torch.cat(list(layers)).numpy() for name, layers in found.items()}, getattr(said, "logits", None)


@pytest.mark.parametrize(
    "name", ["bert-masked", "bert", "roberta-classifier", "distilbert-masked", "gpt2", "marian", "bart"]
)
def test_attention_and_logits_are_theirs(name, tmp_path):
    model = write_folder(tmp_path / name, name)
    inspector = Inspector(tmp_path / name, "cpu", ("decoding.max_tokens=6",))
    explanation = inspector.explain(TEXT)
    attentions, logits = theirs(model, explanation)
    for kind, expected in attentions.items():
        found = getattr(explanation, kind)
        assert found.shape == expected.shape and np.abs(found - expected).max() <= 1e-5, kind
    if logits is not None and explanation.steps:
        said = logits[0].float().log_softmax(-1)
        for step, row in zip(explanation.steps, said, strict=True):
            assert all(abs(each.log_prob - float(row[each.id])) <= 1e-4 for each in step.top)
    made = inspector.document(TEXT, full=name == "marian")
    assert made["run"]["name"] == name and len(made["run"]["weights_sha256"]) == 64
    assert bool(made["ablations"]) == (name == "marian") and made["checkpoints"] == []


def test_a_hidden_word_is_foretold_as_the_pipeline_foretells_it(tmp_path):
    from clearhead import pipeline

    text = "the cat sees the [MASK] hill"
    write_folder(tmp_path / "bert", "bert-masked")
    explanation = Inspector(tmp_path / "bert", "cpu").explain(text)
    (best, *_) = pipeline("fill-mask", tmp_path / "bert", device="cpu")(text)
    (step,) = (s for token, s in zip(explanation.src, explanation.steps) if token.text == "[MASK]")
    assert step.chosen == best["token"] and explanation.tgt_text == best["sequence"]


@pytest.mark.parametrize("text", [TEXT, "the"])
def test_a_text_is_read_as_when_it_is_continued(text, tmp_path):
    write_folder(tmp_path / "gpt2", "gpt2")
    explanation = Inspector(tmp_path / "gpt2", "cpu").explain(text)
    generator = Generator.load(tmp_path / "gpt2", "cpu")
    read, own = [token.id for token in explanation.tgt_inputs], generator.tokenizer.encode(text)
    assert read == [*generator.tokenizer.prompt_start, *own] == own
    assert len(explanation.steps) == len(read) and len(explanation.tgt_outputs) == len(read) - 1
    assert Inspector(tmp_path / "gpt2", "cpu").document(text)["run"]["name"] == "gpt2"


@pytest.mark.parametrize(("language", "title"), [("en", "What may stand"), ("ko", "가려진 자리에")])
def test_the_terminal_and_the_page_take_such_a_folder(language, title, tmp_path, capfd, monkeypatch):
    from clearhead.cli import run

    monkeypatch.setenv("CLEARHEAD_LANG", language)
    write_folder(tmp_path / "bert", "bert-masked")
    capfd.readouterr()
    assert run(["inspect", str(tmp_path / "bert"), "the [MASK] sees", "--html", str(tmp_path / "page.html")]) == 0
    assert '"kind": "masked-language-model"' in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert run(["inspect", str(tmp_path / "bert"), "the [MASK] sees"]) == 0
    out = capfd.readouterr().out.splitlines()
    assert out[1].startswith("the [MASK] sees → the ") and any(line.strip().startswith(title) for line in out)
    (row,) = (line.split() for line in out if line.strip().startswith("[MASK]"))
    assert 0 < float(row[2]) <= 100 and len(row) >= 8
    assert run(["inspect", str(tmp_path / "bert"), "the cat"]) == 0
    assert len([line for line in capfd.readouterr().out.splitlines() if line.strip()]) >= 6


@pytest.mark.parametrize("name", ["bert-masked", "roberta-classifier", "gpt2"])
def test_heads_are_switched_off_ahead_and_on_demand(name, tmp_path):
    write_folder(tmp_path / name, name)
    inspector = Inspector(tmp_path / name, "cpu")
    ahead = inspector.document(TEXT, full=True)["ablations"]
    assert len(ahead) == 8 and len({each["delta_log_prob"] for each in ahead}) == 8
    again = inspector.ablation(TEXT, ahead[5]["part"], ahead[5]["head"])
    assert again["translation"] == ahead[5]["translation"]
    assert again["delta_log_prob"] == pytest.approx(ahead[5]["delta_log_prob"], abs=1e-5)


def test_other_tasks_and_damaged_folders_are_refused(tmp_path):
    write_folder(tmp_path / "bert", "bert")
    inspector = Inspector(tmp_path / "bert", "cpu")
    with pytest.raises(UsageError) as refused:
        inspector.rival(TEXT, [1])
    assert refused.value.code == "wrong-task"
    tensors = load_file(tmp_path / "bert/model.safetensors")
    tensors.pop(next(name for name in tensors if "attention" in name))
    save_file(tensors, tmp_path / "bert/model.safetensors")
    with pytest.raises(ClearheadError):
        Inspector(tmp_path / "bert", "cpu")
