"""Columns of ages, as releases write them."""

from __future__ import annotations

import pandas as pd

from ecgssl.io.metadata import OLDEST

_OVER_89 = (">89", "300")
"""How LUDB and PTB-XL write an age that would identify."""


def known_ages(cells: pd.Series) -> pd.Series:
    """Ages in years: ``OLDEST`` for all above 89, NaN for what is none (empty, negative, above 130, a word)."""
    text = cells.astype(str).str.strip()
    numbers = pd.to_numeric(text.mask(text.isin(_OVER_89), str(OLDEST)), errors="coerce")
    plausible = numbers.where(numbers.between(0, 130))
    return plausible.mask(plausible > OLDEST - 1, OLDEST).astype(float)
