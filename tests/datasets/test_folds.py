"""Folds: label shares, one fold per patient, and results independent of row order and machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ecgssl.datasets.folds import FOLDS, hashed_folds, split_of, stratified_folds

RATES = (0.4, 0.2, 0.05, 0.02, 0.011)


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(0)
    matrix = (rng.random((3000, len(RATES))) < RATES).astype(float)
    matrix[:50] = np.nan
    return matrix


def test_every_label_has_its_share_in_every_fold(labels):
    names = [f"r{i}" for i in range(len(labels))]
    folds = stratified_folds(labels, names, "set")
    assert sorted(set(folds)) == list(range(1, FOLDS + 1))
    assert np.ptp(np.bincount(folds)[1:]) <= 1
    for column in labels.T:
        shares = np.array([(column[folds == fold] == 1).sum() for fold in range(1, FOLDS + 1)])
        assert np.ptp(shares) <= 2, shares


def test_random_folds_would_fail_that_test(labels):
    folds = np.random.default_rng(1).integers(1, FOLDS + 1, len(labels))
    worst = max(np.ptp([(c[folds == f] == 1).sum() for f in range(1, FOLDS + 1)]) for c in labels.T)
    assert worst > 2


def test_order_of_the_table_does_not_matter_and_the_salt_does(labels):
    names = np.array([f"r{i}" for i in range(len(labels))])
    folds = stratified_folds(labels, list(names), "set")
    shuffled = np.random.default_rng(2).permutation(len(labels))
    np.testing.assert_array_equal(stratified_folds(labels[shuffled], list(names[shuffled]), "set"), folds[shuffled])
    assert (stratified_folds(labels, list(names), "other") != folds).mean() > 0.5


def test_a_patient_is_in_one_fold(labels):
    patients = [f"p{i // 3 if i < 900 else i}" for i in range(len(labels))]
    folds = stratified_folds(labels, patients, "set")
    by_patient = {}
    for patient, fold in zip(patients, folds, strict=True):
        assert by_patient.setdefault(patient, fold) == fold
    assert np.ptp(np.bincount(folds)[1:]) <= 4
    shares = [(labels[folds == fold, 0] == 1).sum() for fold in range(1, FOLDS + 1)]
    assert np.ptp(shares) < 0.15 * np.mean(shares)


def test_rare_labels_do_not_all_go_to_the_first_folds():
    matrix = np.zeros((400, 30))
    matrix[np.arange(90), np.arange(90) // 3] = 1
    folds = stratified_folds(matrix, [str(i) for i in range(400)], "set")
    assert {9, 10} <= set(folds[:90])
    assert np.ptp(np.bincount(folds[:90], minlength=11)[1:]) <= 1


def test_no_labels_at_all():
    folds = stratified_folds(np.zeros((25, 0)), [str(i) for i in range(25)], "set")
    assert sorted(np.bincount(folds)[1:]) == [2] * 5 + [3] * 5


def test_hashed_folds_follow_from_the_name_alone():
    names = [str(10_000_000 + i // 2) for i in range(20_000)]
    folds = hashed_folds(names, "set", 20)
    assert folds[3] == int(hashlib.sha256(b"set:10000001").hexdigest()[:12], 16) % 20
    np.testing.assert_array_equal(hashed_folds(names[500:700], "set", 20), folds[500:700])
    assert np.bincount(folds, minlength=20).min() > 0.85 * 1000
    assert set(folds) == set(range(20))


def test_split_of_folds():
    assert [split_of(fold) for fold in range(1, 11)] == ["train"] * 8 + ["val", "test"]
