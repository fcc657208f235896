"""JoeyNMT 2.3.0, measured by its own command.

Given: the same raw text, its own joint SentencePiece vocabulary of the same size, three-way tied embeddings, its own
batches. It counts a batch as rows times longest side, as clearhead does, but knows no sorting by length, so that about
half of a batch is padding: that is how its users train too.
"""

from __future__ import annotations

import json
import re
from datetime import datetime

from runlog import Report

from peers.task import SRC, TGT, Measured, Task, measured, python_of, run

JOEYNMT_VOCABULARY = """
import sys
import sentencepiece

size, *files = sys.argv[1:]
sentencepiece.SentencePieceTrainer.train(
    input=",".join(files), model_prefix="subwords", vocab_size=int(size), character_coverage=1.0, minloglevel=2,
    unk_id=0, pad_id=1, bos_id=2, eos_id=3,
)
model = sentencepiece.SentencePieceProcessor(model_file="subwords.model")
with open("vocabulary.txt", "w", encoding="utf-8") as file:
    file.writelines(f"{model.id_to_piece(i)}\\n" for i in range(len(model)))
with open(files[-1], encoding="utf-8", newline="\\n") as file:
    lengths = [len(ids) + 1 for ids in model.encode(list(file))]
print(sum(lengths) / len(lengths))
"""
"""Makes a vocabulary with JoeyNMT's special tokens in their places; prints the last file's mean tokens a line."""
JOEYNMT_REPORT = re.compile(r"^(\S+ [\d:]+,\d+) .* Step: +(\d+),.* Tokens per Sec: +(\d+),", re.MULTILINE)


def joeynmt(task: Task) -> Measured:
    """Measure ``joeynmt train``."""
    files = [str(task.data / f"train.{language}") for language in (SRC, TGT)]
    run(
        [str(python_of("joeynmt")), "-c", JOEYNMT_VOCABULARY, str(task.recipe.vocabulary_size), *files],
        task.work,
        "tokens.txt",
    )
    tokens_per_pair = float((task.work / "tokens.txt").read_text().split()[-1])
    (task.work / "config.yaml").write_text(json.dumps(joeynmt_config(task)))  # JSON is YAML
    peak = run([str(python_of("joeynmt")), "-m", "joeynmt", "train", "config.yaml", "--skip-test"], task.work)
    log = (task.work / "model" / "train.log").read_text(encoding="utf-8")
    return measured(task, joeynmt_reports(log), "fp32", tokens_per_pair, peak)


def joeynmt_reports(log: str) -> list[Report]:
    return [
        Report(int(step), datetime.strptime(time, "%Y-%m-%d %H:%M:%S,%f").timestamp(), float(rate))
        for time, step, rate in JOEYNMT_REPORT.findall(log)
    ]


def joeynmt_config(task: Task) -> dict[str, object]:
    recipe, steps = task.recipe, task.warmup + task.updates
    side = {
        "level": "bpe",  # JoeyNMT's word for any subwords
        "max_length": 100,
        "voc_limit": recipe.vocabulary_size,
        "voc_file": "vocabulary.txt",
        "tokenizer_type": "sentencepiece",
        "tokenizer_cfg": {"model_file": "subwords.model"},
    }
    stack = {
        "type": "transformer",
        "num_layers": recipe.n_layers,
        "num_heads": recipe.n_heads,
        "embeddings": {"embedding_dim": recipe.d_model, "scale": True, "dropout": 0.0},
        "hidden_size": recipe.d_model,
        "ff_size": recipe.d_ff,
        "dropout": recipe.dropout,
        "layer_norm": recipe.norm,
    }
    training = {
        "optimizer": "adam",
        "adam_betas": [0.9, 0.98],
        "scheduling": "warmupinversesquareroot",
        "learning_rate": recipe.learning_rate,
        "learning_rate_warmup": recipe.warmup_steps,
        "loss": "crossentropy",
        "normalization": "tokens",
        "label_smoothing": recipe.label_smoothing,
        "batch_type": "token",
        "batch_size": recipe.batch_tokens,
        "epochs": 1,
        "updates": steps,
        "logging_freq": task.report_every,
        "validation_freq": 1_000_000,
        "print_valid_sents": [],
        "shuffle": True,
    }
    return {
        "name": "training-speed",
        "model_dir": "model",
        "use_cuda": False,
        "fp16": False,
        "random_seed": task.seed,
        "data": {
            "dataset_type": "plain",
            "train": str(task.data / "train"),
            "dev": str(task.data / "val"),
            "src": {"lang": SRC, **side},
            "trg": {"lang": TGT, **side},
            "special_symbols": {"unk_id": 0, "pad_id": 1, "bos_id": 2, "eos_id": 3},
        },
        "testing": {"beam_size": 1, "batch_type": "token", "batch_size": 1024, "eval_metrics": ["bleu"]},
        "training": training,
        "model": {
            "initializer": "xavier_uniform",
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": stack,
            "decoder": stack,
        },
    }
