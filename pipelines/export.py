"""Stage export: bundles of the encoder and of one classifier, checked against onnxruntime before they appear."""

from __future__ import annotations

from pathlib import Path

from ecgssl.config import load_params
from ecgssl.deploy.bundle import export_bundle
from ecgssl.errors import exit_with
from ecgssl.evaluation.protocol import reference
from ecgssl.files import write_json
from ecgssl.store.store import Store
from ecgssl.tracking import track


def main() -> None:
    """Write exports/encoder, exports/classifier and metrics/export.json."""
    params = load_params()
    store = Store("data/processed")
    examples = store.signals(store.rows("val")[:7])
    task, mode = params.exported
    sources = {
        "encoder": Path("models/pretrained"),
        "classifier": Path("models/finetuned") / reference(params, task, mode).key,
    }
    figures = {}
    with track("export", params) as run:
        for name, source in sources.items():
            bundle = Path("exports") / name
            figures[name] = export_bundle(
                source, bundle, params.export, examples=examples, quality=params.quality, lsb=params.store.lsb
            )
            run.log_model_onnx(bundle / f"{name}.onnx", name)
            run.log_artifact(bundle)
        write_json("metrics/export.json", figures)


if __name__ == "__main__":
    exit_with(main)
