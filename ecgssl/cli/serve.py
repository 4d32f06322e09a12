"""Verb that puts a bundle behind HTTP: serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app


@app.command()
def serve(
    bundle: Annotated[Path, typer.Option(help="Bundle of a classifier or encoder.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for one that is free.")] = 8000,
    token: Annotated[
        str | None, typer.Option(envvar="ECGSSL_TOKEN", help="That clients must bring; best set by the environment.")
    ] = None,
    readers: Annotated[int, typer.Option(min=1, max=64, help="Processes that read and clean.")] = 1,
    largest: Annotated[int, typer.Option(min=1, max=1024, help="MiB that a request may have.")] = 32,
    seconds: Annotated[float, typer.Option(min=1, help="That a request may take to arrive, and to be read.")] = 30.0,
    device: Annotated[str, typer.Option(help="Where the model runs: auto, cpu or cuda.")] = "auto",
) -> None:
    """Answer over HTTP: /predict, /embed, /model, /health, and a page at /. For research only.

    Example: ecgssl serve --bundle exports/classifier --port 8000
    """
    from ecgssl.serving.request_limits import RequestLimits
    from ecgssl.serving.server import serve as run

    if device not in ("auto", "cpu", "cuda"):
        raise typer.BadParameter("auto, cpu or cuda", param_hint="--device")
    limits = RequestLimits(size=largest << 20, seconds=seconds)
    run(
        bundle,
        host=host,
        port=port,
        token=token,
        limits=limits,
        readers=readers,
        device=device,
        started=lambda address: typer.echo(f"{address} answers; Ctrl-C ends it. For research only."),
    )
