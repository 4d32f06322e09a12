"""Command ``ecgssl draw``, which plots a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app


@app.command()
def draw(
    record: Annotated[Path, typer.Argument(help="A recording.")],
    out: Annotated[Path, typer.Option(help="PNG, PDF or SVG file to write.")],
    clean: Annotated[bool, typer.Option(help="Apply the default band-pass filter first.")] = False,
) -> None:
    """Plot a 12-lead recording at 25 mm/s and 10 mm/mV, or at half or quarter gain if the waves are tall.

    Example: ecgssl draw rec1.hea --out rec1.pdf
    """
    import numpy as np

    from ecgssl.files import write_atomic
    from ecgssl.io import read
    from ecgssl.io.recording import page_checks
    from ecgssl.output_lock import exclusive
    from ecgssl.signal.cleaning import clean as band_pass
    from ecgssl.signal.drawing import UNFILTERED, centred, draw_12_lead, filter_text
    from ecgssl.signal.figure_file import figure_bytes, figure_suffix
    from ecgssl.signal.leads import LEADS, arrange
    from ecgssl.signal.spec import SignalSpec

    suffix = figure_suffix(out)
    with exclusive(out):
        recording = read(record)
        signal, mask = arrange(recording.signal, recording.leads)
        rate = recording.sampling_rate
        if clean:
            spec = SignalSpec(sampling_rate=250.0)
            usable = mask & np.isfinite(signal).all(axis=1)
            signal, mask, rate = band_pass(np.where(usable[:, None], signal, 0), rate, spec), usable, spec.sampling_rate
            filters = filter_text(spec.clean)
        else:
            signal, filters = centred(signal).astype(np.float32), UNFILTERED
        figure = draw_12_lead(
            signal, rate, LEADS, mask,
            title=recording.record_id, filters=filters, duration=recording.duration, checks=page_checks(recording),
        )  # fmt: skip
        write_atomic(out, figure_bytes(figure, suffix))
    typer.echo(f"wrote {out}")
