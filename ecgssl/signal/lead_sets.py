"""Named sets of recorded leads, and the leads that can be derived from them.

The sets of 12, 6, 3 and 2 leads are those of the PhysioNet/CinC Challenge 2021 (Reyna et al. 2021, "Will Two Do?"). The
set of 8 leads contains the independent channels of a 12-lead device. The set of one lead contains lead I, as recorded
by smartwatches.

``ecgssl.signal.leads.arrange`` derives all six limb leads from any two of them, and models also receive the derived
leads. Therefore 8 and 12 recorded leads give the same twelve input leads, and 2 and 6 recorded leads the same six.
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
    """Return the leads of a named set, or parse lead names separated by commas.

    Raises:
        InputError: a name is not a lead or occurs more than once, or there is no name. Lists all such names.
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
    """Return the recorded and derived leads that a model receives, in the order of the preprocessing settings.

    Args:
        recorded: canonical names of the recorded leads.
        contract: leads of the preprocessing settings.

    Raises:
        InputError: none of the leads in ``contract`` is recorded or can be derived.
    """
    limb = [lead for lead in recorded if lead in LIMB_LEADS]
    there = {*recorded, *(LIMB_LEADS if len(limb) >= 2 else ())}
    shown = tuple(lead for lead in contract if lead in there)
    if not shown:
        what = f"the settings use {', '.join(contract)}; none of them can be derived from {', '.join(recorded)}"
        raise InputError(Problem("leads", ", ".join(recorded), what, "Use leads of the preprocessing settings"))
    return shown
