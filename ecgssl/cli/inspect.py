"""Command ``ecgssl inspect``, which prints properties of recordings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Workers, app


@app.command()
def inspect(
    paths: Annotated[list[str], typer.Argument(help="Files in any format, file#member, WFDB records, folders.")],
    json: Annotated[bool, typer.Option("--json", help="Print all findings as JSON.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Folder for 12-lead pages; or a PNG, PDF or SVG file.")] = None,
    sampling_rate: Annotated[
        float | None, typer.Option(help="Sampling rate in Hz, if it is missing or wrong in the files.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Unit nV, uV, mV or V, if it is missing or wrong in the files.")
    ] = None,
    leads: Annotated[str | None, typer.Option(help="Lead names of the rows, separated by commas.")] = None,
    params: Annotated[
        Path | None, typer.Option(help="Parameter file with quality limits; default limits if absent.")
    ] = None,
    workers: Workers = 1,
) -> int:
    """Print format, leads, sampling rate, duration and quality of recordings.

    Example: ecgssl inspect ecg.xml exams.hdf5#1169160 hospital/ --plot pages
    """
    from ecgssl.config import QualityParams, load_params
    from ecgssl.errors import InputError, Problem
    from ecgssl.files import canonical_json
    from ecgssl.inspection.inspect import LSB, find
    from ecgssl.inspection.inspect import inspect as run
    from ecgssl.inspection.inspect_table import as_text
    from ecgssl.io.metadata import MetadataOverrides, millivolts
    from ecgssl.progress import progress
    from ecgssl.signal.spec import SignalSpec

    if units is not None and millivolts(units) is None:
        raise InputError(Problem("command line", "--units", f"{units!r} is not a voltage unit", "Use nV, uV, mV or V"))
    names = tuple(name.strip() for name in leads.split(",")) if leads is not None else None
    spec, quality, lsb = SignalSpec(), QualityParams(), LSB
    if params is not None:
        chosen = load_params(params)
        spec, quality, lsb = chosen.signal, chosen.quality, chosen.store.lsb
    found = find(paths)
    with progress("inspect", len(found.recordings)) as advance:
        overrides = MetadataOverrides(sampling_rate, units, names)
        result = run(found, spec, quality, lsb=lsb, overrides=overrides, plot=plot, workers=workers, advance=advance)
    text = canonical_json(result.to_dict()) if json else as_text(result, shutil.get_terminal_size((100, 24)).columns)
    typer.echo(text, nl=False)
    return 3 if result.count("unreadable") or result.count("rejected") else 0
