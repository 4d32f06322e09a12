"""Linear probe for each kind of task."""

from __future__ import annotations

from collections.abc import Callable

from ecgssl.config import LinearParams
from ecgssl.config.manifest import OutputKind
from ecgssl.probes.binary import Probe, fit_probe
from ecgssl.probes.multiclass import fit_class_probe
from ecgssl.probes.ridge import fit_ridge_probe
from ecgssl.probes.ridge_logits import fit_ridge_logits

PROBES = {"multilabel": fit_probe, "multiclass": fit_class_probe, "regression": fit_ridge_probe}


def probe_for(kind: OutputKind, params: LinearParams) -> Callable[..., Probe]:
    """Return the function that fits the linear probe of a kind of task; the arguments are those of ``fit_probe``."""
    return fit_ridge_logits if kind == "multilabel" and params.solver == "ridge" else PROBES[kind]
