"""Small random models as Transformers writes them, with a tokenizer each."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import sentencepiece
import tokenizers
import torch
import transformers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers

ROWS = 400
"""Rows of the embeddings: more than the tokenizers have tokens, as published models have them too."""

ENCODER = {
    "hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 40, "vocab_size": ROWS,
    "max_position_embeddings": 34,
}  # fmt: skip
BOTH = {
    "d_model": 24, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40, "decoder_ffn_dim": 40, "vocab_size": ROWS, "max_position_embeddings": 34,
}  # fmt: skip
LABELS = {"id2label": {0: "bad", 1: "so-so", 2: "good"}, "label2id": {"bad": 0, "so-so": 1, "good": 2}}
ROBERTA = {**ENCODER, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
DISTILBERT = {
    "dim": 24, "n_heads": 4, "n_layers": 2, "hidden_dim": 40, "vocab_size": ROWS, "max_position_embeddings": 34,
}  # fmt: skip
GPT2 = {
    "n_embd": 24, "n_head": 4, "n_layer": 2, "n_positions": 34, "vocab_size": ROWS, "bos_token_id": 0,
    "eos_token_id": 0,
}  # fmt: skip
MARIAN = {
    **BOTH, "activation_function": "swish", "scale_embedding": True, "pad_token_id": 60, "eos_token_id": 0,
    "decoder_start_token_id": 60, "forced_eos_token_id": 0, "bos_token_id": 0,
}  # fmt: skip
BART = {**BOTH, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}

MODELS = {
    "bert-masked": ("BertForMaskedLM", "BertConfig", ENCODER),
    "bert-classifier": ("BertForSequenceClassification", "BertConfig", ENCODER | LABELS),
    "bert": ("BertModel", "BertConfig", ENCODER),
    "bert-relu": ("BertForMaskedLM", "BertConfig", ENCODER | {"hidden_act": "relu", "layer_norm_eps": 1e-3}),
    "distilbert-masked": ("DistilBertForMaskedLM", "DistilBertConfig", DISTILBERT),
    "distilbert-classifier": ("DistilBertForSequenceClassification", "DistilBertConfig", DISTILBERT | LABELS),
    "distilbert": ("DistilBertModel", "DistilBertConfig", DISTILBERT),
    "roberta-masked": ("RobertaForMaskedLM", "RobertaConfig", ROBERTA),
    "roberta-classifier": ("RobertaForSequenceClassification", "RobertaConfig", ROBERTA | LABELS),
    "roberta": ("RobertaModel", "RobertaConfig", ROBERTA),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "gpt2-relu": ("GPT2LMHeadModel", "GPT2Config", GPT2 | {"activation_function": "relu", "n_inner": 40}),
    "marian": ("MarianMTModel", "MarianConfig", MARIAN),
    "bart": ("BartForConditionalGeneration", "BartConfig", BART),
}

LINES = [
    "the cat sits on the mat", "a dog runs over the green hill", "we see what we want to see", "Hello, World!",
    "it is half past ten", "she sells sea shells", "naïve façade über alles", "1234 and 5678", "don't stop", "x y z",
]  # fmt: skip


def random_model(name: str, seed: int = 0):
    """A model of Transformers with random weights, biases and norms among them, in evaluation mode."""
    architecture, config, settings = MODELS[name]
    torch.manual_seed(seed)
    model = getattr(transformers, architecture)(getattr(transformers, config)(**settings)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.15)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
    return model


def write_folder(path: Path, name: str, seed: int = 0):
    """Save such a model and a tokenizer for it; return the model."""
    model = random_model(name, seed)
    model.save_pretrained(path)
    family = name.split("-")[0]
    {"bert": word_pieces, "distilbert": word_pieces, "marian": sentence_pieces}.get(family, byte_pairs)(path, family)
    return model


def word_pieces(path: Path, family: str) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = sorted({letter for line in LINES for letter in line.lower() if letter != " "})
    words = ["the", "see", "##ll", "cat", "##s", "we"]
    path.joinpath("vocab.txt").write_text(
        "\n".join([*special, *letters, *(f"##{letter}" for letter in letters if letter != "s"), *words]) + "\n",
        encoding="utf-8",
    )
    _settings(path, "BertTokenizer", pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")


def byte_pairs(path: Path, family: str) -> None:
    special = ["<|endoftext|>"] if family == "gpt2" else ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    if family == "gpt2":
        _settings(path, "GPT2Tokenizer", bos=special[0], eos=special[0], unk=special[0])
    else:
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
        names = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
        _settings(path, "RobertaTokenizer", mask="<mask>", **names)
    tokenizer.save(str(path / "tokenizer.json"))


def sentence_pieces(path: Path, family: str) -> None:
    generator = random.Random(1)
    words = " ".join(LINES).split()
    lines = [" ".join(generator.sample(words, 6)) for _ in range(300)]
    pieces: dict[str, None] = {}
    for name, some in (("source.spm", lines[:200]), ("target.spm", [line.upper() for line in lines[100:]])):
        content = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(some), model_writer=content, vocab_size=90, model_type="unigram",
            hard_vocab_limit=False, minloglevel=2, num_threads=1,
        )  # fmt: skip
        path.joinpath(name).write_bytes(content.getvalue())
        model = sentencepiece.SentencePieceProcessor(model_proto=content.getvalue())
        pieces |= dict.fromkeys(model.id_to_piece(id) for id in range(3, model.get_piece_size()))
    names = ["</s>", "<unk>", *pieces]
    names.insert(60, "<pad>")
    names.append(">>fra<<")
    path.joinpath("vocab.json").write_text(json.dumps({name: id for id, name in enumerate(names)}), encoding="utf-8")
    _settings(path, "MarianTokenizer", unk="<unk>", eos="</s>", pad="<pad>", source_lang="en", target_lang="fr")


def _settings(path: Path, kind: str, source_lang: str = "", target_lang: str = "", **special: str) -> None:
    settings = {"tokenizer_class": kind, **{f"{role}_token": token for role, token in special.items()}}
    if source_lang:
        settings |= {"source_lang": source_lang, "target_lang": target_lang, "separate_vocabs": False}
    path.joinpath("tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
