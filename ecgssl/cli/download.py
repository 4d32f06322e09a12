"""Command ``ecgssl download``, which downloads a public dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecgssl.cli.app import app

if TYPE_CHECKING:
    from ecgssl.datasets.download.download import Plan


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="Name of the public dataset, as in sets.NAME.reader.")],
    root: Annotated[Path, typer.Option(help="Folder to download to. An interrupted download is resumed.")],
    base_url: Annotated[
        str | None, typer.Option(help="URL of a mirror with the same files and SHA256SUMS.txt.")
    ] = None,
    subset: Annotated[list[str] | None, typer.Option(help="Subset name or path pattern; may be repeated.")] = None,
    connections: Annotated[int, typer.Option(help="Number of parallel downloads, at most 16.")] = 4,
    recheck: Annotated[bool, typer.Option(help="Read and verify every file again.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Print number and size of the files without downloading.")] = False,
) -> int:
    """Download a public dataset, and verify the checksums of all files.

    Example: ecgssl download ptbxl --root data/ptbxl --subset 100
    """
    from ecgssl.datasets.download.download import download as run

    def print_plan(plan: Plan) -> None:
        typer.echo(f"{name}: {plan} -> {root}")
        if plan.advice:
            typer.echo(f"note: {plan.advice}")
        if dry_run:
            raise typer.Exit(0)

    report = run(
        name,
        root,
        base_url=base_url,
        subsets=subset or (),
        connections=connections,
        recheck=recheck,
        on_plan=print_plan,
    )
    rate = report.received / 1e6 / max(report.seconds, 1e-9)
    typer.echo(
        f"{report.files} files = {report.present} already present + {report.fetched} downloaded + {len(report.failed)} failed, "
        f"{report.received / 1e6:.1f} MB in {report.seconds:.0f} s ({rate:.1f} MB/s)"
    )
    for path, why in report.failed[:20]:
        typer.echo(f"  failed: {path}: {why}", err=True)
    if len(report.failed) > 20:
        typer.echo(f"  and {len(report.failed) - 20} more failed; run the same command again to retry", err=True)
    return 3 if report.failed else 0
