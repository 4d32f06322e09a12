"""Command ``ecgssl profile``, which lists parameter profiles and writes ``params.yaml`` from a profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app
from ecgssl.errors import InputError, Problem

profile = typer.Typer(no_args_is_help=True, help="Ready-made parameter files.")
app.add_typer(profile, name="profile")

PROFILES = Path(__file__).parents[1] / "profiles"
"""Folder of the package with the profiles."""
TARGET = Path("params.yaml")


@profile.command("list")
def profile_list() -> None:
    """List the parameter profiles and the standard benchmarks.

    Example: ecgssl profile list
    """
    from ecgssl.config.benchmark import read_benchmarks

    for source in sorted(PROFILES.glob("*.yaml")):
        typer.echo(f"{source.stem:26}{source.read_text().splitlines()[0].partition(': ')[2]}")
    for name, benchmark in read_benchmarks().items():
        typer.echo(f"{name:26}{benchmark.about}")


@profile.command("use")
def profile_use(
    name: str,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder of the recordings; with several sets, SET=FOLDER for each (repeat the option)."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a params.yaml that was edited; the old file is kept as a backup.")
    ] = False,
) -> None:
    """Write params.yaml from a profile or for a standard benchmark.

    A params.yaml that is an unchanged profile is replaced. An edited one is replaced only with --force.

    Example: ecgssl profile use paper --root mimic=/data/mimic-iv-ecg --root ptbxl=/data/ptb-xl-1.0.3
    """
    from ecgssl.config.set_roots import with_roots
    from ecgssl.files import write_atomic

    texts = dict(_texts())
    if name not in texts:
        known = f"Use one of: {', '.join(texts)}"
        raise InputError(Problem("command line", name, "is not a profile or benchmark", known))
    kind = "profile" if (PROFILES / f"{name}.yaml").exists() else "benchmark"
    text = with_roots(texts[name], root or [], f"{kind} {name}")
    backup = _keep(text, texts.values(), force)
    write_atomic(TARGET, text)
    runs = "; 'make repro' runs it" if Path("dvc.yaml").exists() else ""
    kept = f"; the previous file is {backup}" if backup is not None else ""
    typer.echo(f"{TARGET} is now {kind} {name}{runs}{kept}")


def _texts() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each profile and of each benchmark."""
    from ecgssl.config.benchmark import read_benchmarks

    profiles = {source.stem: source.read_text(encoding="utf-8") for source in sorted(PROFILES.glob("*.yaml"))}
    yield from profiles.items()
    for name, benchmark in read_benchmarks().items():
        yield name, benchmark.params(profiles[benchmark.profile], name)


def _keep(text: str, shipped: Iterable[str], force: bool) -> Path | None:
    """Copy ``params.yaml`` to a backup, unless it equals a shipped text or the new text. Return the path of the backup.

    Raises:
        InputError: the file differs from all shipped texts in more than the folders of its sets, and ``force`` is not set.
    """
    from ecgssl.files import require_regular, write_atomic

    if not TARGET.exists():
        return None
    require_regular(TARGET)
    old = TARGET.read_bytes()
    known = {other.encode() for other in (text, *shipped)}
    if old in known:
        return None
    if not force and _without_roots(old) not in map(_without_roots, known):
        what = "exists and differs from every profile, so its changes would be lost"
        remedy = "Add --force (the file is then kept as a backup), or run the command in another folder"
        raise InputError(Problem(str(TARGET), "file", what, remedy))
    names = (TARGET.with_name(f"{TARGET.name}.bak{number or ''}") for number in count())
    backup = next(path for path in names if not path.exists())
    write_atomic(backup, old)
    return backup


def _without_roots(text: bytes) -> list[bytes]:
    """Return the lines of a parameter file, except the folders of its sets, which ``--root`` changes."""
    return [line for line in text.splitlines() if not line.startswith(b"    root:")]
