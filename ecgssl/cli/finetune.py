"""Command ``ecgssl finetune``, which fine-tunes a pretrained encoder and evaluates it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ecgssl.cli.app import Dataset, Overrides, ParamsFile, app, require_training, tracked_if_installed
from ecgssl.cli.attribution_option import AttributionOption
from ecgssl.cli.manifest_options import (
    Columns,
    Dates,
    PathPrefix,
    Root,
    TargetsFile,
    Values,
    cohort_overrides,
    print_findings,
    unused_table_options,
)
from ecgssl.cli.signature_option import RequireSignature
from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    from ecgssl.config import OneSet, Params
    from ecgssl.store.store import Store


@app.command()
def finetune(
    out: Annotated[Path, typer.Option(help="Folder for classifier, predictions and metrics.")],
    targets: Annotated[str, typer.Option(help="Names of targets, separated by commas; or age.")],
    store: Annotated[Path | None, typer.Option(help="Store made by preprocess, with the targets.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Table of a cohort, instead of a store.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Name of a shipped encoder, or folder of a pretrained encoder that is not a bundle."),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="Bundle of an encoder; with --manifest, its preprocessing settings are used.")
    ] = None,
    mode: Annotated[Literal["linear", "mlp", "attentive", "full", "scratch"], typer.Option()] = "linear",
    share: Annotated[float, typer.Option(help="Share of the training patients whose labels are used.")] = 1.0,
    leads: Annotated[str, typer.Option(help="Recorded leads, such as I,II,V2, or a set: 3lead.")] = "12lead",
    folds: Annotated[
        int | None, typer.Option(min=2, help="Cross-validate a small cohort, by patient (linear).")
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Number of repetitions with other folds.")] = None,
    report: Annotated[bool, typer.Option(help="Also write report.html and report.json.")] = True,
    attribution: AttributionOption = None,
    root: Root = None,
    column: Columns = None,
    value: Values = None,
    path_prefix: PathPrefix = None,
    dates: Dates = None,
    targets_file: TargetsFile = None,
    require_signature: RequireSignature = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
    dataset: Dataset = None,
) -> int:
    """Fine-tune and evaluate a pretrained encoder, and compare it with a randomly initialised encoder.

    Example: ecgssl finetune --bundle exports/encoder --manifest cohort.csv --targets af --out runs/af
    """
    from ecgssl.config import BUILT_IN, load_one_set, load_params
    from ecgssl.encoders.shipped import shipped_names

    if encoder in shipped_names():
        # a shipped encoder is a bundle
        encoder, bundle = bundle, encoder
    names = [t.strip() for t in targets.split(",") if t.strip()]
    table_options = [root, column, value, path_prefix, dates, targets_file, dataset]
    unused_attribution = attribution is not None and not report
    _require_one_source(store, manifest, encoder, bundle, table_options, require_signature, unused_attribution)
    chosen, one = list(overrides or []), None
    chosen += [f"finetune.folds={folds}"] if folds is not None else []
    chosen += [f"finetune.repeats={repeats}"] if repeats is not None else []
    default = BUILT_IN | {"tasks": {"task": {"targets": names}}}
    if manifest is not None:
        given = cohort_overrides(manifest, root, column, value, path_prefix, dates, targets_file)
        one = load_one_set(params, chosen, default, dataset=dataset, reader="cohort", given=given)
    p = one.params if one is not None else load_params(params, chosen, default)
    require_training("ecgssl finetune")
    p = tracked_if_installed(p, overrides)
    from ecgssl.leakage.overlap import in_words
    from ecgssl.output_lock import exclusive
    from ecgssl.report.build import HTML, write_report
    from ecgssl.scoring.cohort_store import rejected_count
    from ecgssl.stages.finetune_and_evaluate import finetune_and_evaluate

    with exclusive(out):
        data, source = _open_sources(p, store, one, encoder, bundle, names, out, overrides or [], require_signature)
        run = finetune_and_evaluate(
            p, data, source, names, mode, out, share=share, recorded=leads, cross_validated=folds is not None
        )
        typer.echo(f"overlap with pretraining: {in_words(run.overlap)}")
        typer.echo(run.board, nl=False)
        if report:
            write_report(out, data, attribution=attribution)
            typer.echo(f"wrote {out / HTML}")
    return 3 if manifest is not None and rejected_count(data) else 0


def _require_one_source(
    store: Path | None,
    manifest: Path | None,
    encoder: str | None,
    bundle: str | None,
    table_options: Sequence[object],
    require_signature: Path | None,
    unused_attribution: bool,
) -> None:
    """Check that exactly one data source and one encoder are given and that the other options fit them.

    Args:
        store, manifest, encoder, bundle, require_signature: values of the options.
        table_options: values of the options that describe a table.
        unused_attribution: whether ``--attribution`` is given without a report.

    Raises:
        InputError: options are missing or exclude each other. The message lists all errors.
    """
    problems = []
    if (store is None) == (manifest is None):
        what = "neither is given" if store is None else "both are given"
        remedy = "Set --store, or --manifest and --bundle"
        problems.append(Problem("finetune", "--store, --manifest", what, remedy))
    if (encoder is None) == (bundle is None):
        what = "neither is given" if encoder is None else "both are given"
        problems.append(Problem("finetune", "--encoder, --bundle", what, "Use either --encoder or --bundle"))
    if manifest is not None and encoder is not None and not Path(encoder).exists():
        from ecgssl.encoders.shipped import shipped_names

        what = f"{encoder} is neither the name of a shipped model nor a folder"
        problems.append(Problem("finetune", "--encoder", what, f"Use one of {', '.join(shipped_names())}, or a folder"))
    elif manifest is not None and encoder is not None:
        what = "does not record the quality limits used for its training data"
        problems.append(Problem("finetune", "--encoder", what, "Use --bundle, or preprocess the table and use --store"))
    problems += unused_table_options("finetune", manifest, table_options)
    if bundle is None and require_signature is not None:
        what = "applies only to a bundle"
        problems.append(Problem("finetune", "--require-signature", what, "Set --bundle, or remove this option"))
    if unused_attribution:
        what = "applies only to the report, which --no-report omits"
        problems.append(Problem("finetune", "--attribution", what, "Remove --no-report, or remove this option"))
    if problems:
        raise InputError(problems)


def _open_sources(
    params: Params,
    store: Path | None,
    chosen: OneSet | None,
    encoder: str | None,
    bundle: str | None,
    targets: Sequence[str],
    out: Path,
    overrides: Sequence[str],
    require_signature: Path | None,
) -> tuple[Store, Path]:
    """Return the store and the encoder folder.

    Without ``store``, the table of a set is preprocessed with the settings of the bundle, unless an earlier call has done
    this.
    """
    from ecgssl.encoders.shipped import model_folder
    from ecgssl.store.settings import require_store_settings
    from ecgssl.store.store import Store

    given = encoder or bundle
    assert given is not None
    source = model_folder(given, "--bundle" if encoder is None else "--encoder")
    if store is not None:
        if bundle is not None:
            from ecgssl.export.checksums import verify_sums

            verify_sums(source, require_signature)
        data = Store(store)
        require_store_settings(overrides, params, data)
        return data, source
    from ecgssl.scoring.cohort_store import cohort_store

    assert chosen is not None
    made = cohort_store(chosen, source, targets, out, overrides=overrides, require_signature=require_signature)
    if made.report is None:
        typer.echo(f"{len(made.store)} recordings were already preprocessed")
    else:
        report = made.report
        typer.echo(f"{report.counted} recordings = {report.stored} stored + {report.rejected} rejected")
        print_findings(report)
    return made.store, source
