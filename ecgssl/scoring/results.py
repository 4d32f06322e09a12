"""Results of scoring in memory: scores of one recording, and tables and arrays for several recordings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Scores:
    """Scores of one recording.

    Args:
        scores: calibrated probability by label; the values of exclusive classes sum to 1. For a regression, the
            predicted value in the target's unit.
        calls: binary predictions by label and name of the threshold; true if the probability is at or above the
            threshold. Thresholds without a value are omitted. Only multilabel tasks have thresholds.
        predicted: most probable class of a multiclass task; ``None`` for other tasks.
    """

    scores: dict[str, float]
    calls: dict[str, dict[str, bool]]
    predicted: str | None = None


@dataclass(frozen=True, repr=False, eq=False)
class Results:
    """Scores or embeddings of several recordings, in the order of the input, including rejected recordings.

    Args:
        values: (n, K) float32: calibrated probabilities or predicted values of K targets, or embeddings of K values. The row
            of a rejected recording is NaN. ``numpy.asarray(results)`` returns the same array.
        names: (K,) names of the columns of ``values``.
        columns: columns of ``table`` by name, each with n values.

    Example:
        >>> import ecgssl
        >>> found = ecgssl.load("ptbxl-superclass").predict(["ecg.hea", "no-ecg.txt"])
        >>> found
        <Results of 2 recordings, 1 rejected: NORM, MI, STTC, CD, HYP>
        >>> found.values.shape
        (2, 5)
        >>> found.table[["status", "reasons"]]
                     status reasons
        record_id
        ecg              ok    None
        no-ecg     rejected  format
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    columns: dict[str, list[Any]]

    @cached_property
    def table(self) -> pd.DataFrame:
        """Table with one row per recording and the columns of a score file, indexed by ``record_id``.

        ``status`` is ok or rejected; ``reasons`` and ``detail`` explain a rejection (``ecgssl.scoring.preprocess.COLUMNS``).
        The scores or embeddings follow, with the names of a score file (``prob__NAME``, ``call__NAME__THRESHOLD``,
        ``emb_0000``).
        """
        # import here, because pandas takes a second and a single recording needs no table
        import pandas as pd

        series = {name: pd.Series(values, dtype=object).infer_objects() for name, values in self.columns.items()}
        return pd.DataFrame(series).set_index("record_id")

    @property
    def rejected(self) -> dict[str, str]:
        """Reason codes of the rejected recordings, by record id."""
        found = zip(self.columns["record_id"], self.columns["status"], self.columns["reasons"], strict=True)
        return {name: reasons for name, status, reasons in found if status != "ok"}

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        refused = len(self.rejected)
        shown = ", ".join(self.names[:5]) + (", ..." if len(self.names) > 5 else "")
        return f"<Results of {len(self)} recordings{f', {refused} rejected' if refused else ''}: {shown}>"
