"""Option ``--require-signature`` of the commands that load a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RequireSignature = Annotated[
    Path | None, typer.Option(help="Public key: refuse a bundle that its owner did not sign with 'ecgssl sign'.")
]
