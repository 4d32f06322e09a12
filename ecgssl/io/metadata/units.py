"""Units of voltage that files state, as factors to millivolts."""

from __future__ import annotations

_MILLIVOLTS = {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}


def millivolts(unit: str) -> float | None:
    """mV of one ``unit`` (nV, uV, mV or V, in any case), or ``None`` where it is not a voltage."""
    return _MILLIVOLTS.get(unit.strip().lower())
