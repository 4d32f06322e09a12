"""Command ``ecgssl predict``, which applies a classifier to recordings."""

from __future__ import annotations

from typing import Annotated

import typer

from ecgssl.cli.app import Workers, app
from ecgssl.cli.manifest_options import Columns, PathPrefix, table_reading
from ecgssl.cli.scoring_options import BatchSize, Inputs, Json, OnDevice, Out, Overwrite, Root, Windows, print_report
from ecgssl.cli.signature_option import RequireSignature


@app.command()
def predict(
    inputs: Inputs,
    bundle: Annotated[str, typer.Option(help="Bundle of a classifier, or the name of a shipped one.")],
    out: Out,
    windows: Windows = "contract",
    batch_size: BatchSize = 32,
    workers: Workers = 1,
    device: OnDevice = "auto",
    root: Root = None,
    column: Columns = None,
    path_prefix: PathPrefix = None,
    require_signature: RequireSignature = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> int:
    """Apply a classifier to recordings, and write one row of scores per input. Run the command again to resume it.

    Example: ecgssl predict --bundle exports/classifier rec1.hea folder --out scores.csv
    """
    from ecgssl.scoring.files import predict as run

    report = run(
        bundle,
        inputs,
        out,
        windows=windows,
        batch_size=batch_size,
        workers=workers,
        device=device,
        root=root,
        reading=table_reading(column, path_prefix),
        require_signature=require_signature,
        overwrite=overwrite,
    )
    return print_report(report, "scored", out, as_json)
