"""Command ``ecgssl profile``, which lists parameter profiles and writes ``params.yaml`` from a profile."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app
from ecgssl.errors import InputError, Problem

profile = typer.Typer(no_args_is_help=True, help="Ready-made parameter files.")
app.add_typer(profile, name="profile")


def shipped_folder() -> Path:
    """Return the folder with profiles and benchmarks: that of the project, or outside a project that of the installation."""
    here = Path("pipelines")
    return here if (here / "profiles").is_dir() else Path(sysconfig.get_path("data")) / "share" / "ecgssl"


@profile.command("list")
def profile_list() -> None:
    """List the parameter profiles and the standard benchmarks.

    Example: ecgssl profile list
    """
    from ecgssl.config.benchmark import read_benchmarks

    folder = shipped_folder()
    for source in sorted((folder / "profiles").glob("*.yaml")):
        typer.echo(f"{source.stem:26}{source.read_text().splitlines()[0].partition(': ')[2]}")
    for name, benchmark in read_benchmarks(folder / "benchmarks.yaml").items():
        typer.echo(f"{name:26}{benchmark.about}")


@profile.command("use")
def profile_use(
    name: str,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder of the recordings; with several sets, SET=FOLDER for each (repeat the option)."),
    ] = None,
) -> None:
    """Write params.yaml from a profile or for a standard benchmark.

    Example: ecgssl profile use paper --root mimic=/data/mimic-iv-ecg --root ptbxl=/data/ptb-xl-1.0.3
    """
    from ecgssl.config import load_params
    from ecgssl.config.benchmark import read_benchmarks
    from ecgssl.config.set_roots import with_roots
    from ecgssl.files import require_regular, write_atomic

    folder = shipped_folder()
    profiles, benchmarks = folder / "profiles", read_benchmarks(folder / "benchmarks.yaml")
    chosen = benchmarks.get(name)
    source = profiles / f"{chosen.profile if chosen else name}.yaml"
    if not source.exists():
        names = sorted(p.stem for p in profiles.glob("*.yaml"))
        known = ", ".join([*names, *benchmarks]) or "none here; run the command in the project folder"
        raise InputError(Problem(str(profiles), name, "is not a profile or benchmark", f"Use one of: {known}"))
    require_regular(source)
    load_params(source)
    text = source.read_text()
    if chosen is not None:
        text = chosen.params(text, name)
    write_atomic("params.yaml", with_roots(text, root or [], str(source)))
    runs = "; 'make repro' runs it" if Path("dvc.yaml").exists() else ""
    typer.echo(f"params.yaml is now {'benchmark' if chosen else 'profile'} {name}{runs}")
