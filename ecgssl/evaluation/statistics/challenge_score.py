"""Score of the PhysioNet/CinC Challenges 2020 and 2021 (Reyna et al., Computing in Cardiology 2021).

Each pair of a true and a predicted label has a weight, which reflects the similarity of treatment and outcome. In each
recording, the weights are divided by the number of labels that are true or predicted. The sum over all recordings is
scaled so that perfect predictions have the score 1, and predicting sinus rhythm for every recording has the score 0.
The score can be negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgssl.datasets.public.label_map import package_table
from ecgssl.evaluation.statistics.metrics import Array

NORMAL = "NSR"
_YEARS = {2021: "scored_2021", 2020: "scored_2020"}


@cache
def challenge_weights() -> pd.DataFrame:
    """Return the weights by true (row) and predicted (column) label, named as in ``cinc2020`` and ``cinc2021``."""
    file = files("ecgssl.evaluation.statistics").joinpath("tables/challenge_weights.csv")
    with file.open(encoding="utf-8") as stream:
        table = pd.read_csv(stream, comment="#", index_col=0, dtype={0: str})
    labels = {row["code"]: row["label"] for row in package_table("snomed_cinc2021.csv")}
    names = [labels[str(code).split("|")[0]] for code in table.columns]
    return pd.DataFrame(table.to_numpy(dtype=np.float64), names, names)


def challenge_year(names: Sequence[str]) -> int | None:
    """Return the year of the Challenge that scores exactly these labels (in any order); ``None`` for other labels."""
    for year, column in _YEARS.items():
        scored = {row["label"] for row in package_table("snomed_cinc2021.csv") if row[column] == "1"}
        if set(names) == scored:
            return year
    return None


def challenge_columns(targets: ArrayLike, called: ArrayLike, names: Sequence[str]) -> tuple[Array, Array]:
    """Return numerator and denominator of the score for each recording, as input of ``ratios``.

    Args:
        targets: targets (N, K): 1 or 0; unknown values (NaN) count as 0, as in the Challenge.
        called: binary predictions (N, K); NaN counts as 0.
        names: names of the K labels, which must be those of one year (see ``challenge_year``).

    Raises:
        ValueError: the labels are not those of a Challenge.
    """
    if challenge_year(names) is None:
        raise ValueError("the labels must be exactly the scored labels of one Challenge")
    weights = challenge_weights().loc[list(names), list(names)].to_numpy()
    true, positive = np.asarray(targets, dtype=float) == 1, np.asarray(called, dtype=float) == 1
    always_normal = np.zeros_like(true)
    always_normal[:, list(names).index(NORMAL)] = True
    observed, best, lowest = (_credit(weights, true, calls) for calls in (positive, true, always_normal))
    return observed - lowest, best - lowest


def challenge_score(targets: ArrayLike, called: ArrayLike, names: Sequence[str]) -> float:
    """Return the Challenge score. See ``challenge_columns`` for the arguments.

    Raises:
        ValueError: the labels are not those of a Challenge, or no recording has a finding other than sinus rhythm.
    """
    gained, possible = (column.sum() for column in challenge_columns(targets, called, names))
    if possible == 0:
        raise ValueError("no recording has a finding other than sinus rhythm")
    return float(gained / possible)


def _credit(weights: Array, true: NDArray[np.bool_], called: NDArray[np.bool_]) -> Array:
    shared = np.maximum((true | called).sum(axis=1), 1)
    return np.asarray(((true @ weights) * called).sum(axis=1) / shared)
