"""Writes the batches that clearhead trains on, for peers that take token ids: the same vocabulary, pairs and order.

    python benchmarks/peers/prepare.py TASK.json

A process of its own, so that what tokenising takes is in nobody's peak memory. Into the task's folder ``prepared`` go
batches.jsonl, a line an update ({"src": [[ids], ...], "tgt": [[ids], ...]}, each ending in the end of sentence), and
facts.json.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from itertools import chain, count, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from arithmetic import Lengths

from clearhead.cli.recipe import Flags, config_from
from clearhead.data.corpus import open_corpora
from clearhead.data.order import BatchOrder
from clearhead.training.session import train_tokenizers
from peers import itself
from peers.task import BATCHES, FACTS, Task


def prepare(task: Task) -> None:
    files = {flag.replace("-", "_"): str(path) for flag, path in itself.files(task.data).items()}
    config = config_from(None, Flags(**files, settings=itself.settings(task)))
    tokenizers = train_tokenizers(config)
    corpora = open_corpora(config.data, tokenizers, task.prepared / "cache", config.training.seed)
    train, tgt = corpora.train, tokenizers.tgt
    order = BatchOrder(train, config.training.batch_tokens, config.training.seed)
    batches = list(islice(chain.from_iterable(map(order.epoch, count())), task.warmup + task.updates))
    with open(task.prepared / BATCHES, "w") as file:
        for indexes in batches:
            src, tgt_ids = zip(*(train.pair(int(i)) for i in indexes))
            file.write(json.dumps({"src": src, "tgt": tgt_ids}) + "\n")
    window = [int(i) for indexes in batches[task.warmup :] for i in indexes]
    lengths = Lengths.of((int(train.src_lengths[i]), int(train.tgt_lengths[i])) for i in window)
    facts = {
        "tokens_per_pair": float(train.tgt_lengths.mean()),
        "vocabulary_size": tgt.vocabulary_size,
        "pad_id": tgt.pad_id,
        "start_id": tgt.decoder_start_id,
        "eos_id": tgt.eos_id,
        "window": asdict(lengths),
    }
    (task.prepared / FACTS).write_text(json.dumps(facts))


if __name__ == "__main__":
    prepare(Task.read(Path(sys.argv[1])))
