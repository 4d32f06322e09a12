"""The verb report: a run as a page and as JSON, or runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ecgssl.cli.app import app
from ecgssl.errors import InputError, Problem


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folder of ecgssl finetune; with --compare several.")],
    store: Annotated[Path | None, typer.Option(help="Store that the run was made from.")] = None,
    judged: Annotated[
        Path | None, typer.Option(help="Folder of evaluate --run: the report is of that; --store is its store.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and report.json; with --compare the page.")
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Runs side by side, against the first.")] = False,
    answers: Annotated[Path | None, typer.Option(help="YAML of what only people can say, by key.")] = None,
    recordings: Annotated[int, typer.Option(min=0, help="Best and worst recordings to draw; 0 for none.")] = 2,
    attribution: Annotated[
        Literal["integrated_gradients", "rollout", "none"] | None,
        typer.Option(help="Where it looked; by default integrated gradients, and none for large models."),
    ] = None,
) -> None:
    """Write what a run was, whom it was made of, how well it does, and what is still to be said by people.

    Example: ecgssl report runs/af --store data/mine --answers answers.yaml
    """
    from ecgssl.report.build import HTML, write_report
    from ecgssl.report.compare import write_comparison
    from ecgssl.store.store import Store

    if compare:
        if out is None:
            raise InputError(Problem("report", "--out", "is missing", "Name the page to write, such as compare.html"))
        names = write_comparison(runs, out)
        for name, run in zip(names, runs, strict=True):
            typer.echo(f"{name}: {run}")
        typer.echo(f"wrote {out}")
        return
    if len(runs) != 1:
        raise InputError(
            Problem("report", "runs", f"{len(runs)} are named", "Name one, or compare them with --compare")
        )
    given = {} if answers is None else _answers(answers)
    data = None if store is None else Store(store)
    found = write_report(runs[0], data, judged=judged, out=out, given=given, recordings=recordings, looked=attribution)
    typer.echo(f"wrote {(out or judged or runs[0]) / HTML}; {len(found['gaps'])} points are to be filled by you")


def _answers(path: Path) -> dict[str, str]:
    import yaml

    remedy = "Write lines such as 'ethics: approved by ...' or 'tripod_ai.18a: funded by ...'"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", remedy)) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(Problem(str(path), "file", f"cannot be read ({type(error).__name__})", remedy)) from None
    if not isinstance(found, dict) or not all(isinstance(v, str | int | float) for v in found.values()):
        raise InputError(Problem(str(path), "content", "is no mapping of keys to text", remedy))
    return {str(key): str(value) for key, value in found.items()}
