"""Option ``--attribution`` of the commands that write a report."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

AttributionOption = Annotated[
    Literal["integrated_gradients", "rollout", "none"] | None,
    typer.Option(
        "--attribution",
        help="Method of attribution in the report; the default is integrated gradients, and none for large models.",
    ),
]
