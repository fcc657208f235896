"""The data's way on a real corpus: read, tokenised, stored, ordered, collated, and decoded back to the lines."""

import os
from pathlib import Path

import numpy as np
import pytest

from clearhead.config import DataConfig, ParallelFiles, TokenizerConfig
from clearhead.data.batch import collate
from clearhead.data.corpus import open_corpora
from clearhead.data.order import BatchOrder, micro_batches
from clearhead.text.corpus import LostPairs, read_lines, read_pairs
from clearhead.text.tokenizer import TokenizerPair

DATA = Path(os.environ.get("CLEARHEAD_DATA", Path(__file__).parents[3] / "shared" / "data"))
CORPUS = DATA / "multi30k-en-de" / "tok"


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"{CORPUS} is not there; set CLEARHEAD_DATA")
@pytest.mark.parametrize("batch_tokens", [4096, 8192])
def test_multi30k_in_full_batches_with_little_padding(batch_tokens, tmp_path):
    files = {split: ParallelFiles(src=f"{split}.en", tgt=f"{split}.de") for split in ("train", "val")}
    config = DataConfig(root=str(CORPUS), sources=(files["train"],), valid=(files["val"],))
    text = list(read_pairs(files["train"], config.root, False, LostPairs()))
    sides = [pair.src for pair in text], [pair.tgt for pair in text]
    tokenizers = TokenizerPair.train(*sides, TokenizerConfig(vocabulary_size=10_000))

    corpora = open_corpora(config, tokenizers, tmp_path, seed=1)
    train, lost = corpora.train, corpora.lost
    assert lost.lines == lost.kept == len(train) == 29_000
    assert corpora.valid.text(corpora.tokenizers) == [
        (src, tgt) for (_, src), (_, tgt) in zip(read_lines(CORPUS / "val.en"), read_lines(CORPUS / "val.de"))
    ]

    batches = BatchOrder(train, batch_tokens, seed=1).epoch(0)
    longest = np.maximum(train.src_lengths, train.tgt_lengths)
    fill = np.mean([len(batch) * longest[batch].max() for batch in batches]) / batch_tokens
    wholes, pieces = (
        _padding(batches, train),
        _padding([m for b in batches for m in micro_batches(b, train, 2048)], train),
    )
    print(f"{len(batches)} batches, fill {fill:.3f}, padding {wholes:.3f}, of micro-batches {pieces:.3f}")
    assert fill > 0.97 and wholes < 0.1 and pieces < wholes

    batch = collate(train, batches[0], tokenizers.tgt.pad_id, tokenizers.tgt.decoder_start_id)
    targets = tokenizers.tgt.decode_batch(batch.tgt_output.tolist())
    assert targets == [text[i].tgt for i in batches[0]]


def _padding(batches, corpus):
    """The share of padding among all tokens of both sides."""
    places = sum(len(b) * (int(corpus.src_lengths[b].max()) + int(corpus.tgt_lengths[b].max())) for b in batches)
    return 1 - sum(int(corpus.src_lengths[b].sum() + corpus.tgt_lengths[b].sum()) for b in batches) / places
