"""Stage export: export of an encoder or classifier as a bundle, and registration in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ecgssl.config import Params
from ecgssl.export.bundle import export_bundle
from ecgssl.export.validation_recordings import (
    ValidationRecordings,
    read_raw_recordings,
    read_validation_recordings,
)
from ecgssl.monitoring.reference import write_reference
from ecgssl.registry.mlflow_registry import log_onnx, register_bundle
from ecgssl.store.store import Store
from ecgssl.tracking.runs import TrackedRun


def export_model(
    params: Params,
    model: Path,
    out: Path,
    run: TrackedRun,
    *,
    store: Store | None = None,
    recordings: Sequence[Path] = (),
) -> dict[str, Any]:
    """Export a model as a bundle and register it in MLflow as ``ecgssl-encoder`` or ``ecgssl-classifier``.

    The bundle is compared with the Python pipeline before it is written.

    Args:
        params: parameters, of which sections ``export``, ``quality`` and ``store`` are used.
        model: folder of an encoder or classifier.
        out: folder of the new bundle.
        run: MLflow run to log to.
        store: store with validation recordings. They are used to check the graphs and as reference for drift
            monitoring.
        recordings: paths of raw recordings, used to check the graphs for raw recordings.

    Returns:
        The dictionary returned by ``ecgssl.export.bundle.export_bundle``.

    Raises:
        InputError, ContractMismatch: see ``export_bundle``.
    """
    raw = read_raw_recordings(recordings)
    validation, add = ValidationRecordings(raw=raw), None
    if store is not None:
        validation = read_validation_recordings(store, model, measure=params.export.int8, raw=raw)
        add = partial(write_reference, store=store)
    figures = export_bundle(
        model, out, params.export, validation=validation, quality=params.quality, lsb=params.store.lsb, add=add
    )
    kind = next(name for name in ("classifier", "encoder") if (out / f"{name}.onnx").exists())
    run.log_params({kind: params.export.model_dump(mode="json")})
    run.log_metrics({f"{kind}_parameters": figures["parameters"]})
    log_onnx(run, out / f"{kind}.onnx", kind)
    register_bundle(run, out, f"ecgssl-{kind}")
    return figures
