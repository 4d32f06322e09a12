"""Stage export: bundles of the encoder and of one classifier, checked against onnxruntime before they appear."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.export.bundle import export_bundle
from ecgssl.export.validation_recordings import read_validation_recordings
from ecgssl.files import write_json
from ecgssl.finetuning.protocol import reference
from ecgssl.monitoring.reference import write_reference
from ecgssl.registry.mlflow_registry import log_onnx, register_bundle
from ecgssl.store.store import Store
from ecgssl.tracking.runs import track


def main() -> None:
    """Write exports/encoder, exports/classifier and metrics/export.json."""
    params = load_params()
    store = Store("data/processed")
    task, mode = params.exported
    sources = {
        "encoder": Path("models/pretrained"),
        "classifier": Path("models/finetuned") / reference(params, task, mode).key,
    }
    figures = {}
    with track("export", params) as run:
        for name, source in sources.items():
            bundle = Path("exports") / name
            validation = read_validation_recordings(store, source, measure=params.export.int8)
            figures[name] = export_bundle(
                source,
                bundle,
                params.export,
                validation=validation,
                quality=params.quality,
                lsb=params.store.lsb,
                add=partial(write_reference, store=store),
            )
            log_onnx(run, bundle / f"{name}.onnx", name)
            register_bundle(run, bundle, f"ecgssl-{name}")
        write_json("metrics/export.json", figures)


if __name__ == "__main__":
    exit_with(main)
