"""Public sets by name. Adding a set is one file with one class, one line here, one name in ``config.data.SetName``."""

from __future__ import annotations

import importlib
from typing import cast

from ecgssl.datasets.public import PublicSet

PUBLIC_SETS: dict[str, str] = {
    "cinc2020": "ecgssl.datasets.cinc2020:CinC2020",
    "cinc2021": "ecgssl.datasets.cinc2021:CinC2021",
    "code15": "ecgssl.datasets.code15:CODE15",
    "cpsc2018": "ecgssl.datasets.cpsc2018:CPSC2018",
    "ecg_arrhythmia": "ecgssl.datasets.ecg_arrhythmia:ECGArrhythmia",
    "echonext": "ecgssl.datasets.echonext:EchoNext",
    "georgia": "ecgssl.datasets.georgia:Georgia",
    "incart": "ecgssl.datasets.incart:INCART",
    "ludb": "ecgssl.datasets.ludb:LUDB",
    "mimic_iv_ecg": "ecgssl.datasets.mimic_iv_ecg:MIMICIVECG",
    "ningbo": "ecgssl.datasets.ningbo:Ningbo",
    "ptb": "ecgssl.datasets.ptb:PTB",
    "ptbxl": "ecgssl.datasets.ptbxl:PTBXL",
    "sph": "ecgssl.datasets.sph:SPH",
}
"""``module:class`` by name, imported when asked for."""


def public_set(name: str) -> type[PublicSet]:
    """The class of a public set."""
    module, _, attribute = PUBLIC_SETS[name].partition(":")
    return cast(type[PublicSet], getattr(importlib.import_module(module), attribute))
