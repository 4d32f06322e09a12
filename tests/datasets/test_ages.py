"""Conversion of age columns, compared with the ages of single recordings."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.datasets.public.release_table import known_ages
from ecgssl.io.metadata import age


@given(st.lists(st.floats(-200, 400), max_size=20))
def test_as_for_one_recording(years):
    expected = [math.nan if age(value) is None or value == 300 else age(value) for value in years]
    found = known_ages(pd.Series(years, dtype=float))
    assert [v for v, y in zip(found, years, strict=True) if y != 300] == pytest.approx(
        [e for e, y in zip(expected, years, strict=True) if y != 300], nan_ok=True
    )


def test_words_and_sentinels():
    cells = pd.Series([">89\n", "300", "300.0", "", "n/a", "-1", "74", "89", "89.5", "131"])
    expected = [90, 90, math.nan, math.nan, math.nan, math.nan, 74, 89, 90, math.nan]
    assert list(known_ages(cells)) == pytest.approx(expected, nan_ok=True)
