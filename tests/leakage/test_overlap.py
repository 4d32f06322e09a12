"""Overlap between splits and data sets: detected for any name, format or gain, then rejected, counted or removed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import contents, ecgssl, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample
from store_cohort import KEY, RATE, beats, params
from wfdb_files import write_record

from ecgssl.config import Params
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError, Problem
from ecgssl.inspection.check import check
from ecgssl.inspection.check_summary import summarise
from ecgssl.leakage.overlap import MOST_PROBLEMS, ORDER, Crossing, limit_problems, within
from ecgssl.preprocessing.enforce_splits import find_crossings, reunite_copies
from ecgssl.preprocessing.preprocess import PreprocessReport, preprocess
from ecgssl.signal.leads import LEADS
from ecgssl.store.store import Store

PROFILE = Path(__file__).parents[2] / "ecgssl/profiles/quickstart.yaml"


def disguised(folder: Path) -> list[str]:
    """Write recordings 0 to 4 again as text, as an array, with another gain and rate, scaled, and without two leads.

    Returns their paths.
    """
    signals = [beats(number).astype(np.float32) / 1000 for number in range(5)]
    np.savetxt(folder / "copy0.csv", signals[0].T, delimiter=",", header=",".join(LEADS), comments="", fmt="%.3f")
    np.save(folder / "copy1.npy", signals[1])
    faster = np.rint(resample(signals[2], 2 * signals[2].shape[1], axis=1) * 200).astype(np.int16)
    write_record(folder, "copy2", faster, rate=2 * RATE, gain="200.0(0)/mV")
    write_record(folder, "copy3", np.rint(beats(3) * 0.6).astype(np.int16), rate=RATE)
    lacking = [row for row in range(12) if row not in (6, 9)]
    write_record(folder, "copy4", beats(4)[lacking], tuple(LEADS[row] for row in lacking), rate=RATE)
    return ["copy0.csv", "copy1.npy", "copy2", "copy3", "copy4"]


@pytest.fixture(scope="module")
def leaky(tmp_path_factory) -> Path:
    """Write twelve recordings of twelve patients in three splits, and copy five of train to test under other
    patients.
    """
    folder = tmp_path_factory.mktemp("leaky")
    rows = ["record_id,path,patient_id,split,AF,sampling_rate,units,leads"]
    for number in range(12):
        write_record(folder, f"r{number}", beats(number), rate=RATE)
        split = "train" if number < 6 else "val" if number < 8 else "test"
        rows.append(f"rec{number},r{number},mrn{number},{split},{number % 2},,,")
    for number, path in enumerate(disguised(folder)):
        stated = f"{RATE},mV,{';'.join(LEADS) if number else ''}" if number < 2 else ",,"
        rows.append(f"again{number},{path},other{number},test,{number % 2},{stated}")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    return folder / "m.csv"


def with_policy(policy: str, manifest: Path | None = None, **store) -> Params:
    data = {"overlap": policy} | ({"reader": "cohort", "manifest": str(manifest)} if manifest else {})
    return params(
        sets={"mine": data}, store={"shard_recordings": 4, "workers": 1, "max_rejected_fraction": 0.5} | store
    )


def prepare(cohort: Cohort, params: Params, out: Path) -> PreprocessReport:
    return preprocess(cohort, params, out, KEY, overlap=params.one_set().data.overlap, progress=False)


def load(manifest: Path, policy: str = "error"):
    return load_manifest(manifest, may_cross=policy != "error")


def test_copies_across_splits_are_refused_by_name_and_row(leaky, tmp_path):
    """All overlaps are reported at once without patient ids; with a new policy, finished shards are reused."""
    cohort = load(leaky)
    with pytest.raises(InputError) as caught:
        prepare(cohort, with_policy("error"), tmp_path / "out")
    messages = [str(problem) for problem in caught.value.problems]
    assert len(messages) == 5
    for number, text in enumerate(messages):
        named = (
            f"rec{number} (row {number + 2}) in train, again{number} (row {number + 14}) in test have the same waveform"
        )
        assert text.startswith(
            f"{leaky}: split: {named}. Keep them in one split, or set sets.NAME.overlap to drop_train"
        )
        assert "mrn" not in text
        assert "other" not in text
    (listing,) = tmp_path.glob(".out.partial-*/overlap.csv")
    assert not (tmp_path / "out").exists()
    table = pd.read_csv(listing)
    assert table["record_id"].tolist() == [f"{name}{n}" for n in range(5) for name in ("rec", "again")]
    assert set(table["share"]) == {"waveform"}
    report = prepare(cohort, with_policy("warn"), tmp_path / "out")
    assert (report.resumed, report.stored) == (17, 17)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_they_are_only_counted_where_that_is_asked_for(leaky, tmp_path):
    report = prepare(load(leaky), with_policy("warn"), tmp_path / "out")
    counts = {"policy": "warn", "left_out": 0, "moved": 0, "by_patient": 0, "by_waveform": 10, "two_patients": 0}
    assert report.overlap == counts == Store(tmp_path / "out").about["overlap"]
    assert any("10 recordings have the waveform of a recording in another split" in w for w in report.warnings)


def test_copies_move_to_one_split_if_the_splits_were_made_here(leaky, tmp_path):
    table = pd.read_csv(leaky, dtype=str, keep_default_na=False).drop(columns="split")
    table.to_csv(leaky.with_name("without_split.csv"), index=False)
    cohort = load_manifest(leaky.with_name("without_split.csv"), seed=0)
    before = cohort.table.set_index("record_id")["split"]
    shared = [n for n in range(5) if before[f"rec{n}"] != before[f"again{n}"]]
    assert shared, "choose a seed whose split separates copies"
    report = prepare(cohort, with_policy("error"), tmp_path / "out")
    assert (report.overlap["moved"], report.overlap["by_waveform"], report.rejected) == (len(shared), 0, 0)
    assert any(f"{len(shared)} recordings were moved to the split of a copy" in text for text in report.warnings)
    after = Store(tmp_path / "out").index.set_index("record_id")["split"]
    for n in range(5):
        earlier = min(before[f"rec{n}"], before[f"again{n}"], key=ORDER.index)
        assert after[f"rec{n}"] == after[f"again{n}"] == earlier
    others = [name for name in before.index if name not in {f"{of}{n}" for of in ("rec", "again") for n in range(5)}]
    assert after[others].tolist() == before[others].tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 20), st.booleans()), min_size=1, max_size=40),
    st.lists(st.sampled_from(["train", "val", "test", ""]), min_size=16, max_size=16),
)
def test_moving_copies_leaves_no_shared_recording(recordings, split_of_patient):
    table = pd.DataFrame(recordings, columns=["patient_id", "waveform", "usable"])
    table["split"] = [split_of_patient[patient] for patient in table["patient_id"]]
    table["patient_id"] = table["patient_id"].astype(str)
    table["fold"] = table["split"].map({"train": 1.0, "val": 9.0, "test": 10.0})
    cohort = Cohort("set", Path(), table, (), "", random_splits=True)
    places = np.flatnonzero(table["usable"])
    waveforms = table["waveform"].to_numpy()[places]
    moved, count = reunite_copies(cohort, places, waveforms)
    after = moved.table
    assert not find_crossings(moved, places, waveforms).crossings
    assigned = after[after["split"] != ""]
    assert (assigned.groupby("patient_id")["split"].nunique() == 1).all()
    rank = {"train": 0, "val": 1, "test": 2}
    was, now = (t.loc[assigned.index, "split"].map(rank) for t in (table, after))
    assert (now <= was).all()
    assert count == int((now < was).sum())
    assert (after["split"] == "").equals(table["split"] == "")
    assert (assigned["fold"] == assigned["split"].map({"train": 1.0, "val": 9.0, "test": 10.0})).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_those_of_train_are_left_out_counted_and_quarantined(leaky, tmp_path, workers):
    settings = with_policy("drop_train", workers=workers)
    report = prepare(load(leaky), settings, tmp_path / "out")
    assert (report.counted, report.stored, report.rejected) == (17, 12, 5)
    assert report.reasons == {"overlap": 5}
    rejected = pd.read_csv(tmp_path / "out/rejected.csv", keep_default_na=False)
    assert rejected["record_id"].tolist() == [f"rec{number}" for number in range(5)]
    assert set(rejected["stage"]) == set(rejected["reason"]) == {"overlap"}
    assert set(rejected["detail"]) == {"has the waveform of a recording of split test"}
    store = Store(tmp_path / "out")
    store.verify()
    assert store.index["record_id"].tolist() == [
        *(f"rec{n}" for n in range(5, 12)),
        *(f"again{n}" for n in range(5)),
    ]
    # the remaining recordings are unchanged
    prepare(load(leaky), with_policy("warn"), tmp_path / "all")
    everything = Store(tmp_path / "all")
    kept = np.flatnonzero(everything.index["record_id"].isin(store.index["record_id"]))
    np.testing.assert_array_equal(store.signals(np.arange(12)), everything.signals(kept))
    if workers == 2:
        prepare(load(leaky), with_policy("drop_train"), tmp_path / "one")
        assert contents(tmp_path / "one") == contents(tmp_path / "out")


def test_a_run_killed_after_a_shard_was_pruned_is_taken_up_again(leaky, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ecgssl.preprocessing.preprocess.write_index", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(load(leaky), with_policy("drop_train"), tmp_path / "out")
    # with another policy, the shards must not keep effects of the earlier one
    report = prepare(load(leaky), with_policy("warn"), tmp_path / "out")
    assert (report.stored, report.rejected) == (17, 0)
    assert 0 < report.resumed < 17
    prepare(load(leaky), with_policy("warn"), tmp_path / "other")
    assert contents(tmp_path / "out") == contents(tmp_path / "other")


def test_what_is_left_out_counts_for_the_limit(leaky, tmp_path):
    settings = with_policy("drop_train", max_rejected_fraction=0.2)
    with pytest.raises(InputError, match=r"5 of 17 recordings cannot be used \(overlap 5\); the limit is 20%"):
        prepare(load(leaky), settings, tmp_path / "out")


def test_a_patient_in_two_splits(tmp_path):
    rows = ["record_id,path,patient_id,split,AF"]
    for number, (patient, split) in enumerate([("A", "train"), ("A", "val"), ("B", "train"), ("C", "external")]):
        write_record(tmp_path, f"r{number}", beats(number), rate=RATE)
        rows.append(f"rec{number},r{number},{patient},{split},0")
    manifest = tmp_path / "m.csv"
    manifest.write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match=r"split: rows 2, 3: patients .* set sets.NAME.overlap to drop_train or warn"):
        load(manifest)
    report = prepare(load(manifest, "warn"), with_policy("warn"), tmp_path / "out")
    assert report.overlap["by_patient"] == 2
    report = prepare(load(manifest, "drop"), with_policy("drop_train"), tmp_path / "out")
    assert report.reasons == {"overlap": 1}
    assert "of a patient of split val" in (tmp_path / "out/rejected.csv").read_text()
    # a cohort built without the manifest checks is rejected after reading
    with pytest.raises(InputError, match=r"rec0 \(row 2\) in train, rec1 \(row 3\) in val belong to the same patient"):
        prepare(load(manifest, "warn"), with_policy("error"), tmp_path / "no")


@pytest.mark.parametrize("policy", ["error", "warn", "drop_train"])
def test_check_says_what_preprocessing_does(leaky, tmp_path, policy):
    found = check(with_policy(policy, leaky).one_set(), progress=False)
    if policy == "error":
        with pytest.raises(InputError) as caught:
            prepare(load(leaky), with_policy(policy), tmp_path / "out")
        assert found.exit_code == 2
        assert [issue.rows for issue in found.issues] == [(n + 2, n + 14) for n in range(5)]
        assert len(caught.value.problems) == len(found.issues)
        assert found.issues[0].what == "have the same waveform and are in train, test"
    else:
        report = prepare(load(leaky), with_policy(policy), tmp_path / "out")
        assert found.issues == ()
        assert found.exit_code == (3 if report.rejected else 0)
        rejected = pd.read_csv(tmp_path / "out/rejected.csv", keep_default_na=False)
        ours = found.rejected[["stage", "reason", "detail"]].to_numpy().tolist()
        assert ours == rejected[["stage", "reason", "detail"]].to_numpy().tolist()
    reported = [w["what"] for w in summarise(found)["warnings"] if "in another split" in w["what"]]
    assert len(reported) == (policy == "warn")


def test_one_waveform_under_two_patients_of_a_split_is_only_told(tmp_path):
    rows = ["record_id,path,patient_id,split,AF"]
    for number, split in enumerate(["train", "train", "train", "test"]):
        write_record(tmp_path, f"r{number}", beats(max(number, 1)), rate=RATE)
        rows.append(f"rec{number},r{number},p{number},{split},0")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    report = prepare(load(tmp_path / "m.csv"), with_policy("error"), tmp_path / "out")
    assert (report.stored, report.overlap["two_patients"], report.overlap["by_waveform"]) == (4, 2, 0)
    assert "2 recordings have the same waveform as a recording of another patient in the same split" in report.warnings


def test_the_figure_of_findings_does_not_mind(leaky, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(
        f"tasks: {{t: {{targets: [AF]}}}}\nsets: {{mine: {{reader: cohort, manifest: m.csv, patient_key: '{tmp_path}/key'}}}}\n"
    )
    given = ("--manifest", leaky, "--out", tmp_path / "out", "--params", file, "--figure", tmp_path / "f.png")
    settings = ("sets.mine.overlap=drop_train", "store.max_rejected_fraction=0.5")
    done = ecgssl("preprocess", *given, "--workers", 1, *(word for item in settings for word in ("--set", item)))
    assert (done.code, done.err) == (3, "")
    assert "rejected for overlap: 5" in done.out
    assert (tmp_path / "f.png").exists()
    refused(ecgssl("preprocess", *given[:-2], "--workers", 1), "again4 (row 18) in test")


def test_check_tells_of_patients_in_two_splits_once(tmp_path):
    for number in range(2):
        write_record(tmp_path, f"r{number}", beats(number), rate=RATE)
    manifest = tmp_path / "m.csv"
    manifest.write_text("record_id,path,patient_id,split\na,r0,p,train\nb,r1,p,test\n")
    assert [issue.rows for issue in check(with_policy("error", manifest).one_set(), progress=False).issues] == [(2, 3)]
    warned = summarise(check(with_policy("warn", manifest).one_set(), progress=False))["warnings"]
    assert [w["rows"] for w in warned if "have the patient of a recording in another split" in w["what"]] == [[2, 3]]


names = st.sampled_from([*ORDER, "", "dev"])


@given(st.lists(st.tuples(names, st.integers(0, 5), st.integers(0, 5)), max_size=30))
@settings(max_examples=200, deadline=None)
def test_crossings_are_what_comparing_every_pair_finds(recordings):
    splits, patients, waveforms = (list(part) for part in zip(*recordings, strict=True)) if recordings else ([], [], [])
    found = within(splits, [f"p{p}" for p in patients], np.array(waveforms, dtype=np.int64))
    count = range(len(recordings))
    rank = {split: number for number, split in enumerate(ORDER)}
    gone = set()
    for by, values in (("patient", patients), ("waveform", waveforms)):
        pairs = {
            frozenset((i, j))
            for i in count
            for j in count
            if values[i] == values[j] and splits[i] in rank and splits[j] in rank and splits[i] != splits[j]
        }
        ours = found.of(by)
        assert {frozenset((i, j)) for c in ours for i in c.rows for j in c.rows if splits[i] != splits[j]} == pairs
        assert all(tuple(splits[row] for row in c.rows) == c.splits for c in ours)
        gone |= {i for i, j in map(sorted, pairs) if rank[splits[i]] < rank[splits[j]]}
        gone |= {j for i, j in map(sorted, pairs) if rank[splits[j]] < rank[splits[i]]}
    assert list(found.left_out()) == sorted(gone)
    same = {
        i
        for i in count
        for j in count
        if waveforms[i] == waveforms[j]
        and patients[i] != patients[j]
        and (splits[i] == splits[j] or {splits[i], splits[j]} <= {"", "dev"})
    }
    assert found.two_patients == len(same)


def test_long_stories_are_cut_short():
    crossing = Crossing("waveform", tuple(range(30)), ("train",) * 29 + ("test",))
    messages = crossing.what(str)
    assert messages.startswith("0 in train, 29 in test, 1 in train")
    assert messages.endswith("and 22 more have the same waveform")
    many = [Problem("w", "f", str(number), "r") for number in range(MOST_PROBLEMS + 7)]
    assert [p.what for p in limit_problems(many, "; see x")][-1] == "7 more of this kind; see x"
    assert limit_problems(many[:MOST_PROBLEMS], "") == many[:MOST_PROBLEMS]


@pytest.mark.real
def test_the_challenge_renames_ptbxl(real_data, tmp_path):
    """HR00001-10 of the Challenge at 500 Hz are ecg_id 1-10 of PTB-XL at 100 Hz."""
    folder = real_data / "ptbxl_500"
    rows = ["record_id,path,split"]
    rows += [f"ptbxl{i},records100/00000/{i:05d}_lr,train" for i in range(1, 41)]
    rows += [f"HR{i},{real_data}/cinc2021/PTB_PTBXL/HR{i:05d},test" for i in range(1, 11)]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    cohort = load_manifest(tmp_path / "m.csv", folder)
    with pytest.raises(InputError) as caught:
        prepare(cohort, with_policy("error"), tmp_path / "out")
    messages = [p.what for p in caught.value.problems]
    expected = [
        f"ptbxl{i} (row {i + 1}) in train, HR{i} (row {i + 41}) in test have the same waveform" for i in range(1, 11)
    ]
    assert messages == expected
    report = prepare(cohort, with_policy("drop_train"), tmp_path / "out")
    assert report.reasons == {"overlap": 10}
    rejected = pd.read_csv(tmp_path / "out/rejected.csv")
    assert rejected["record_id"].tolist() == [f"ptbxl{i}" for i in range(1, 11)]
