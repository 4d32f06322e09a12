"""Command ``ecgssl sign``, which signs a bundle or makes a key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgssl.cli.app import app
from ecgssl.errors import InputError, Problem


@app.command()
def sign(
    bundle: Annotated[Path | None, typer.Argument(help="Bundle to sign.")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key that signs the bundle.")] = None,
    new_key: Annotated[
        Path | None, typer.Option(help="Make a key pair: this file and, for others, the same name with .pub.")
    ] = None,
) -> None:
    """Sign a bundle, so that others can check who made it (--require-signature), or make a key for signing.

    Example: ecgssl sign exports/af --key ~/.config/ecgssl/sign.key
    """
    from ecgssl.export.sign_bundle import new_key as make
    from ecgssl.export.sign_bundle import sign_bundle

    _require_one_task(bundle, key, new_key)
    if new_key is not None:
        public = make(new_key)
        typer.echo(f"wrote {new_key} (private: keep it to yourself) and {public} (public: give it to users)")
    if bundle is not None and key is not None:
        identifier = sign_bundle(bundle, key)
        typer.echo(f"signed {bundle} with key {identifier}")


def _require_one_task(bundle: Path | None, key: Path | None, new_key: Path | None) -> None:
    if new_key is not None and (bundle is not None or key is not None):
        what, remedy = "cannot be combined with a bundle or --key", "Make the key first, then sign with --key"
        raise InputError(Problem("ecgssl sign", "--new-key", what, remedy))
    if new_key is None and (bundle is None or key is None):
        missing = "BUNDLE" if bundle is None else "--key"
        remedy = "Use 'ecgssl sign BUNDLE --key FILE' or 'ecgssl sign --new-key FILE'"
        raise InputError(Problem("ecgssl sign", missing, "is missing", remedy))
