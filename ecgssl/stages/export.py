"""Stage export: export of encoders and classifiers as bundles, and registration in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from ecgssl.pool import run_ordered
from ecgssl.registry.mlflow_registry import log_onnx, register_bundle
from ecgssl.store.store import Store
from ecgssl.tracking.runs import TrackedRun


def export_models(
    params: Params, models: Mapping[Path, tuple[Path, Path]], run: TrackedRun
) -> dict[Path, dict[str, Any]]:
    """Export several models like ``export_model``, each in a separate process if ``store.workers`` allows.

    Args:
        params: parameters, of which sections ``export``, ``quality`` and ``store`` are used.
        models: folder of the model and folder of the store with its validation recordings, by folder of the new bundle.
        run: MLflow run to log to.

    Returns:
        The result of ``export_model`` by folder of the bundle.

    Raises:
        InputError, ContractMismatch: see ``ecgssl.export.bundle.export_bundle``, or a process died.
    """
    tasks = [(params, model, out, store) for out, (model, store) in models.items()]
    # tracing keeps one core busy for most of the time
    results = run_ordered(_open_and_write, tasks, len(tasks), params.store.workers)
    made = dict(zip(models, results, strict=True))
    for out, figures in made.items():
        _register(params, out, figures, run)
    return made


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
    figures = _write_bundle(params, model, out, store, recordings)
    _register(params, out, figures, run)
    return figures


def _open_and_write(params: Params, model: Path, out: Path, store: Path) -> dict[str, Any]:
    return _write_bundle(params, model, out, Store(store))


def _write_bundle(
    params: Params, model: Path, out: Path, store: Store | None, recordings: Sequence[Path] = ()
) -> dict[str, Any]:
    raw = read_raw_recordings(recordings)
    validation, add = ValidationRecordings(raw=raw), None
    if store is not None:
        validation = read_validation_recordings(store, model, measure=params.export.int8, raw=raw)
        add = partial(write_reference, store=store)
    return export_bundle(
        model, out, params.export, validation=validation, quality=params.quality, lsb=params.store.lsb, add=add
    )


def _register(params: Params, out: Path, figures: dict[str, Any], run: TrackedRun) -> None:
    kind = next(name for name in ("classifier", "encoder") if (out / f"{name}.onnx").exists())
    run.log_params({kind: params.export.model_dump(mode="json")})
    run.log_metrics({f"{kind}_parameters": figures["parameters"]})
    log_onnx(run, out / f"{kind}.onnx", kind)
    register_bundle(run, out, f"ecgssl-{kind}")
