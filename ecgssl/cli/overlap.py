"""Command ``ecgssl overlap``, which lists recordings and patients that two datasets share."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ecgssl.cli.app import app


@app.command()
def overlap(
    a: Annotated[
        str, typer.Argument(help="Store, encoder or bundle with the codes of its recordings, or shipped model.")
    ],
    b: Annotated[str, typer.Argument(help="Store or model to compare with the first.")],
    splits: Annotated[str, typer.Option(help="Splits of a store to compare, separated by commas; default all.")] = "",
    most: Annotated[int, typer.Option(min=0, help="Number of pairs to print.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print all pairs as JSON.")] = False,
) -> int:
    """List recordings that two datasets share, by waveform and by patient. The exit code is 3 if there are any.

    Example: ecgssl overlap runs/a/pretrained data/mine --splits val,test
    """
    from ecgssl.encoders.shipped import model_folder
    from ecgssl.leakage.overlap import compare_folders

    first, second = (model_folder(given, "ecgssl overlap") for given in (a, b))
    found = compare_folders(first, second, tuple(name.strip() for name in splits.split(",") if name.strip()))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return 3 if found["found"] else 0
    typer.echo(f"A: {a}, {found['recordings'][0]:,} recordings; B: {b}, {found['recordings'][1]:,} recordings")
    for by in ("waveform", "patient"):
        part = found[by]
        if part is None:
            typer.echo(f"by {by}: cannot be compared, because the patient keys or patient ids differ")
            continue
        typer.echo(f"shared recordings by {by}: {part['a']:,} of A, {part['b']:,} of B")
        for one, other in part["pairs"][:most]:
            typer.echo(f"  {one} = {other}" if by == "waveform" else f"  {one}, {other}: one patient")
        if len(part["pairs"]) > most:
            typer.echo(f"  and {len(part['pairs']) - most:,} more; --json prints all")
    return 3 if found["found"] else 0
