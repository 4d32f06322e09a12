"""DVC stage export: bundles of the encoder and of one classifier."""

from __future__ import annotations

from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.files import write_json
from ecgssl.finetuning.settings import reference
from ecgssl.output_lock import exclusive
from ecgssl.stages.export import export_model
from ecgssl.store.store import Store, store_folder
from ecgssl.tracking.runs import track


def main() -> None:
    """Write exports/encoder, exports/classifier and metrics/export.json."""
    params = load_params()
    task, mode = params.exported
    sources = {
        "encoder": (Path("models/pretrained"), params.pretrain.sets[0]),
        "classifier": (Path("models/finetuned") / reference(params, task, mode).key, params.tasks[task].set),
    }
    with exclusive("exports/classifier") as lock, track("export", params, lock=lock) as run:
        figures = {
            name: export_model(params, source, Path("exports") / name, run, store=Store(store_folder(name_of_set)))
            for name, (source, name_of_set) in sources.items()
        }
        write_json("metrics/export.json", figures)


if __name__ == "__main__":
    exit_with(main)
