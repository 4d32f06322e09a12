"""Named sets of recorded leads, and the leads that a model receives for each set.

The sets of 12, 6, 3 and 2 leads are those of the PhysioNet/CinC Challenge 2021 (Reyna et al. 2021, "Will Two Do?"). The 8 leads
are the channels that a 12-lead device measures independently. The single lead is lead I, as recorded by a watch.

``ecgssl.signal.leads.arrange`` derives all six limb leads from any two of them. A set names the *recorded* leads; a model also
receives the derived ones. Therefore 8 and 12 recorded leads give the same twelve rows, and 2 and 6 leads the same six.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from ecgssl.errors import InputError, Problem
from ecgssl.signal.leads import CHEST_LEADS, LEADS, LIMB_LEADS, canonical

LeadSet = Literal["12lead", "8lead", "6lead", "3lead", "2lead", "1lead"]

LEAD_SETS: dict[str, tuple[str, ...]] = {
    "12lead": LEADS,
    "8lead": ("I", "II", *CHEST_LEADS),
    "6lead": LIMB_LEADS,
    "3lead": ("I", "II", "V2"),
    "2lead": ("I", "II"),
    "1lead": ("I",),
}
"""Recorded leads of each named set."""

assert set(LEAD_SETS) == set(get_args(LeadSet))


def named_leads(text: str) -> tuple[str, ...]:
    """Return the recorded leads of a named set, or of names separated by commas.

    Raises:
        InputError: a name is not a lead or occurs twice; lists all such names.
    """
    if text in LEAD_SETS:
        return LEAD_SETS[text]
    names = [name.strip() for name in text.split(",") if name.strip()]
    found = [canonical(name) for name in names]
    remedy = f"Use lead names such as I,II,V2, or a set: {', '.join(LEAD_SETS)}"
    problems = [
        Problem("leads", name, "is not one of the twelve leads", remedy)
        for name, lead in zip(names, found, strict=True)
        if lead is None
    ]
    known = [lead for lead in found if lead is not None]
    problems += [
        Problem("leads", lead, "occurs more than once", remedy) for lead in sorted(set(known)) if known.count(lead) > 1
    ]
    if not names:
        problems.append(Problem("leads", repr(text), "contains no lead name", remedy))
    if problems:
        raise InputError(problems)
    return tuple(known)


def shown_leads(recorded: Sequence[str], contract: Sequence[str] = LEADS) -> tuple[str, ...]:
    """Return the leads that a model receives from the recorded leads, in the order of the preprocessing settings.

    Args:
        recorded: canonical names of the recorded leads.
        contract: leads of the preprocessing settings.

    Raises:
        InputError: no lead of the settings is recorded or can be derived.
    """
    limb = [lead for lead in recorded if lead in LIMB_LEADS]
    there = {*recorded, *(LIMB_LEADS if len(limb) >= 2 else ())}
    shown = tuple(lead for lead in contract if lead in there)
    if not shown:
        what = f"the settings use {', '.join(contract)}; none of them can be derived from {', '.join(recorded)}"
        raise InputError(Problem("leads", ", ".join(recorded), what, "Use leads of the preprocessing settings"))
    return shown
