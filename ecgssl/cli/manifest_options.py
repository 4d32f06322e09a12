"""Command line options for the table of a local cohort, and printing of quality findings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    from ecgssl.config import ManifestParams
    from ecgssl.preprocessing.preprocess import PreprocessReport

Root = Annotated[Path | None, typer.Option(help="Folder that paths of the table are relative to.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="Standard name or name of a target, and column of the table, such as patient_id=MRN; may be repeated.",
    ),
]
Values = Annotated[
    list[str] | None, typer.Option("--value", help="Meaning of a cell, such as sex:1=male; may be repeated.")
]
PathPrefix = Annotated[str | None, typer.Option(help="Text removed from the start of every path of the table.")]
Dates = Annotated[
    Literal["day_first", "month_first"] | None, typer.Option(help="Order of day and month in dates like 03/04/2021.")
]
TargetsFile = Annotated[Path | None, typer.Option(help="YAML file that declares columns and targets.")]


def cohort_overrides(
    manifest: Path,
    root: Path | None,
    columns: list[str] | None,
    values: list[str] | None,
    path_prefix: str | None,
    dates: str | None,
    targets_file: Path | None,
) -> list[str]:
    """Convert the options to ``key=value`` strings for the section of a set (``ecgssl.config.load_one_set``).

    Raises:
        InputError: options ``--column`` or ``--value`` have the wrong form. The message lists all such options.
    """
    mapped, problems = _mapped(columns)
    chosen = [f"manifest={_yaml(str(manifest))}"]
    chosen.append(f"root={_yaml(str(root))}" if root is not None else "root=null")
    chosen += [f"columns.{ours}={_yaml(theirs)}" for ours, theirs in mapped.items()]
    meanings: dict[str, dict[str, str]] = {}
    for item in values or []:
        column, colon, rest = item.partition(":")
        cell, equals, meaning = rest.rpartition("=")
        if not (column and colon and equals):
            problems.append(
                Problem("--value", item, "does not have the form column:cell=meaning", "Use for example sex:1=male")
            )
        meanings.setdefault(column, {})[cell] = meaning
    if problems:
        raise InputError(problems)
    chosen += [f"values.{column}={_yaml(cells)}" for column, cells in meanings.items()]
    given = (("path_prefix", path_prefix), ("dates", dates), ("targets_file", targets_file))
    return chosen + [f"{name}={_yaml(str(value))}" for name, value in given if value is not None]


def table_reading(columns: list[str] | None, path_prefix: str | None) -> ManifestParams | None:
    """Convert options of a command that only needs the recordings of a table; ``None`` if no option is given.

    Raises:
        InputError: options ``--column`` have the wrong form. The message lists all such options.
    """
    from ecgssl.config import ManifestParams

    mapped, problems = _mapped(columns)
    if problems:
        raise InputError(problems)
    if not mapped and path_prefix is None:
        return None
    return ManifestParams(columns=mapped, path_prefix=path_prefix or "")


def _mapped(columns: list[str] | None) -> tuple[dict[str, str], list[Problem]]:
    mapped, problems = {}, []
    for item in columns or []:
        ours, equals, theirs = item.partition("=")
        if not (ours and equals and theirs):
            problems.append(
                Problem("--column", item, "does not have the form NAME=COLUMN", "Use for example patient_id=MRN")
            )
        mapped[ours] = theirs
    return mapped, problems


def unused_table_options(command: str, manifest: Path | None, options: Sequence[object]) -> list[Problem]:
    """Return a problem if options of a table are given without a table, which would ignore them.

    Args:
        command: name of the command, for the message.
        manifest: table that the options describe.
        options: values of the options; those that are not given are ``None``.
    """
    if manifest is not None or all(option is None for option in options):
        return []
    what = "these options describe a table and require --manifest"
    return [Problem(command, "--root, --column, ...", what, "Set --manifest, or remove these options")]


def print_findings(report: PreprocessReport) -> None:
    """Print the number of rejected and flagged recordings for each reason, and all warnings."""
    for title, counts in (("rejected", report.reasons), ("flagged", report.flags)):
        for reason, count in counts.items():
            typer.echo(f"  {title} for {reason}: {count}")
    for warning in report.warnings:
        typer.echo(f"note: {warning}")


def _yaml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
