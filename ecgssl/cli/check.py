"""Command ``ecgssl check``, which checks the table of a local cohort and its recordings."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import Dataset, Overrides, ParamsFile, app
from ecgssl.cli.manifest_options import Columns, Dates, PathPrefix, Root, TargetsFile, Values, cohort_overrides

_SHOWN = 8
"""Maximum number of row numbers printed for a finding."""


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="Table of a cohort, CSV or Parquet.")],
    root: Root = None,
    column: Columns = None,
    value: Values = None,
    path_prefix: PathPrefix = None,
    dates: Dates = None,
    targets_file: TargetsFile = None,
    targets: Annotated[str, typer.Option(help="Targets to check for enough values, separated by commas.")] = "",
    out: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    params: ParamsFile = Path("params.yaml"),
    overrides: Overrides = None,
    dataset: Dataset = None,
    workers: Annotated[int | None, typer.Option(help="Processes; -1 for one per core.")] = None,
) -> int:
    """Check a table of recordings and all recordings that it lists. No file is changed.

    Example: ecgssl check cohort.csv --root ecgs --column patient_id=MRN --out check.html
    """
    from ecgssl.config import BUILT_IN, load_one_set
    from ecgssl.files import canonical_json, write_atomic
    from ecgssl.inspection.check import check as run
    from ecgssl.inspection.check_page import draw_examples, render_check, rows_text
    from ecgssl.inspection.check_summary import summarise
    from ecgssl.inspection.withheld_counts import for_page
    from ecgssl.output_lock import exclusive
    from ecgssl.signal.reasons import REASON_TEXTS

    given = cohort_overrides(manifest, root, column, value, path_prefix, dates, targets_file)
    more = [f"store.workers={workers}"] if workers is not None else []
    chosen = load_one_set(params, [*(overrides or []), *more], BUILT_IN, dataset=dataset, reader="cohort", given=given)
    with nullcontext() if out is None else exclusive(out):
        checked = run(chosen, [name.strip() for name in targets.split(",") if name.strip()])
        summary = summarise(checked)
        for issue in checked.issues:
            typer.echo(f"error: {issue.problem(str(manifest))}", err=True)
        if as_json:
            typer.echo(canonical_json(summary), nl=False)
        else:
            c = summary["counts"]
            typer.echo(f"{c['rows']:,} rows of {c['patients']:,} patients = {c['kept']:,} usable", nl=False)
            typer.echo(f" + {c['rejected']:,} rejected + {c['without_file']:,} without a file")
            for title, found in (("rejected", summary["rejected"]), ("flagged", summary["flags"])):
                for finding in found:
                    rows = rows_text(finding["rows"], _SHOWN)
                    meaning = REASON_TEXTS.get(finding["reason"], "")
                    typer.echo(f"  {title} {finding['reason']}: {finding['count']:,} (rows {rows}): {meaning}")
            for warned in summary["warnings"]:
                rows = rows_text(warned["rows"], _SHOWN)
                typer.echo(f"warning: {warned['what']}" + (f" (rows {rows})" if warned["rows"] else ""))
            for note in summary["notes"]:
                typer.echo(f"note: {note}")
        if out is not None:
            write_atomic(out, render_check(for_page(summary, checked), draw_examples(checked)))
            typer.echo(f"wrote {out}", err=as_json)
    return checked.exit_code
