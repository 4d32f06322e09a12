"""Linear probe for each kind of task."""

from __future__ import annotations

from collections.abc import Callable

from ecgssl.config import LinearParams
from ecgssl.config.manifest import OutputKind
from ecgssl.probes.binary import Probe, fit_probe
from ecgssl.probes.multiclass import fit_class_probe
from ecgssl.probes.ridge import fit_ridge_probe
from ecgssl.probes.ridge_logits import fit_ridge_logits

LOGISTIC_LIMIT = 2000
"""Largest number of recordings or of features, the smaller of the two, with which ``auto`` fits logistic regressions.

The time of a logistic regression grows with about the cube of this number: on one core of an AMD EPYC, 0.5 s per target at
1,000 and 4.5 s at 2,000, with the default candidates.
"""
PROBES = {"multilabel": fit_probe, "multiclass": fit_class_probe, "regression": fit_ridge_probe}


def probe_for(kind: OutputKind, params: LinearParams, shape: tuple[int, int]) -> Callable[..., Probe]:
    """Return the function that fits the linear probe of a kind of task; the arguments are those of ``fit_probe``.

    Args:
        kind: kind of the task.
        params: the solver of binary targets is used.
        shape: numbers of training recordings and features, on which ``auto`` depends.
    """
    ridge = params.solver == "ridge" or (params.solver == "auto" and min(shape) > LOGISTIC_LIMIT)
    return fit_ridge_logits if kind == "multilabel" and ridge else PROBES[kind]
