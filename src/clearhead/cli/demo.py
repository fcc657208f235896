"""``clearhead demo``: the whole way on the corpus that comes with the package: train, evaluate, translate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

RECIPE = "starter-ko-en"
SENTENCES = (
    "나는 학생입니다",
    "나는 집에 갑니다",
    "그 동물은 길을 건너지 않았다, 왜냐하면 그것은 너무 피곤했기 때문이다",
    "그 동물은 길을 건너지 않았다, 왜냐하면 그것은 너무 넓었기 때문이다",
)


def demo(
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/demo"),
    set: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any key of the config; repeatable.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Train anew where a demo was trained already.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads; else as many as there are.")] = None,
) -> int:
    """Train a small Korean-English translator, score it, try it.

    No data and no network are needed. A demo that was stopped goes on where it was.
    """
    from clearhead.cli.recipe import Flags, config_from
    from clearhead.cli.scoring import evaluate_run
    from clearhead.cli.training import carry_out
    from clearhead.decoding.translator import Translator
    from clearhead.text.starter import starter_pairs

    config = config_from(RECIPE, Flags(settings=set or []))
    print(f"1. training on the starter corpus, into {out}", file=sys.stderr)
    code = carry_out(config, out, resume=not overwrite, overwrite=overwrite, device=device, threads=threads)
    if code:
        return code
    print("2. scoring on sentences that training never saw", file=sys.stderr)
    pairs = starter_pairs("test")
    sources, references = [korean for korean, _ in pairs], [english for _, english in pairs]
    done = evaluate_run(out, "starter-test", sources, references, [], device)
    for metric in (done.scores.chrf, done.scores.bleu):
        typer.echo(f"{metric.name} {metric.value:.2f} on {len(pairs):,} sentences  ({metric.signature})")
    print("3. translating", file=sys.stderr)
    for translation in Translator.load(out, device=device)(list(SENTENCES)):
        typer.echo(f"{translation.source}  ->  {translation.text}")
    typer.echo(f"the run, with its weights and tokenizer:  {out}")
    typer.echo(f"curves, samples and scores, in a browser: {out / 'report.html'}")
    typer.echo(f"its translations of the test sentences:   {done.hyp_path}")
    typer.echo(f"try it:  echo '우리 어머니는 우유를 좋아해요' | clearhead translate {out}")
    return 0
