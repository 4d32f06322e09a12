"""Preprocessing: counts, stored values, rejections, and reading of a store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from command_line import contents
from store_cohort import KEY, RATE, beats, params

from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import ContractMismatch, InputError
from ecgssl.io import read
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.leads import LEADS
from ecgssl.signal.quality import assess_cleaned, assess_raw
from ecgssl.store import layout
from ecgssl.store.patient_key import load_or_make_key, patient_hash
from ecgssl.store.store import Store


def test_every_recording_is_stored_or_rejected_with_a_reason(made):
    out, report = made
    assert (report.counted, report.stored, report.rejected) == (20, 16, 4)
    assert report.reasons == {"too_short": 1, "checksum": 1, "amplitude": 1, "truncated": 1}
    rejected = pd.read_csv(out / "rejected.csv")
    assert dict(zip(rejected["record_id"], rejected["reason"], strict=True)) == {
        "rec3": "too_short", "rec5": "checksum", "rec9": "amplitude", "rec17": "truncated",
    }  # fmt: skip
    assert list(rejected["stage"])[1] == "read"
    text = (out / "rejected.csv").read_text()
    assert "patient" not in text
    assert str(out.parent.parent) not in text
    assert sorted(p.name for p in out.parent.iterdir()) == ["processed"]


def test_store_holds_the_cleaned_signal_and_what_is_known(made, manifest):
    store = Store(made[0])
    assert len(store) == 16
    assert store.targets == ("AF",)
    spec = params().signal
    for row in (0, 5, 15, 3):
        number = int(store.index["record_id"][row].removeprefix("rec"))
        recording = read(manifest.parent / f"r{number}")
        expected = crop(clean(recording.signal, RATE, spec), spec) if number != 12 else None
        if expected is not None:
            got = store.signals(np.array([row]))[0]
            present = store.lead_mask(np.array([row]))[0]
            np.testing.assert_allclose(got[present], expected[present], atol=0.00051)
            assert not got[~present].any()
    index = store.index.set_index("record_id")
    assert index.loc["rec2", "patient"] == patient_hash(KEY, "patient1")
    assert not index["patient"].str.contains("patient").any()
    assert (index["source_rate"] == RATE).all()
    assert index["heart_rate"].between(55, 65).all()
    assert "flat" in index.loc["rec15", "reasons"].split(";")
    assert index.loc["rec15", "lead_mask"] == 4095 - (1 << LEADS.index("V3"))
    np.testing.assert_array_equal(index["AF"], [int(name[3:]) % 2 for name in index.index])
    assert store.patients[0] == store.patients[1]
    assert len(set(store.patients)) == index["patient"].nunique()


def test_eight_leads_are_completed(made):
    store = Store(made[0])
    row = np.flatnonzero(store.index["record_id"] == "rec12")
    assert store.lead_mask(row).all()
    one, two, three = store.signals(row)[0, :3]
    np.testing.assert_allclose(three, two - one, atol=0.002)


def test_random_batches_equal_plain_indexing(made, monkeypatch):
    store = Store(made[0])
    everything = np.concatenate([np.load(made[0] / shard["file"]) for shard in store.about["shards"]])
    rows = np.random.default_rng(0).integers(0, len(store), 50)
    np.testing.assert_array_equal(store.signals(rows), everything[rows] * np.float32(store.lsb))
    assert store.signals(np.array([], dtype=int)).shape == (0, 12, 1000)
    with pytest.raises(IndexError):
        store.signals(np.array([len(store)]))
    # only one shard can be open, so every change of shard creates a new memory map
    monkeypatch.setattr("ecgssl.store.store._MOST_MAPS", 1)
    narrow = Store(made[0])
    np.testing.assert_array_equal(narrow.signals(rows), everything[rows] * np.float32(store.lsb))
    assert (len(narrow._maps), len(store._maps)) == (1, 3)
    splits = [store.rows(split) for split in ("train", "val", "test")]
    np.testing.assert_array_equal(np.sort(np.concatenate(splits)), np.arange(len(store)))


def test_too_many_rejections_stop_the_run_with_nothing_at_out(cohort, made, tmp_path):
    def limit(fraction):
        return params(store={"shard_recordings": 5, "workers": 1, "max_rejected_fraction": fraction})

    with pytest.raises(InputError, match=r"3 of 20 .*checksum 1.*the limit is 10%; stopped after 10 rec") as reported:
        preprocess(cohort, limit(0.1), tmp_path / "out", KEY, progress=False)
    assert not (tmp_path / "out").exists()
    (listing,) = tmp_path.glob(".out.partial-*/store/rejected.csv")
    assert str(listing) in str(reported.value)
    assert list(pd.read_csv(listing)["record_id"]) == ["rec3", "rec5", "rec9"]
    # just below and at the limit: all recordings are assessed before the run is rejected
    with pytest.raises(InputError, match=r"4 of 20 .*truncated 1.*the limit is 19%\. See"):
        preprocess(cohort, limit(0.19), tmp_path / "out", KEY, progress=False)
    report = preprocess(cohort, limit(0.2), tmp_path / "out", KEY, progress=False)
    assert (report.stored, report.resumed) == (16, 20)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_cohort_without_one_usable_recording_is_refused(manifest, tmp_path):
    cohort = load_manifest(manifest)
    only = replace(cohort, table=cohort.table.iloc[[3, 9]].reset_index(drop=True))
    settings = params(store={"workers": 1, "max_rejected_fraction": 1})
    with pytest.raises(InputError, match="2 of 2 recordings cannot be used"):
        preprocess(only, settings, tmp_path / "out", KEY, progress=False)


def test_shards_are_of_one_size(cohort, tmp_path):
    settings = params(store={"shard_recordings": 6, "workers": 1, "max_rejected_fraction": 0.5})
    preprocess(cohort, settings, tmp_path / "out", KEY, progress=False)
    rejected = np.array([3, 5, 9, 17])
    counts = [5 - np.isin(np.arange(first, first + 5), rejected).sum() for first in (0, 5, 10, 15)]
    assert [shard["count"] for shard in Store(tmp_path / "out").about["shards"]] == counts


def test_target_named_like_a_quality_figure_is_refused_at_once(manifest, tmp_path):
    other = manifest.with_name("clash.csv")
    other.write_text(manifest.read_text().replace(",AF", ",heart_rate"))
    with pytest.raises(InputError, match="heart_rate: cannot be used as a target name"):
        preprocess(load_manifest(other), params(), tmp_path / "out", KEY, progress=False)


def test_index_holds_every_quality_figure():
    spec, quality = params().signal, params().quality
    raw = beats(0).astype(np.float32) / 1000
    present = np.ones(12, dtype=bool)
    first, usable = assess_raw(raw, RATE, present, present, quality, spec)
    cleaned = crop(clean(usable, RATE, spec), spec)
    assert set(assess_cleaned(cleaned, first, quality, spec).figures) == set(layout.FIGURE_COLUMNS)


def test_other_folders_are_not_replaced(cohort, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match=r"spec\.json"):
        preprocess(cohort, params(), tmp_path, KEY, progress=False)
    assert (tmp_path / "thesis.txt").exists()


def test_values_beyond_int16_never_wrap(manifest, tmp_path):
    quality = {"amplitude": 1e4, "policy": {"amplitude": "flag"}}
    store_params = {"shard_recordings": 32, "workers": 1, "lsb": 0.0005, "max_rejected_fraction": 0.5}
    cohort = load_manifest(manifest)
    preprocess(cohort, params(quality=quality, store=store_params), tmp_path / "out", KEY, progress=False)
    store = Store(tmp_path / "out")
    row = np.flatnonzero(store.index["record_id"] == "rec9")
    assert store.index["clipped"][row[0]] > 0
    assert "amplitude" in store.index["reasons"][row[0]]
    assert store.signals(row).max() == pytest.approx(32767 * 0.0005)
    assert store.signals(row).min() > -32767 * 0.0005


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("spec.json", lambda data: None),
        ("spec.json", lambda data: b"{"),
        ("spec.json", lambda data: b"{}"),
        ("spec.json", lambda data: data.replace(b'"version": 1', b'"version": 99')),
        ("spec.json", lambda data: data.replace(b'"count": 16', b'"count": 17')),
        ("spec.json", lambda data: data.replace(b'"duration": 10.0', b'"duration": 9.0')),
        ("shard-00001.npy", lambda data: None),
        ("shard-00001.npy", lambda data: data[:-2]),
        ("shard-00001.npy", lambda data: b"x" + data[1:]),
        ("index.parquet", lambda data: None),
        ("index.parquet", lambda data: data[:-8]),
    ],
)
def test_damaged_stores_are_refused_by_name(made, tmp_path, file, change):
    for name, data in contents(made[0]).items():
        changed = change(data) if name == file else data
        if changed is not None:
            (tmp_path / name).write_bytes(changed)
    with pytest.raises(InputError, match=file):
        Store(tmp_path)


def test_altered_samples_and_other_contracts_are_noticed(made, tmp_path):
    for name, data in contents(made[0]).items():
        (tmp_path / name).write_bytes(data[:-1] + b"\x7f" if name == "shard-00000.npy" else data)
    store = Store(tmp_path)
    with pytest.raises(InputError, match="shard-00000"):
        store.verify()
    Store(made[0]).verify()
    store.require_contract(store.spec)
    with pytest.raises(ContractMismatch, match=r"clean\.mains"):
        store.require_contract(params(signal={"clean": {"mains": 50}}).signal)


def test_key_is_made_once_and_private(tmp_path):
    path = tmp_path / "keys" / "patient.key"
    key = load_or_make_key(path)
    assert len(key) == 32
    assert load_or_make_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["patient.key"]
    assert patient_hash(key, "a") != patient_hash(bytes(32), "a")
    path.write_text("no key")
    with pytest.raises(InputError, match="32 bytes"):
        load_or_make_key(path)
