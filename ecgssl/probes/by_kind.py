"""Linear probe for each kind of task."""

from __future__ import annotations

from ecgssl.probes.binary import fit_probe
from ecgssl.probes.multiclass import fit_class_probe
from ecgssl.probes.ridge import fit_ridge_probe

PROBES = {"multilabel": fit_probe, "multiclass": fit_class_probe, "regression": fit_ridge_probe}
"""Function that fits the linear probe of a task, by kind of task."""
