"""What a file may say of a person and a recording may keep: an age in years and a sex, nothing that identifies."""

from __future__ import annotations

import math

OLDEST = 90.0
"""Years; every age above 89 is given as this, because high ages identify."""

_SEX = {"m": "male", "male": "male", "f": "female", "female": "female"}


def age(value: float) -> float | None:
    """Age in years, at most ``OLDEST``; ``None`` for what is no age (negative, above 130, not a number)."""
    if not (math.isfinite(value) and 0 <= value <= 130):
        return None
    return OLDEST if value > 89 else float(value)


def sex(text: str) -> str | None:
    """``male`` or ``female`` by word or first letter, in any case; ``None`` for everything else."""
    return _SEX.get(text.strip().casefold())


def person(years: float | None, word: str | None) -> dict[str, float | str]:
    """Entries ``age`` and ``sex`` of ``Recording.meta``, without what is absent or makes no sense."""
    known_age = None if years is None else age(years)
    known_sex = None if word is None else sex(word)
    return ({} if known_age is None else {"age": known_age}) | ({} if known_sex is None else {"sex": known_sex})
