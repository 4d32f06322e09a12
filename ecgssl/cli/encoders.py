"""Command ``ecgssl encoders``, which lists the shipped models and prints their model cards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ecgssl.cli.app import app

if TYPE_CHECKING:
    from ecgssl.encoders.shipped import Shipped


@app.command()
def encoders(
    name: Annotated[str | None, typer.Argument(help="Name of a shipped model, to print its model card.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list, or the card of a model, as JSON.")] = False,
) -> None:
    """List the encoders and classifiers that ship with the package, or print the model card of one of them.

    Their names can be used wherever a command takes an encoder or bundle. The files of each model are verified first.

    Example: ecgssl encoders --json
    """
    from ecgssl.encoders.shipped import shipped_model, shipped_models
    from ecgssl.export.checksums import verify_sums

    if name is not None:
        model = shipped_model(name)
        verify_sums(model.path)
        card = json.dumps(model.row() | model.card.model_dump(mode="json"), indent=1)
        typer.echo(card if as_json else (model.path / "README.md").read_text(), nl=as_json)
        return
    models = shipped_models()
    for model in models:
        verify_sums(model.path)
    if as_json:
        typer.echo(json.dumps([model.row() for model in models], indent=1))
    elif not models:
        typer.echo("This release ships no encoder. Train one with 'ecgssl pretrain', or use the folder of a bundle.")
    else:
        typer.echo("\n".join(table(models)))


def table(models: tuple[Shipped, ...]) -> list[str]:
    """Return the lines of a table of models: a row of figures, then the training data of each model."""
    width = max(len("name"), *(len(model.card.name) for model in models))
    lines = [f"{'name':{width}}  {'kind':10}  {'parameters':>10}  {'MB':>5}  {'licence':12}  sha256"]
    for model in models:
        card = model.card
        row = f"{card.name:{width}}  {card.kind:10}  {card.parameters:>10,}  {model.size / 1e6:>5.1f}"
        lines.append(f"{row}  {card.licence:12}  {model.checksum[:16]}")
        lines += [
            f"{'':{width}}  {entry.role}: {entry.set}{f' ({entry.part})' if entry.part else ''}, "
            f"{entry.train:,} recordings, {entry.licence}"
            for entry in card.data
        ]
    lines.append("Model card: ecgssl encoders NAME. Intended use: research only.")
    return lines
