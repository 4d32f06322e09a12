"""Clinical baseline: inputs, cached measurements, its row in the predictions, and what is left out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_cohort import small_encoder, small_params, small_store

from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.leaderboard import entry
from ecgssl.evaluation.predictions import CLINICAL
from ecgssl.finetuning import clinical_baseline
from ecgssl.finetuning.clinical_baseline import _people, cached_features
from ecgssl.finetuning.finetune import finetune
from ecgssl.finetuning.task import Task, resolve_task, task_values
from ecgssl.signal.clinical_features import NAMES, clinical_features


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Return the store of a cohort with a learnable target and the folder of an encoder."""
    store = small_store(tmp_path_factory.mktemp("cohort"))
    return store, small_encoder(tmp_path_factory.mktemp("encoder") / "e", store)


def test_the_baseline_is_compared_with_each_model(cohort, tmp_path, monkeypatch):
    """The target is a high voltage in V1, which the baseline measures; shares of the labels do not measure it again."""
    store, encoder = cohort
    params, measured = small_params(), []
    measure = clinical_baseline._measure

    def counted(store, rows, leads, show_progress):
        measured.extend(rows.tolist())
        return measure(store, rows, leads, show_progress)

    monkeypatch.setattr(clinical_baseline, "_measure", counted)
    options = {"show_progress": False}
    result = finetune(store, encoder, ["HIGH"], "linear", params.finetune, 0, tmp_path, **options)
    finetune(store, encoder, ["HIGH"], "linear", params.finetune, 0, tmp_path, share=0.5, **options)
    assert sorted(measured) == list(range(len(store)))
    figures = evaluate(result.predictions, params.evaluate, 0, main="linear")
    assert figures["clinical"] == CLINICAL
    reached = figures["models"][CLINICAL]["test"]["macro"]["auroc"]["value"]
    assert reached > 0.9
    found = entry(figures, "t", "linear")
    assert (found.clinical_model, found.clinical) == (CLINICAL, reached)
    assert found.clinical_gain == pytest.approx(found.value - reached)
    about = result.choices["clinical_baseline"]
    assert (about["model"], about["people"], list(about["C"])) == (CLINICAL, [], ["HIGH"])
    off = params.finetune.model_copy(update={"clinical_baseline": False})
    without = finetune(store, encoder, ["HIGH"], "linear", off, 0, tmp_path, **options)
    assert without.predictions["model"].unique().tolist() == ["linear", "random"]
    assert evaluate(without.predictions, params.evaluate, 0)["clinical"] is None
    assert without.predictions.equals(result.predictions[result.predictions["model"] != CLINICAL])


def test_measurements_are_those_of_the_stored_signal_with_the_leads_of_the_model(cohort, tmp_path):
    store = cohort[0]
    leads = np.isin(store.spec.leads, ("I", "II", "III", "aVR", "aVL", "aVF"))
    rows = np.array([7, 3])
    found = cached_features(store, rows, tmp_path, leads, show_progress=False)
    for row, values in zip(rows, found, strict=True):
        signal, mask = store.signals(np.array([row]))[0], store.lead_mask(np.array([row]))[0] & leads
        expected = clinical_features(signal, store.spec.sampling_rate, store.spec.leads, mask)
        np.testing.assert_array_equal(values, expected)
    assert np.isnan(found[:, NAMES.index("s_V1")]).all()
    assert not np.array_equal(cached_features(store, rows, tmp_path, show_progress=False), found, equal_nan=True)


def test_age_and_sex_are_inputs_unless_a_target_states_them(cohort):
    index = pd.DataFrame(
        {"age": [50.0, np.nan, 70.0, 60.0], "sex": ["male", "female", "", "other"], "young": [1, 0, 0, 1]}
    )
    known = SimpleNamespace(index=index)
    af = Task("af", ("af",), "multilabel")
    values = np.array([[0.0], [0.0], [1.0], [1.0]])
    people = _people(known, af, values)
    np.testing.assert_array_equal(people["age"], [50, np.nan, 70, 60])
    np.testing.assert_array_equal(people["sex"], [1, 0, np.nan, np.nan])
    assert list(_people(known, Task("a", ("age",), "regression"), index[["age"]].to_numpy())) == ["sex"]
    # a target with another name that is the sex, or the age in another unit
    assert list(_people(known, af, np.array([[0.0], [1.0], [0.0], [1.0]]))) == ["age"]
    assert list(_people(known, Task("m", ("months",), "regression"), 12 * index[["age"]].to_numpy())) == ["sex"]
    unknown = SimpleNamespace(index=pd.DataFrame({"age": [np.nan] * 4, "sex": [""] * 4}))
    assert _people(unknown, af, values) == {}
    store = cohort[0]
    task = resolve_task(store, ["HIGH"])
    assert _people(store, task, task_values(store, task)) == {}
