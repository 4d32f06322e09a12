"""Colours of lines in figures."""

from __future__ import annotations

# colours of Okabe & Ito, which colour-blind readers can distinguish
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BASELINE = "#7F7F7F"
