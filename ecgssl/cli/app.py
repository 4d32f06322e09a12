"""The ``ecgssl`` command and what its verbs share; exit codes are those of ``ecgssl.errors``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.errors import exit_with

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Self-supervised learning for the 12-lead ECG: recordings to a deployable model, under one signal contract.",
    epilog="Exit codes: 0 done, 1 a bug, 2 bad input or usage (nothing written), 3 done with rejected recordings, 4 stopped.",
)

ParamsFile = Annotated[Path, typer.Option("--params", help="Parameter file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override, for example --set pretrain.samples=1000.")
]


def _some_processes(value: int | None) -> int | None:
    if value is not None and (value == 0 or value < -1):
        raise typer.BadParameter("-1 takes one process per core; otherwise name 1 or more")
    return value


Workers = Annotated[int, typer.Option(help="Processes; -1 for one per core.", callback=_some_processes)]


def main() -> None:
    """Entry point of the console script."""
    exit_with(_run)


def _run() -> int:
    try:
        # standalone mode would swallow the exit code that a verb returns
        return app(standalone_mode=False) or 0
    except typer.Abort:
        return 130
    except Exception as error:
        # the usage errors of whichever copy of click this typer stands on; they know how to print themselves
        if not (hasattr(error, "show") and hasattr(error, "exit_code")):
            raise
        error.show()
        return 2
