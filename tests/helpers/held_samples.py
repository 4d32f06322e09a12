"""Slow reference for the share of saturated samples."""

from __future__ import annotations

import numpy as np


def held_share(row: np.ndarray) -> float:
    """Return the share of samples in runs of three or more at the largest or smallest value, counted in a loop."""
    held = 0
    for extreme in (row.max(), row.min()):
        run = 0
        for value in [*row, np.nan]:
            if value == extreme:
                run += 1
                continue
            held += run if run >= 3 else 0
            run = 0
    return min(held / row.size, 1.0)
