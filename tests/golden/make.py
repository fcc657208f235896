"""Make a golden run folder: ``python tests/golden/make.py``, once for each revision of the run folder's format.

A golden folder is never made anew: it stands for the runs that users already have, and every later version must read
it. The script refuses to write over one; it stays here to say how the folder came about.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch

from clearhead.config import FORMAT, make_config
from clearhead.data.batch import Batch
from clearhead.decoding.translator import Translator
from clearhead.runs.log import EventLog
from clearhead.training.session import open_training

HERE = Path(__file__).parent

PAIRS = """\
나는 학생입니다\tI am a student
나는 선생님입니다\tI am a teacher
너는 학생입니다\tyou are a student
너는 선생님입니다\tyou are a teacher
그는 의사입니다\the is a doctor
그녀는 의사입니다\tshe is a doctor
나는 집에 갑니다\tI go home
너는 집에 갑니다\tyou go home
그는 집에 갑니다\the goes home
나는 학교에 갑니다\tI go to school
너는 학교에 갑니다\tyou go to school
그는 학교에 갑니다\the goes to school
나는 물을 마십니다\tI drink water
너는 물을 마십니다\tyou drink water
그는 물을 마십니다\the drinks water
나는 커피를 마십니다\tI drink coffee
너는 커피를 마십니다\tyou drink coffee
그는 커피를 마십니다\the drinks coffee
나는 책을 읽습니다\tI read a book
너는 책을 읽습니다\tyou read a book
그는 책을 읽습니다\the reads a book
고양이가 잡니다\tthe cat sleeps
개가 잡니다\tthe dog sleeps
아이가 웃습니다\tthe child smiles
"""

RECIPE = {
    "languages": {"src": "ko", "tgt": "en"},
    "data": {"sources": [{"tsv": "pairs.tsv"}], "valid": [{"tsv": "pairs.tsv"}]},
    "tokenizer": {"vocabulary_size": 400},
    "model": {"d_model": 32, "d_ff": 64, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1},
    "training": {
        "max_steps": 300, "batch_tokens": 512, "schedule": "constant", "learning_rate": 0.003, "warmup_steps": 0,
        "validate_every": 100, "checkpoint_every": 300, "precision": "fp32",
    },
    "decoding": {"beam_size": 2},
}  # fmt: skip


def logits_of(translator: Translator, src: list[int], tgt: list[int]) -> torch.Tensor:
    """Return the logits (T, V) of teacher forcing for one pair of id sequences, without eos."""
    tokenizer = translator.tokenizers.tgt
    rows = [[*src, tokenizer.eos_id], [tokenizer.decoder_start_id, *tgt], [*tgt, tokenizer.eos_id]]
    src_ids, tgt_input, tgt_output = (torch.tensor([row]) for row in rows)
    batch = Batch(src_ids, torch.ones_like(src_ids).bool(), tgt_input, tgt_output, torch.ones_like(tgt_input).bool())
    with torch.no_grad():
        return translator.model.project(translator.model.forward(batch))[0]


def main() -> None:
    golden = HERE / f"format-{FORMAT}"
    if golden.exists():
        sys.exit(f"{golden} exists; a golden folder is never made anew")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["CLEARHEAD_CACHE"] = f"{folder}/cache"
        Path("pairs.tsv").write_text(PAIRS, encoding="utf-8")
        training = open_training(make_config(RECIPE), Path("run"), device="cpu")
        log = EventLog(training.run.log_path)
        for event in training.events():
            log.write(event)
        shutil.rmtree("run/checkpoints")
        shutil.copytree("run", golden)

    translator = Translator.load(golden, device="cpu")
    sentences = ["나는 학생입니다", "그는 커피를 마십니다", "고양이가 잡니다", "", "낯선 뷁 문장"]
    found = translator(sentences)
    src = translator.tokenizers.src.encode(sentences[0])
    tgt = [token.id for token in found[0].tokens if token.id != translator.tokenizers.tgt.eos_id]
    expected = {
        "src": src,
        "tgt": tgt,
        "translations": [{"source": t.source, "text": t.text, "log_prob": t.log_prob} for t in found],
    }
    (HERE / f"format-{FORMAT}.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n", "utf-8")
    safetensors.torch.save_file(
        {"logits": logits_of(translator, src, tgt)}, HERE / f"format-{FORMAT}-logits.safetensors"
    )
    print(*(f"{t.source!r} -> {t.text!r} {t.log_prob:.2f}" for t in found), sep="\n")


if __name__ == "__main__":
    main()
