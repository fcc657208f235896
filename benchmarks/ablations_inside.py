"""What becomes of a sentence inside models of an ablation, with their first weights and their trained ones?

    python benchmarks/ablations_inside.py runs/compare-ablations-multi30k/full runs/.../no-residual runs/.../no-scale

For each run of a Transformer: the mean cosine between the encoder's vectors of two positions of the sentence, and the
mean largest weight that a query of the first encoder layer gives to one key. Seconds. Prints a table and one line of
JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from machine import facts, print_facts
from torch import Tensor, nn
from torch.nn import functional

from clearhead.models.build import build_model
from clearhead.models.transformer import Transformer
from clearhead.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from clearhead.runs.load import load_run

SENTENCE = "a man in a blue shirt is standing on a ladder cleaning a window ."


def figures(model: nn.Module, ids: list[int]) -> dict[str, float]:
    """Return both figures of a model that reads ``ids``."""
    assert isinstance(model, Transformer)
    attention = model.encoder.layers[0].get_submodule("self_attention")
    assert isinstance(attention, MultiHeadAttention)
    seen: list[Tensor] = []
    hook = attention.core.register_forward_hook(lambda _, given, out: seen.extend(given[:3]))
    model.eval()
    with torch.no_grad():
        vectors = model.encode(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool)).hidden[0]
    hook.remove()
    cosines = functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    others = ~torch.eye(len(ids), dtype=torch.bool)
    weights = scaled_dot_product_attention(*seen)[1]
    return {"cosine": float(cosines[others].mean()), "largest_weight": float(weights.amax(-1).mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--sentence", default=SENTENCE)
    arguments = parser.parse_args()
    known = facts()
    print_facts(known)
    rows = []
    print("\n| | weights | mean cosine between positions | mean largest weight, first layer |\n|---|---|---|---|")
    for path in arguments.runs:
        run = load_run(path, "translation")
        src, tgt = run.tokenizers.src, run.tokenizers.tgt
        first = build_model(run.config.model, src.vocabulary_size, tgt.vocabulary_size, seed=run.config.training.seed)
        for weights, model in (("first", first), ("trained", run.model)):
            found = figures(model, list(src.encode(arguments.sentence)))
            rows.append({"run": path.name, "weights": weights, **found})
            print(f"| {path.name} | {weights} | {found['cosine']:.3f} | {found['largest_weight']:.2f} |")
    print(json.dumps({**known, "sentence": arguments.sentence, "rows": rows}, ensure_ascii=False))


if __name__ == "__main__":
    main()
