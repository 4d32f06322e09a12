"""Columns of a linear probe from measurements with missing values: imputation with indicators, and limits of extreme values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TAIL = 0.005
"""Share of the known training values on each side that are set to the limit, so that single values have little weight."""


@dataclass(frozen=True)
class FeatureColumns:
    """Map from measurements to the columns of a probe, fitted on the training recordings.

    A missing value is replaced by the median of the training recordings, and an indicator column marks it. Measurements
    that are missing in the same training recordings share one indicator column.

    Args:
        names: names of all F measurements.
        kept: (K,) measurements that are used, in ascending order. Those without a known training value are left out.
        median, low, high: (K,) median and limits of the known training values.
        marked: (M,) measurements whose missing values are marked by an indicator column, one for each pattern.
    """

    names: tuple[str, ...]
    kept: NDArray[np.int64]
    median: Array
    low: Array
    high: Array
    marked: NDArray[np.int64]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Return the names of the measurements that have no known training value."""
        return tuple(np.delete(np.array(self.names, dtype=object), self.kept).tolist())

    def columns(self, values: NDArray[np.floating]) -> Array:
        """Return the columns (N, K + M) of the probe for measurements (N, F), NaN where missing.

        Without a known training value, the only column is 0, so that the probe predicts the prevalence or the mean.
        """
        found = np.asarray(values, dtype=np.float64)
        if not len(self.kept):
            return np.zeros((len(found), 1))
        used = found[:, self.kept]
        filled = np.where(np.isnan(used), self.median, np.clip(used, self.low, self.high))
        return np.hstack([filled, np.isnan(found[:, self.marked])])


def fit_columns(values: NDArray[np.floating], names: Sequence[str]) -> FeatureColumns:
    """Return the map to the columns of a probe for the measurements (N, F) of the training recordings, NaN where missing."""
    found = np.asarray(values, dtype=np.float64)
    missing = np.isnan(found)
    kept = np.flatnonzero(~missing.all(axis=0))
    used = found[:, kept]
    low, median, high = np.nanquantile(used, [TAIL, 0.5, 1 - TAIL], axis=0) if len(kept) else np.empty((3, 0))
    partly = kept[missing[:, kept].any(axis=0)]
    first = np.unique(missing[:, partly], axis=1, return_index=True)[1] if len(partly) else np.empty(0, dtype=np.int64)
    return FeatureColumns(tuple(names), kept, median, low, high, np.sort(partly[first]))
