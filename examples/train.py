"""Train a small translator from Python and listen to what the training says.

python examples/train.py train.en train.de runs/from-python
"""

import sys
from pathlib import Path

from clearhead.config import make_config
from clearhead.training.events import Finished, Progress, Validated
from clearhead.training.session import open_training


def main(src: str, tgt: str, out: str, *settings: str) -> None:
    # What differs from the defaults; a recipe's TOML is the same table. Without data.valid some pairs are held out.
    table = {
        "data": {"sources": [{"src": src, "tgt": tgt}]},
        "model": {"preset": "small", "dropout": 0.3},
        "training": {"learning_rate": 0.001, "schedule": "inverse-sqrt", "warmup_steps": 1000, "patience": 8},
    }
    training = open_training(make_config(table, settings), Path(out))
    print(f"training pairs: {training.task.corpora.lost.line()}")

    for event in training.events():
        match event:
            case Progress():
                print(f"step {event.step}: loss {event.loss:.3f}, {event.tokens_per_s:,.0f} target tokens/s")
            case Validated():
                print(f"step {event.step}: validation loss {event.scores['loss']:.3f}{' (best)' if event.best else ''}")
            case Finished():
                print(f"finished after {event.step} steps ({event.reason}); weights: {event.weights}")


if __name__ == "__main__":
    main(*sys.argv[1:])
