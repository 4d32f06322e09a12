"""Splits of every kind: one split per patient, and the properties of each kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.model_selection import StratifiedGroupKFold

from ecgssl.config import Target
from ecgssl.config.split import SplitParams
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.splits import CannotSplit, make_split, repeated_folds, resplit
from ecgssl.errors import InputError

pytestmark = pytest.mark.long


def table(recordings: int = 1000, patients: int = 300, seed: int = 0) -> pd.DataFrame:
    g = np.random.default_rng(seed)
    patient = g.integers(0, patients, recordings)
    home = g.integers(0, 4, patients)
    moved = g.random(recordings) < 0.1
    days = g.integers(0, 2000, recordings)
    return pd.DataFrame(
        {
            "record_id": [f"r{i}" for i in range(recordings)],
            "patient_id": [f"p{p}" for p in patient],
            "split": "",
            "acq_time": [(pd.Timestamp("2015-01-01") + pd.Timedelta(days=int(d))).isoformat() for d in days],
            "site": [f"s{(home[p] + m) % 4}" for p, m in zip(patient, moved, strict=True)],
            "af": np.where(g.random(recordings) < 0.1, 1.0, np.where(g.random(recordings) < 0.1, np.nan, 0.0)),
            "rhythm": g.choice([0.0, 1.0, 2.0, np.nan], recordings, p=[0.7, 0.15, 0.1, 0.05]),
            "lvef": np.where(g.random(recordings) < 0.2, np.nan, g.normal(55, 10, recordings)),
        }
    )


def names_of(frame: pd.DataFrame, **params: object) -> pd.Series:
    split = make_split(frame, ("af",), SplitParams.model_validate(params), seed=0)
    assert split is not None
    return pd.Series(split.names, index=frame.index)


KINDS = [
    {"kind": "auto"},
    {"kind": "grouped", "val": 0.15, "test": 0.3},
    {"kind": "temporal"},
    {"kind": "temporal", "val_from": "2017-06-01", "test_from": "2019-01-01"},
    {"kind": "site", "sites": ["s1", "s2"]},
    {"kind": "kfold", "folds": 4, "fold": 3, "repeat": 2},
    {"kind": "external"},
]


@pytest.mark.parametrize("params", KINDS, ids=lambda p: "-".join(map(str, p.values())))
@settings(max_examples=5, deadline=None)
@given(patients=st.integers(250, 400), seed=st.integers(0, 5), order=st.randoms(use_true_random=False))
def test_no_patient_crosses_and_equal_tables_give_equal_splits(params, patients, seed, order):
    frame = table(600, patients, seed)
    names = names_of(frame, **params)
    assert set(names) <= {"train", "val", "test", ""}
    stated = names[names != ""]
    assert (stated.groupby(frame["patient_id"]).nunique() == 1).all()
    pd.testing.assert_series_equal(names, names_of(frame, **params))
    if params["kind"] in ("temporal", "external"):
        # what follows from time alone does not depend on the order of rows
        rows = list(frame.index)
        order.shuffle(rows)
        pd.testing.assert_series_equal(names_of(frame.loc[rows], **params).sort_index(), names)


@pytest.mark.parametrize(("val", "test"), [(0.1, 0.2), (0.05, 0.05), (0.25, 0.5)])
def test_shares_are_those_asked_for_and_targets_are_spread(val, test):
    frame = table(4000, 1500)
    names = names_of(frame, kind="grouped", val=val, test=test)
    assert names.value_counts(normalize=True)[["val", "test"]].to_numpy() == pytest.approx([val, test], abs=0.02)
    prevalence = (frame["af"] == 1).groupby(names).mean()
    np.testing.assert_allclose(prevalence, (frame["af"] == 1).mean(), atol=0.02)


def test_the_default_is_a_grouped_split_of_70_10_20():
    frame = table()
    names = names_of(frame, kind="auto")
    np.testing.assert_array_equal(names, names_of(frame, kind="grouped", val=0.1, test=0.2))
    stratum = (frame["af"] == 1).astype(int)
    parts = list(StratifiedGroupKFold(10, shuffle=True, random_state=0).split(stratum, stratum, frame["patient_id"]))
    expected = np.full(len(frame), "train", dtype=object)
    for part, name in enumerate(["val", "test", "test"]):
        expected[parts[part][1]] = name
    np.testing.assert_array_equal(names, expected)


def test_a_stated_split_is_kept_or_replaced_as_asked():
    frame = table()
    frame.loc[:9, "split"] = "train"
    for kind in ("auto", "official"):
        assert make_split(frame, ("af",), SplitParams(kind=kind), 0) is None
    assert make_split(frame, ("af",), SplitParams(kind="grouped"), 0) is not None
    with pytest.raises(CannotSplit, match="has no split"):
        make_split(table(), ("af",), SplitParams(kind="official"), 0)


def test_time_runs_from_train_to_test():
    frame = table()
    split = make_split(frame, ("af",), SplitParams(kind="temporal"), 0)
    times = pd.to_datetime(frame["acq_time"])
    names = pd.Series(split.names)
    assert times[names == "train"].max() < times[names == "val"].min()
    assert times[names == "val"].max() < times[names == "test"].min()
    # a patient belongs to the period of the first recording; later ones of a later period are left out and counted
    first = times.groupby(frame["patient_id"]).transform("min")
    left_out = names == ""
    assert (first[left_out] < times[left_out]).all()
    assert f"{int(left_out.sum())} of their recordings" in split.note
    begins = first.groupby(frame["patient_id"]).first()
    starts = times[names == "test"].min()
    assert (begins >= starts).mean() == pytest.approx(0.2, abs=0.02)


def test_dates_that_are_named_are_the_cuts():
    names = names_of(table(), kind="temporal", val_from="2017-06-01", test_from="2019-01-01")
    times = pd.to_datetime(table()["acq_time"])
    assert (times[names == "test"] >= "2019-01-01").all()
    assert (times[names == "train"] < "2017-06-01").all()
    assert times[names == "val"].between("2017-06-01", "2018-12-31 23:59:59").all()


def test_recordings_without_a_time_or_site_are_counted():
    frame = table()
    frame.loc[:49, "acq_time"] = ""
    frame.loc[50:99, "site"] = ""
    split = make_split(frame, ("af",), SplitParams(kind="temporal"), 0)
    assert set(split.names[:50]) == {""}
    assert "50 recordings without a readable acq_time" in split.note
    split = make_split(frame, ("af",), SplitParams(kind="site", sites=("s1",)), 0)
    assert set(split.names[50:100]) == {""}
    assert "recordings without a site are in no split" in split.note


def test_a_site_is_test_whole_and_its_patients_train_nowhere():
    frame = table()
    split = make_split(frame, ("af",), SplitParams(kind="site", sites=("s3",)), 0)
    names = pd.Series(split.names)
    assert set(names[frame["site"] == "s3"]) == {"test"}
    assert "test" not in set(names[frame["site"] != "s3"])
    seen = frame["patient_id"].isin(frame.loc[frame["site"] == "s3", "patient_id"]) & (frame["site"] != "s3")
    assert seen.any()
    assert set(names[seen]) == {""}
    assert f"{int(seen.sum())} recordings of its patients at other sites" in split.note


def test_every_recording_is_tested_once_in_each_repetition():
    frame = table(300, 60)
    folds = repeated_folds(frame, ("af",), folds=5, repeats=3, seed=7)
    assert folds.shape == (300, 3)
    for repeat in range(3):
        assert set(folds[:, repeat]) == set(range(5))
        assert (pd.Series(folds[:, repeat]).groupby(frame["patient_id"]).nunique() == 1).all()
    assert (folds[:, 0] != folds[:, 1]).any()
    np.testing.assert_array_equal(folds, repeated_folds(frame, ("af",), folds=5, repeats=3, seed=7))
    tested = np.zeros(300, dtype=int)
    for fold in range(5):
        params = SplitParams(kind="kfold", folds=5, repeat=1, fold=fold)
        names = make_split(frame, ("af",), params, seed=7).names
        np.testing.assert_array_equal(names == "test", folds[:, 1] == fold)
        tested += names == "test"
    assert (tested == 1).all()


def test_numbers_and_classes_are_spread_too():
    frame = table(3000, 1000)
    kinds = {
        "lvef": Target(kind="regression"),
        "rhythm": Target(kind="multiclass", classes={"a": [], "b": [], "c": []}),
    }
    names = make_split(frame, ("lvef",), SplitParams(kind="grouped"), 0, kinds).names
    np.testing.assert_allclose(frame["lvef"].groupby(names).mean(), frame["lvef"].mean(), atol=0.5)
    names = make_split(frame, ("rhythm",), SplitParams(kind="grouped"), 0, kinds).names
    np.testing.assert_allclose((frame["rhythm"] == 2).groupby(names).mean(), (frame["rhythm"] == 2).mean(), atol=0.01)


@pytest.mark.parametrize(
    ("params", "changed", "message"),
    [
        ({"kind": "temporal"}, {"acq_time": ""}, "no acq_time can be read"),
        (
            {"kind": "temporal", "val_from": "2030-01-01", "test_from": "2031-01-01"},
            {},
            "no recordings are left for val, test",
        ),
        ({"kind": "site", "sites": ["s9"]}, {}, "no recording has the site s9"),
        ({"kind": "site", "sites": ["s0", "s1", "s2", "s3"]}, {}, "too few"),
        ({"kind": "grouped"}, {"patient_id": "one"}, "1 patients are too few"),
        ({"kind": "kfold", "folds": 90}, {"patient_id": "one"}, "1 patients are too few for 90 parts"),
    ],
)
def test_impossible_splits_are_errors(params, changed, message):
    frame = table().assign(**changed)
    with pytest.raises(CannotSplit, match=message):
        make_split(frame, ("af",), SplitParams.model_validate(params), 0)
    cohort = Cohort("c", None, frame, ("af",), "", source="c.csv")
    with pytest.raises(InputError, match=f"c.csv: sets.NAME.split: .*{message}"):
        resplit(cohort, SplitParams.model_validate(params), 0)


def test_a_cohort_says_how_it_was_split():
    cohort = Cohort("c", None, table(), ("af",), "", notes=("first",))
    made = resplit(cohort, SplitParams(kind="grouped"), 3)
    assert made.notes == ("first", "split 70/10/20 by patient, stratified by target, seed 3")
    assert set(made.table["split"]) == {"train", "val", "test"}
    assert set(cohort.table["split"]) == {""}


@pytest.mark.parametrize(
    "params",
    [
        {"kind": "site"},
        {"sites": ["a"]},
        {"val": 0.5, "test": 0.5},
        {"val": 0.13},
        {"kind": "temporal", "val_from": "2020-01-01"},
        {"kind": "temporal", "val_from": "2021-01-01", "test_from": "2020-01-01"},
        {"kind": "grouped", "val_from": "2020-01-01", "test_from": "2021-01-01"},
        {"kind": "kfold", "folds": 5, "fold": 5},
    ],
)
def test_parameters_that_contradict_themselves_are_refused(params):
    with pytest.raises(ValidationError):
        SplitParams.model_validate(params)
