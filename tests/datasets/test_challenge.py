"""PhysioNet/CinC Challenge and Georgia: a small release with special cases, the real excerpt, and folds of subsets."""

from __future__ import annotations

import csv
import shutil
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from challenge_release import FOLDERS, write_header_and_signal

from ecgssl.config import SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public.challenge import CinC2020, CinC2021, Georgia, label_map
from ecgssl.datasets.public.cpsc2018 import CPSC2018
from ecgssl.datasets.public.label_map import equal_snomed_codes, package_table
from ecgssl.errors import InputError, RecordingError
from ecgssl.io import read
from ecgssl.preprocessing.request import recording_requests


@pytest.fixture
def release(tmp_path):
    """One or two recordings of every subset, with the known special cases."""
    for subset, name, dx, more in (
        ("cpsc_2018", "A0001", "59118001", {"age": "-1"}),
        ("cpsc_2018_extra", "Q0001", "164867002,427084000", {}),
        ("cpsc_2018_extra", "Q0400", "426783006", {}),
        ("st_petersburg_incart", "I0004", "426783006,164884008", {"rate": 257, "sex": "M"}),
        ("ptb", "S0001", "164865005", {"rate": 1000}),
        ("ptb-xl", "HR00001", "251146004,426783006", {"gain": "1000/mv", "age": "300", "sex": "Female"}),
        ("georgia", "E00001", "284470004,284470004,63593006", {"age": "NaN"}),
        ("georgia", "E04603", "17338001", {}),
        ("chapman_shaoxing", "JS00344", "164889003,59118001,", {}),
        ("chapman_shaoxing", "JS03287", "713427006,,427172004", {}),
        ("ningbo", "JS10765", "733534002", {}),
        ("ningbo", "JS45551", "NaN", {}),
        ("ningbo", "S23074", "426177001", {}),
    ):
        write_header_and_signal(tmp_path, subset, name, dx, **more)
    ningbo = tmp_path / "training/ningbo/g1"
    (ningbo / "S23074.mat").rename(ningbo / "JS23074.mat")
    header = ningbo / "S23074.hea"
    header.write_text(header.read_text().replace("S23074.mat", "JS23074.mat"))
    return tmp_path


def test_names_labels_and_what_is_known_of_them(release):
    cohort = load(SetParams(reader="cinc2021", root=release), "unused")
    table = cohort.table.set_index("record_id")
    assert len(cohort.targets) == 26
    names = ["cpsc2018-A0001", "cinc-Q0001", "cinc-Q0400", "incart-I04", "cinc-S0001", "ptbxl-00001", "georgia-E00001"]
    names += ["georgia-E04603", "ecg_arrhythmia-JS00344", "ecg_arrhythmia-JS03287", "ecg_arrhythmia-JS10765"]
    assert list(table.index) == [*names, "ecg_arrhythmia-JS45551", "ecg_arrhythmia-JS23074"]
    positive = {name: {t for t in cohort.targets if table.loc[name, t] == 1} for name in table.index}
    assert positive["ecg_arrhythmia-JS00344"] == {"AF", "RBBB"}
    assert positive["ecg_arrhythmia-JS03287"] == {"RBBB", "PVC"}
    assert positive["ecg_arrhythmia-JS10765"] == {"LBBB"}
    assert positive["georgia-E00001"] == {"PAC"}
    assert positive["georgia-E04603"] == {"PVC"}
    assert positive["cinc-S0001"] == set()
    assert table.loc["ecg_arrhythmia-JS45551", list(cohort.targets)].isna().all()
    np.testing.assert_array_equal(table["age"].iloc[[0, 3, 5, 6]], [np.nan, 60, 90, np.nan])
    assert list(table["sex"].iloc[[3, 5]]) == ["male", "female"]
    assert set(table["site"]) == set(FOLDERS)
    assert (table["patient_id"] == "record:" + table.index).all()


def test_defects_and_notes(release):
    cohort = CinC2021(release).cohort()
    table = cohort.table.set_index("record_id")
    assert set(table.index[table["defect_action"] == "flag"]) == {
        *("georgia-E04603", "ecg_arrhythmia-JS10765", "ecg_arrhythmia-JS23074", "ecg_arrhythmia-JS45551")
    }
    # ecg-arrhythmia's own JS23074 is excluded for its header, which is not the Challenge's
    assert list(table.index[table["defect_action"] == "exclude"]) == ["cinc-Q0400"]
    text = "\n".join(cohort.notes)
    assert "3 codes without a label (number of recordings): " in text
    assert "164867002 (1)" in text
    assert "1 recordings have no diagnosis code" in text
    assert "1 headers name a signal file with another name: S23074 (JS23074.mat)" in text
    assert "contains recordings of cpsc2018, incart, ptb, ptbxl, georgia, ecg_arrhythmia: do not" in text
    assert "PTB-XL 1.0.1" in text
    assert "ningbo 3 of 34905" in text


def test_every_recording_can_be_read(release):
    for path in CinC2021(release).cohort().table["path"]:
        assert read(release / path).signal.shape == (12, 600)


def test_subsets_whose_patients_repeat_only_train(tmp_path):
    for number in range(1, 61):
        for subset, prefix in (("ptb-xl", "HR"), ("georgia", "E"), ("ptb", "S0"), ("st_petersburg_incart", "I")):
            width = {"HR": 5, "E": 5, "S0": 3, "I": 4}[prefix]
            write_header_and_signal(tmp_path, subset, f"{prefix}{number:0{width}d}", samples=1)
    chosen = ("ptb-xl", "georgia", "ptb", "st_petersburg_incart")
    cohort = CinC2020(tmp_path, subsets=chosen).cohort()
    splits = cohort.table.groupby("site")["split"].value_counts().unstack(fill_value=0)
    assert splits.loc["georgia"].to_dict() == {"train": 48, "val": 6, "test": 6}
    for subset in ("ptb-xl", "ptb", "st_petersburg_incart"):
        assert splits.loc[subset].to_dict() == {"train": 60, "val": 0, "test": 0}
    assert any("ptb-xl, ptb, st_petersburg_incart: patients have several" in note for note in cohort.notes)
    # Georgia alone, or under other labels, has the same folds: one may be tested on what the other was kept from
    inside = cohort.table[cohort.table["site"] == "georgia"].set_index("record_id")["fold"]
    alone = Georgia(tmp_path, labels="all").cohort().table.set_index("record_id")["fold"]
    assert inside.to_dict() == alone.to_dict()


def test_a_subset_has_the_folds_of_its_own_set(tmp_path):
    for number in range(1, 61):
        code = ("426783006", "164889003,59118001", "713427006")[number % 3]
        write_header_and_signal(tmp_path, "cpsc_2018", f"A{number:04d}", code, samples=1)
    inside = CinC2021(tmp_path, subsets=["cpsc_2018"]).cohort().table.set_index("record_id")
    alone = CPSC2018(tmp_path / "training/cpsc_2018").cohort().table.set_index("record_id")
    assert inside["split"].value_counts().to_dict() == {"train": 48, "val": 6, "test": 6}
    pd.testing.assert_frame_equal(inside[["fold", "split", "patient_id"]], alone[["fold", "split", "patient_id"]])


def test_choice_of_subsets(release):
    cohort = load(SetParams(reader="cinc2020", root=release, subsets=("ptb", "georgia")), "unused")
    assert list(cohort.table["site"]) == ["ptb", "georgia", "georgia"]
    with pytest.raises(
        InputError, match=r"sets\.NAME\.subsets: ningbo: is not a subset of cinc2020\. Use: cpsc_2018, "
    ):
        CinC2020(release, subsets=["ningbo"])
    with pytest.raises(
        InputError, match=r"sets\.NAME\.subsets: georgia: is not a subset of georgia\. Remove sets\.NAME\.subsets"
    ):
        Georgia(release, subsets=["georgia"])
    for path in (release / "training/georgia/g1").iterdir():
        path.unlink()
    (release / "training/georgia/g1").rmdir()
    with pytest.raises(InputError, match=r"georgia: headers: the folder contains no header files"):
        Georgia(release).cohort()
    (release / "training/georgia").rmdir()
    with pytest.raises(InputError, match=r"does not contain georgia\. .*or set sets\.NAME\.subsets to \['cpsc_2018', "):
        CinC2020(release).cohort()


def test_old_gain_and_absent_signals_are_refused(release):
    write_header_and_signal(release, "georgia", "E00002", gain="4880/mV")
    (release / "training/ptb/g1/S0001.mat").unlink()
    with pytest.raises(InputError) as caught:
        CinC2020(release).cohort()
    assert {problem.field for problem in caught.value.problems} == {"gain", "signal files"}
    assert "1 of 3 headers (E00002) have the gain 4880" in str(caught.value)
    assert "1 of 1 headers (S0001) name a signal file that is not in their folder" in str(caught.value)


def test_two_copies_of_a_subset_are_refused(release):
    copy = release / "training/ptb/g2"
    shutil.copytree(release / "training/ptb/g1", copy)
    with pytest.raises(
        InputError, match=r"names: 2 of 2 headers \(S0001, S0001\) have a name that occurs more than once"
    ):
        CinC2020(release).cohort()


@pytest.mark.parametrize("spelling", ["4880/mV", "4880(0)/mV", "4880.0(0)/mV", "4880"])
def test_old_gain_in_every_spelling(tmp_path, spelling):
    write_header_and_signal(tmp_path, "georgia", "E00001", gain=spelling)
    with pytest.raises(InputError, match="gain 4880"):
        Georgia(tmp_path).cohort()


@pytest.mark.parametrize(("gain", "step", "what"), [("200/mV", 1000, "too large"), ("5000.0(0)/mV", 1000, "too small")])
def test_another_gain_is_refused_if_the_voltages_are_unusual(tmp_path, gain, step, what):
    """PTB-XL in the release of June 2020 has the gain 200 and samples in uV."""
    rate, samples = 500, 5000
    time = np.arange(samples) / rate
    beats = np.exp(-(((time % 0.8) - 0.3) ** 2) / 0.0005)
    weights = np.linspace(0.6, 1.4, 12)[:, None]
    digital = np.rint(step * weights * beats).astype(np.int16)
    for number in range(1, 4):
        write_header_and_signal(tmp_path, "ptb-xl", f"HR{number:05d}", digital=digital, gain=gain)
    with pytest.raises(InputError, match=rf"3 of 3 headers \(HR00001, .*another gain than 1000 per mV, .* {what}"):
        CinC2020(tmp_path, subsets=("ptb-xl",)).cohort()
    # a consistent gain is accepted
    shutil.rmtree(tmp_path / "training")
    factor = float(gain.split("/")[0].split("(")[0]) / 1000
    consistent = np.rint(factor * digital).astype(np.int16)
    for number in range(1, 4):
        write_header_and_signal(tmp_path, "ptb-xl", f"HR{number:05d}", digital=consistent, gain=gain)
    cohort = CinC2020(tmp_path, subsets=("ptb-xl",)).cohort()
    assert len(cohort) == 3
    # the reader refuses the gain 200 of these headers unless the unit is stated
    for request in recording_requests(cohort, 0, 3):
        read(request.path, overrides=request.overrides)


def test_folds_made_here_may_change_and_published_splits_may_not(release, tmp_path):
    assert Georgia(release).cohort().random_splits
    assert not load(SetParams(reader="georgia", root=release, split={"kind": "external"}), tmp_path).random_splits


def test_known_copies_are_flagged(tmp_path):
    for name in ("E00001", "E07509", "E07510"):
        write_header_and_signal(tmp_path, "georgia", name)
    table = Georgia(tmp_path).cohort().table.set_index("record_id")
    assert table.loc["georgia-E07510", ["defect", "defect_action"]].tolist() == ["same waveform as E07509", "flag"]


def test_a_sample_of_4880_is_no_gain(tmp_path):
    path = write_header_and_signal(tmp_path, "georgia", "E00001").with_suffix(".hea")
    path.write_text(
        "\n".join(
            " ".join([*line.split()[:5], "4880", *line.split()[6:]]) if ".mat" in line else line
            for line in path.read_text().splitlines()
        )
    )
    assert len(Georgia(tmp_path).cohort()) == 1


def test_a_broken_header_costs_one_recording(release):
    """Two records of ecg-arrhythmia have merged record and signal lines; other records are read."""
    path = release / "training/ningbo/g1/JS45551.hea"
    path.write_text(path.read_text().replace("\n", " ", 1))
    cohort = CinC2021(release).cohort()
    assert len(cohort) == 13
    with pytest.raises(RecordingError) as caught:
        read(release / "training/ningbo/g1/JS45551")
    assert caught.value.reason == "header"


def test_equal_codes_share_a_label_and_others_do_not():
    assert len(label_map("scored2021").labels) == 26
    assert len(label_map("scored2020").labels) == 24
    everything = label_map("all")
    assert (len(everything.label_of), len(everything.labels)) == (133, 129)
    equal = equal_snomed_codes()
    assert all(everything.label_of[code] == everything.label_of[other] for code, other in equal.items())
    assert set(label_map("scored2020").labels) <= set(label_map("scored2021").labels)
    text = (files("ecgssl.datasets.public") / "tables/snomed_cinc2021.csv").read_text()
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    shared = [row for row in rows if row["label"] != row["abbreviation"]]
    assert {row["code"] for row in shared} == {"733534002", "713427006", "63593006", "17338001", "61721007"}


def test_subsets_add_up_to_the_releases():
    rows = package_table("cinc_subsets.csv")
    assert [row["subset"] for row in rows] == list(CinC2021.subset_names) == list(FOLDERS)
    assert [row["subset"] for row in rows if row["since"] == "2020"] == list(CinC2020.subset_names)
    assert sum(int(row["recordings"]) for row in rows) == 88_253
    assert sum(int(row["recordings"]) for row in rows if row["since"] == "2020") == 43_101


def test_another_table_of_the_same_size_is_refused(tmp_path, monkeypatch):
    counts = {"recordings": 2, "AF": 1, "NSR": 1}
    monkeypatch.setattr("ecgssl.datasets.public.release_counts.release_counts", lambda name, labels="": counts)
    write_header_and_signal(tmp_path, "georgia", "E00001", "164889003", samples=1)
    write_header_and_signal(tmp_path, "georgia", "E00002", samples=1)
    assert len(Georgia(tmp_path).cohort()) == 2
    write_header_and_signal(tmp_path, "georgia", "E00002", "164889003", samples=1)
    with pytest.raises(InputError, match=r"counts differ from the release \(in brackets\): AF 2 \(1\), NSR 0 \(1\)"):
        Georgia(tmp_path).cohort()


EXCERPT = {"cpsc_2018": "CPSC_CPSC-Extra/A", "cpsc_2018_extra": "CPSC_CPSC-Extra/Q", "georgia": "G12EC/E"}
EXCERPT |= {"ptb": "PTB_PTBXL/S", "ptb-xl": "PTB_PTBXL/HR", "ningbo": "ChapmanShaoxing_Ningbo/JS4"}
EXCERPT |= {"chapman_shaoxing": "ChapmanShaoxing_Ningbo/JS0"}


@pytest.fixture
def excerpt(real_data, tmp_path):
    """The official layout, with links to real recordings."""
    for subset, prefix in EXCERPT.items():
        folder = tmp_path / "training" / subset / "g1"
        folder.mkdir(parents=True)
        for path in (real_data / "cinc2021").glob(f"{prefix}*"):
            (folder / path.name).symlink_to(path)
    return tmp_path


@pytest.mark.real
def test_real_excerpt(excerpt):
    cohort = CinC2021(excerpt, subsets=list(EXCERPT)).cohort()
    table = cohort.table.set_index("record_id")
    assert table["site"].value_counts().to_dict() == dict.fromkeys(EXCERPT, 10)
    # the same ten recordings lie in the excerpt of PTB-XL: their names say so
    assert [f"ptbxl-{number:05d}" for number in range(1, 11)] == sorted(n for n in table.index if n.startswith("ptbxl"))
    assert table.loc["ptbxl-00001", ["LQRSV", "NSR", "AF"]].tolist() == [1, 1, 0]
    assert table.loc["georgia-E00005", ["RBBB", "AF", "NSR"]].tolist() == [1, 1, 0]
    assert table[list(cohort.targets)].notna().all(axis=None)
    rates = {subset: read(excerpt / rows["path"].iloc[0]).sampling_rate for subset, rows in table.groupby("site")}
    assert rates == dict.fromkeys(EXCERPT, 500.0) | {"ptb": 1000.0}


@pytest.mark.real
def test_real_excerpt_of_georgia(excerpt):
    cohort = Georgia(excerpt).cohort()
    assert list(cohort.table["record_id"]) == [f"georgia-E{number:05d}" for number in range(1, 11)]
    for path in cohort.table["path"]:
        assert np.abs(read(excerpt / path).signal).max() > 0.5


@pytest.mark.parametrize("groups", [True, False], ids=["groups", "without groups"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "without training"])
def test_folders_may_be_left_out(tmp_path, training, groups):
    path = write_header_and_signal(tmp_path, "georgia", "E00001")
    if not groups:
        for file in path.parent.iterdir():
            file.rename(path.parents[1] / file.name)
    root = tmp_path
    if not training:
        (tmp_path / "training" / "georgia").rename(tmp_path / "georgia")
        (tmp_path / "training").rmdir()
    cohort = Georgia(root).cohort()
    expected = "training/" * training + "georgia/" + "g1/" * groups + "E00001"
    assert cohort.table["path"].tolist() == [expected]
    assert read(cohort.root / expected).signal.shape == (12, 600)


def test_headers_without_subset_folders_are_explained(tmp_path):
    path = write_header_and_signal(tmp_path / "release", "georgia", "E00001")
    flat = tmp_path / "flat"
    shutil.copytree(path.parent, flat / "training")
    with pytest.raises(InputError, match=r"1 header files are in this folder instead of .*training/SUBSET"):
        Georgia(flat).cohort()
    with pytest.raises(InputError, match=r"does not contain training.*training/SUBSET"):
        Georgia(flat / "training")
    # the root is one folder too deep or too high
    shutil.rmtree(flat)
    for root in (tmp_path / "release" / "training" / "georgia", tmp_path):
        with pytest.raises(InputError, match=r"Set sets\.NAME\.root to \S+release"):
            Georgia(root)
