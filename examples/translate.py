"""Translate with a run folder, from Python.

python examples/translate.py runs/starter-ko-en "나는 학생입니다" "나는 집에 갑니다"
"""

import sys

from clearhead import Translator


def main(run: str, *sentences: str) -> None:
    translator = Translator.load(run)

    # One text gives one translation, several give a list in their order.
    for translation in translator(sentences):
        print(f"{translation.source} -> {translation.text}   (score {translation.score:.3f})")

    # How to search is one object; here the four best by a beam of eight.
    decoding = translator.decoding.model_copy(update={"beam_size": 8, "n_best": 4})
    best = translator(sentences[0], decoding=decoding)
    for rank, each in enumerate(best.n_best, 1):
        print(f"{rank}. {each.text}   (score {each.score:.3f})")

    # How sure is the model of every token?
    for token in best.tokens:
        print(f"{token.text!r:>12} {token.log_prob:8.3f}")

    # What does it think of a pair that is given?
    (scored,) = translator.score([(sentences[0], best.text)])
    print(f"log-probability of the pair: {scored.log_prob:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
