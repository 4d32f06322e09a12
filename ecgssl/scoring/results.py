"""Results of scoring in memory: scores of one recording, and tables and arrays for several recordings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.findings import Finding

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5
"""Number of targets in the short text of a result."""


@dataclass(frozen=True, repr=False)
class Scores:
    """Scores of one recording, with the leads that the model used and the findings of the quality checks.

    Args:
        scores: calibrated probability by label; the values of exclusive classes sum to 1. For a regression, the
            predicted value in the target's unit.
        calls: binary predictions by label and name of the threshold; true if the probability is at or above the
            threshold. Thresholds without a value are omitted. Only multilabel tasks have thresholds.
        predicted: most probable class of a multiclass task; ``None`` for other tasks.
        flags: reason codes of the quality findings, such as ``limb_swap``; empty if there are none. Column ``flags`` of a
            score file has the same codes.
        findings: reason code, lead and measured value of each finding, as ``findings`` of the HTTP service.
        leads: leads that the model used.
        missing_leads: leads of the model that are absent from the recording, or were left out for a finding such as
            ``nan``.
        columns: columns of ``table`` by name, each with one value.

    Example:
        >>> import ecgssl
        >>> found = ecgssl.load("ptbxl-superclass").predict("ecg.hea")
        >>> found.flags, found.findings, found.missing_leads
        ((), (), ())
        >>> found.leads[:3]
        ('I', 'II', 'III')
    """

    scores: dict[str, float]
    calls: dict[str, dict[str, bool]]
    predicted: str | None = None
    flags: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    leads: tuple[str, ...] = ()
    missing_leads: tuple[str, ...] = ()
    # not compared, because it contains the record id
    columns: dict[str, list[Any]] = field(default_factory=dict, compare=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Table with one row and the columns of a score file, as ``Results.table``."""
        return _table(self.columns)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value:.3g}" for name, value in list(self.scores.items())[:_SHOWN])
        more = ", ..." if len(self.scores) > _SHOWN else ""
        predicted = f"; predicted: {self.predicted}" if self.predicted is not None else ""
        leads = f"{len(self.leads)} lead{'s' if len(self.leads) != 1 else ''}"
        missing = f" without {', '.join(self.missing_leads)}" if self.missing_leads else ""
        flags = f"flags: {', '.join(self.flags)}" if self.flags else "no flags"
        return f"<Scores {shown}{more}{predicted}; {leads}{missing}; {flags}>"


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

        ``status`` is ok or rejected; ``reasons`` and ``detail`` explain a rejection. ``flags`` has the reason codes of the
        quality findings, and ``leads`` the leads that the model used (``ecgssl.scoring.preprocess.COLUMNS``). The scores or
        embeddings follow, with the names of a score file (``prob__NAME``, ``call__NAME__THRESHOLD``, ``emb_0000``).
        """
        return _table(self.columns)

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
        counts = {"rejected": len(self.rejected), "with flags": sum(map(bool, self.columns["flags"]))}
        about = "".join(f", {count} {name}" for name, count in counts.items() if count)
        shown = ", ".join(self.names[:_SHOWN]) + (", ..." if len(self.names) > _SHOWN else "")
        return f"<Results of {len(self)} recordings{about}: {shown}>"


def _table(columns: dict[str, list[Any]]) -> pd.DataFrame:
    # import here, because pandas takes a second and many users of one recording need no table
    import pandas as pd

    series = {name: pd.Series(values, dtype=object).infer_objects() for name, values in columns.items()}
    return pd.DataFrame(series).set_index("record_id")
