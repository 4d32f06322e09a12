"""Typer application of the ``ecgssl`` command, and options shared by several commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecgssl.errors import exit_with, require
from ecgssl.extras import TRAINING, install_line, installed
from ecgssl.version import __version__

if TYPE_CHECKING:
    from ecgssl.config import Params

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Self-supervised learning for the 12-lead ECG: preprocessing, pretraining, fine-tuning, evaluation and export.",
    epilog="Exit codes: 0 done, 1 internal error, 2 bad input (nothing written), 3 done with rejected recordings, 4 stopped, "
    "5 training diverged.",
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"ecgssl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Define the options of ``ecgssl`` itself."""


ParamsFile = Annotated[
    Path, typer.Option("--params", help="Parameter file; without params.yaml, most commands use built-in defaults.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override, for example --set pretrain.samples=1000.")
]

Dataset = Annotated[
    str | None, typer.Option(help="Name of the set in params.yaml that the command reads, if there are several.")
]


def _some_processes(value: int | None) -> int | None:
    if value is not None and (value == 0 or value < -1):
        raise typer.BadParameter("must be 1 or more, or -1 for one process per core")
    return value


Workers = Annotated[int, typer.Option(help="Processes; -1 for one per core.", callback=_some_processes)]


def require_training(command: str) -> None:
    """Check that the libraries for training are installed.

    Raises:
        InputError: a library is not installed. The message lists the install commands of all missing extras.
    """
    require(command, *TRAINING)


def tracked_if_installed(params: Params, overrides: Sequence[str] | None) -> Params:
    """Return the parameters of a command that is run by hand: without tracking, and with a note, if MLflow is not installed.

    Profiles set ``tracking.backend: mlflow`` for the pipeline, whose stages need MLflow. A command needs it only if
    ``overrides`` set this value.

    Raises:
        InputError: ``overrides`` set MLflow, which is not installed.
    """
    if params.tracking.backend != "mlflow" or installed("mlflow"):
        return params
    if any(item.partition("=")[0] in ("tracking", "tracking.backend") for item in overrides or ()):
        require("--set", "mlflow", field="tracking.backend")
    typer.echo(
        "note: this run is not tracked, because MLflow (tracking.backend in the parameter file) is not installed. "
        f"To track it, run: {install_line('mlflow')}",
        err=True,
    )
    return params.model_copy(update={"tracking": params.tracking.model_copy(update={"backend": "none"})})


def main() -> None:
    """Run the command line interface. This is the entry point of the console script."""
    exit_with(_run)


def _run() -> int:
    try:
        # standalone mode is off, because typer would ignore the exit code that a command returns
        return app(standalone_mode=False) or 0
    except typer.Abort:
        return 130
    except Exception as error:
        # typer may include a copy of click, so usage errors are recognised by their attributes instead of their class
        if not (hasattr(error, "show") and hasattr(error, "exit_code")):
            raise
        error.show()
        return 2
