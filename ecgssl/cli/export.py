"""Command ``ecgssl export``, which writes a bundle of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app, require_training, tracked_if_installed


@app.command()
def export(
    model: Annotated[str, typer.Option(help="Encoder or classifier folder, or the name of a shipped model.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    store: Annotated[
        Path | None,
        typer.Option(help="Store: its validation recordings check the graphs and are the reference of monitor."),
    ] = None,
    recordings: Annotated[
        list[Path] | None, typer.Option(help="Recordings, folders or manifests to check raw graphs.")
    ] = None,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Export a model as a bundle of weights, ONNX graphs and a torch.export program.

    Example: ecgssl export --model runs/af/classifier --out exports/af --set export.raw_rates=[500]
    """
    from ecgssl.config import BUILT_IN, load_params
    from ecgssl.output_lock import exclusive

    p = load_params(params, overrides, BUILT_IN)
    require_training("ecgssl export")
    p = tracked_if_installed(p, overrides)
    from ecgssl.encoders.shipped import model_folder
    from ecgssl.stages.export import export_model
    from ecgssl.store.settings import require_store_settings
    from ecgssl.store.store import Store
    from ecgssl.tracking.runs import track

    source = model_folder(model, "--model")
    data = None if store is None else Store(store)
    if data is not None:
        require_store_settings(overrides, p, data)
    with exclusive(out) as lock, track("export", p, lock=lock) as run:
        figures = export_model(p, source, out, run, store=data, recordings=recordings or [])
    typer.echo(json.dumps(figures, indent=1, default=str) if as_json else export_summary(figures, out))


def export_summary(figures: Mapping[str, Any], out: Path) -> str:
    """Return a text summary of an export: size and largest difference of each file, and the effect of 8-bit weights.

    Args:
        figures: result of ``ecgssl.export.bundle.export_bundle``.
        out: folder of the bundle.
    """
    lines = [f"wrote {out}: {figures['parameters']:,} parameters, version {figures['version']}"]
    for name, size in figures["bytes"].items():
        lines.append(f"  {name}: {size / 1e6:.1f} MB{_checked(figures['max_difference'].get(name))}")
    lines.append(f"largest accepted difference from the Python pipeline: {figures['tolerance']:g}")
    if loss := figures.get("int8"):
        lines.append(
            f"8-bit graph: {loss['metric']} {loss['int8']:.4f} instead of {loss['float']:.4f} "
            f"on {loss['recordings']} validation recordings"
        )
    return "\n".join(lines)


def _checked(differences: Any) -> str:
    """Return text with the largest difference of a file from the Python pipeline; empty if the file was not compared."""
    if differences is None:
        return ""
    if isinstance(differences, Mapping):
        # graphs for raw recordings: "signal" is the share of differing input samples, "pipeline" includes their effect
        values = [
            value
            for found in differences.values()
            for name, value in found.items()
            if name not in ("signal", "pipeline")
        ]
        differences = max(values, default=0.0)
    return f", differs from the Python pipeline by at most {differences:.1g}"
