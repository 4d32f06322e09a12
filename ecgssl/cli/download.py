"""The verb download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecgssl.cli.app import app

if TYPE_CHECKING:
    from ecgssl.datasets.download.download import Plan


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="Public set, as data.set spells it.")],
    root: Annotated[Path, typer.Option(help="Folder of the release; a stopped download continues there.")],
    base_url: Annotated[str | None, typer.Option(help="Mirror with the same files and SHA256SUMS.txt.")] = None,
    subset: Annotated[list[str] | None, typer.Option(help="Part by name or pattern; may be repeated.")] = None,
    connections: Annotated[int, typer.Option(help="Files fetched at a time, at most 16.")] = 4,
    recheck: Annotated[bool, typer.Option(help="Read and verify every file again.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be fetched, and stop.")] = False,
) -> int:
    """Fetch a public set, verified against the release's checksums.

    Example: ecgssl download ptbxl --root data/ptbxl --subset 100
    """
    from ecgssl.datasets.download.download import download as run

    def tell(plan: Plan) -> None:
        typer.echo(f"{name}: {plan} -> {root}")
        if plan.advice:
            typer.echo(f"note: {plan.advice}")
        if dry_run:
            raise typer.Exit(0)

    report = run(
        name, root, base_url=base_url, subsets=subset or (), connections=connections, recheck=recheck, tell=tell
    )
    rate = report.received / 1e6 / max(report.seconds, 1e-9)
    typer.echo(
        f"{report.files} files = {report.present} already there + {report.fetched} fetched + {len(report.failed)} failed, "
        f"{report.received / 1e6:.1f} MB in {report.seconds:.0f} s ({rate:.1f} MB/s)"
    )
    for path, why in report.failed[:20]:
        typer.echo(f"  failed: {path}: {why}", err=True)
    if len(report.failed) > 20:
        typer.echo(f"  and {len(report.failed) - 20} more; the same command tries them again", err=True)
    return 3 if report.failed else 0
