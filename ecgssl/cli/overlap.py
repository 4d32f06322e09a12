"""The verb overlap: what two sets have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app


@app.command()
def overlap(
    a: Annotated[Path, typer.Argument(help="Store, or encoder with the codes of its recordings.")],
    b: Annotated[Path, typer.Argument(help="The other.")],
    splits: Annotated[str, typer.Option(help="Of a store only these, separated by commas; all by default.")] = "",
    most: Annotated[int, typer.Option(min=0, help="Pairs to print.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything, every pair, as JSON.")] = False,
) -> int:
    """Tell which recordings of two sets are the same, by waveform and patient. Exit code 3 where there are any.

    Example: ecgssl overlap runs/a/pretrained data/mine --splits val,test
    """
    from ecgssl.leakage.overlap import compare_folders

    found = compare_folders(a, b, tuple(name.strip() for name in splits.split(",") if name.strip()))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return 3 if found["found"] else 0
    typer.echo(f"A: {a}, {found['recordings'][0]:,} recordings; B: {b}, {found['recordings'][1]:,} recordings")
    for by in ("waveform", "patient"):
        part = found[by]
        if part is None:
            typer.echo(f"by {by}: cannot be compared: other key, or ids of another numbering")
            continue
        typer.echo(f"by {by}: {part['a']:,} of A, {part['b']:,} of B")
        for one, other in part["pairs"][:most]:
            typer.echo(f"  {one} = {other}" if by == "waveform" else f"  {one}, {other}: one patient")
        if len(part["pairs"]) > most:
            typer.echo(f"  and {len(part['pairs']) - most:,} more; --json prints all")
    return 3 if found["found"] else 0
