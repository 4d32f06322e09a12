"""Label fractions by patient: size, nesting, strata, and independence of the order of recordings. Folds and the secret key."""

from __future__ import annotations

import numpy as np
import pytest
from bare_store import bare_store
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import FinetuneParams
from ecgssl.finetuning import cross_validation
from ecgssl.finetuning.rows import label_fraction, share_of
from ecgssl.finetuning.task import resolve_task


def cohort(seed: int, patients: int = 60, labels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    who = np.repeat([f"p{i}" for i in range(patients)], rng.integers(1, 4, patients))
    targets = (rng.random((len(who), labels)) < [0.5, 0.2, 0.05][:labels]).astype(float)
    targets[rng.random(targets.shape) < 0.1] = np.nan
    return targets, who


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), shares=st.tuples(st.floats(0.02, 1), st.floats(0.02, 1)))
def test_nested_by_patient_and_of_the_size_asked_for(seed, shares):
    targets, who = cohort(seed)
    small, large = (label_fraction(targets, who, share, seed) for share in sorted(shares))
    assert (large | ~small).all()
    for chosen, share in ((small, min(shares)), (large, max(shares))):
        inside = set(who[chosen])
        assert not inside & set(who[~chosen])
        # every stratum (at most 4) is rounded up
        assert share * 60 - 1e-6 <= len(inside) <= share * 60 + 4
    order = np.random.default_rng(seed).permutation(len(who))
    assert (
        label_fraction(targets[order], who[order], shares[0], seed)
        == label_fraction(targets, who, shares[0], seed)[order]
    ).all()


def test_every_label_stays_where_it_can():
    targets, who = cohort(3)
    chosen = label_fraction(targets, who, 0.05, 1)
    assert ((targets[chosen] == 1).sum(axis=0) > 0).all()
    assert label_fraction(targets, who, 1.0, 1).all()
    assert (label_fraction(targets, who, 0.3, 1) != label_fraction(targets, who, 0.3, 2)).any()


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_no_such_share(fraction):
    with pytest.raises(ValueError, match="not in"):
        label_fraction(np.ones((3, 1)), np.arange(3), fraction, 0)


def two_keys(folder):
    """Yield one cohort of 90 recordings in two stores, whose patient hashes were made with different keys."""
    rng = np.random.default_rng(5)
    who, sick = rng.integers(0, 40, 90), rng.integers(0, 2, 90).astype(float)
    for number, hashes in enumerate((np.arange(40), rng.permutation(40))):
        yield bare_store(folder / f"s{number}", range(90), "train", hashes[who].tolist(), labels={"AF": sick})


def test_a_share_does_not_depend_on_the_key_of_the_patient_hashes(tmp_path):
    """Every machine has its own secret key, and thereby other hashes of the same patients."""
    train = np.arange(5, 90)
    drawn = [share_of(s, s.index[["AF"]].to_numpy(), train, 0.3, seed=2) for s in two_keys(tmp_path)]
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_folds_do_not_depend_on_the_key_of_the_patient_hashes(tmp_path):
    rows, params = np.arange(90), FinetuneParams(folds=5, repeats=2)
    folds = [cross_validation._folds(s, resolve_task(s, ["AF"]), rows, params, 3) for s in two_keys(tmp_path)]
    np.testing.assert_array_equal(folds[0], folds[1])
