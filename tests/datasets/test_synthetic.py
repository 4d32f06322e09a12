"""Simulated set: files, and agreement of its labels with independent measurements on the waveforms."""

from __future__ import annotations

import filecmp
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from sklearn.metrics import roc_auc_score

from ecgssl.cli.simulate import simulation
from ecgssl.config import SetParams, SyntheticParams
from ecgssl.datasets.load import load
from ecgssl.datasets.synthetic.simulate import patient_key, render, simulate, split_of_patients
from ecgssl.datasets.synthetic.synthetic_patients import (
    TARGETS,
    Episode,
    Hospital,
    draw_episode,
    draw_patient,
    labels,
)
from ecgssl.datasets.synthetic.vectorcardiogram import Heart
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError
from ecgssl.io.wfdb.reader import read_wfdb
from ecgssl.io.wfdb.writer import write_wfdb
from ecgssl.signal.leads import LEADS, limb_residual
from ecgssl.store.patient_key import load_or_make_key

SMALL = SyntheticParams(patients=41, recordings_per_patient=(1, 2), duration=6.0)
FIRST_RELEASE = {
    "manifest.csv": "3795590262990661",
    "parameters.csv": "fc633a2805ff29c3",
    "README.txt": "831f0a3e86690d33",
    "patient.key": "6394cedd8f7fe53d",
}
"""Start of the SHA-256 of tables of SMALL with seed 3, as simulated before hospitals could differ."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("set") / "synthetic", SMALL, seed=3).parent


def episodes(count: int, seed: int = 0) -> list[tuple[Episode, np.random.Generator]]:
    made = []
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        made.append((draw_episode(draw_patient(rng), rng), rng))
    return made


def heart_rate_and_spread(signal: np.ndarray) -> tuple[float, float]:
    """Return beats per minute and relative spread of RR intervals of lead II at 500 Hz by neurokit2."""
    import neurokit2 as nk

    cleaned = nk.ecg_clean(signal[LEADS.index("II")].astype(float), sampling_rate=500)
    peaks = nk.ecg_peaks(cleaned, sampling_rate=500)[1]["ECG_R_Peaks"]
    rr = np.diff(peaks) / 500
    return 60 / float(np.median(rr)), float(np.std(rr) / np.mean(rr))


def test_wfdb_reads_what_was_written(folder: Path) -> None:
    table = pd.read_csv(folder / "manifest.csv")
    for path in table["path"][:10]:
        record = wfdb.rdrecord(str(folder / path), physical=False)
        assert record.calc_checksum() == record.checksum
        assert record.sig_name == list(LEADS)
        assert record.fs == 500
        assert record.d_signal.shape == (3000, 12)
        assert record.init_value == record.d_signal[0].tolist()
        signal, fields = wfdb.rdsamp(str(folder / path))
        assert fields["units"] == ["mV"] * 12
        one, two, three, avr, avl, avf = record.d_signal.T[:6].astype(float)
        for residual in (three - (two - one), avr + (one + two) / 2, avl - (one - two / 2), avf - (two - one / 2)):
            assert np.abs(residual).max() <= 1, "within one step of 1 uV after rounding"
        assert limb_residual(signal.T.astype(np.float32)) < 0.01


def test_writer_keeps_values_to_half_a_step(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).normal(0, 2, (12, 700))
    write_wfdb(tmp_path, "a-1", signal, 250, LEADS)
    read, fields = wfdb.rdsamp(str(tmp_path / "a-1"))
    np.testing.assert_allclose(read.T, signal, atol=0.50001e-3)
    assert fields["fs"] == 250
    for bad in (np.nan, np.inf, 40.0):
        broken = signal.copy()
        broken[3, 5] = bad
        with pytest.raises(ValueError, match="b-1"):
            write_wfdb(tmp_path, "b-1", broken, 250, LEADS)
    assert not list(tmp_path.glob("b-1*"))


def test_bytes_depend_on_the_seed_only(folder: Path, tmp_path: Path) -> None:
    again = simulate(tmp_path / "again", SMALL, seed=3, workers=2).parent
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again).as_posix() for p in again.rglob("*") if p.is_file())
    same, different, failed = filecmp.cmpfiles(folder, again, files, shallow=False)
    assert (len(same), different, failed) == (len(files), [], [])
    other = simulate(tmp_path / "other", replace_patients(SMALL, 2), seed=4).parent
    first = "records/000/syn-00000-1.dat"
    assert (other / first).read_bytes() != (folder / first).read_bytes()
    # fewer patients, same seed: the ones that remain stay as they are
    fewer = simulate(tmp_path / "fewer", replace_patients(SMALL, 2), seed=3).parent
    assert (fewer / first).read_bytes() == (folder / first).read_bytes()


def replace_patients(params: SyntheticParams, patients: int) -> SyntheticParams:
    return params.model_copy(update={"patients": patients})


def test_manifest(folder: Path) -> None:
    table = pd.read_csv(folder / "manifest.csv")
    assert list(table.columns) == ["record_id", "path", "patient_id", "split", "age", "sex", *TARGETS]
    assert table["record_id"].is_unique
    assert (table.groupby("patient_id")[["split", "sex", "age"]].nunique() == 1).all().all()
    assert table.groupby("patient_id").size().between(1, 2).all()
    assert table["patient_id"].nunique() == 41
    assert table.loc[table["af"] == 1, "first_degree_avb"].isna().all()
    assert table.loc[table["wide_qrs"] == 1, ["st_elevation", "t_inversion", "high_voltage"]].isna().all().all()
    assert table[["af", "sinus_brady", "sinus_tachy", "wide_qrs", "ectopy"]].isin([0, 1]).all().all()
    assert set(table["sex"]) == {"F", "M"}
    assert load_or_make_key(folder / "patient.key") == patient_key(3)
    assert patient_key(3) != patient_key(4)
    assert "no clinical meaning" in " ".join((folder / "README.txt").read_text().split())
    parameters = pd.read_csv(folder / "parameters.csv").set_index("record_id").loc[table["record_id"]].reset_index()
    np.testing.assert_array_equal(table["wide_qrs"] == 1, parameters["qrs"] > 0.12)
    np.testing.assert_array_equal(table["ectopy"] == 1, parameters["ectopic_beats"] > 0)


def test_splits_are_70_10_20_of_the_patients() -> None:
    counts = pd.Series(split_of_patients(400, 0)).value_counts()
    assert counts.to_dict() == {"train": 280, "val": 40, "test": 80}
    assert split_of_patients(400, 0) == split_of_patients(400, 0) != split_of_patients(400, 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_prevalences_leave_something_to_learn(seed: int) -> None:
    found = pd.DataFrame([labels(e, e.ectopic_beats) for e, _ in episodes(1500, seed)])
    assert found.mean().between(0.08, 0.25).all(), found.mean()
    assert 0.25 < (found.fillna(0).sum(axis=1) == 0).mean() < 0.4


@pytest.mark.parametrize("rate", [45, 55, 70, 90, 110, 130, 150])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_neurokit_finds_the_simulated_rate(rate: int, seed: int) -> None:
    rng = np.random.default_rng([seed, rate])
    episode = draw_episode(draw_patient(rng), rng)
    normal = Heart(p_wave=1.0, shape=episode.heart.shape)
    episode = replace(episode, heart=normal, fibrillation=False, ectopic_beats=0, rate=float(rate))
    signal, times, _ = render(episode, 500, 10, rng)
    inside = times[(times > 0) & (times < 10)]
    assert 60 / np.diff(inside).mean() == pytest.approx(rate, rel=0.03)
    assert heart_rate_and_spread(signal)[0] == pytest.approx(rate, rel=0.03)


def test_rhythm_labels_can_be_found_by_neurokit() -> None:
    rows = []
    for episode, rng in episodes(160):
        signal, _, ectopic = render(episode, 500, 10, rng)
        rows.append((*heart_rate_and_spread(signal), labels(episode, ectopic)))
    rate, spread = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    found = pd.DataFrame([r[2] for r in rows])
    sinus = (found["af"] == 0) & (found["ectopy"] == 0)
    assert roc_auc_score(found.loc[sinus, "sinus_brady"], -rate[sinus]) > 0.97
    assert roc_auc_score(found.loc[sinus, "sinus_tachy"], rate[sinus]) > 0.97
    regular = found["ectopy"] == 0
    assert roc_auc_score(found.loc[regular, "af"], spread[regular]) > 0.93
    assert np.median(spread[found["ectopy"] == 1]) > 2 * np.median(spread[sinus])


def test_shape_labels_are_in_the_noise_free_leads() -> None:
    found, width, st_level, voltage = [], [], [], []
    for episode, rng in episodes(250, seed=5):
        if episode.fibrillation:
            continue
        episode = replace(episode, ectopic_beats=0)
        signal, times, _ = render(episode, 500, 10, rng, noise=False)
        at = round(500 * times[(times > 2) & (times < 8)][0])
        speed = np.linalg.norm(np.diff(signal[:, at - 50 : at + 75], axis=1), axis=0) * 500
        fast = np.flatnonzero(speed > 0.12 * speed.max())
        width.append(fast[-1] - fast[0])
        j_point = at + round(500 * (0.58 * episode.heart.qrs + 0.04))
        baseline = signal[:, at - round(500 * (0.42 * episode.heart.qrs + 0.02))]
        st_level.append(np.abs(signal[:, j_point] - baseline).max())
        near = signal[:, at - 40 : at + 40]
        voltage.append(near[[10, 11]].max() - near[6].min())
        found.append(labels(episode, 0))
    table = pd.DataFrame(found)
    narrow = table["wide_qrs"] == 0
    assert roc_auc_score(table["wide_qrs"], width) > 0.95
    assert roc_auc_score(table.loc[narrow, "st_elevation"], np.array(st_level)[narrow]) > 0.95
    assert roc_auc_score(table.loc[narrow, "high_voltage"], np.array(voltage)[narrow]) > 0.9


def test_noise_keeps_the_limb_lead_laws() -> None:
    for episode, rng in episodes(8):
        signal, _, _ = render(episode, 500, 10, rng)
        one, two, three, avr, avl, avf = signal[:6]
        np.testing.assert_array_equal(three, two - one)
        np.testing.assert_allclose(avr + avl + avf, 0, atol=1e-5)
        assert np.abs(signal).max() < 8


@pytest.mark.parametrize("sampling_rate", [100, 1000])
def test_other_rates_show_the_same_heart(sampling_rate: int) -> None:
    patient = draw_patient(np.random.default_rng(0))
    episode = draw_episode(patient, np.random.default_rng(1))
    usual = render(episode, 500, 10, np.random.default_rng(2), noise=False)[0]
    other = render(episode, sampling_rate, 10, np.random.default_rng(2), noise=False)[0]
    assert other.shape == (12, 10 * sampling_rate)
    step = 100
    np.testing.assert_allclose(other[:, :: sampling_rate // step], usual[:, :: 500 // step], atol=2e-3)


def test_refuses_a_folder_that_is_not_its_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    with pytest.raises(InputError, match="mine"):
        simulate(tmp_path / "mine", SMALL, seed=0)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep me"
    backwards = SyntheticParams(patients=2, recordings_per_patient=(3, 1))
    with pytest.raises(InputError, match="recordings_per_patient"):
        simulate(tmp_path / "new", backwards, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_replaces_an_earlier_set_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done: list[int] = []
    two = replace_patients(SMALL, 2)
    simulate(tmp_path / "s", two, seed=0)
    before = (tmp_path / "s" / "manifest.csv").read_text()
    manifest = simulate(tmp_path / "s", two, seed=1, progress=done.append)
    assert manifest.read_text() != before
    assert sum(done) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_failure_leaves_the_earlier_set_alone(tmp_path: Path) -> None:
    two = replace_patients(SMALL, 2)
    manifest = simulate(tmp_path / "s", two, seed=0)
    before = manifest.read_text()

    def fail(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "s", two, seed=1, progress=fail)
    assert manifest.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_the_manifest_loads_as_a_cohort(folder: Path) -> None:
    cohort = load_manifest(folder / "manifest.csv")
    table = pd.read_csv(folder / "manifest.csv")
    assert cohort.targets == TARGETS
    np.testing.assert_array_equal(cohort.table["split"], table["split"])
    np.testing.assert_array_equal(cohort.table[list(TARGETS)].to_numpy(float), table[list(TARGETS)].to_numpy(float))
    recording = read_wfdb(cohort.root / cohort.table["path"][0])
    assert recording.leads == LEADS
    assert recording.signal.shape == (12, 3000)


def found_at(hospital: Hospital, count: int = 300) -> pd.DataFrame:
    """Return the labels and ages of simulated recordings of a hospital, one per patient."""
    rows = []
    for i in range(count):
        rng = np.random.default_rng([7, i])
        patient = draw_patient(rng, hospital)
        episode = draw_episode(patient, rng, hospital)
        rows.append({**labels(episode, episode.ectopic_beats), "age": patient.age})
    return pd.DataFrame(rows)


def test_defaults_are_those_of_the_first_release(folder: Path) -> None:
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()[:16] for name in FIRST_RELEASE}
    assert files == FIRST_RELEASE


def test_the_noise_factor_multiplies_all_noise_and_nothing_else() -> None:
    def signal(factor: float, noise: bool = True) -> np.ndarray:
        hospital = Hospital(noise=factor)
        rng = np.random.default_rng(12)
        episode = draw_episode(draw_patient(rng, hospital), rng, hospital)
        return render(episode, 500, 10, rng, noise=noise)[0]

    clean = signal(1.0, noise=False)
    usual = signal(1.0) - clean
    assert usual.std() > 0.005
    np.testing.assert_allclose(signal(3.0) - clean, 3 * usual, atol=2e-5)
    np.testing.assert_allclose(signal(0.0), clean, atol=1e-6)


def test_the_mains_frequency_is_that_of_the_hospital() -> None:
    _, rng = episodes(1)[0]
    for mains in (50.0, 60.0):
        hospital = Hospital(mains_frequency=mains)
        drawn = {draw_episode(draw_patient(rng, hospital), rng, hospital).noise.mains_frequency for _ in range(6)}
        assert drawn == {mains}


def test_prevalence_changes_one_finding() -> None:
    none = found_at(Hospital(prevalence=dict.fromkeys(TARGETS, 0.0)), 80)
    # a normal PR interval or rate can also be beyond its threshold by chance
    assert (none[list(TARGETS)].mean() < 0.08).all()
    for target in TARGETS:
        found = found_at(Hospital(prevalence={target: 10.0}), 80)
        assert found[target].mean() > 0.5, target
        assert (found[[other for other in TARGETS if other != target]].mean() < 0.4).all(), target


def test_age_changes_the_findings_that_depend_on_it() -> None:
    young, old = found_at(Hospital(age=(35, 5))), found_at(Hospital(age=(80, 5)))
    assert young["age"].mean() == pytest.approx(35, abs=1)
    assert old["age"].mean() == pytest.approx(80, abs=1)
    assert old["af"].mean() > 1.5 * young["af"].mean()


def test_two_hospitals_differ_in_patients_and_columns(folder: Path, tmp_path: Path) -> None:
    place = {"site": "Hospital B", "device": "XR-2", "labelled": False, "first_patient": 40}
    other = simulate(tmp_path / "b", SMALL.model_copy(update={"patients": 3, **place}), seed=3).parent
    table = pd.read_csv(other / "manifest.csv")
    assert list(table.columns) == ["record_id", "path", "patient_id", "split", "age", "sex", "site", "device"]
    assert set(table["patient_id"]) == {"P00040", "P00041", "P00042"}
    assert set(table["site"]) == {"Hospital B"}
    # the number of a patient determines the recordings
    shared = "records/000/syn-00040-1.dat"
    assert (other / shared).read_bytes() == (folder / shared).read_bytes()
    text = (other / "README.txt").read_text()
    assert "site: Hospital B" in text
    assert "one column per label" not in text
    cohort = load(SetParams.model_validate({"split": {"kind": "external"}}), other)
    assert cohort.targets == ()
    assert set(cohort.table["split"]) == {"test"}
    assert set(cohort.table["device"]) == {"XR-2"}


def test_all_wrong_options_of_a_simulation_are_listed() -> None:
    with pytest.raises(InputError) as caught:
        simulation(["af=2", "afib=2", "ectopy", "st_elevation=11"], noise=-1.0, site="=cmd", age=(5, 10), patients=3)
    message = str(caught.value)
    for part in ("'afib=2'", "'ectopy'", "'st_elevation=11'", "--noise", "--site", "--age"):
        assert part in message
    assert simulation(["af=2", "ectopy=0.5"], patients=3).prevalence == {"af": 2.0, "ectopy": 0.5}


def test_a_set_that_was_not_simulated_says_how(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'ecgssl simulate'") as caught:
        load(SetParams(), tmp_path)
    assert str(tmp_path / "manifest.csv") in str(caught.value)
