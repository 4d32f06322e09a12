"""Loading of a set of recordings by name: a public set, the simulated set, or a table of local recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecgssl.config.public_sets import LOCAL_SETS

if TYPE_CHECKING:
    from ecgssl.config import DataParams
    from ecgssl.datasets.cohort import Cohort

SYNTHETIC_MANIFEST = "manifest.csv"


def load(params: DataParams, cohort_dir: Path | str, seed: int = 0) -> Cohort:
    """Load the recordings of a set.

    Args:
        params: section ``data``: name and folder of the set.
        cohort_dir: folder of the simulated set; not used for other sets.
        seed: seed of a generated split (``data.split``).

    Raises:
        InputError: errors of the class of the set, or of ``load_manifest``.
    """
    if params.root is not None and params.set not in LOCAL_SETS:
        from ecgssl.datasets.public.public_set import public_set
        from ecgssl.datasets.splits import resplit

        opened = public_set(params.set)(
            params.root,
            labels=params.labels,
            sampling_rate=params.sampling_rate,
            subsets=params.subsets,
            standardised_as_mv=params.standardised_as_mv,
        )
        found = opened.cohort()
        if params.merl is not None:
            from ecgssl.datasets.public.merl import on_merl_splits

            return on_merl_splits(found, opened.labels, params.merl.folder, params.merl.labels)
        return resplit(found, params.split, seed)
    from ecgssl.datasets.table.manifest import load_manifest

    if params.set == "cohort" and params.manifest is not None:
        return load_manifest(
            params.manifest,
            params.root,
            reading=params,
            targets_file=params.targets_file,
            seed=seed,
            split=params.split,
            may_cross=params.overlap != "error",
        )
    return load_manifest(
        Path(cohort_dir) / SYNTHETIC_MANIFEST, name="synthetic", licence="Apache-2.0", seed=seed, split=params.split
    )
