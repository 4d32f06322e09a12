"""Command ``ecgssl simulate``, which writes simulated recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecgssl.cli.app import Workers, app

if TYPE_CHECKING:
    from ecgssl.config.synthetic import SyntheticParams


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


def simulation(prevalence: Sequence[str], **options: Any) -> SyntheticParams:
    """Return the parameters that the options of ``ecgssl simulate`` define.

    Args:
        prevalence: factors such as ``af=2``.
        options: other fields of ``SyntheticParams``.

    Raises:
        InputError: an option has an invalid value. The message lists all of them.
    """
    from typing import get_args

    from pydantic import ValidationError

    from ecgssl.config.synthetic import Finding, SyntheticParams
    from ecgssl.errors import InputError, Problem

    problems = []
    factors: dict[Finding, float] = {}
    for item in prevalence:
        name, _, factor = item.partition("=")
        try:
            factors |= SyntheticParams.model_validate({"prevalence": {name: factor}}).prevalence
        except ValidationError:
            what = f"{item!r} is not a finding and a factor from 0 to 10"
            remedy = f"Use for example af=2; findings: {', '.join(get_args(Finding))}"
            problems.append(Problem("command line", "--prevalence", what, remedy))
    try:
        made = SyntheticParams(prevalence=factors, **options)
    except ValidationError as error:
        for found in error.errors():
            option = "--" + str(found["loc"][0]).replace("_", "-")
            what = f"{found['msg']} (got {found['input']!r})"
            problems.append(Problem("command line", option, what, "Correct the value"))
    if problems:
        raise InputError(problems)
    return made
