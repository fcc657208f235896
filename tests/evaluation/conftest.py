import random

import pytest

WORDS = ["a", "the", "dog", "Cat", "runs", "sleeps", ",", "house", "over", "under", "don't", "3.5", "green", "quickly"]


def noisy_corpus(lines=60, noise=0.25, seed=3):
    """References of random words, and hypotheses with some words changed, dropped and doubled."""
    random_ = random.Random(seed)
    references = [[random_.choice(WORDS) for _ in range(random_.randint(3, 14))] for _ in range(lines)]
    hypotheses = []
    for words in references:
        changed = [word for word in words for _ in range(random_.choices([1, 0, 2], [9, 1, 1])[0])]
        hypotheses.append([random_.choice(WORDS) if random_.random() < noise else word for word in changed])
    return [" ".join(words) + " ." for words in hypotheses], [" ".join(words) + " ." for words in references]


@pytest.fixture(scope="session")
def corpus():
    return noisy_corpus
