"""Progress bar, or lines in a log, that show count, rate and remaining time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Advance = Callable[..., None]
LINE_SECONDS = 30.0
"""Least time between two lines if standard error is not a terminal. Shorter work writes no line."""


@contextmanager
def progress(
    title: str, total: int | None = None, unit: str = "recordings", *, done: int = 0, enabled: bool = True
) -> Iterator[Advance]:
    """Show a progress bar on standard error while the block runs, or a line every half minute if it is not a terminal.

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
    if not enabled:
        yield lambda count=1, **figures: None
        return
    if not sys.stderr.isatty():
        yield _lines(title, total, unit, done)
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


def _lines(title: str, total: int | None, unit: str, done: int) -> Advance:
    """Return the function ``advance`` that writes a line to standard error every ``LINE_SECONDS``."""
    start = written = time.perf_counter()
    counted = 0

    def advance(count: int = 1, **figures: float) -> None:
        nonlocal counted, written
        counted += count
        now = time.perf_counter()
        if now - written < LINE_SECONDS:
            return
        written = now
        rate = counted / (now - start)
        parts = [f"{done + counted:,}{'' if total is None else f' of {total:,}'} {unit}"]
        parts.append(f"{rate:,.{0 if rate >= 10 else 2}f} {unit}/s")
        if total is not None and rate:
            parts.append(f"{max(total - done - counted, 0) / rate / 60:.1f} min left")
        parts += [f"{name} {value:.4g}" for name, value in figures.items()]
        print(f"{title}: {', '.join(parts)}", file=sys.stderr, flush=True)

    return advance
