"""DVC stage export: bundles of the encoder and of one classifier."""

from __future__ import annotations

from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.files import write_json
from ecgssl.finetuning.settings import reference
from ecgssl.output_lock import exclusive
from ecgssl.stages.export import export_models
from ecgssl.store.store import store_folder
from ecgssl.tracking.runs import track


def main() -> None:
    """Write exports/encoder, exports/classifier and metrics/export.json."""
    params = load_params()
    task, mode = params.exported
    classifier = Path("models/finetuned") / reference(params, task, mode).key
    models = {
        Path("exports/encoder"): (Path("models/pretrained"), store_folder(params.pretrain.sets[0])),
        Path("exports/classifier"): (classifier, store_folder(params.tasks[task].set)),
    }
    # each bundle has its own lock, which the process that writes it takes
    with exclusive("exports", lock=Path("exports/.stage.lock")) as lock, track("export", params, lock=lock) as run:
        figures = {out.name: made for out, made in export_models(params, models, run).items()}
        write_json("metrics/export.json", figures)


if __name__ == "__main__":
    exit_with(main)
