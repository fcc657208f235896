"""How well does a language model foretell text, against n-grams over the same tokens?

    python benchmarks/perplexity.py runs/gpt-ko                     on the run's validation text
    python benchmarks/perplexity.py runs/gpt-en --test test.en      on a text of one's own, a sentence a line
    python benchmarks/perplexity.py runs/gpt-ko --test dev.tsv      columns as in the run's first TSV source

The n-grams (interpolated modified Kneser-Ney, ngram.py) are counted on the run's training text as its tokenizer cuts
it, so both models foretell the same tokens: those of every text and its end. A word is what stands between blanks, and
a text's end counts as one; so it does as a byte, as in the run's report. The model reads blocks of data.max_tokens that
begin anywhere, as in validation; the n-grams read on from block to block. Which order is best is chosen on the
validation text. Minutes; a processor is enough. Prints a table for each text and one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from machine import facts, print_facts
from ngram import KneserNey

from clearhead.config import Source, TextFile, TsvTexts
from clearhead.data.corpus import Corpora
from clearhead.data.texts import PackedCorpus, open_packed
from clearhead.device import cache_folder, choose_device
from clearhead.runs.folder import RunFolder
from clearhead.runs.load import Loaded, load_run
from clearhead.text.foreign import AnyTokenizer
from clearhead.training.distributed import Team
from clearhead.training.language import NextToken

ORDERS = 6


def stream(corpus: PackedCorpus) -> np.ndarray:
    """Return all tokens of a corpus, an eos before the first text and behind each."""
    eos = np.array([corpus.eos_id])
    return np.concatenate([eos, *(piece for text in corpus.tokens() for piece in (text, eos))]).astype(np.int64)


def sizes(corpus: PackedCorpus, tokenizer: AnyTokenizer) -> dict[str, int]:
    """Return how many texts, tokens, words and bytes a model foretells; a text's end is one of each."""
    lengths = tokenizer.byte_lengths()
    texts = tokenizer.decode_batch([ids.tolist() for ids in corpus.tokens()])
    return {
        "texts": len(texts),
        "tokens": int(corpus.src_lengths.sum()),
        "words": sum(len(text.split()) + 1 for text in texts),
        "bytes": int(sum(lengths[ids].sum() for ids in corpus.tokens())),  # the space in front stands for the end
    }


def row(name: str, nats: float, count: dict[str, int]) -> dict[str, Any]:
    """Return what a model's sum of nats amounts to."""
    return {
        "model": name,
        "perplexity_token": math.exp(min(700.0, nats / count["tokens"])),
        "perplexity_word": math.exp(min(700.0, nats / count["words"])),
        "bits_per_byte": nats / math.log(2.0) / count["bytes"],
    }


def n_grams(run: Loaded, train: np.ndarray, orders: int) -> list[KneserNey]:
    """Return the n-grams of each order, counted on the stream ``train``."""
    tokenizer = run.tokenizers.src
    possible = len(tokenizer.ordinary_ids) + 1  # and eos
    return [KneserNey(train, order, tokenizer.vocabulary_size, possible) for order in range(1, orders + 1)]


def measure(run: Loaded, corpora: Corpora[PackedCorpus], models: list[KneserNey], device: str) -> dict[str, Any]:
    """Return the figures of a run and of n-grams on the validation text of ``corpora``."""
    where = choose_device(device, "fp32")
    scores, _ = NextToken(corpora, run.config, where).validate(run.model.to(where.name), Team())
    count, text = sizes(corpora.valid, run.tokenizers.src), stream(corpora.valid)
    assert count["tokens"] == len(text) - 1
    rows = [row("the run", scores["loss"] * count["tokens"], count)]
    rows += [row(f"{each.order}-gram", -float(each.log_probs(text, skip=1).sum()), count) for each in models]
    return {**count, "rows": rows}


def table(title: str, found: dict[str, Any]) -> list[str]:
    """Return the figures as lines of Markdown."""
    count = ", ".join(f"{found[name]:,} {name}" for name in ("texts", "tokens", "words", "bytes"))
    lines = [f"{title}: {count}", ""]
    lines += ["| | perplexity a token | perplexity a word | bits a byte |", "|---|---|---|---|"]
    for each in found["rows"]:
        figures = (
            f"{each['perplexity_token']:,.1f}",
            f"{each['perplexity_word']:,.1f}",
            f"{each['bits_per_byte']:.3f}",
        )
        lines.append(f"| {each['model']} | {' | '.join(figures)} |")
    return lines


def test_source(path: Path, run: RunFolder) -> Source:
    """Return a test file as a source; of a TSV the columns are those of the run's first one."""
    path = path.absolute()
    if path.name.removesuffix(".gz").endswith(".tsv"):
        known = [each for each in run.config.data.sources if isinstance(each, TsvTexts)]
        return known[0].model_copy(update={"tsv": str(path)})
    return TextFile(text=str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of a language model")
    parser.add_argument("--test", type=Path, action="append", default=[], help="a text file or a TSV; repeatable")
    parser.add_argument("--orders", type=int, default=ORDERS, help="n-grams up to this order")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    known = facts()
    print_facts(known)
    folder, run = RunFolder.open(options.run), load_run(options.run, "language-model")

    def opened(test: tuple[Source, ...] = ()) -> Corpora[PackedCorpus]:
        data = run.config.data.model_copy(update={"valid": test}) if test else run.config.data
        return open_packed(data, run.tokenizers, cache_folder(), run.config.training.seed)

    texts = {"validation": opened()}
    train = stream(texts["validation"].train)  # without what was held out of training, also where a test text is given
    models = n_grams(run, train, options.orders)
    print(f"{'trained on':<10} {len(train) - 1:,} tokens, vocabulary {run.tokenizers.src.vocabulary_size:,}")
    texts |= {path.name: opened((test_source(path, folder),)) for path in options.test}
    result = {}
    for title, corpora in texts.items():
        result[title] = measure(run, corpora, models, options.device)
        print("\n".join(["", *table(title, result[title])]), flush=True)
    grams = result["validation"]["rows"][1:]
    best = min(grams, key=lambda each: each["perplexity_token"])["model"]
    print(f"\nbest n-gram on the validation text: {best}")
    print(
        json.dumps(
            {**known, "run": options.run.name, "train_tokens": len(train) - 1, "best": best, "texts": result},
            ensure_ascii=False,
        )
    )


if __name__ == "__main__":
    main()
