"""Preprocessing: what is counted, what is stored, and that neither workers nor interruptions change a byte."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from wfdb_files import write_record

from ecgssl.config import parse_params
from ecgssl.datasets.manifest import load_manifest
from ecgssl.errors import ContractMismatch, InputError
from ecgssl.io import read
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.leads import LEADS, LIMB_MATRIX
from ecgssl.signal.quality import assess_cleaned, assess_raw
from ecgssl.store import layout
from ecgssl.store import preprocess as module
from ecgssl.store.patient_key import load_or_make_key, patient_hash
from ecgssl.store.preprocess import preprocess
from ecgssl.store.store import Store

KEY = bytes(32)
RATE = 250


def beats(seed: int, seconds: float = 10.0, high: float = 1.0) -> np.ndarray:
    """(12, samples) in uV: Gaussian beats once a second, limb leads from I and II."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    wave = sum(
        np.exp(-0.5 * (((time - shift + 0.5) % 1 - 0.5) / width) ** 2) * size
        for shift, width, size in ((0.3, 0.015, 1.0), (0.55, 0.06, 0.3), (0.12, 0.03, 0.1))
    )
    sources = wave * generator.uniform(0.6, 1.2, (8, 1)) + generator.normal(0, 0.01, (8, time.size))
    sources[2] *= high
    return np.rint(1000 * np.concatenate([LIMB_MATRIX @ sources[:2], sources[2:]])).astype(np.int16)


def params(**sections):
    sections = {"store": {"shard_recordings": 8, "workers": 1, "max_rejected_fraction": 0.5}, **sections}
    return parse_params({"tasks": {"t": ["AF"]}, **sections})


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """20 recordings of 10 patients; four of them cannot be used."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = ["record_id,path,patient_id,split,AF"]
    for number in range(20):
        signal, names = beats(number), LEADS
        if number == 3:
            signal = beats(3, seconds=4)
        if number == 9:
            signal = beats(9, high=30)
        if number == 12:
            signal, names = signal[[0, 1, 6, 7, 8, 9, 10, 11]], ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
        if number == 15:
            signal[8] = 0
        path = write_record(folder, f"r{number}", signal, names, rate=RATE, checksum=number != 5)
        if number == 17:
            path.with_suffix(".dat").write_bytes(b"short")
        split = ("train", "train", "val", "test")[number // 2 % 4]
        rows.append(f"rec{number},r{number},patient{number // 2},{split},{number % 2}")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    return folder / "m.csv"


@pytest.fixture(scope="module")
def cohort(manifest):
    return load_manifest(manifest)


@pytest.fixture(scope="module")
def made(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "processed"
    return out, preprocess(cohort, params(), out, KEY, progress=False)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


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


def test_random_batches_equal_plain_indexing(made):
    store = Store(made[0])
    everything = np.concatenate([np.load(made[0] / shard["file"]) for shard in store.about["shards"]])
    rows = np.random.default_rng(0).integers(0, len(store), 50)
    np.testing.assert_array_equal(store.signals(rows), everything[rows] * np.float32(store.lsb))
    assert store.signals(np.array([], dtype=int)).shape == (0, 12, 1000)
    with pytest.raises(IndexError):
        store.signals(np.array([len(store)]))
    splits = [store.rows(split) for split in ("train", "val", "test")]
    np.testing.assert_array_equal(np.sort(np.concatenate(splits)), np.arange(len(store)))


def test_two_workers_make_the_same_bytes(cohort, made, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)
    settings = params(store={"shard_recordings": 8, "workers": 2, "max_rejected_fraction": 0.5})
    preprocess(cohort, settings, tmp_path / "two", KEY, progress=False)
    assert contents(tmp_path / "two") == contents(made[0])


def test_a_killed_run_goes_on_where_it_was(cohort, made, tmp_path, monkeypatch):
    seen, real = [], module.prepare_chunk

    def dies_in_the_last_shard(paths, first, *rest):
        seen.append(first)
        if first == 16 and len(seen) == 3:
            raise KeyboardInterrupt
        return real(paths, first, *rest)

    monkeypatch.setattr(module, "prepare_chunk", dies_in_the_last_shard)
    with pytest.raises(KeyboardInterrupt):
        preprocess(cohort, params(), tmp_path / "out", KEY, progress=False)
    assert not (tmp_path / "out").exists()
    (partial,) = tmp_path.iterdir()
    # a shard damaged meanwhile is made again
    (partial / "shard-00001.npy").write_bytes(b"damaged")
    report = preprocess(cohort, params(), tmp_path / "out", KEY, progress=False)
    assert seen == [0, 8, 16, 8, 16]
    assert report.resumed == 8
    assert contents(tmp_path / "out") == contents(made[0])
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_too_many_rejections_end_with_nothing_at_out(cohort, tmp_path):
    settings = params(store={"shard_recordings": 8, "workers": 1, "max_rejected_fraction": 0.1})
    with pytest.raises(InputError, match=r"4 of 20 .*checksum 1.*10% is allowed"):
        preprocess(cohort, settings, tmp_path / "out", KEY, progress=False)
    assert not (tmp_path / "out").exists()
    assert preprocess(cohort, params(), tmp_path / "out", KEY, progress=False).resumed == 20


def test_target_named_like_a_quality_figure_is_refused_at_once(manifest, tmp_path):
    other = manifest.with_name("clash.csv")
    other.write_text(manifest.read_text().replace(",AF", ",heart_rate"))
    with pytest.raises(InputError, match="heart_rate: is not a possible target name"):
        preprocess(load_manifest(other), params(), tmp_path / "out", KEY, progress=False)


def test_index_holds_every_quality_figure():
    spec, quality = params().signal, params().quality
    raw = beats(0).astype(np.float32) / 1000
    present = np.ones(12, dtype=bool)
    first, usable = assess_raw(raw, present, present, quality, spec)
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


def test_one_waveform_in_two_splits_is_told(tmp_path):
    rows = ["record_id,path,patient_id,split,AF"]
    for number, split in enumerate(["train", "train", "test"]):
        write_record(tmp_path, f"r{number}", beats(number % 2), rate=RATE)
        rows.append(f"rec{number},r{number},p{number},{split},0")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    report = preprocess(load_manifest(tmp_path / "m.csv"), params(), tmp_path / "out", KEY, progress=False)
    assert any("rec0, rec2" in warning for warning in report.warnings)


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


@pytest.mark.real
def test_the_same_recording_at_100_and_500_hz_and_under_another_name(real_data, tmp_path):
    folder = real_data / "ptbxl_500"
    rows = ["record_id,path,split"]
    rows += [f"a{i},records500/00000/{i:05d}_hr,train" for i in range(1, 6)]
    rows += [f"b{i},{real_data}/cinc2021/PTB_PTBXL/HR{i:05d},test" for i in range(1, 6)]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    report = preprocess(load_manifest(tmp_path / "m.csv", folder), params(), tmp_path / "out", KEY, progress=False)
    assert report.stored == 10
    assert any(warning.startswith("10 recordings have the waveform") for warning in report.warnings)
