"""Processor time of the same work with two versions of the code, measured alternately.

    OMP_NUM_THREADS=1 python benchmarks/versions.py --store STORE --version before=FOLDER --version after=. --out FILE

A version is a checkout of this repository. Each round starts one process per version, in alternating order. The work is that
of the profile and the shipped encoder ``--encoder`` with one thread:

- ``pretraining``: forward and backward pass of one step of 64 recordings;
- ``fine_tuning``: one epoch of ``finetune_full`` on 192 recordings, with two validations on 8 recordings;
- ``fine_tuning_masked``: the same with half of the time columns hidden, in versions that have ``finetune.full.time_ratio``;
- ``embedding_1`` and ``embedding_8``: ``Encoder.embed`` in fp32, with batches of 1 and 8; ``embedding_8_bf16`` in bf16.

The output is JSON: medians in ms per recording, the ratio of the first version to each other version, and the peak rates of
square matrix products (1024) in the same processes. ``share_of_peak`` uses the operations of ``flops.py`` in bf16, which do
not include the fixed filters of the stem.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from timing import cpu_ms, medians_of, peak_rates, write_result

RECORDINGS = 64
PARTS = ("pretraining", "fine_tuning", "embedding_1", "embedding_8", "embedding_8_bf16")


def measure(folder: Path, name: str) -> dict[str, float]:
    """Return the times of all parts for a shipped encoder, with the version that this process has imported."""
    import numpy as np
    import torch
    from flops import training_flops

    import ecgssl
    from ecgssl.config import FullParams, load_params
    from ecgssl.finetuning.full import finetune_full
    from ecgssl.model.classifier import Classifier
    from ecgssl.pretraining.loop import build_model
    from ecgssl.store.store import Store
    from ecgssl.training.batches import load_batch
    from ecgssl.training.device import autocast

    torch.set_num_threads(1)
    store, device = Store(folder), torch.device("cpu")
    params = load_params(Path(ecgssl.__file__).parent / "profiles" / f"{name}.yaml")
    rows = store.rows("train")
    batch = load_batch(store, rows[:RECORDINGS], device)
    model, generator = build_model(params).train(), torch.Generator()

    def forward() -> Any:
        with autocast(device, "bf16"):
            return model(batch.x, batch.lead_mask, batch.patients, 0, 0.5, generator.manual_seed(0))["loss"]

    encoder = ecgssl.encoder(name)
    one_epoch = FullParams(epochs=1, batch_size=RECORDINGS)
    masked = one_epoch.model_copy(update={"time_ratio": 0.5})
    values = np.full((len(store), 5), 0.0)
    train = rows[: 3 * RECORDINGS]
    values[train[::2]] = 1

    def fine_tune(epoch: FullParams) -> None:
        classifier = Classifier(encoder, tuple("abcde"))
        with tempfile.TemporaryDirectory() as run:
            finetune_full(
                classifier, store, values, epoch, 0, lambda *_: 0.5, Path(run), {}, train=train, val=rows[-8:],
                show_progress=False,
            )  # fmt: skip

    def embed(size: int, precision: Literal["bf16", "fp32"] = "fp32") -> Callable[[], Any]:
        @torch.inference_mode()
        def run() -> None:
            with autocast(device, precision):
                encoder.embed(batch.x[:size])

        return run

    found = {
        "pretraining": cpu_ms(lambda: forward().backward(), RECORDINGS),
        "fine_tuning": cpu_ms(lambda: fine_tune(one_epoch), len(train), 2),
        "gflop_pretraining": training_flops(model, forward) / RECORDINGS / 1e9,
    }
    if "time_ratio" in FullParams.model_fields:
        found["fine_tuning_masked"] = cpu_ms(lambda: fine_tune(masked), len(train), 2)
    classifier = Classifier(encoder, tuple("abcde")).train()
    found["gflop_fine_tuning"] = training_flops(classifier, lambda: classifier(batch.x)) / RECORDINGS / 1e9
    encoder.eval()
    found |= {f"embedding_{size}": cpu_ms(embed(size), size, 9) for size in (1, 8)}
    found["embedding_8_bf16"] = cpu_ms(embed(8, "bf16"), 8, 9)
    return found | peak_rates()


def main() -> None:
    """Measure the versions alternately, and print and write the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--version", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--encoder", default="ptbxl-tiny")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.store, args.encoder)))
        return
    from study import described_run

    versions = dict(text.split("=", 1) for text in args.version)
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in versions}
    for number in range(args.rounds):
        for name in sorted(versions, reverse=number % 2 == 1):
            own = os.environ | {"PYTHONPATH": str(Path(versions[name]).resolve()), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, __file__, "--one", "--store", str(args.store), "--encoder", args.encoder]
            done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            rounds[name].append(json.loads(done.stdout.splitlines()[-1]))
    medians = medians_of(rounds)
    first = medians[next(iter(versions))]
    result = {
        "medians": medians,
        "ratio_to_first": {
            name: {part: first[part] / found[part] for part in PARTS} for name, found in medians.items()
        },
        "share_of_peak": {
            name: {
                part: found[f"gflop_{part}"] / found[part] * 1000 / found["peak_bf16"]
                for part in ("pretraining", "fine_tuning")
            }
            for name, found in medians.items()
        },
        "rounds": rounds,
        **described_run(),
    }
    write_result(result, args.out)


if __name__ == "__main__":
    main()
