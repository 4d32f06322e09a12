"""Command ``ecgssl serve``, which starts an HTTP server for a bundle."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ecgssl.cli.app import app
from ecgssl.cli.signature_option import RequireSignature


@app.command()
def serve(
    bundle: Annotated[str, typer.Option(help="Bundle of a classifier or encoder, or the name of a shipped one.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on. An address other than localhost requires a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free port.")] = 8000,
    token: Annotated[
        str | None, typer.Option(envvar="ECGSSL_TOKEN", help="Token that clients must send; set it in the environment.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Further host name under which clients call the service; can be repeated."),
    ] = None,
    readers: Annotated[int, typer.Option(min=1, max=64, help="Processes that read and clean recordings.")] = 1,
    largest: Annotated[int, typer.Option(min=1, max=1024, help="Largest request in MiB.")] = 32,
    seconds: Annotated[
        float, typer.Option(min=1, help="Time limit in seconds for receiving a request, and for reading it.")
    ] = 30.0,
    most_windows: Annotated[int, typer.Option(min=1, help="Largest number of windows of a recording.")] = 180,
    model_seconds: Annotated[
        float, typer.Option(min=1, help="Time limit in seconds for running the model on one recording.")
    ] = 30.0,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Device of the model.")] = "auto",
    require_signature: RequireSignature = None,
) -> None:
    """Serve a bundle over HTTP: /predict, /embed, /model, /health and a page at /. For research only.

    Example: ecgssl serve --bundle exports/classifier --port 8000
    """
    from ecgssl.serving.request_limits import RequestLimits
    from ecgssl.serving.server import serve as run

    limits = RequestLimits(
        size=largest << 20,
        seconds=seconds,
        total=max(largest << 23, RequestLimits.total),
        windows=most_windows,
        model_seconds=model_seconds,
    )
    run(
        bundle,
        host=host,
        port=port,
        token=token,
        limits=limits,
        readers=readers,
        hosts=allow_host or (),
        device=device,
        require_signature=require_signature,
        started=lambda address: typer.echo(f"{address} is ready. Stop it with Ctrl-C. For research only."),
    )
