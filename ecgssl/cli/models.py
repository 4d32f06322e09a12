"""Verbs that make and judge models: pretrain, finetune, evaluate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app


@app.command()
def pretrain(
    store: Annotated[Path, typer.Option(help="Store made by preprocess.")],
    out: Annotated[Path, typer.Option(help="Folder for encoder, metrics and plots.")],
    max_time: Annotated[float | None, typer.Option(help="Minutes after which it saves and stops.")] = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Pretrain CoRe-ECG; the same command resumes a stopped run. Several processes or machines: by torchrun.

    Example: ecgssl pretrain --store data/mine --out runs/a --max-time 120
    """
    from ecgssl.config import load_params
    from ecgssl.evaluation.pretraining import publish_pretraining
    from ecgssl.evaluation.watch import Watch
    from ecgssl.store.store import Store
    from ecgssl.tracking import track
    from ecgssl.training.device import resolve_device
    from ecgssl.training.distribution import processes
    from ecgssl.training.pretrain import pretrain as run
    from ecgssl.training.run import run_name

    limit = [] if max_time is None else [f"pretrain.max_time={max_time}"]
    p, data = load_params(params, [*(overrides or []), *limit]), Store(store)
    with (
        processes(resolve_device(p.pretrain.device)) as ranks,
        track("pretrain", p, enabled=ranks.first) as tracked,
    ):
        result = run(
            data,
            p,
            out / run_name(p, data),
            ranks=ranks,
            on_log=lambda row: tracked.log_metrics(row, step=int(row["samples"])),
            on_epoch=Watch(data, p),
        )
        if not ranks.first:
            return
        figures = publish_pretraining(result, data, p, out / "pretrained", out / "pretrain.json", out / "plots")
        tracked.log_metrics({f"val_{k}": v for k, v in figures.items()}, step=result.seen)
        tracked.set_tags({"collapse": result.collapse or "none"})
        result.discard()
    typer.echo(
        f"{result.seen} recordings in {result.seconds:.0f} s ({result.device}, {result.precision}, "
        f"processes: {result.processes}, waiting for data: {result.waited:.1%}, looking on: {result.watched:.1%})"
    )
    typer.echo(json.dumps({k: round(v, 4) for k, v in figures.items()}, indent=1))


@app.command()
def finetune(
    store: Annotated[Path, typer.Option(help="Store made by preprocess, with the targets.")],
    encoder: Annotated[Path, typer.Option(help="Pretrained encoder or bundle.")],
    out: Annotated[Path, typer.Option(help="Folder for classifier, predictions and metrics.")],
    targets: Annotated[str, typer.Option(help="Names, separated by commas.")],
    mode: Annotated[Literal["linear", "full", "scratch"], typer.Option()] = "linear",
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Fine-tune and evaluate, beside the random encoder.

    Example: ecgssl finetune --store data/mine --encoder runs/a/pretrained --targets af --out runs/af
    """
    from ecgssl.config import load_params
    from ecgssl.evaluation.evaluate import evaluate
    from ecgssl.evaluation.finetune import finetune as run
    from ecgssl.evaluation.finetune import publish_finetuning
    from ecgssl.evaluation.plots import draw_reliability, draw_roc
    from ecgssl.evaluation.summary import headline, leaderboard
    from ecgssl.files import write_atomic, write_json
    from ecgssl.signal.drawing import png_bytes
    from ecgssl.store.overlap import in_words
    from ecgssl.store.store import Store

    p, data = load_params(params, overrides), Store(store)
    names = [t.strip() for t in targets.split(",") if t.strip()]
    result = run(data, encoder, names, mode, p.finetune, p.seed, out / "work")
    figures = evaluate(result.predictions, p.evaluate, p.seed, main=mode)
    publish_finetuning(result, data, out / "classifier", ", ".join(names), mode)
    write_json(out / "evaluation.json", figures)
    write_atomic(out / "roc.png", png_bytes(draw_roc(result.predictions, main=mode, bootstrap=200)))
    write_atomic(out / "reliability.png", png_bytes(draw_reliability(result.predictions, model=mode)))
    shutil.rmtree(out / "work", ignore_errors=True)
    typer.echo(f"overlap with pretraining: {in_words(result.overlap)}")
    typer.echo(leaderboard([headline(",".join(names), mode, figures)]), nl=False)


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="predictions.csv of a fine-tuning.")],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Compute every metric again from a prediction file.

    Example: ecgssl evaluate runs/af/classifier/predictions.csv --out e.json
    """
    from ecgssl.config import load_params
    from ecgssl.evaluation.evaluate import evaluate as run
    from ecgssl.evaluation.predictions import read_predictions
    from ecgssl.files import write_json

    p = load_params(params)
    write_json(out, run(read_predictions(predictions), p.evaluate, p.seed))
    typer.echo(f"wrote {out}")
