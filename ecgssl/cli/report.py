"""Command ``ecgssl report``, which writes the report of a run or compares runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app
from ecgssl.cli.attribution_option import AttributionOption
from ecgssl.errors import InputError, Problem


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folder of ecgssl finetune; several with --compare.")],
    store: Annotated[
        Path | None, typer.Option(help="Store that the run was trained on; by default the one in its folder.")
    ] = None,
    external: Annotated[
        Path | None,
        typer.Option("--judged", help="Folder of evaluate --run to report; set --store to the store of that cohort."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and report.json; with --compare the path of the page.")
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Compare runs with the first one.")] = False,
    answers: Annotated[Path | None, typer.Option(help="YAML file with your answers, by key.")] = None,
    recordings: Annotated[
        int, typer.Option(min=0, help="Number of best and of worst recordings to draw; 0 for none.")
    ] = 2,
    attribution: AttributionOption = None,
) -> None:
    """Write the report of a run (cohort, results, model card, checklists), or compare runs.

    Example: ecgssl report runs/af --store data/mine --answers answers.yaml
    """
    from ecgssl.report.build import HTML, write_report
    from ecgssl.report.compare import write_comparison
    from ecgssl.store.store import Store

    if compare:
        if out is None:
            raise InputError(Problem("report", "--out", "is missing", "Set the page to write, such as compare.html"))
        names = write_comparison(runs, out)
        for name, run in zip(names, runs, strict=True):
            typer.echo(f"{name}: {run}")
        typer.echo(f"wrote {out}")
        return
    if len(runs) != 1:
        raise InputError(Problem("report", "runs", f"{len(runs)} runs are given", "Use one run, or add --compare"))
    if store is None and external is None and len(own := sorted(runs[0].glob("store-*"))) == 1:
        (store,) = own
    given = {} if answers is None else _answers(answers)
    data = None if store is None else Store(store)
    found = write_report(
        runs[0], data, external=external, out=out, given=given, recordings=recordings, attribution=attribution
    )
    typer.echo(
        f"wrote {(out or external or runs[0]) / HTML}; {len(found['gaps'])} items are marked 'to be filled by you'"
    )


def _answers(path: Path) -> dict[str, str]:
    import yaml

    from ecgssl.files import require_regular

    remedy = "Write lines such as 'ethics: approved by ...' or 'tripod_ai.18a: funded by ...'"
    require_regular(path)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", remedy)) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(Problem(str(path), "file", f"cannot be read ({type(error).__name__})", remedy)) from None
    if not isinstance(found, dict) or not all(isinstance(v, str | int | float) for v in found.values()):
        raise InputError(Problem(str(path), "content", "is not a mapping of keys to text", remedy))
    return {str(key): str(value) for key, value in found.items()}
