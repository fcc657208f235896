"""How well does a linear SVM on character n-grams classify, and does a run differ from it on the same texts?

Character n-grams of 1 to 4, tf-idf with 1 + log tf, scikit-learn's LinearSVC (Fan et al. 2008): what a neural model has
to beat. Its cost is chosen on a part held out of the training text. The labels it gives are
written as `clearhead evaluate` writes those of a run, and runs that classified the same file are compared with them:
accuracy with Wilson's interval and McNemar's exact test, over all texts and over those that do not stand in the
training text word for word. Prints a table and, last, one line of JSON. Needs scikit-learn, which the package does not.

    python benchmarks/sentiment_baseline.py naver runs/naver-bert runs/naver-lstm
    python benchmarks/sentiment_baseline.py sst2 runs/sst2-bert
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from clearhead.config import TsvTexts
from clearhead.device import processor_name
from clearhead.evaluation.classification import classification_scores, mcnemar, wilson
from clearhead.text.corpus import LostPairs, Pair, read_pairs
from clearhead.version import __version__

LABELS = ("NEGATIVE", "POSITIVE")
NAMES = {"0": "NEGATIVE", "1": "POSITIVE"}
NAVER = TsvTexts(tsv="", text_column=1, label_column=2, header=True, labels=NAMES)
CORPORA = {
    "naver": ("naver-movie-reviews", NAVER),
    "sst2": ("sst2", TsvTexts(tsv="", text_column=0, label_column=1, labels=NAMES)),
}
COSTS = (0.05, 0.1, 0.2, 0.4, 1.0)
HELD_OUT = 0.05
AT_LEAST = 2000
"""So many texts are held out: a share of the training text, but not fewer than this."""


def read(folder: Path, columns: TsvTexts, name: str) -> list[Pair]:
    """Return the texts of one file with their labels."""
    source = columns.model_copy(update={"tsv": name})
    return list(read_pairs(source, str(folder), False, LostPairs(), LABELS))


def texts(pairs: Sequence[Pair]) -> list[str]:
    """Return the texts alone."""
    return [pair.src for pair in pairs]


def numbers(pairs: Sequence[Pair]) -> np.ndarray:
    """Return the labels as numbers."""
    return np.array([LABELS.index(pair.label) for pair in pairs])


def fit(train: Sequence[Pair], test: Sequence[Pair], costs: Sequence[float]) -> dict[float, np.ndarray]:
    """Return what an SVM of each cost, learnt from ``train``, says of ``test``."""
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True, min_df=2, dtype=np.float32)
    x, z, y = vectorizer.fit_transform(texts(train)), vectorizer.transform(texts(test)), numbers(train)
    return {cost: LinearSVC(C=cost, dual=True, random_state=1).fit(x, y).predict(z) for cost in costs}


def choose(train: list[Pair]) -> tuple[float, dict[float, float]]:
    """Return the cost that is best on a part held out of ``train``, and the accuracy of each."""
    order = np.random.default_rng(1).permutation(len(train))
    cut = max(int(HELD_OUT * len(train)), AT_LEAST)
    held, rest = [train[i] for i in order[:cut]], [train[i] for i in order[cut:]]
    found = {cost: float((said == numbers(held)).mean()) for cost, said in fit(rest, held, COSTS).items()}
    return max(found, key=lambda cost: found[cost]), found


def labels_of(run: Path, name: str, pairs: Sequence[Pair]) -> np.ndarray:
    """Return what a run said of the same texts, as `clearhead evaluate` kept it."""
    lines = (run / "evaluations" / f"{name}.labels.tsv").read_text(encoding="utf-8").splitlines()
    said = dict(line.split("\t") for line in lines)
    return np.array([LABELS.index(said[str(pair.number)]) for pair in pairs])


def compare(right: np.ndarray, svm: np.ndarray, said: np.ndarray, rows: np.ndarray) -> dict[str, object]:
    """Return accuracy, its interval, and McNemar's test against the SVM, over ``rows``."""
    hits = int((said == right)[rows].sum())
    test = mcnemar(right[rows].tolist(), svm[rows].tolist(), said[rows].tolist())
    return {"texts": len(rows), "accuracy": hits / len(rows), "interval": wilson(hits, len(rows)), **asdict(test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=CORPORA)
    parser.add_argument("runs", nargs="*", type=Path, help="run folders that have classified the same file")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CLEARHEAD_DATA", "../shared/data")))
    parser.add_argument("--name", default="", help="name of the runs' evaluation (default: CORPUS-dev)")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where the SVM's labels are kept")
    arguments = parser.parse_args()
    folder, columns = CORPORA[arguments.corpus]
    train, dev = (read(arguments.data / folder, columns, f"{name}.tsv") for name in ("train", "dev"))
    name, began = arguments.name or f"{arguments.corpus}-dev", time.perf_counter()
    kept, outcome = arguments.out / f"{arguments.corpus}-svm", {}
    path = kept / "evaluations" / f"{name}.labels.tsv"
    if path.exists():
        print(f"labels of the SVM taken from {path}", file=sys.stderr)
        svm = labels_of(kept, name, dev)
    else:
        cost, tried = choose(train)
        svm, outcome = fit(train, dev, [cost])[cost], {"cost": cost, "held_out": tried}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (f"{pair.number}\t{LABELS[answer]}\n" for pair, answer in zip(dev, svm))
        path.write_text("".join(lines), encoding="utf-8", newline="\n")
    right, seen = numbers(dev), set(texts(train))
    everything = np.arange(len(dev))
    unseen = np.array([row for row in everything if dev[row].src not in seen])
    table: dict[str, dict[str, object]] = {}
    for label, rows in (("all", everything), ("not in train", unseen)):
        for run, said in [("SVM", svm), *((str(run), labels_of(run, name, dev)) for run in arguments.runs)]:
            found = compare(right, svm, said, rows)
            table.setdefault(run, {})[label] = found
            low, high = found["interval"]  # type: ignore[misc]  # a pair
            test = f"McNemar +{found['only_second']} -{found['only_first']} p = {found['p']:.5f}"
            line = f"{run:30} {label:13} {found['texts']:6} texts  {found['accuracy']:.2%} ({low:.2%} to {high:.2%})"
            print(line if run == "SVM" else f"{line}  {test}")
    scores = classification_scores(LABELS, right.tolist(), svm.tolist())
    about = {"clearhead": __version__, "scikit-learn": sklearn.__version__, "processor": processor_name()}
    seconds = round(time.perf_counter() - began, 1)
    print(json.dumps({**about, **outcome, "seconds": seconds, "svm_macro_f1": scores.macro_f1, "runs": table}))


if __name__ == "__main__":
    main()
