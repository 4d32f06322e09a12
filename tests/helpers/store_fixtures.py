"""Fixtures with a cohort and its store, written by one worker without interruption."""

from __future__ import annotations

import pytest
from store_cohort import KEY, make_cohort, params

from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.preprocessing.preprocess import preprocess


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Write 20 recordings of 10 patients, four of them unusable, and return the manifest."""
    return make_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def cohort(manifest):
    """Return the cohort of ``manifest``."""
    return load_manifest(manifest)


@pytest.fixture(scope="session")
def made(cohort, tmp_path_factory):
    """Return the folder of the store and the report."""
    out = tmp_path_factory.mktemp("store") / "processed"
    return out, preprocess(cohort, params(), out, KEY, progress=False)
