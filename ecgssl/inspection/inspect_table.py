"""Text output of an inspection: a table, followed by descriptions of the findings."""

from __future__ import annotations

import io

from ecgssl.inspection.inspect import Inspected, Inspection
from ecgssl.signal.leads import LEADS
from ecgssl.signal.other_channels import left_out_text

MAX_LISTED = 20
"""Maximum number of recordings whose findings are described."""

NARROWEST = 80


def as_text(inspection: Inspection, width: int = 100) -> str:
    """Format the results of an inspection as text: table, findings and counts.

    Args:
        inspection: result of ``inspect``.
        width: width of the terminal in characters; at least ``NARROWEST`` is used.
    """
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=max(width, NARROWEST), color_system=None, highlight=False, markup=False)
    console.print(_table(inspection.recordings))
    found = [(recording.path, text) for recording in inspection.recordings if (text := _findings(recording))]
    for path, text in found[:MAX_LISTED]:
        console.print(f"{path}: {text}", soft_wrap=True)
    if len(found) > MAX_LISTED:
        console.print(f"and {len(found) - MAX_LISTED} more; use --json for all")
    console.print(_counts(inspection), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _findings(recording: Inspected) -> str:
    return "; ".join(filter(None, (recording.detail, left_out_text(recording.left_out))))


def _table(recordings: tuple[Inspected, ...]) -> object:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Recording", overflow="fold", min_width=20)
    table.add_column("Format", no_wrap=True)
    table.add_column("Leads", no_wrap=True)
    for name in ("Hz", "s", "mV", "bpm"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Result", overflow="fold", min_width=20)
    for recording in recordings:
        # use Text, so that rich does not interpret a path as markup
        table.add_row(*map(Text, _cells(recording)))
    return table


def _cells(recording: Inspected) -> tuple[str, ...]:
    numbers = (
        recording.sampling_rate,
        recording.duration,
        recording.figures.get("amplitude"),
        recording.figures.get("heart_rate"),
    )
    forms = ("{:g}", "{:.1f}", "{:.2f}", "{:.0f}")
    reported = ["" if value is None else form.format(value) for value, form in zip(numbers, forms, strict=True)]
    result = recording.verdict + (f": {', '.join(recording.reasons)}" if recording.reasons else "")
    return recording.path, recording.format or "", _leads(recording), *reported, result


def _leads(recording: Inspected) -> str:
    """Return the names of at most three leads, or the number of leads, such as ``12`` or ``8+4`` (four derived)."""
    count = len(recording.leads)
    if 0 < count <= 3:
        return ",".join(sorted(recording.leads, key=LEADS.index))
    return (f"{count}+{len(recording.derived)}" if recording.derived else str(count)) if count else ""


def _counts(inspection: Inspection) -> str:
    verdicts = [f"{inspection.count(verdict)} {verdict}" for verdict in ("ok", "flagged", "rejected", "unreadable")]
    count = len(inspection.recordings)
    text = f"{count} recording{'' if count == 1 else 's'} = {' + '.join(verdicts)}"
    if short := sum(recording.short for recording in inspection.recordings):
        text += f"; {short} shorter than a window"
    unknown = len(inspection.unknown)
    files = "1 file" if unknown == 1 else f"{unknown} files"
    return text + (f"; besides {files} in no known format" if unknown else "")
