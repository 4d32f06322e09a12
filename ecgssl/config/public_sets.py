"""Registry of the public sets: the values of ``sets.NAME.reader``.

To add a public set, write one class in a file of ``ecgssl/datasets/public``, add its rows to the tables there, and add one
line to ``PUBLIC_SETS``. The registry contains only names, so that checking parameters does not import these classes.
"""

from __future__ import annotations

import difflib

PUBLIC_SETS: dict[str, str] = {
    "cinc2020": ".challenge:CinC2020",
    "cinc2021": ".challenge:CinC2021",
    "code15": ".code15:CODE15",
    "cpsc2018": ".cpsc2018:CPSC2018",
    "ecg_arrhythmia": ".ecg_arrhythmia:ECGArrhythmia",
    "echonext": ".echonext:EchoNext",
    "georgia": ".challenge:Georgia",
    "incart": ".incart:INCART",
    "ludb": ".ludb:LUDB",
    "mimic_iv_ecg": ".mimic_iv_ecg:MIMICIVECG",
    "ningbo": ".ecg_arrhythmia:Ningbo",
    "ptb": ".ptb:PTB",
    "ptbxl": ".ptbxl:PTBXL",
    "sph": ".sph:SPH",
}
"""``module:class`` of each public dataset. Modules are absolute or relative to ``ecgssl.datasets.public``."""

SYNTHETIC = "synthetic"
"""Reader of simulated sets."""

LOCAL_SETS = (SYNTHETIC, "cohort")
"""Datasets that are not public: the simulated dataset and local cohorts."""


def check_reader(name: str) -> str:
    """Check that a reader is known, and return it.

    Raises:
        ValueError: the name is unknown. The message lists similar names or all names.
    """
    known = (*LOCAL_SETS, *PUBLIC_SETS)
    if name not in known:
        raise ValueError(f"is not a known reader. {similar_names(name, known)}")
    return name


def similar_names(name: str, known: tuple[str, ...]) -> str:
    """Return a hint for a message about an unknown name: the most similar known names, or all known names."""
    close = difflib.get_close_matches(name, known, n=3)
    return f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known sets: {', '.join(known)}"
