"""Linear probe of the shares of an untrained stem, by number of filters and of offsets per patch.

    python benchmarks/stem_study.py --store data/processed/ptbxl --targets NORM MI STTC CD HYP --filters 176 --offsets 5 10 25

The features of a recording are the shares of the stem's responses above their thresholds, for each lead
(``ecgssl.model.stem``). Nothing is learned. The ridge probe is fitted on the training split; its strength is chosen, and
the macro AUROC computed, on the validation split. The test split is not used. The script prints JSON with one row per
combination: number of features, CPU time of the features in s, AUROC.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from study import described_run
from threadpoolctl import threadpool_limits
from time_to_quality import Probe

from ecgssl.config import ModelParams, StemParams
from ecgssl.model.stem import Stem
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch


@torch.inference_mode()
def share_features(stem: Stem, store: Store, rows: NDArray[np.int64], batch_size: int = 64) -> NDArray[np.float32]:
    """Return the shares of every lead (len(rows), L F) of complete recordings."""
    parts = []
    for start in range(0, len(rows), batch_size):
        batch = load_batch(store, rows[start : start + batch_size], torch.device("cpu"))
        shares = rearrange(stem.shares(batch.x), "b (l n) f -> b l n f", l=batch.x.shape[1])
        parts.append(rearrange(shares.mean(dim=2), "b l f -> b (l f)").numpy())
    return np.concatenate(parts)


def measure(store: Store, targets: list[str], filters: int, offsets: int, seed: int) -> dict[str, Any]:
    """Return the features, CPU time in s and validation AUROC of one combination."""
    torch.manual_seed(seed)
    params = ModelParams(stem=StemParams(filters=filters, share_offsets=offsets))
    stem = Stem(params.stem, params.patch, params.shape[0], store.spec.samples).eval()
    probe = Probe(store, targets)
    before = time.process_time()
    features = share_features(stem, store, probe.rows)
    seconds = time.process_time() - before
    return {"filters": filters, "offsets": offsets, "seed": seed, "seconds": seconds, **probe.of_features(features)}


def main(argv: list[str] | None = None) -> None:
    """Measure every combination and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True, help="store with a training and a validation split")
    parser.add_argument("--targets", nargs="+", required=True)
    parser.add_argument("--filters", type=int, nargs="+", default=[176])
    parser.add_argument("--offsets", type=int, nargs="+", default=[5, 10, 25], help="divisors of the patch length, 50")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    store = Store(args.store)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        rows = [
            measure(store, args.targets, filters, offsets, args.seed)
            for filters in args.filters
            for offsets in args.offsets
        ]
    print(json.dumps({**described_run(argv), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
