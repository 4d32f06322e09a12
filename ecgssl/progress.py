"""Progress bar with count, rate and remaining time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Advance = Callable[..., None]


@contextmanager
def progress(
    title: str, total: int | None = None, unit: str = "recordings", *, done: int = 0, enabled: bool = True
) -> Iterator[Advance]:
    """Show a bar on standard error for the time of the block; silent when that is not a terminal.

    Args:
        title: what is being done.
        total: how many units there are; ``None`` when unknown.
        unit: plural noun of what is counted.
        done: units that an earlier, resumed run has done; they do not count for the rate.
        enabled: ``False`` for silence.

    Yields:
        ``advance(count=1, **figures)``, to be called after ``count`` more units; figures (a loss) are shown beside.
    """
    if not (enabled and sys.stderr.isatty()):
        yield lambda count=1, **figures: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}"),
    )
    start, counted = time.perf_counter(), 0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done, rate="", figures="")

        def advance(count: int = 1, **figures: float) -> None:
            nonlocal counted
            counted += count
            rate = counted / max(time.perf_counter() - start, 1e-9)
            shown: dict[str, Any] = {"rate": f"{rate:,.{0 if rate >= 10 else 2}f} {unit}/s"}
            if figures:
                shown["figures"] = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
            bar.update(task, advance=count, **shown)

        yield advance
