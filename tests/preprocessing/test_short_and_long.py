"""Preprocessing of recordings that are shorter or longer than the window."""

from __future__ import annotations

import json

import neurokit2
import numpy as np
import pandas as pd
import pytest
from scipy import signal as scipy_signal
from store_cohort import KEY, RATE, beats, params
from wfdb_files import write_record

from ecgssl.config import QualityParams, SignalSpec
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError
from ecgssl.inspection.check import check
from ecgssl.inspection.check_summary import summarise
from ecgssl.io import read
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.signal.cleaning import clean
from ecgssl.store.settings import require_store_settings
from ecgssl.store.store import Store

SPEC = SignalSpec()
RELAXED = {"shard_recordings": 8, "workers": 1, "max_rejected_fraction": 0.8}
SECONDS = {"full": 10, "seven": 7.3, "five": 5, "less": 4.98, "long": 34.5}
"""Durations in s of the recordings of the cohort."""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Write recordings of several durations; the second window of ``long`` has a gap in all leads."""
    folder = tmp_path_factory.mktemp("durations")
    rows = ["record_id,path,split"]
    for number, (name, seconds) in enumerate(SECONDS.items()):
        samples = beats(number, seconds=seconds)
        if name == "long":
            samples[:, 15 * RATE : 16 * RATE] = -32768
        write_record(folder, name, samples, rate=RATE)
        rows.append(f"{name},{name},train")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    return folder / "m.csv"


def make(manifest, out, overlap="error", **sections):
    """Return the store and report of the cohort with some sections of the parameters."""
    report = preprocess(load_manifest(manifest), params(**sections), out, KEY, overlap=overlap, progress=False)
    return Store(out), report


@pytest.fixture(scope="module")
def first(manifest, tmp_path_factory):
    """Return the store with default settings, and its report."""
    return make(manifest, tmp_path_factory.mktemp("first") / "store")


@pytest.fixture(scope="module")
def every(manifest, tmp_path_factory):
    """Return the store with all windows of the long recording, and its report."""
    return make(manifest, tmp_path_factory.mktemp("all") / "store", signal={"windows": "all"})


def test_short_recordings_are_stored_with_their_length(first):
    store, report = first
    assert store.index["record_id"].tolist() == ["full", "seven", "five", "long"]
    assert store.index["recorded"].tolist() == [1000, 730, 500, 1000]
    assert store.recorded(np.array([1, 0])).tolist() == [730, 1000]
    assert store.index["window"].tolist() == [0, 0, 0, 0]
    assert (report.counted, report.stored, report.rejected, report.short) == (5, 4, 1, 2)
    assert report.reasons == {"too_short": 1}
    assert any("2 recordings are shorter than 10 s" in text for text in report.warnings)
    assert not store.signals(np.array([1]))[0, :, 730:].any()


def test_a_short_recording_is_filtered_as_a_recording_of_its_length(first, manifest):
    """Expected from scipy: a forward-backward Butterworth filter with even reflection, then decimation in the passband."""
    raw = read(manifest.parent / "seven.hea").signal
    low = scipy_signal.butter(2, 0.5, "highpass", fs=RATE, output="sos")
    high = scipy_signal.butter(2, 40, fs=RATE, output="sos")
    reference = raw - raw.mean(axis=1, keepdims=True)
    for sections in (low, high):
        reference = scipy_signal.sosfiltfilt(sections, reference, axis=1, padtype="even", padlen=raw.shape[1] - 1)
    reference = scipy_signal.resample_poly(reference, 2, 5, axis=1, padtype="line")
    stored = first[0].signals(np.array([1]))[0, :, :730]
    error = stored - reference[:, :730]
    assert np.sqrt((error**2).mean()) < 0.02 * np.sqrt((reference**2).mean())
    np.testing.assert_allclose(stored, clean(raw, RATE, SPEC), atol=0.00051)


def test_quality_figures_of_a_short_recording_use_its_own_samples(first):
    """The heart rate is that of neurokit2 for 7.3 s, and zeros after the end do not count as a flat section."""
    store = first[0]
    row = store.index.iloc[1]
    lead = store.signals(np.array([1]))[0, 1, :730]
    peaks = neurokit2.ecg_findpeaks(lead, sampling_rate=100, method="neurokit")["ECG_R_Peaks"]
    assert row["heart_rate"] == pytest.approx(6000 / np.median(np.diff(peaks)), rel=0.02)
    assert row["beats"] == len(peaks)
    assert row["flat_seconds"] < 1


@pytest.mark.parametrize(("least", "stored"), [(8, ["full", "long"]), (60, ["full", "long"]), (4.98, list(SECONDS))])
def test_the_shortest_duration_is_a_parameter(manifest, tmp_path, least, stored):
    store, _ = make(manifest, tmp_path / "store", quality={"min_duration": least, "beats": "none"}, store=RELAXED)
    assert store.index["record_id"].tolist() == stored
    rejected = pd.read_csv(store.path / "rejected.csv")
    wanted = "8 s (quality.min_duration)" if least == 8 else "10 s (signal.duration)"
    assert all(f"the required {wanted}" in detail for detail in rejected["detail"])


def test_all_windows_are_rows_of_one_patient(first, every, manifest):
    store, report = every
    names = ["full", "seven", "five", "long", "long@w2"]
    assert store.index["record_id"].tolist() == names
    assert store.index["window"].tolist() == [0, 0, 0, 0, 2]
    assert store.index["patient"].nunique() == 4
    assert store.index["patient"][3] == store.index["patient"][4]
    whole = clean(np.nan_to_num(read(manifest.parent / "long.hea").signal), RATE, SPEC)
    np.testing.assert_allclose(store.signals(np.array([4]))[0], whole[:, 2000:3000], atol=0.00051)
    # the rows of the first windows are those of the other policy
    columns = [name for name in store.index if name != "patient"]
    pd.testing.assert_frame_equal(store.index[columns][:3], first[0].index[columns][:3])
    assert store.index["waveform_hash"][3] == first[0].index["waveform_hash"][3]
    rejected = pd.read_csv(store.path / "rejected.csv").set_index("record_id")["reason"]
    assert rejected.to_dict() == {"less": "too_short", "long@w1": "min_leads"}
    assert (report.counted, report.stored, report.rejected, report.windows) == (5, 4, 1, 5)
    assert report.reasons == {"too_short": 1}
    store.verify()


def test_windows_in_the_middle(manifest, tmp_path):
    """With ``crop: center``, the three windows of 34.5 s begin at 2.25 s."""
    store, _ = make(manifest, tmp_path / "store", signal={"windows": "all", "crop": "center"})
    row = int(np.flatnonzero(store.index["record_id"] == "long@w2")[0])
    whole = clean(np.nan_to_num(read(manifest.parent / "long.hea").signal), RATE, SPEC)
    np.testing.assert_allclose(store.signals(np.array([row]))[0], whole[:, 2225:3225], atol=0.00051)


def test_windows_of_a_recording_belong_together(first, every):
    assert first[0].recording_of.tolist() == [0, 1, 2, 3]
    names = every[0].index["record_id"].tolist()
    assert [names[row] for row in every[0].recording_of] == [name.split("@")[0] for name in names]


def test_the_check_counts_short_recordings_and_windows(manifest):
    """``check`` rejects the same recordings as preprocessing."""
    sections = {"sets": {"mine": {"reader": "cohort", "manifest": str(manifest)}}, "signal": {"windows": "all"}}
    found = check(params(**sections).one_set(), progress=False)
    assert found.recordings["windows"].tolist()[:2] == [1, 1]
    assert found.rejected["reason"].tolist() == ["too_short"]
    summary = summarise(found)
    assert (summary["counts"]["short"], summary["counts"]["windows"]) == (2, 5)
    assert "2 recordings are shorter than 10 s" in summary["notes"][-1]


def test_an_override_of_a_store_names_both_parameters(first):
    store = first[0]
    overrides = ["signal.windows=all", "quality.min_duration=7"]
    given = params(signal={"windows": "all"}, quality={"min_duration": 7})
    with pytest.raises(InputError) as caught:
        require_store_settings(overrides, given, store)
    assert [problem.field for problem in caught.value.problems] == ["signal.windows", "quality.min_duration"]
    require_store_settings(["signal.windows=first"], params(), store)


def test_stores_of_earlier_releases_hold_complete_recordings(first, tmp_path):
    """Without the column ``recorded`` and the settings, the store opens and every recording is complete."""
    from shutil import copytree

    folder = tmp_path / "store"
    copytree(first[0].path, folder)
    index = pd.read_parquet(folder / "index.parquet").drop(columns=["recorded", "window"])
    index.to_parquet(folder / "index.parquet")
    about = json.loads((folder / "spec.json").read_text())
    del about["quality"]["min_duration"], about["windows"]
    (folder / "spec.json").write_text(json.dumps(about))
    store = Store(folder)
    assert store.recorded(np.arange(4)).tolist() == [1000] * 4
    assert store.spec.fingerprint == first[0].spec.fingerprint
    require_store_settings(["quality.min_duration=10"], params(quality={"min_duration": 10}), store)


def test_ids_of_windows_must_be_free(manifest, tmp_path):
    write_record(manifest.parent, "other", beats(9), rate=RATE)
    table = manifest.read_text() + "long@w2,other,train\n"
    (manifest.parent / "clash.csv").write_text(table)
    with pytest.raises(InputError, match="long@w2 is also the id of window 2 of long"):
        make(manifest.parent / "clash.csv", tmp_path / "store", signal={"windows": "all"})


def test_all_windows_of_a_shared_recording_are_left_out(manifest, tmp_path):
    """A copy of the first 10 s in the test split removes every window of the long recording from the train split."""
    copy = read(manifest.parent / "long.hea").signal[:, : 10 * RATE]
    write_record(manifest.parent, "copy", np.rint(copy * 1000).astype(np.int16), rate=RATE)
    (manifest.parent / "shared.csv").write_text(
        "record_id,path,split\nlong,long,train\nfull,full,train\ncopy,copy,test\n"
    )
    sections = {"signal": {"windows": "all"}, "overlap": "drop_train"}
    store, report = make(manifest.parent / "shared.csv", tmp_path / "store", **sections)
    assert store.index["record_id"].tolist() == ["full", "copy"]
    assert report.reasons == {"overlap": 1}
    assert (report.stored, report.rejected, len(store.signals(np.arange(2)))) == (2, 1, 2)
    store.verify()


def test_minimum_duration_must_be_at_least_a_second():
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        QualityParams(min_duration=0.5)
