"""Command ``ecgssl leaderboard``, which merges leaderboards of several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app


@app.command()
def leaderboard(
    boards: Annotated[list[Path], typer.Argument(help="metrics/leaderboard.json of each run.")],
    out: Annotated[Path, typer.Option(help="Folder for leaderboard.json, leaderboard.md and leaderboard.png.")],
    name: Annotated[
        list[str] | None,
        typer.Option(help="Name of the pretraining of each file, in the same order; by default its objective."),
    ] = None,
) -> None:
    """Merge leaderboards of runs with the same test sets, for example one run for each pretraining objective.

    Example: ecgssl leaderboard core.json contrastive.json --out runs/objectives
    """
    from ecgssl.evaluation.leaderboard_file import read_leaderboard
    from ecgssl.evaluation.merge_leaderboards import merge_leaderboards
    from ecgssl.evaluation.method_plot import draw_methods
    from ecgssl.files import write_atomic, write_json
    from ecgssl.output_lock import exclusive
    from ecgssl.signal.figure_file import png_bytes

    with exclusive(out):
        merged = merge_leaderboards([read_leaderboard(path) for path in boards], name or ())
        write_json(out / "leaderboard.json", merged.as_json())
        write_atomic(out / "leaderboard.md", merged.as_markdown())
        write_atomic(out / "leaderboard.png", png_bytes(draw_methods(merged.table)))
    typer.echo(merged.table.as_markdown())
    typer.echo(f"wrote {out / 'leaderboard.json'}, leaderboard.md and leaderboard.png")
