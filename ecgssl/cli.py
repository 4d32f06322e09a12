"""The ``ecgssl`` command: thin, every verb a function of the library. Heavy imports wait until a verb needs them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from ecgssl.errors import InputError, Problem, exit_with

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Self-supervised learning for the 12-lead ECG: recordings to a deployable model, under one signal contract.",
    epilog="Exit codes: 0 done, 1 a bug, 2 bad input or usage (nothing written), 3 done with rejected recordings, 4 stopped.",
)
profile = typer.Typer(no_args_is_help=True, help="Ready-made parameter files.")
app.add_typer(profile, name="profile")

PROFILES = Path("pipelines/profiles")
ParamsFile = Annotated[Path, typer.Option("--params", help="Parameter file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override, for example --set pretrain.samples=1000.")
]


def _some_processes(value: int | None) -> int | None:
    if value is not None and (value == 0 or value < -1):
        raise typer.BadParameter("-1 takes one process per core; otherwise name 1 or more")
    return value


Workers = Annotated[int, typer.Option(help="Processes; -1 for one per core.", callback=_some_processes)]


def main() -> None:
    """Entry point of the console script."""
    exit_with(_run)


def _run() -> int:
    try:
        # standalone mode would swallow the exit code that a verb returns
        return app(standalone_mode=False) or 0
    except typer.Abort:
        return 130
    except Exception as error:
        # the usage errors of whichever copy of click this typer stands on; they know how to print themselves
        if not (hasattr(error, "show") and hasattr(error, "exit_code")):
            raise
        error.show()
        return 2


@profile.command("use")
def profile_use(
    name: str, root: Annotated[Path | None, typer.Option(help="data.root of the new params.yaml.")] = None
) -> None:
    """Write params.yaml from a profile.

    Example: ecgssl profile use ptbxl --root /data/ptb-xl-1.0.3
    """
    from ecgssl.config import load_params
    from ecgssl.files import write_atomic

    source = PROFILES / f"{name}.yaml"
    if not source.exists():
        known = (
            ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml"))) or "none here: run it in the project's folder"
        )
        raise InputError(Problem(str(PROFILES), name, "there is no such profile", f"Profiles: {known}"))
    text = source.read_text()
    if root is not None:
        lines = [f"  root: {json.dumps(str(root))}" if li.startswith("  root:") else li for li in text.splitlines()]
        text = "\n".join(lines) + "\n"
    load_params(source)
    write_atomic("params.yaml", text)
    typer.echo(f"params.yaml is now profile {name}; 'make repro' runs it")


@app.command()
def fingerprint(params: ParamsFile = Path("params.yaml")) -> None:
    """Write data/fingerprint.json, by which DVC sees that the raw recordings changed."""
    from ecgssl.config import load_params
    from ecgssl.datasets import load
    from ecgssl.files import canonical_json, write_atomic
    from ecgssl.fingerprint import fingerprint as describe

    p = load_params(params)
    paths = [] if p.data.set == "synthetic" else load(p.data, "data/raw", p.seed).table["path"].tolist()
    text = canonical_json(describe(p.data, p.seed, paths))
    target = Path("data/fingerprint.json")
    if not target.exists() or target.read_text() != text:
        write_atomic(target, text)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="New folder for records and manifest.csv.")],
    patients: Annotated[int, typer.Option(min=1)] = 400,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Workers = -1,
) -> None:
    """Make synthetic 12-lead recordings (WFDB) with a manifest.

    Example: ecgssl simulate --out demo --patients 100
    """
    from ecgssl.config import SyntheticParams
    from ecgssl.datasets.synthetic import simulate as make
    from ecgssl.progress import progress

    with progress("simulate", patients, "patients") as advance:
        manifest = make(out, SyntheticParams(patients=patients), seed, workers, advance)
    typer.echo(f"wrote {manifest}; these hearts are invented, figures on them say nothing about patients")


@app.command()
def preprocess(
    out: Annotated[Path, typer.Option(help="New folder of the store.")],
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
    manifest: Annotated[Path | None, typer.Option(help="CSV of a cohort; sets data.set and data.manifest.")] = None,
    ptbxl: Annotated[
        Path | None, typer.Option(help="Folder with ptbxl_database.csv; sets data.set and data.root.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; -1 for one per core.")] = None,
) -> int:
    """Read, check, clean and store recordings.

    Example: ecgssl preprocess --manifest cohort.csv --out data/mine
    """
    from ecgssl.config import load_params
    from ecgssl.datasets import load
    from ecgssl.store.patient_key import load_or_make_key
    from ecgssl.store.preprocess import preprocess as run

    chosen = list(overrides or [])
    if manifest is not None:
        chosen += ["data.set=cohort", f"data.manifest={json.dumps(str(manifest))}", "data.root=null"]
    if ptbxl is not None:
        chosen += ["data.set=ptbxl", f"data.root={json.dumps(str(ptbxl))}"]
    if workers is not None:
        chosen += [f"store.workers={workers}"]
    p = load_params(params, chosen)
    report = run(load(p.data, "data/raw", p.seed), p, out, load_or_make_key(p.data.patient_key))
    new = report.counted - report.resumed
    typer.echo(f"{report.counted} recordings = {report.stored} stored + {report.rejected} rejected", nl=False)
    typer.echo(f", {report.seconds:.1f} s, {new / report.seconds:.0f} recordings/s")
    for title, counts in (("rejected", report.reasons), ("flagged", report.flags)):
        for reason, count in counts.items():
            typer.echo(f"  {title} for {reason}: {count}")
    for warning in report.warnings:
        typer.echo(f"note: {warning}")
    return 3 if report.rejected else 0


@app.command()
def pretrain(
    store: Annotated[Path, typer.Option(help="Store made by preprocess.")],
    out: Annotated[Path, typer.Option(help="Folder for encoder, metrics and plots.")],
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
) -> None:
    """Pretrain CoRe-ECG; the same command resumes a stopped run.

    Example: ecgssl pretrain --store data/mine --out runs/a
    """
    from ecgssl.config import load_params
    from ecgssl.evaluation.pretraining import publish_pretraining
    from ecgssl.store.store import Store
    from ecgssl.tracking import track
    from ecgssl.training.pretrain import pretrain as run
    from ecgssl.training.pretrain import run_name

    p, data = load_params(params, overrides), Store(store)
    with track("pretrain", p) as tracked:
        result = run(data, p, out / run_name(p, data), on_log=lambda r: tracked.log_metrics(r, step=int(r["samples"])))
        figures = publish_pretraining(result, data, p, out / "pretrained", out / "pretrain.json", out / "plots")
        tracked.log_metrics({f"val_{k}": v for k, v in figures.items()}, step=result.seen)
        result.run_state.discard()
    typer.echo(f"{result.seen} recordings in {result.seconds:.0f} s ({result.device}, {result.precision})")
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


@app.command()
def export(
    model: Annotated[Path, typer.Option(help="Encoder or classifier folder.")],
    out: Annotated[Path, typer.Option(help="New bundle.")],
    store: Annotated[Path | None, typer.Option(help="Store whose recordings the graph is checked on, too.")] = None,
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Make a bundle with ONNX graph, checked against torch.

    Example: ecgssl export --model runs/af/classifier --out exports/af
    """
    from ecgssl.config import load_params
    from ecgssl.deploy.bundle import export_bundle
    from ecgssl.store.store import Store

    p = load_params(params)
    examples = None
    if store is not None:
        data = Store(store)
        examples = data.signals(data.rows("val")[:7])
    figures = export_bundle(model, out, p.export, examples=examples, quality=p.quality, lsb=p.store.lsb)
    typer.echo(json.dumps(figures, indent=1, default=str))


@app.command()
def predict(
    inputs: Annotated[list[Path], typer.Argument(help="Records, folders or a manifest.")],
    bundle: Annotated[Path, typer.Option(help="Bundle of a classifier.")],
    out: Annotated[Path, typer.Option(help="Score file, .csv or .parquet.")],
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Workers = 1,
) -> int:
    """Score recordings, one row per input.

    Example: ecgssl predict --bundle exports/classifier rec1.hea folder --out scores.csv
    """
    from ecgssl.deploy.predict import predict as run

    report = run(bundle, inputs, out, batch_size=batch_size, workers=workers)
    typer.echo(f"{report.counted} inputs = {report.scored} scored + {report.rejected} rejected -> {out}")
    return 3 if report.rejected else 0


@app.command()
def embed(
    inputs: Annotated[list[Path], typer.Argument(help="Records, folders or a manifest.")],
    bundle: Annotated[Path, typer.Option(help="Bundle of an encoder or classifier.")],
    out: Annotated[Path, typer.Option(help="Embedding file, .csv or .parquet.")],
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Workers = 1,
) -> int:
    """Embed recordings, one row per input.

    Example: ecgssl embed --bundle exports/encoder folder --out embeddings.parquet
    """
    from ecgssl.deploy.predict import embed as run

    report = run(bundle, inputs, out, batch_size=batch_size, workers=workers)
    typer.echo(f"{report.counted} inputs = {report.scored} embedded + {report.rejected} rejected -> {out}")
    return 3 if report.rejected else 0


@app.command()
def draw(
    record: Annotated[Path, typer.Argument(help="A recording.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    clean: Annotated[bool, typer.Option(help="Band-pass first, as the default contract does.")] = False,
) -> None:
    """Draw a recording on 12-lead paper, 25 mm/s and 10 mm/mV.

    Example: ecgssl draw rec1.hea --out rec1.png
    """
    import numpy as np

    from ecgssl.files import write_atomic
    from ecgssl.io import read
    from ecgssl.signal.cleaning import clean as band_pass
    from ecgssl.signal.drawing import draw_12_lead, png_bytes
    from ecgssl.signal.leads import LEADS, arrange
    from ecgssl.signal.spec import SignalSpec

    recording = read(record)
    signal, mask = arrange(recording.signal, recording.leads)
    rate = recording.sampling_rate
    if clean:
        spec = SignalSpec(sampling_rate=250.0)
        usable = mask & np.isfinite(signal).all(axis=1)
        signal, mask, rate = band_pass(np.where(usable[:, None], signal, 0), rate, spec), usable, spec.sampling_rate
    write_atomic(out, png_bytes(draw_12_lead(signal, rate, LEADS, mask, title=recording.record_id)))
    typer.echo(f"wrote {out}")


@app.command()
def results() -> None:
    """Print the table of results of the last ``make repro`` and where to look next."""
    board = Path("metrics/leaderboard.md")
    if not board.exists():
        raise InputError(Problem(str(board), "file", "does not exist", "Run 'make repro' first"))
    counts = json.loads(Path("metrics/preprocess.json").read_text())
    typer.echo(f"\n{counts['recordings']} recordings = {counts['stored']} stored + {counts['rejected']} rejected\n")
    typer.echo(board.read_text())
    typer.echo("Figures    plots/evaluate  plots/pretrain   (dvc plots show)")
    typer.echo("Metrics    metrics/                         (dvc metrics show)")
    typer.echo("Bundles    exports/encoder  exports/classifier")
    typer.echo(f"Runs       {os.environ.get('MLFLOW_TRACKING_URI', 'make ui, then http://127.0.0.1:5000')}")


if __name__ == "__main__":
    main()
