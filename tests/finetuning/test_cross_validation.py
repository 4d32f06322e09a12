"""Cross-validation of small cohorts: predictions without the same patient, and an error for too few events."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from command_line import ecgssl, refused
from sklearn.metrics import mean_absolute_error, roc_auc_score
from small_cohort import small_encoder, small_params, small_store

from ecgssl.config import EvaluateParams
from ecgssl.errors import InputError
from ecgssl.evaluation.predictions import prediction_table
from ecgssl.evaluation.repetitions import score_repetitions
from ecgssl.finetuning import cross_validation
from ecgssl.finetuning.cross_validation import cross_validate


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    store = small_store(folder)
    return store, small_encoder(folder / "encoder", store)


@pytest.fixture
def seen(monkeypatch):
    """Training rows of every fit."""
    calls, plain = [], cross_validation.finetune

    def spy(*arguments, rows, **more):
        calls.append(rows)
        return plain(*arguments, rows=rows, **more)

    monkeypatch.setattr(cross_validation, "finetune", spy)
    return calls


@pytest.mark.parametrize("target", ["HIGH", "VOLTS"])
def test_no_patient_is_predicted_by_a_model_that_has_seen_him(cohort, seen, tmp_path, target):
    store, encoder = cohort
    params = small_params(folds=4, repeats=2).finetune
    found = cross_validate(store, encoder, [target], params, 1, tmp_path, show_progress=False)
    assert len(found.repetitions) == 2
    assert len(seen) == 2 * 4 + 1
    for rows in seen:
        assert not set(store.patients[rows["train"]]) & set(store.patients[rows["test"]])
    for number, table in enumerate(found.repetitions):
        folds = seen[4 * number : 4 * number + 4]
        assert sorted(np.concatenate([rows["test"] for rows in folds])) == list(range(len(store)))
        for model in ("linear", "random"):
            part = table[table["model"] == model]
            assert sorted(part["record_id"]) == sorted(store.index["record_id"])
            assert set(part["split"]) == {"test"}
    one, other = (t.query("model == 'linear'").set_index("record_id").sort_index() for t in found.repetitions)
    assert not np.allclose(one.filter(regex="logit|pred"), other.filter(regex="logit|pred"))
    assert len(seen[-1]["train"]) == len(store)
    assert not len(seen[-1]["test"])
    assert found.final.predictions.equals(found.repetitions[0])
    assert found.final.overlap["across_folds"] == {"recordings": len(store), "by_patient": 0, "by_waveform": 0}


def test_folds_hold_similar_shares_of_the_target(cohort, seen, tmp_path):
    store, encoder = cohort
    cross_validate(
        store, encoder, ["HIGH"], small_params(folds=5, repeats=1).finetune, 1, tmp_path, show_progress=False
    )
    positive = store.index["HIGH"].to_numpy()
    shares = [positive[rows["test"]].mean() for rows in seen[:-1]]
    assert max(shares) - min(shares) <= 0.25


@pytest.mark.parametrize("positive", [3, 0, 22])
def test_too_few_events_are_refused(tmp_path, positive):
    store = small_store(tmp_path, positive=positive)
    encoder = small_encoder(tmp_path / "encoder", store)
    with pytest.raises(InputError) as caught:
        cross_validate(store, encoder, ["HIGH"], small_params().finetune, 1, tmp_path / "w", show_progress=False)
    counts = f"has {2 * positive} positive and {50 - 2 * positive} negative recordings"
    counts += f" of {positive} and {25 - positive} patients"
    assert f"{counts}, both classes of at least 10 patients are needed for 5 folds" in str(caught.value)
    assert not (tmp_path / "w").exists()


def test_too_few_recordings_are_refused(tmp_path):
    store = small_store(tmp_path, patients=15)
    with pytest.raises(InputError, match="30 usable recordings with a known target; at least 40 are needed"):
        cross_validate(
            store, small_encoder(tmp_path / "e", store), ["HIGH"], small_params().finetune, 1, tmp_path / "w"
        )


def repetitions(seed: int, kind: str) -> list[pd.DataFrame]:
    rng = np.random.default_rng(seed)
    y = (rng.random((60, 2)) < 0.4).astype(float) if kind == "multilabel" else rng.normal(0, 1, (60, 2))
    ids, patients = [f"r{i}" for i in range(60)], [f"p{i // 2}" for i in range(60)]
    return [
        pd.concat(
            [
                prediction_table(
                    ids, patients, ["test"] * 60, model, ["a", "b"], y, y + rng.normal(0, s, y.shape), kind
                )
                for model, s in (("linear", 1.0), ("random", 3.0))
            ]
        )
        for _ in range(3)
    ]


def test_means_over_repetitions_are_those_of_sklearn():
    params = EvaluateParams(bootstrap=200)
    tables = repetitions(0, "multilabel")
    reported = score_repetitions(tables, "linear", params, 0, against="random")["auroc"]

    def auroc(model: str) -> list[float]:
        parts = [t[t["model"] == model] for t in tables]
        return [np.mean([roc_auc_score(p[f"target__{n}"], p[f"logit__{n}"]) for n in "ab"]) for p in parts]

    assert reported["repetitions"] == pytest.approx(auroc("linear"))
    assert reported["value"] == pytest.approx(np.mean(auroc("linear")))
    assert reported["other"] == pytest.approx(np.mean(auroc("random")))
    several = score_repetitions(tables, "linear", params, 0, against=["random", "linear"])["auroc"]
    assert several["versus"]["random"] == {"value": reported["other"], "paired": reported["paired"]}
    assert several["versus"]["linear"]["paired"]["difference"] == 0
    assert reported["low"] < reported["value"] < reported["high"]
    paired = reported["paired"]
    assert paired["difference"] == pytest.approx(reported["value"] - reported["other"])
    assert 0 < paired["low"] < paired["difference"] < paired["high"]
    assert paired["p"] <= 0.05
    # repeating one repetition three times does not change the interval
    once, thrice = (score_repetitions(tables[:1] * n, "linear", params, 0)["auroc"] for n in (1, 3))
    assert (once["low"], once["high"]) == pytest.approx((thrice["low"], thrice["high"]))


def test_numbers_too():
    tables = repetitions(1, "regression")
    reported = score_repetitions(tables, "linear", EvaluateParams(bootstrap=100), 0)["mae"]
    parts = [t[t["model"] == "linear"] for t in tables]
    expected = [np.mean([mean_absolute_error(p[f"target__{n}"], p[f"pred__{n}"]) for n in "ab"]) for p in parts]
    assert reported["repetitions"] == pytest.approx(expected)


def test_repetitions_of_other_recordings_are_refused():
    tables = repetitions(0, "multilabel")
    with pytest.raises(InputError, match="repetition 1 and the first repetition have different recordings"):
        score_repetitions([tables[0], tables[1].iloc[1:]], "linear", EvaluateParams(bootstrap=100), 0)


def test_folds_by_the_command(cohort, tmp_path):
    store, encoder = cohort
    given = ("finetune", "--store", store.path, "--encoder", encoder, "--targets", "HIGH", "--out", tmp_path / "run")
    smaller = ("--set", "evaluate.bootstrap=100", "--set", "finetune.linear.C=[0.01]", "--folds", "3", "--repeats", "2")
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.chdir(tmp_path)
        done = ecgssl(*given, *smaller)
        assert done.code == 0, done.err
        assert "| HIGH | linear | 100 %, mean of 2 | 12lead | 50 |" in done.out
        refused(
            ecgssl(*given, *smaller, "--mode", "full", "--share", "0.5"),
            "Remove --mode or --folds",
            "cannot be combined with --folds",
        )
    made = {p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*.*")}
    assert {"folds/repetition-0.csv", "folds/repetition-1.csv", "evaluation.json", "classifier/decision.json"} <= made
    assert not any("work" in name for name in made)
