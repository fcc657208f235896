"""Where does each target token look? Print the last decoder layer's cross-attention, a row a token.

python examples/attention.py runs/starter-ko-en "나는 학생입니다"
"""

import sys

from clearhead import Translator


def main(run: str, sentence: str) -> None:
    translator = Translator.load(run, device="cpu")
    explanation = translator(sentence, explain=True).explanation
    weights = explanation.cross_attention[-1].mean(axis=0)  # (L, H, T, S) -> the last layer's, mean of its heads

    print(f"{sentence} -> {explanation.tgt_text}")
    print(" " * 12, *(f"{token.text.strip():>8.8}" for token in explanation.src))
    for token, row in zip(explanation.tgt_outputs, weights):
        print(f"{token.text.strip():>12.12}", *(f"{weight:8.3f}" for weight in row))

    # Every number of the way is there by name: q, k, v, scores, weights, add and norm, feed-forward, the beam.
    assert explanation.tensors["encoder.layers.0.self_attention.q"].ndim == 3  # (H, S, K)


if __name__ == "__main__":
    main(*sys.argv[1:])
