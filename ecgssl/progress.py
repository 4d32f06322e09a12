"""Progress bar that shows count, rate and remaining time."""

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
    """Show a progress bar on standard error while the block runs. Show nothing if standard error is not a terminal.

    Args:
        title: text in front of the bar.
        total: total number of units; ``None`` if unknown.
        unit: plural name of the unit.
        done: number of units that an earlier run has completed. They are excluded from the rate.
        enabled: ``False`` to show nothing.

    Yields:
        The function ``advance(count=1, **figures)``. Call it after every ``count`` units. ``figures`` are numbers to show
        after the bar with their names, such as a loss.
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
