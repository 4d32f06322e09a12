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
    first_patient: Annotated[
        int, typer.Option(min=0, help="Number of the first patient; separate ranges for sets of different patients.")
    ] = 0,
    site: Annotated[str | None, typer.Option(help="Text of the column site.")] = None,
    device: Annotated[str | None, typer.Option(help="Text of the column device.")] = None,
    noise: Annotated[float, typer.Option(help="Factor for all levels of electrode noise.")] = 1.0,
    age: Annotated[tuple[float, float], typer.Option(help="Mean and standard deviation of the age in years.")] = (
        60,
        16,
    ),
    prevalence: Annotated[
        list[str] | None, typer.Option(help="Factor for the probability of a finding, such as af=2.")
    ] = None,
    labelled: Annotated[
        bool, typer.Option("--labelled/--unlabelled", help="Write the labels into manifest.csv.")
    ] = True,
    sampling_rate: Annotated[float, typer.Option(help="Sampling rate in Hz.")] = 500,
    workers: Workers = -1,
) -> None:
    """Generate synthetic 12-lead recordings in WFDB format with a manifest.

    Example: ecgssl simulate --out demo --patients 100 --noise 2 --prevalence af=1.5
    """
    from ecgssl.config.synthetic import simulation
    from ecgssl.datasets.synthetic.simulate import simulate as make
    from ecgssl.progress import progress

    params = simulation(
        prevalence or [],
        patients=patients,
        first_patient=first_patient,
        site=site,
        device=device,
        noise=noise,
        age=age,
        labelled=labelled,
        sampling_rate=sampling_rate,
    )
    with progress("simulate", patients, "patients") as advance:
        manifest = make(out, params, seed, workers, advance)
    typer.echo(f"wrote {manifest}; the recordings are synthetic, so results on them have no clinical meaning")
