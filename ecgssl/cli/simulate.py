"""Command ``ecgssl simulate``, which writes simulated recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Workers, app


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="New folder for records and manifest.csv.")],
    patients: Annotated[int, typer.Option(min=1)] = 400,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Workers = -1,
) -> None:
    """Generate synthetic 12-lead recordings in WFDB format with a manifest.

    Example: ecgssl simulate --out demo --patients 100
    """
    from ecgssl.config import SyntheticParams
    from ecgssl.datasets.synthetic.simulate import simulate as make
    from ecgssl.progress import progress

    with progress("simulate", patients, "patients") as advance:
        manifest = make(out, SyntheticParams(patients=patients), seed, workers, advance)
    typer.echo(f"wrote {manifest}; the recordings are synthetic, so results on them have no clinical meaning")
