"""Loading of a dataset by name: a public dataset, the simulated dataset, or a local cohort."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecgssl.config.public_sets import LOCAL_SETS, SYNTHETIC
from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    from ecgssl.config import OneSet, SetParams
    from ecgssl.datasets.cohort import Cohort
    from ecgssl.datasets.public.public_set import PublicSet

SYNTHETIC_MANIFEST = "manifest.csv"


def raw_folder(name: str) -> Path:
    """Return the folder of a simulated set in a project."""
    return Path("data/raw") / name


def load_set(chosen: OneSet) -> Cohort:
    """Load a set of the parameters. A simulated set is read from ``raw_folder``.

    Raises:
        InputError: see ``load``.
    """
    return load(chosen.data, raw_folder(chosen.name), chosen.params.seed)


def load(params: SetParams, cohort_dir: Path | str, seed: int = 0) -> Cohort:
    """Load a set of recordings.

    Args:
        params: section of the set in the parameters, which contains the reader and the folder.
        cohort_dir: folder of a simulated set; not used for other sets.
        seed: seed of a random split (``sets.NAME.split``).

    Raises:
        InputError: the dataset or the table of the cohort is missing or invalid.
    """
    if params.root is not None and params.reader not in LOCAL_SETS:
        from ecgssl.datasets.splits import resplit

        if params.merl is None:
            return resplit(_public(params), params.split, seed)
        from ecgssl.datasets.public.merl import on_merl_splits

        opened = _opened(params, params.labels if isinstance(params.labels, str) else None)
        return on_merl_splits(opened.cohort(), opened.labels, params.merl.folder, params.merl.labels)
    from ecgssl.datasets.table.manifest import load_manifest

    if params.reader == "cohort" and params.manifest is not None:
        return load_manifest(
            params.manifest,
            params.root,
            reading=params,
            targets_file=params.targets_file,
            seed=seed,
            split=params.split,
            may_cross=params.overlap != "error",
        )
    table = Path(cohort_dir) / SYNTHETIC_MANIFEST
    if not table.exists():
        remedy = (
            "Simulate the recordings with 'dvc repro', or use reader cohort and the table that 'ecgssl simulate' writes"
        )
        raise InputError(Problem(str(table), "file", "does not exist; the set has reader synthetic", remedy))
    return load_manifest(table, name=SYNTHETIC, licence="Apache-2.0", seed=seed, split=params.split)


def _public(params: SetParams) -> Cohort:
    """Load a public set with one label set, or with the targets of several as ``LABEL_SET.TARGET``."""
    if not isinstance(params.labels, tuple):
        return _opened(params, params.labels).cohort()
    from ecgssl.datasets.public.label_sets import with_label_sets

    return with_label_sets({name: _opened(params, name).cohort() for name in params.labels})


def _opened(params: SetParams, labels: str | None) -> PublicSet:
    from ecgssl.datasets.public.public_set import public_set

    assert params.root is not None
    return public_set(params.reader)(
        params.root,
        labels=labels,
        sampling_rate=params.sampling_rate,
        subsets=params.subsets,
        standardised_as_mv=params.standardised_as_mv,
    )
