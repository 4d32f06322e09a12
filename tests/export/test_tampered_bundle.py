"""Bundles whose content and checksums were both rewritten are refused."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from plain_bundle import plain_bundle
from tampered_bundles import chosen
from tampering import Outputs, outcome, seed_bundle, tamperings

from ecgssl.errors import InputError
from ecgssl.export.bundle import load_bundle
from ecgssl.export.checksums import write_sums


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return plain_bundle(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tampering")
    bundle = seed_bundle(folder)
    return bundle, Outputs(bundle, folder)


@contextmanager
def limited_memory(megabytes: int):
    """Limit the address space of this process to its present size and ``megabytes``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory needs Linux")
def test_changed_bundles_are_refused_or_give_equal_outputs(seed, tmp_path):
    """A sample of ``benchmarks/tampered_bundles.py``, which makes every change."""
    bundle, expected = seed
    changes = chosen(tamperings(bundle), 45, seed=1)
    found = {}
    with limited_memory(1024):
        for change in changes:
            copy = shutil.copytree(bundle, tmp_path / "bundle")
            found[str(change)] = outcome(copy, change, expected, tmp_path, quick=True)
            shutil.rmtree(copy)
    assert {name: result for name, result in found.items() if result not in ("equal", "refused")} == {}
    assert list(found.values()).count("refused") > len(found) / 2


@pytest.mark.parametrize(
    ("file", "place", "value", "message"),
    [
        ("config.json", ("model", "width"), 10**6, r"config\.json: model\.width: should be less than or equal to 4096"),
        (
            "config.json",
            ("model", "depth"),
            100,
            r"model\.safetensors: size: has .* values, but an encoder .* depth 100",
        ),
        ("config.json", ("lsb",), True, r"config\.json: lsb: should be a valid number"),
        ("config.json", ("quality", "heart_rate", 0), "20", r"quality\.heart_rate\.0: should be a valid number"),
        ("labels.json", ("decision", "labels", 0, "positives"), -1, r"labels\.0\.positives: should be greater"),
        (
            "labels.json",
            ("decision", "labels", 0, "calibrator", "slope"),
            0.3,
            r"probability: differs|differ from those",
        ),
        ("lead_names.json", ("names", "v1"), "V2", r"names\['v1'\]: is 'V2', not the lead of this name"),
        ("reference_statistics.json", ("embedding", "center"), [0.0], r"embedding: .*direction"),
        ("reference_statistics.json", ("numbers", "heart rate", "sd"), 1e-300, r"sd must be 0 or at least"),
    ],
)
def test_message_names_file_field_and_limit(seed, tmp_path, file, place, value, message):
    copy = shutil.copytree(seed[0], tmp_path / "bundle")
    data = json.loads((copy / file).read_text())
    owner = data
    for key in place[:-1]:
        owner = owner[key]
    owner[place[-1]] = value
    (copy / file).write_text(json.dumps(data))
    write_sums(copy)
    with pytest.raises(InputError, match=message):
        load_bundle(copy)


def test_problems_of_all_files_are_reported_at_once(seed, tmp_path):
    copy = shutil.copytree(seed[0], tmp_path / "bundle")
    for file, key in (("config.json", "lsb"), ("lead_names.json", "limb"), ("labels.json", "kind")):
        data = json.loads((copy / file).read_text())
        del data[key]
        (copy / file).write_text(json.dumps(data))
    write_sums(copy)
    with pytest.raises(InputError) as caught:
        load_bundle(copy)
    fields = {(Path(problem.where).name, problem.field) for problem in caught.value.problems}
    assert fields >= {("config.json", "lsb"), ("lead_names.json", "limb")}


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
    with pytest.raises(InputError, match=r"export.tolerance: should be less|logits: differs"):
        load_bundle(folder)


def test_empty_reference_is_refused(plain, tmp_path):
    folder = shutil.copytree(plain, tmp_path / "bundle")
    with np.load(folder / "reference.npz") as stored:
        arrays = {name: value[:0] for name, value in stored.items()}
    np.savez(folder / "reference.npz", **arrays)
    write_sums(folder)
    with pytest.raises(InputError, match=r"reference.npz"):
        load_bundle(folder)
