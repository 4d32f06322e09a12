"""The verb check, and the options by which a hospital's own table is read, here and in preprocess."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ecgssl.cli.app import Overrides, ParamsFile, app
from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    from ecgssl.preprocessing.preprocess import PreprocessReport

Root = Annotated[Path | None, typer.Option(help="Folder that paths of the table are relative to.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="Our column = the table's, such as patient_id=MRN; may be repeated."),
]
Values = Annotated[
    list[str] | None, typer.Option("--value", help="What a cell means, such as sex:1=male; may be repeated.")
]
PathPrefix = Annotated[str | None, typer.Option(help="Removed from the start of every path of the table.")]
Dates = Annotated[
    Literal["day_first", "month_first"] | None, typer.Option(help="Which comes first in dates like 03/04/2021.")
]
TargetsFile = Annotated[Path | None, typer.Option(help="YAML that says what the cells of targets mean.")]

_SHOWN = 8


def cohort_overrides(
    manifest: Path,
    root: Path | None,
    columns: list[str] | None,
    values: list[str] | None,
    path_prefix: str | None,
    dates: str | None,
    targets_file: Path | None,
) -> list[str]:
    """Options as overrides of section ``data``; columns and values are added to those of the parameters.

    Raises:
        InputError: for every column or value that is not of its form.
    """
    problems = []
    chosen = ["data.set=cohort", f"data.manifest={_yaml(str(manifest))}"]
    chosen.append(f"data.root={_yaml(str(root))}" if root is not None else "data.root=null")
    for item in columns or []:
        ours, equals, theirs = item.partition("=")
        if not (ours and equals and theirs):
            problems.append(Problem("--column", item, "is not of the form ours=theirs", "For example patient_id=MRN"))
        chosen.append(f"data.columns.{ours}={_yaml(theirs)}")
    meanings: dict[str, dict[str, str]] = {}
    for item in values or []:
        column, colon, rest = item.partition(":")
        cell, equals, meaning = rest.rpartition("=")
        if not (column and colon and equals):
            problems.append(
                Problem("--value", item, "is not of the form column:cell=meaning", "For example sex:1=male")
            )
        meanings.setdefault(column, {})[cell] = meaning
    if problems:
        raise InputError(problems)
    chosen += [f"data.values.{column}={_yaml(cells)}" for column, cells in meanings.items()]
    given = (("path_prefix", path_prefix), ("dates", dates), ("targets_file", targets_file))
    return chosen + [f"data.{name}={_yaml(str(value))}" for name, value in given if value is not None]


def tell_findings(report: PreprocessReport) -> None:
    """Print what recordings were rejected and flagged for, and what else there is to know of a preprocessing."""
    for title, counts in (("rejected", report.reasons), ("flagged", report.flags)):
        for reason, count in counts.items():
            typer.echo(f"  {title} for {reason}: {count}")
    for warning in report.warnings:
        typer.echo(f"note: {warning}")


def _yaml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="Table of a cohort, CSV or Parquet.")],
    root: Root = None,
    column: Columns = None,
    value: Values = None,
    path_prefix: PathPrefix = None,
    dates: Dates = None,
    targets_file: TargetsFile = None,
    targets: Annotated[str, typer.Option(help="Names that a task is to predict, separated by commas.")] = "",
    out: Annotated[Path | None, typer.Option(help="Page to write, .html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
    workers: Annotated[int | None, typer.Option(help="Processes; -1 for one per core.")] = None,
) -> int:
    """Read a table and every recording in it, and tell everything that is wrong at once; nothing is changed.

    Example: ecgssl check cohort.csv --root ecgs --column patient_id=MRN --out check.html
    """
    from ecgssl.config import load_params
    from ecgssl.files import canonical_json, write_atomic
    from ecgssl.inspection.check import check as run
    from ecgssl.inspection.check_examples import draw_examples
    from ecgssl.inspection.check_page import render, rows_told
    from ecgssl.inspection.check_summary import summarise
    from ecgssl.signal.reason_texts import MEANINGS

    given = cohort_overrides(manifest, root, column, value, path_prefix, dates, targets_file)
    given += [f"store.workers={workers}"] if workers is not None else []
    p = load_params(params, [*(overrides or []), *given])
    checked = run(p, [name.strip() for name in targets.split(",") if name.strip()])
    summary = summarise(checked)
    for issue in checked.issues:
        typer.echo(f"error: {issue.problem(str(manifest))}", err=True)
    if as_json:
        typer.echo(canonical_json(summary), nl=False)
    else:
        c = summary["counts"]
        typer.echo(f"{c['rows']:,} rows of {c['patients']:,} patients = {c['kept']:,} usable", nl=False)
        typer.echo(f" + {c['rejected']:,} left out + {c['without_file']:,} without a file")
        for title, found in (("left out", summary["rejected"]), ("kept with", summary["flags"])):
            for told in found:
                rows = rows_told(told["rows"][:_SHOWN]) + (" ..." if told["count"] > _SHOWN else "")
                meaning = MEANINGS.get(told["reason"], "")
                typer.echo(f"  {title} {told['reason']}: {told['count']:,} (rows {rows}): {meaning}")
        for warned in summary["warnings"]:
            rows = rows_told(warned["rows"][:_SHOWN]) + (" ..." if len(warned["rows"]) > _SHOWN else "")
            typer.echo(f"warning: {warned['what']}" + (f" (rows {rows})" if warned["rows"] else ""))
        for note in summary["notes"]:
            typer.echo(f"note: {note}")
    if out is not None:
        write_atomic(out, render(summary, draw_examples(checked)))
        typer.echo(f"wrote {out}", err=as_json)
    return checked.exit_code
