"""Evaluation of each kind of task, of subgroups and of invalid input, compared with scikit-learn and definitions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from ecgssl.config import EvaluateParams
from ecgssl.errors import InputError
from ecgssl.evaluation.calibration.decision import Decision, fit_decision, fit_from_predictions
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.predictions import prediction_table
from ecgssl.evaluation.statistics.challenge_score import challenge_score, challenge_weights
from ecgssl.evaluation.subgroups import BY_SUBTRACTION, TOO_FEW, age_band

PARAMS = EvaluateParams(bootstrap=100)
COUNT = 400


def records() -> tuple[list[str], list[str], list[str]]:
    patient = np.random.default_rng(0).integers(0, 250, COUNT)
    split = np.array(["val", "test"])[patient % 2].tolist()
    return [f"{i:04d}" for i in range(COUNT)], [f"p{p:03d}" for p in patient], split


def tables(names: list[str], y: np.ndarray, outputs: dict[str, np.ndarray], kind: Any = "multilabel") -> pd.DataFrame:
    parts = [prediction_table(*records(), model, names, y, z, kind) for model, z in outputs.items()]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def findings() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    z = rng.normal(0, 2, (COUNT, 3))
    y = (rng.random(z.shape) < expit(0.5 * z - [0.5, 0.5, 1.0])).astype(float)
    y[rng.random(y.shape) < 0.05] = np.nan
    y[:, 2] = np.where(np.cumsum(np.nan_to_num(y[:, 2])) <= 8, y[:, 2], 0.0)
    return tables(["AF", "LBBB", "rare"], y, {"linear": z, "random": rng.normal(size=z.shape)})


@pytest.fixture(scope="module")
def evaluated(findings: pd.DataFrame) -> dict[str, Any]:
    return evaluate(findings, PARAMS, 0)


def test_numbers_at_frozen_thresholds_are_those_of_their_definitions(
    findings: pd.DataFrame, evaluated: dict[str, Any]
) -> None:
    json.dumps(evaluated, allow_nan=False)
    decision = fit_from_predictions(findings, "linear", PARAMS)
    assert Decision.from_dict(json.loads(json.dumps(evaluated["decision"]))) == decision
    part = findings[(findings["model"] == "linear") & (findings["split"] == "test")]
    p = decision.probabilities(part[[f"logit__{n}" for n in ("AF", "LBBB", "rare")]])
    known = part["target__AF"].notna().to_numpy()
    truth, probability = part["target__AF"].to_numpy()[known], p[known, 0]
    entry = evaluated["models"]["linear"]["test"]["labels"]["AF"]
    for name, threshold in decision.labels[0].thresholds.items():
        tn, fp, fn, tp = confusion_matrix(truth, probability >= threshold.value).ravel()
        found = entry["thresholds"][name]
        assert (found["tn"], found["fp"], found["fn"], found["tp"]) == (tn, fp, fn, tp)
        assert found["sensitivity"]["value"] == pytest.approx(tp / (tp + fn))
        assert found["npv"]["value"] == pytest.approx(tn / (tn + fn))
        assert found["ppv"]["low"] <= found["ppv"]["value"] <= found["ppv"]["high"]
    after = entry["calibration"]["after"]
    assert after["brier"]["value"] == pytest.approx(brier_score_loss(truth, probability))
    before = entry["calibration"]["before"]
    assert before["brier"]["value"] == pytest.approx(brier_score_loss(truth, part["prob__AF"][known]))
    # the scores are too extreme by a factor of two, which calibration on validation corrects
    assert before["slope"]["high"] < 0.8
    assert after["slope"]["low"] < 1 < after["slope"]["high"]
    assert after["brier"]["value"] < before["brier"]["value"]
    curve = evaluated["net_benefit"]["test"]
    at = curve["risk"].index(0.3)
    called = probability >= 0.3
    benefit = (called & (truth == 1)).mean() - (called & (truth == 0)).mean() * 0.3 / 0.7
    assert curve["labels"]["AF"]["model"][at] == pytest.approx(benefit)


def test_a_finding_of_eight_recordings_has_no_thresholds_and_a_caution(evaluated: dict[str, Any]) -> None:
    entry = evaluated["models"]["linear"]["test"]["labels"]["rare"]
    assert "positive recordings" in entry["caution"]
    assert all(cut["value"] is None and "needed" in cut["undefined"] for cut in entry["thresholds"].values())
    assert "10 of each needed" in evaluated["decision"]["labels"][2]["calibrator"]["reason"]


def test_the_main_model_is_compared_by_three_tests(evaluated: dict[str, Any]) -> None:
    paired = evaluated["paired"]["test"]["random"]
    assert set(paired) == {"auroc", "auprc", "permutation", "delong"}
    assert paired["permutation"]["p"] < 0.05
    assert paired["delong"]["AF"]["p"] < 0.01
    values = [evaluated["models"][m]["test"]["labels"]["AF"]["auroc"]["value"] for m in ("linear", "random")]
    assert paired["delong"]["AF"]["difference"] == pytest.approx(values[0] - values[1])


def test_a_given_decision_is_applied_and_not_fitted_again(findings: pd.DataFrame) -> None:
    names = ["AF", "LBBB", "rare"]
    z, y = np.random.default_rng(3).normal(size=(2, 300, 3))
    frozen = fit_decision("multilabel", names, z, (y > 0).astype(float))
    external = findings[(findings["model"] == "linear") & (findings["split"] == "test")].assign(split="external")
    found = evaluate(external, PARAMS, 0, baseline=None, decision=frozen)
    assert found["decision"] == frozen.to_dict()
    assert list(found["splits"]) == ["external"]
    cut = found["models"]["linear"]["external"]["labels"]["AF"]["thresholds"]["youden"]["value"]
    assert cut == frozen.labels[0].thresholds["youden"].value
    with pytest.raises(InputError, match="decision: labels"):
        evaluate(
            external, PARAMS, 0, baseline=None, decision=fit_decision("multilabel", ["AF"], z[:, :1], y[:, :1] > 0)
        )


def test_one_of_several_classes() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(0, 2, (COUNT, 3))
    codes = np.array([rng.choice(3, p=row) for row in softmax(z / 2, axis=1)])
    y = np.eye(3)[codes]
    y[:20] = np.nan
    names = ["rhythm:SR", "rhythm:AF", "rhythm:other"]
    table = tables(names, y, {"linear": z, "random": rng.normal(size=z.shape)}, "multiclass")
    found = evaluate(table, PARAMS, 0)
    json.dumps(found, allow_nan=False)
    assert (found["kind"], found["primary"]) == ("multiclass", "auroc")
    figures = found["models"]["linear"]["test"]
    test = (np.array(records()[2]) == "test") & (np.arange(COUNT) >= 20)
    slope = found["decision"]["labels"][0]["calibrator"]["slope"]
    p, truth = softmax(slope * z[test], axis=1), codes[test]
    assert figures["macro"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, p, multi_class="ovr"))
    assert figures["macro"]["accuracy"]["value"] == pytest.approx(accuracy_score(truth, p.argmax(1)))
    assert figures["macro"]["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(truth, p.argmax(1)))
    assert figures["macro"]["log_loss"]["after"]["value"] == pytest.approx(log_loss(truth, p))
    assert figures["macro"]["log_loss"]["before"]["value"] == pytest.approx(log_loss(truth, softmax(z[test], axis=1)))
    assert figures["confusion"] == confusion_matrix(truth, p.argmax(1)).tolist()
    assert figures["labels"]["rhythm:AF"]["positives"] == (truth == 1).sum()
    gain = found["paired"]["test"]["random"]["accuracy"]
    assert 0 < gain["low"] < gain["difference"] < gain["high"]


def test_numbers() -> None:
    rng = np.random.default_rng(2)
    age, other = rng.normal(60, 12, (2, COUNT))
    y = np.column_stack([age, np.full(COUNT, 5.0)])
    y[:20, 0] = np.nan
    guess = np.column_stack([age + rng.normal(2, 6, COUNT), other])
    table = tables(["age", "same"], y, {"linear": guess, "random": guess + 30}, "regression")
    found = evaluate(table, PARAMS, 0)
    json.dumps(found, allow_nan=False)
    entry = found["models"]["linear"]["test"]["labels"]["age"]
    test = (np.array(records()[2]) == "test") & (np.arange(COUNT) >= 20)
    truth, predicted = y[test, 0], guess[test, 0]
    expected = {
        "mae": mean_absolute_error(truth, predicted),
        "rmse": root_mean_squared_error(truth, predicted),
        "r2": r2_score(truth, predicted),
        "bias": (predicted - truth).mean(),
        "limit_low": (predicted - truth).mean() - 1.96 * (predicted - truth).std(ddof=1),
        "limit_high": (predicted - truth).mean() + 1.96 * (predicted - truth).std(ddof=1),
    }
    assert {k: entry[k]["value"] for k in expected} == pytest.approx(expected)
    assert all(entry[k]["low"] < entry[k]["value"] < entry[k]["high"] for k in expected)
    assert (entry["records"], entry["unknown"]) == (test.sum(), (np.array(records()[2]) == "test")[:20].sum())
    same = found["models"]["linear"]["test"]["labels"]["same"]
    assert same["r2"]["value"] is None
    assert "R2" in same["undefined"]
    assert found["paired"]["test"]["random"]["mae"]["difference"] < 0
    shifted = found["models"]["random"]["test"]["labels"]["age"]
    assert shifted["bias"]["value"] == pytest.approx(expected["bias"] + 30)


def test_subgroups_agree_with_their_records_and_small_ones_are_withheld(findings: pd.DataFrame) -> None:
    ids, _, _ = records()
    rng = np.random.default_rng(5)
    groups = pd.DataFrame(
        {
            "sex": rng.choice(["F", "M"], COUNT),
            "site": rng.choice(["north", "south", "west"], COUNT, p=[0.6, 0.36, 0.04]),
            "age": np.where(rng.random(COUNT) < 0.1, np.nan, rng.uniform(41, 90, COUNT)),
            "device": [f"d{i}" for i in range(COUNT)],
            "weight": rng.normal(75, 10, COUNT),
        },
        index=ids,
    )
    params = EvaluateParams(
        bootstrap=100, subgroups=["sex", "site", "age", "device", "weight", "absent"], age_bands=[65]
    )
    found = evaluate(findings, params, 0, groups=groups)
    json.dumps(found, allow_nan=False)
    rows = pd.DataFrame(found["subgroups"]["test"]).set_index(["column", "group", "label"])
    linear = findings[(findings["model"] == "linear") & (findings["split"] == "test")]
    women = linear[linear["record_id"].map(groups["sex"]).eq("F") & linear["target__AF"].notna()]
    entry = rows.loc[("sex", "F", "AF")]
    assert (entry["records"], entry["positives"]) == (len(women), women["target__AF"].sum())
    assert entry["metrics"]["auroc"]["value"] == pytest.approx(roc_auc_score(women["target__AF"], women["logit__AF"]))
    west, south, north = (rows.loc[("site", s, "AF")] for s in ("west", "south", "north"))
    assert west["withheld"] == TOO_FEW
    assert west["metrics"] is None
    assert south["withheld"] == BY_SUBTRACTION
    assert np.isnan(south["records"])
    assert list(south["metrics"]) == ["auroc"]
    assert north["records"] > 0
    assert {g for c, g, _ in rows.index if c == "age"} == {"under 65", "65 and over", "unknown"}
    assert {c for c, _, _ in rows.index} == {"sex", "site", "age", "device", "weight"}
    assert len({g for c, g, _ in rows.index if c == "weight"}) == 3
    device = [r for r in found["subgroups"]["test"] if r["column"] == "device"]
    assert [(r["group"], "at most 30" in r["withheld"]) for r in device] == [(None, True)]
    assert all(rows.loc[(c, g, "rare"), "metrics"] is None for c, g, _ in rows.index if c == "sex")


def test_no_sum_gives_away_a_small_group(findings: pd.DataFrame) -> None:
    ids, _, _ = records()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        groups = pd.DataFrame({"site": rng.choice(list("abcdef"), COUNT, p=[0.5, 0.3, 0.12, 0.04, 0.03, 0.01])}, ids)
        found = evaluate(findings, PARAMS, 0, groups=groups)["subgroups"]["test"]
        linear = findings[(findings["model"] == "linear") & (findings["split"] == "test")]
        site = linear["record_id"].map(groups["site"])
        for name in ("AF", "LBBB"):
            hidden = {r["group"] for r in found if r["label"] == name and r["positives"] is None}
            named = {r["group"] for r in found}
            apart = linear[site.where(site.isin(named), "all others").isin(hidden)]
            for value in (0.0, 1.0):
                behind = apart[apart[f"target__{name}"] == value]["patient"].nunique()
                assert not hidden or behind >= 10


def test_bands_of_age() -> None:
    years = pd.Series([0.0, 17.9, 18, 39.9, 40, 75, 110, np.nan])
    names = age_band(years, [18, 40, 65, 75]).tolist()
    assert names == [
        "under 18", "under 18", "18 to under 40", "18 to under 40", "40 to under 65", "75 and over", "75 and over", "unknown",
    ]  # fmt: skip


def test_one_recording_of_each_patient(findings: pd.DataFrame) -> None:
    found = evaluate(findings, EvaluateParams(bootstrap=100, one_per_patient=True), 0)
    for split in ("val", "test"):
        assert found["splits"][split]["records"] == found["splits"][split]["patients"]
    part = findings[(findings["model"] == "linear") & (findings["split"] == "test")].sort_values("record_id")
    first = part.drop_duplicates("patient").dropna(subset="target__AF")
    expected = roc_auc_score(first["target__AF"], first["logit__AF"])
    assert found["models"]["linear"]["test"]["labels"]["AF"]["auroc"]["value"] == pytest.approx(expected)


def test_the_challenges_labels_get_its_score() -> None:
    names = list(challenge_weights().columns)
    rng = np.random.default_rng(0)
    z = rng.normal(-1, 2, (COUNT, 26))
    y = (rng.random(z.shape) < expit(z)).astype(float)
    table = tables(names, y, {"linear": z})
    found = evaluate(table, PARAMS, 0, baseline=None)
    part = table[table["split"] == "test"]
    calls = fit_from_predictions(table, "linear", PARAMS).calls(part[[f"logit__{n}" for n in names]])
    score = found["models"]["linear"]["test"]["macro"]["challenge"]
    assert score["year"] == 2021
    assert score["value"] == pytest.approx(challenge_score(part[[f"target__{n}" for n in names]], calls, names))
    assert score["low"] < score["value"] < score["high"]


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "regression"])
def test_a_split_without_known_targets_or_validation_gives_no_number(kind: Any) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(COUNT, 2))
    y = np.where(np.array(records()[2])[:, None] == "test", np.nan, np.eye(2)[rng.integers(0, 2, COUNT)])
    table = tables(["a", "b"], y, {"linear": z, "random": z[:, ::-1]}, kind)
    for part in (table, table[table["split"] == "test"]):
        found = evaluate(part, PARAMS, 0)
        json.dumps(found, allow_nan=False)
        figures = found["models"]["linear"]["test"]
        assert figures["macro"][found["primary"]]["value"] is None
        assert figures["macro"]["labels"] == 0
        assert set(figures["macro"]["undefined"]) == {"a", "b"}
