"""Check of the shipped weights on real recordings: each encoder gives the result that its card states."""

from __future__ import annotations

import csv
import importlib.util
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from ecgssl.config import StoreParams, parse_params
from ecgssl.datasets.public.ptbxl import PTBXL
from ecgssl.encoders.shipped import Shipped, shipped_models
from ecgssl.export.bundle import load_bundle
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.probes.weights_check import check_figure
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import load_encoder

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def unpack(real_data: Path, names: Collection[str], out: Path) -> None:
    """Write recordings of the packed PTB-XL in the layout of the release.

    Args:
        real_data: folder with ``ptbxl_unpack.py`` and ``ptbxl_100hz``.
        names: record ids, such as ``ptbxl-04000``.
        out: new folder.
    """
    packed, script = real_data / "ptbxl_100hz", real_data / "ptbxl_unpack.py"
    found = importlib.util.spec_from_file_location("ptbxl_unpack", script)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    wanted = {int(name.removeprefix("ptbxl-")) for name in names}
    written = set()
    for flac in sorted(packed.glob("*.flac")):
        numbers = [int(number) for number in flac.with_suffix(".txt").read_text().split()]
        if wanted.isdisjoint(numbers):
            continue
        folder = out / "records100" / flac.stem
        folder.mkdir(parents=True)
        for number, samples in zip(numbers, module.samples_of(flac), strict=True):
            if number in wanted:
                name = f"{number:05d}_lr"
                (folder / f"{name}.dat").write_bytes(np.ascontiguousarray(samples.T, "<i2").tobytes())
                (folder / f"{name}.hea").write_text(module.header(name, samples))
                written.add(number)
    assert written == wanted
    shutil.copyfile(packed / "scp_statements.csv", out / "scp_statements.csv")
    with (packed / "ptbxl_database.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if int(row["ecg_id"]) in wanted]
    with (out / "ptbxl_database.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def figure(model: Shipped, real_data: Path, folder: Path) -> float:
    """Return the result of the check of a shipped encoder, from the packed recordings."""
    check, bundle = model.card.check, load_bundle(model.path)
    assert check.set == "ptbxl"
    unpack(real_data, {*check.train, *check.test}, folder / "release")
    params = parse_params({"tasks": {"check": {"targets": list(check.targets)}}}).model_copy(
        update={"signal": bundle.spec, "quality": bundle.quality, "store": StoreParams(lsb=bundle.lsb, workers=1)}
    )
    cohort = PTBXL(folder / "release", labels="superclass", sampling_rate=100).cohort()
    preprocess(cohort, params, folder / "store", bytes(32), progress=False)
    encoder, _ = load_encoder(model.path)
    return check_figure(encoder, Store(folder / "store"), check.targets, check.train, check.test)


def test_shipped_weights_give_their_stated_result(real_data, tmp_path):
    models = [model for model in shipped_models() if model.card.check is not None]
    if not models:
        pytest.skip("no shipped encoder has a check of its weights")
    if not (real_data / "ptbxl_100hz").is_dir():
        pytest.skip("ECGSSL_REAL_DATA has no packed PTB-XL (ptbxl_100hz)")
    for model in models:
        check = model.card.check
        assert len(check.train) + len(check.test) <= 2000
        found = figure(model, real_data, tmp_path / model.card.name)
        assert found == pytest.approx(check.value, abs=check.tolerance), model.card.name
