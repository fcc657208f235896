"""Where does each target token look? Print the last decoder layer's cross-attention, a row a token.

python examples/attention.py runs/starter-ko-en "나는 학생입니다"
"""

import sys

import torch

from clearhead import Translator
from clearhead.nn.attention import scaled_dot_product_attention


def main(run: str, sentence: str) -> None:
    translator = Translator.load(run, device="cpu")
    target = translator(sentence).text

    # All attention goes through AttentionCore, which takes q, k, v and the mask. A hook sees them; equation 1 as a
    # pure function gives the weights that the core itself need not keep.
    seen = []
    core = translator.model.decoder.layers[-1].cross_attention.core
    hook = core.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    with torch.no_grad():
        translator.score([(sentence, target)])
    hook.remove()
    _, weights = scaled_dot_product_attention(*seen[0])  # (1, H, T, S)

    source = [token.text for token in translator.tokenizers.src.tokens(sentence)] + ["<eos>"]
    tokens = [token.text for token in translator.tokenizers.tgt.tokens(target)] + ["<eos>"]
    print(f"{sentence} -> {target}")
    print(" " * 12, *(f"{text.strip():>8.8}" for text in source))
    for text, row in zip(tokens, weights[0].mean(0).tolist()):
        print(f"{text.strip():>12.12}", *(f"{weight:8.3f}" for weight in row))


if __name__ == "__main__":
    main(*sys.argv[1:])
