"""Command ``ecgssl profile``, which lists parameter profiles and writes ``params.yaml`` from a profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app
from ecgssl.errors import InputError, Problem

PROFILES, BENCHMARKS = Path("pipelines/profiles"), Path("pipelines/benchmarks.yaml")
profile = typer.Typer(no_args_is_help=True, help="Ready-made parameter files.")
app.add_typer(profile, name="profile")


@profile.command("list")
def profile_list() -> None:
    """List the parameter profiles and the standard benchmarks.

    Example: ecgssl profile list
    """
    from ecgssl.config.benchmark import read_benchmarks

    for source in sorted(PROFILES.glob("*.yaml")):
        typer.echo(f"{source.stem:26}{source.read_text().splitlines()[0].partition(': ')[2]}")
    for name, benchmark in read_benchmarks(BENCHMARKS).items():
        typer.echo(f"{name:26}{benchmark.about}")


@profile.command("use")
def profile_use(
    name: str,
    root: Annotated[Path | None, typer.Option(help="Folder of the recordings, for a profile with one set.")] = None,
) -> None:
    """Write params.yaml from a profile or for a standard benchmark.

    Example: ecgssl profile use ptbxl_rhythm --root /data/ptb-xl-1.0.3
    """
    from ecgssl.config import load_params
    from ecgssl.config.benchmark import read_benchmarks
    from ecgssl.files import require_regular, write_atomic

    benchmarks = read_benchmarks(BENCHMARKS)
    chosen = benchmarks.get(name)
    source = PROFILES / f"{chosen.profile if chosen else name}.yaml"
    if not source.exists():
        names = sorted(p.stem for p in PROFILES.glob("*.yaml"))
        known = ", ".join([*names, *benchmarks]) or "none here; run the command in the project folder"
        raise InputError(Problem(str(PROFILES), name, "is not a profile or benchmark", f"Use one of: {known}"))
    require_regular(source)
    text = source.read_text()
    if chosen is not None:
        text = chosen.params(text, name, root)
    elif root is not None:
        text = _with_root(text, root, source)
    load_params(source)
    write_atomic("params.yaml", text)
    typer.echo(f"params.yaml is now {'benchmark' if chosen else 'profile'} {name}; 'make repro' runs it")


def _with_root(text: str, root: Path, source: Path) -> str:
    """Return the text of a profile with the root of its only set replaced."""
    lines = text.splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith("    root:")]
    if len(places) != 1:
        what = f"cannot be used, because the profile has {len(places)} sets with a root"
        raise InputError(Problem(str(source), "--root", what, "Use the profile without --root, then edit params.yaml"))
    lines[places[0]] = f"    root: {json.dumps(str(root))}"
    return "\n".join(lines) + "\n"
