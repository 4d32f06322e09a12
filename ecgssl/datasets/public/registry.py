"""Public sets by name. Adding a set is one file with one class, one line here, one name in ``config.data.SetName``."""

from __future__ import annotations

import importlib
from typing import cast

from ecgssl.datasets.public.public_set import PublicSet

PUBLIC_SETS: dict[str, str] = {
    "cinc2020": "ecgssl.datasets.public.cinc2020:CinC2020",
    "cinc2021": "ecgssl.datasets.public.cinc2021:CinC2021",
    "code15": "ecgssl.datasets.public.code15:CODE15",
    "cpsc2018": "ecgssl.datasets.public.cpsc2018:CPSC2018",
    "ecg_arrhythmia": "ecgssl.datasets.public.ecg_arrhythmia:ECGArrhythmia",
    "echonext": "ecgssl.datasets.public.echonext:EchoNext",
    "georgia": "ecgssl.datasets.public.georgia:Georgia",
    "incart": "ecgssl.datasets.public.incart:INCART",
    "ludb": "ecgssl.datasets.public.ludb:LUDB",
    "mimic_iv_ecg": "ecgssl.datasets.public.mimic_iv_ecg:MIMICIVECG",
    "ningbo": "ecgssl.datasets.public.ningbo:Ningbo",
    "ptb": "ecgssl.datasets.public.ptb:PTB",
    "ptbxl": "ecgssl.datasets.public.ptbxl:PTBXL",
    "sph": "ecgssl.datasets.public.sph:SPH",
}
"""``module:class`` by name, imported when asked for."""


def public_set(name: str) -> type[PublicSet]:
    """The class of a public set."""
    module, _, attribute = PUBLIC_SETS[name].partition(":")
    return cast(type[PublicSet], getattr(importlib.import_module(module), attribute))
