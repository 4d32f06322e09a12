"""Bundles whose content and checksums were both rewritten are refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from plain_bundle import plain_bundle

from ecgssl.errors import InputError
from ecgssl.export.bundle import load_bundle
from ecgssl.export.checksums import write_sums


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return plain_bundle(tmp_path_factory.mktemp("plain"))


def changed_reference(folder, tolerance):
    with np.load(folder / "reference.npz") as stored:
        arrays = dict(stored)
    arrays["logits"] = arrays["logits"] + 0.005
    np.savez(folder / "reference.npz", **arrays)
    config = json.loads((folder / "config.json").read_text())
    config["export"]["tolerance"] = tolerance
    (folder / "config.json").write_text(json.dumps(config))
    write_sums(folder)


@pytest.mark.parametrize("tolerance", [1e9, 0.01, 0.009])
def test_tolerance_in_the_bundle_does_not_switch_the_check_off(plain, tmp_path, tolerance):
    folder = shutil.copytree(plain, tmp_path / "bundle")
    changed_reference(folder, tolerance)
    with pytest.raises(InputError, match=r"are missing or invalid|differs from it|logits"):
        load_bundle(folder)


def test_empty_reference_is_refused(plain, tmp_path):
    folder = shutil.copytree(plain, tmp_path / "bundle")
    with np.load(folder / "reference.npz") as stored:
        arrays = {name: value[:0] for name, value in stored.items()}
    np.savez(folder / "reference.npz", **arrays)
    write_sums(folder)
    with pytest.raises(InputError, match=r"reference.npz"):
        load_bundle(folder)
