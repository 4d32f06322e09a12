"""External evaluation of a frozen run, its recalibration and its errors, with synthetic data and a random encoder."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import ecgssl
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner
from wfdb_files import write_record

from ecgssl.cli import app
from ecgssl.config import Params, SetParams, SyntheticParams, parse_params
from ecgssl.config.manifest import Target
from ecgssl.datasets.load import load
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.errors import ContractMismatch, InputError
from ecgssl.evaluation.calibration.decision import Decision, fit_decision, fit_from_predictions
from ecgssl.evaluation.predictions import prediction_table, read_predictions
from ecgssl.finetuning import evaluate_external as external
from ecgssl.finetuning.clinical_baseline import ClinicalBaseline, fit_baseline
from ecgssl.finetuning.clinical_file import write_baseline
from ecgssl.finetuning.evaluate_external import (
    External,
    evaluate_external,
    evaluate_frozen,
    recalibrate,
    recalibrate_run,
)
from ecgssl.finetuning.finetune import finetune, random_encoder
from ecgssl.finetuning.frozen_run import load_frozen, predict_frozen
from ecgssl.finetuning.publish import publish_finetuning
from ecgssl.finetuning.rows import choose_rows
from ecgssl.finetuning.task import resolve_task, task_values
from ecgssl.model.classifier import Classifier
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.report.build import write_report
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import save_model
from ecgssl.training.embed import embed_store

TARGETS = ["fast", "wave"]
CLINICAL = "clinical features with age and sex"
KEY = bytes(range(32))
BASE: dict[str, Any] = {
    "tasks": {"t": {"targets": TARGETS}},
    "signal": {"sampling_rate": 100},
    "store": {"workers": 1, "shard_recordings": 64},
    "evaluate": {"bootstrap": 100, "sensitivities": [0.8]},
    "model": {"width": 32, "depth": 1, "heads": 2},
    "finetune": {"linear": {"C": [0.01, 0.1]}},
}


def _table(folder: Path) -> dict[str, Any]:
    return {"reader": "cohort", "split": {"val": 0.35}, "manifest": folder / "manifest.csv", "root": folder}


def made(folder: Path, name: str, patients: int, seed: int, **changes: Any) -> Path:
    params = parse_params({**BASE, "seed": seed, **changes})
    simulate(folder / name, SyntheticParams(patients=patients, recordings_per_patient=(1, 2)), seed, 1, lambda n: None)
    table = pd.read_csv(folder / name / "manifest.csv").drop(columns="split")
    # frequent enough for thresholds with few recordings
    table["fast"] = table[["sinus_tachy", "af", "ectopy", "sinus_brady"]].max(axis=1)
    table["wave"] = table[["st_elevation", "high_voltage", "wide_qrs"]].max(axis=1)
    for column in ("record_id", "patient_id"):
        table[column] = f"{name}-" + table[column].astype(str)
    table.to_csv(folder / name / "manifest.csv", index=False)
    cohort = load(SetParams(**_table(folder / name)), "", params.seed)
    preprocess(cohort, params, folder / f"{name}-store", KEY, progress=False)
    return folder / f"{name}-store"


@pytest.fixture(scope="module")
def params() -> Params:
    return parse_params(BASE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Path:
    """Write a folder with a store, a run trained on it, and another store."""
    folder = tmp_path_factory.mktemp("frozen")
    (folder / "key").write_text(KEY.hex())
    store = Store(made(folder, "first", 100, 0))
    made(folder, "second", 60, 1)
    encoder = random_encoder(params.model, store, 3)
    save_model(folder / "encoder", encoder, store.spec)
    result = finetune(
        store, folder / "encoder", TARGETS, "linear", params.finetune, 0, folder / "work", show_progress=False
    )
    decision = fit_from_predictions(result.predictions, "linear", params.evaluate)
    publish_finetuning(result, store, folder / "run/classifier", "t", "linear", decision=decision)
    return folder


def own(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the fine-tuned model of a prediction table."""
    return table[table["model"] == "linear"]


def test_the_clinical_baseline_is_evaluated_on_the_other_cohort(place: Path, params: Params) -> None:
    store, folder = Store(place / "second-store"), place / "run/classifier"
    frozen = load_frozen(place / "run")
    clinical = frozen.clinical
    assert clinical is not None
    assert clinical.model == CLINICAL
    table = predict_frozen(frozen, store)
    assert table["model"].unique().tolist() == ["linear", CLINICAL]
    # the stored baseline has the outputs that it had when it was fitted
    first = Store(place / "first-store")
    known = read_predictions(folder / "predictions.csv").query("model == @CLINICAL")
    rows = pd.Index(first.index["record_id"]).get_indexer(known["record_id"])
    again = clinical.external_outputs(first, rows, cache=place / "work/clinical", show_progress=False)
    np.testing.assert_allclose(again, known[[f"logit__{name}" for name in TARGETS]], atol=1e-9)
    figures = evaluate_frozen(frozen, store, params).figures
    assert figures["clinical"] == CLINICAL
    assert figures["external"]["clinical_baseline"] == {"left_out": None, "unknown_inputs": [], "nonlinear": False}
    paired = figures["paired"]["external"][CLINICAL]["auroc"]
    values = [figures["models"][m]["external"]["macro"]["auroc"]["value"] for m in ("linear", CLINICAL)]
    assert paired["difference"] == pytest.approx(values[0] - values[1])
    part = table[table["model"] == CLINICAL]
    aurocs = [roc_auc_score(part[f"target__{name}"], part[f"logit__{name}"]) for name in TARGETS]
    assert values[1] == pytest.approx(np.mean(aurocs))


def test_age_and_sex_that_a_cohort_lacks_are_missing_values(place: Path, params: Params, tmp_path: Path) -> None:
    store, frozen = Store(place / "second-store"), load_frozen(place / "run")
    clinical = frozen.clinical
    assert clinical is not None
    rows = np.arange(5)
    median = clinical.columns.median[list(clinical.columns.kept).index(clinical.inputs.index("age"))]
    # all ages are known in train, so there is no indicator, and the median replaces them
    store.index["age"] = median
    expected = clinical.external_outputs(store, rows, show_progress=False)
    store.index = store.index.drop(columns="age")
    np.testing.assert_allclose(clinical.external_outputs(store, rows, show_progress=False), expected)
    found = evaluate_external(place / "run", params, tmp_path / "out", _without(store, tmp_path, "age"))
    assert found.figures["external"]["clinical_baseline"]["unknown_inputs"] == ["age"]
    write_report(place / "run", store, external=tmp_path / "out", recordings=0)
    page = " ".join((tmp_path / "out/report.html").read_text().split())
    assert f"probe on {CLINICAL} (age unknown in this cohort) has mean AUROC" in page


def test_a_run_without_the_file_has_no_clinical_row(place: Path, params: Params, tmp_path: Path) -> None:
    shutil.copytree(place / "run/classifier", tmp_path / "c", ignore=shutil.ignore_patterns("clinical_baseline.json"))
    (tmp_path / "params.yaml").write_text("tasks: {t: {targets: [fast]}}\nevaluate: {bootstrap: 100}\n")
    done = ecgssl("evaluate", "--run", tmp_path / "c", "--store", place / "second-store", "--out", tmp_path / "out",
                  "--params", tmp_path / "params.yaml")  # fmt: skip
    assert done.code == 0, done.err
    assert "clinical baseline: none (the model has no clinical_baseline.json)" in done.out
    figures = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert (figures["clinical"], list(figures["models"])) == (None, ["linear"])
    page = (tmp_path / "out/report.html").read_text()
    assert _outputs(page)[0] == ["output", "positive", "AUROC", "AUPRC"]
    reason = "There is no comparison with a clinical baseline: the model has no clinical_baseline.json."
    assert reason in page[: page.index('<h2 id="task">')]
    # the classifier's outputs must be those of the baseline
    stored = json.loads((place / "run/classifier/clinical_baseline.json").read_text())
    (tmp_path / "c/clinical_baseline.json").write_text(json.dumps(stored | {"names": ["fast", "slow"]}))
    with pytest.raises(InputError, match="has multilabel outputs fast, slow; the classifier has multilabel fast, wave"):
        load_frozen(tmp_path / "c")


def test_the_clinical_baseline_has_the_leads_of_the_run(place: Path) -> None:
    store, frozen, rows = Store(place / "second-store"), load_frozen(place / "run"), np.arange(4)
    fewer = predict_frozen(replace(frozen, recorded=("II", "V1")), store, rows)
    masked = Store(place / "second-store")
    masked.index["lead_mask"] = 1 << 1 | 1 << 6
    expected = predict_frozen(frozen, masked, rows)
    columns = [f"logit__{name}" for name in TARGETS]
    np.testing.assert_allclose(fewer[columns], expected[columns], atol=1e-5)
    changed = own(predict_frozen(frozen, store, rows))[columns] != own(fewer)[columns]
    assert changed.to_numpy().all()


def test_a_multiclass_baseline_is_evaluated_on_the_other_cohort(place: Path, params: Params) -> None:
    first, second, frozen = Store(place / "first-store"), Store(place / "second-store"), load_frozen(place / "run")
    for store in (first, second):
        store.targets, store.kinds = ("pace",), {"pace": Target(kind="multiclass", classes=["slow", "fast"])}
        store.index["pace"] = store.index["fast"]
    names, clinical = ("pace:slow", "pace:fast"), _baseline(first, "pace", params, place)
    decision = fit_decision("multiclass", names, np.zeros((0, 2)), np.zeros((0, 2)))
    classifier = Classifier(frozen.classifier.encoder, names, "multiclass").eval()
    frozen = replace(frozen, classifier=classifier, decision=decision, clinical=clinical)
    found = evaluate_frozen(frozen, second, params, share=0.5).figures
    assert found["models"][CLINICAL]["external"]["macro"]["auroc"]["value"] > 0.8
    assert found["paired"]["external"][CLINICAL]["auroc"]["difference"] is not None


def _baseline(store: Store, target: str, params: Params, place: Path) -> ClinicalBaseline:
    task = resolve_task(store, [target])
    values = task_values(store, task)
    found, _ = fit_baseline(
        store, task, values, choose_rows(store, values), params.finetune.linear, 0, place / "work/clinical"
    )
    return found


def _outputs(page: str) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of the table of outputs in a report."""
    part = page[page.index("<h3>Each output</h3>") :]
    table = part[part.index("<thead>") : part.index("</table>")]
    rows = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr>")[2:]]
    cells = [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in rows]
    return re.findall(r"<th>(.*?)</th>", table), cells


def _without(store: Store, folder: Path, column: str) -> Path:
    """Return a copy of a store without a column."""
    shutil.copytree(store.path, folder / "store")
    index = pd.read_parquet(folder / "store/index.parquet").drop(columns=column)
    index.to_parquet(folder / "store/index.parquet")
    return folder / "store"


def test_a_frozen_run_is_applied_as_it_was_left(place: Path, params: Params) -> None:
    before = {p.name: p.read_bytes() for p in (place / "run/classifier").iterdir()}
    found = evaluate_external(place / "run", params, place / "out", place / "second-store")
    figures = json.loads((place / "out/evaluation.json").read_text())
    store, frozen = Store(place / "second-store"), load_frozen(place / "run")
    assert {p.name: p.read_bytes() for p in (place / "run/classifier").iterdir()} == before
    assert list(figures["splits"]) == ["external"]
    assert figures["splits"]["external"]["records"] == len(store) == figures["external"]["judged"]
    assert figures["external"]["leads"] == {"all": len(store), "missing": {}}
    assert figures["external"]["overlap"]["found"] == 0
    assert found.figures["decision"] == frozen.decision.to_dict()
    # thresholds and calibrators computed from the stored files
    table = own(read_predictions(place / "out/predictions.csv"))
    p = frozen.decision.probabilities(table[[f"logit__{n}" for n in TARGETS]])[:, 0]
    cut = frozen.decision.labels[0].thresholds["youden"].value
    reported = figures["models"]["linear"]["external"]["labels"]["fast"]["thresholds"]["youden"]
    assert reported["tp"] == int(((p >= cut) & (table["target__fast"] == 1)).sum())
    assert reported["value"] == pytest.approx(cut, abs=1e-5)


def test_a_single_split_of_the_other_store_can_be_evaluated(place: Path, params: Params) -> None:
    store, frozen = Store(place / "second-store"), load_frozen(place / "run")
    found = evaluate_frozen(frozen, store, params, split="test")
    tested = set(store.index.loc[store.index["split"] == "test", "record_id"])
    assert set(found.predictions["record_id"]) == tested
    about = found.figures["external"]
    assert (about["split"], about["recordings"], about["judged"]) == ("test", len(tested), len(tested))
    whole = own(predict_frozen(frozen, store)).set_index("record_id")
    part = own(found.predictions).set_index("record_id")
    np.testing.assert_allclose(part["logit__fast"], whole.loc[part.index, "logit__fast"], atol=1e-5)


def test_the_report_of_an_external_evaluation_is_of_the_other_cohort(place: Path, params: Params) -> None:
    evaluate_external(place / "run", params, place / "reported", place / "second-store")
    figures, store = json.loads((place / "reported/evaluation.json").read_text()), Store(place / "second-store")
    report = write_report(place / "run/classifier", store, external=place / "reported", recordings=0)
    assert (report["split"], report["evaluation"]) == ("external", figures)
    flow = report["cohort"]
    assert flow["counted"] == figures["external"]["recordings"] == flow["stored"] + flow["rejected"]
    (row,) = flow["splits"]
    assert (row["split"], row["recordings"], row["scored"]) == ("external", len(store), figures["external"]["judged"])
    assert row["patients"] == store.index["patient"].nunique() == figures["splits"]["external"]["patients"]
    assert {entry["split"] for entry in report["prevalence"]} == set(report["people"]["splits"]) == {"external"}
    for entry in report["prevalence"]:
        assert entry["positives"] == store.index[entry["label"]].sum()
    page = (place / "reported/report.html").read_text()
    heads, rows = _outputs(page)
    assert heads[4:] == [CLINICAL, "difference (DeLong)"]
    clinical = figures["models"][CLINICAL]["external"]["labels"]
    gains = figures["paired"]["external"][CLINICAL]["delong"]
    for name, row in zip(TARGETS, rows, strict=True):
        assert row[4] == f"{clinical[name]['auroc']['value']:.3f}"
        assert row[5].startswith(f"{gains[name]['difference']:+.3f} (".replace("-", "−"))
    assert "on the external set" in page
    assert "without further training" in page
    assert not {*store.index["record_id"], *store.index["patient"]} & set(page.split())


def test_a_table_of_files_is_preprocessed_under_the_runs_contract(place: Path, params: Params) -> None:
    # one recording of zeros, which is rejected
    table = pd.read_csv(place / "second/manifest.csv", dtype=str)
    write_record(place / "second", "zeros", np.zeros((12, 5000), dtype=np.int16), rate=500)
    zeros = table.iloc[[0]].assign(record_id="zeros", path="zeros")
    manifest = place / "second/with-zeros.csv"
    # patients in two splits, which the evaluation does not use
    table["split"] = np.where(np.arange(len(table)) % 2, "train", "test")
    assert (table.groupby("patient_id")["split"].nunique() > 1).any()
    pd.concat([table, zeros]).to_csv(manifest, index=False)
    options = [
        "--set",
        "evaluate.bootstrap=100",
        "--set",
        "store.workers=1",
        "--set",
        f"sets.cohort.patient_key={place / 'key'}",
    ]
    options += ["--params", str(place / "params.yaml")]
    # the settings of the run replace those of the parameter file
    (place / "params.yaml").write_text("tasks: {t: {targets: [fast]}}\nsignal: {sampling_rate: 250}\n")
    command = [
        "evaluate",
        "--run",
        str(place / "run"),
        "--manifest",
        str(manifest),
        "--out",
        str(place / "files"),
        *options,
    ]
    done = ecgssl(*command)
    assert done.code == 3, done.err
    assert f"{len(table) + 1} recordings = " in done.out
    assert "+ 1 rejected" in done.out
    assert f"wrote {place / 'files/report.html'}" in done.out
    assert "external recordings" in (place / "files/report.html").read_text()
    stored = own(predict_frozen(load_frozen(place / "run"), Store(place / "second-store")))
    both = stored.merge(own(read_predictions(place / "files/predictions.csv")), on=["record_id", "patient"])
    assert len(both) == len(stored)
    np.testing.assert_allclose(both["logit__wave_x"], both["logit__wave_y"], atol=1e-6)
    assert len(Store(place / "files-store")) == len(stored)


@pytest.mark.parametrize(
    ("source", "rejected", "code"),
    [
        ("--manifest", {}, 0),
        ("--manifest", {"flat": 1}, 3),
        ("--manifest", {"nan": 2, "flat": 1}, 3),
        ("--store", {}, 0),
    ],
)
def test_the_exit_code_reports_rejected_recordings(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, rejected: dict[str, int], code: int
) -> None:
    found = External({"external": {"rejected": rejected}}, pd.DataFrame())
    monkeypatch.setattr(external, "evaluate_external", lambda *_, **__: found)
    monkeypatch.setattr("ecgssl.cli.evaluate.print_external", lambda *_: None)
    (tmp_path / "p.yaml").write_text("tasks: {t: {targets: [fast]}}\n")
    given = place / ("second/manifest.csv" if source == "--manifest" else "second-store")
    done = ecgssl("evaluate", "--run", place / "run", source, given, "--out", tmp_path / "out", "--no-report",
                  "--params", tmp_path / "p.yaml")  # fmt: skip
    assert (done.code, done.err) == (code, "")


def test_recalibration_learns_on_some_patients_and_judges_the_others(place: Path, params: Params) -> None:
    found = recalibrate_run(place / "run", params, place / "second-store", place / "site", share=0.5)
    first, new = load_frozen(place / "run"), load_frozen(place / "site")
    table = read_predictions(place / "site/classifier/predictions.csv")
    learned, judged = (set(table[table["split"] == s]["patient"]) for s in ("val", "external"))
    assert learned
    assert judged
    assert not learned & judged
    assert found.figures["splits"]["external"]["patients"] == len(judged)
    assert new.decision == found.recalibrated
    assert new.decision != first.decision
    for old, label in zip(first.decision.labels, new.decision.labels, strict=True):
        assert label.thresholds == old.thresholds
    assert json.loads((place / "site/evaluation.json").read_text())["recalibrated"]["share"] == 0.5
    assert list(found.figures["models"]) == ["linear", CLINICAL]
    assert list(found.figures["recalibrated"]["models"]) == ["linear"]
    for name in ("model.safetensors", "signal.json", "config.json", "choices.json", "clinical_baseline.json"):
        assert (place / "site/classifier" / name).read_bytes() == (place / "run/classifier" / name).read_bytes()
    chosen = evaluate_frozen(first, Store(place / "second-store"), params, share=0.5, new_thresholds=True).recalibrated
    assert chosen is not None
    assert chosen.labels[0].thresholds != first.decision.labels[0].thresholds
    with pytest.raises(InputError, match="is the run itself"):
        recalibrate_run(place / "run", params, place / "second-store", place / "run", share=0.5)
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match="is not between 0 and 1"):
            evaluate_frozen(first, Store(place / "second-store"), params, share=share)


def test_too_few_events_keep_the_calibrators_of_the_first_site(params: Params) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 2))
    y = (z + rng.normal(size=z.shape) > 0).astype(float)
    first = fit_decision("multilabel", ["a", "b"], z, y)
    y[:, 1] = np.arange(60) < 3
    ids = [f"{i}" for i in range(60)]
    table = prediction_table(ids, ids, ["val"] * 60, "m", ["a", "b"], y, 2 * z - 1)
    found = recalibrate(first, table, "m", params)
    assert found.labels[0].calibrator != first.labels[0].calibrator
    kept = found.labels[1].calibrator
    assert (kept.slope, kept.intercept) == (first.labels[1].calibrator.slope, first.labels[1].calibrator.intercept)
    assert "kept from the first site: 3 positive" in kept.reason
    assert Decision.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_what_the_run_has_learned_from_is_no_external_cohort(place: Path, params: Params) -> None:
    frozen = load_frozen(place / "run")
    with pytest.raises(InputError, match="was trained on") as error:
        evaluate_frozen(frozen, Store(place / "first-store"), params)
    assert len(error.value.problems) > 10
    reported = evaluate_frozen(frozen, Store(place / "first-store"), params, overlap="warn").figures["external"][
        "overlap"
    ]
    assert reported["found"] > 10


def test_another_contract_is_refused_with_both_sides(place: Path, params: Params) -> None:
    other = made(place, "other", 20, 2, signal={"sampling_rate": 250})
    with pytest.raises(ContractMismatch, match="sampling_rate"):
        predict_frozen(load_frozen(place / "run"), Store(other))


def test_targets_that_are_absent_unknown_or_of_another_kind(place: Path, params: Params) -> None:
    frozen, store = load_frozen(place / "run"), Store(place / "second-store")
    store.targets = tuple(t for t in store.targets if t != "wave")
    store.index = store.index.drop(columns="wave")
    found = evaluate_frozen(frozen, store, params).figures
    assert found["external"]["absent_targets"] == ["wave"]
    entry = found["models"]["linear"]["external"]
    assert entry["labels"]["wave"]["undefined"] == "no record with a known target"
    assert entry["macro"]["labels"] == 1
    assert found["models"][CLINICAL]["external"]["macro"]["labels"] == 1
    assert list(found["paired"]["external"][CLINICAL]["delong"]["wave"]) == ["difference", "undefined"]
    store.index["fast"] = np.nan
    with pytest.raises(InputError, match="no recording has a known"):
        predict_frozen(frozen, store)
    store.index["fast"] = 1.0
    one_class = evaluate_frozen(frozen, store, params).figures["models"]["linear"]["external"]
    assert one_class["macro"]["auroc"]["value"] is None
    assert one_class["labels"]["fast"]["undefined"] == "no negative record"
    store.targets = ()
    with pytest.raises(InputError, match="none of the model's targets"):
        predict_frozen(frozen, store)


def test_a_regression_gets_a_line_for_the_new_site(place: Path, params: Params, tmp_path: Path) -> None:
    first, store = load_frozen(place / "run"), Store(place / "second-store")
    torch.manual_seed(0)
    classifier = Classifier(first.classifier.encoder, ["age"], "regression").eval()
    with torch.no_grad():
        # shifted towards a prediction that increases with age, so that a line can be fitted
        rows = np.arange(len(store))
        age = torch.from_numpy(store.index["age"].to_numpy(dtype=np.float32))
        x = torch.from_numpy(embed_store(classifier.encoder, store, rows, show_progress=False))
        weight = torch.linalg.lstsq(x, 0.5 * age[:, None]).solution
        classifier.head.linear.weight.copy_(weight.T)
        classifier.head.linear.bias.zero_()
    decision = fit_decision("regression", ["age"], np.zeros((1, 1)), np.zeros((1, 1)))
    clinical = _baseline(Store(place / "first-store"), "age", params, place)
    frozen = replace(first, classifier=classifier, decision=decision, clinical=clinical)
    found = evaluate_frozen(frozen, store, params, share=0.5)
    before = found.figures["models"]["linear"]["external"]["labels"]["age"]
    after = found.figures["recalibrated"]["models"]["linear"]["external"]["labels"]["age"]
    table = found.predictions[found.predictions["split"] == "external"]
    other, table = table[table["model"] != "linear"], own(table)
    assert set(other["model"]) == {"clinical features with sex"}
    error = (other["pred__age"] - other["target__age"]).abs().mean()
    paired = found.figures["paired"]["external"]["clinical features with sex"]["mae"]
    assert paired["difference"] == pytest.approx(before["mae"]["value"] - error)
    assert before["mae"]["value"] == pytest.approx((table["pred__age"] - table["target__age"]).abs().mean())
    assert before["bias"]["high"] < -10
    assert abs(after["bias"]["value"]) < 10
    # the errors of a recalibrated model are not compared with those of a baseline of the first site
    save_model(tmp_path / "new", classifier, store.spec)
    write_baseline(clinical, tmp_path / "new")
    decision.save(tmp_path / "new")
    loaded = load_frozen(tmp_path / "new").clinical
    assert loaded is not None
    assert loaded.about() == clinical.about()
    assert found.recalibrated is not None
    found.recalibrated.save(tmp_path / "new")
    new = load_frozen(tmp_path / "new")
    assert (new.clinical, new.no_clinical) == (None, "the model was recalibrated, and the baseline was not")
    other = replace(frozen, classifier=Classifier(first.classifier.encoder, ["wave"], "regression"))
    with pytest.raises(InputError, match="is multilabel in the store and regression in the model"):
        predict_frozen(other, store)


def test_missing_leads_are_counted(place: Path, params: Params) -> None:
    store = Store(place / "second-store")
    bits = store.index["lead_mask"].to_numpy(dtype=np.int64).copy()
    bits[:5] &= ~(1 << 7)
    store.index["lead_mask"] = bits
    leads = evaluate_frozen(load_frozen(place / "run"), store, params).figures["external"]["leads"]
    assert leads == {"all": len(store) - 5, "missing": {"V2": 5}}


def test_a_run_without_or_with_a_foreign_decision_is_refused(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run/classifier", tmp_path / "c")
    (tmp_path / "c/decision.json").unlink()
    with pytest.raises(InputError, match=r"decision\.json.*does not exist"):
        load_frozen(tmp_path / "c")
    z = np.random.default_rng(0).normal(size=(50, 1))
    fit_decision("multilabel", ["AF"], z, (z > 0).astype(float)).save(tmp_path / "c")
    with pytest.raises(InputError, match="the classifier has fast, wave"):
        load_frozen(tmp_path / "c")


def test_options_that_do_not_go_together_are_named(place: Path, tmp_path: Path) -> None:
    for options, named in (
        ([], "predictions, --run"),
        (["p.csv", "--run", "r"], "both are given"),
        (["--run", "r"], "--store, --manifest"),
        (["p.csv", "--manifest", "m.csv"], "cannot be combined"),
        (["p.csv", "--dataset", "clinic"], "--root, --column, ...: these options describe a table"),
        (["--run", "r", "--store", "s", "--column", "patient_id=MRN"], "these options describe a table"),
        (["--run", "r", "--store", "s", "--root", "ecgs"], "these options describe a table"),
    ):
        done = CliRunner().invoke(app, ["evaluate", *options, "--out", str(tmp_path / "o")])
        assert done.exit_code != 0
        assert named in str(done.exception)


def test_a_prediction_file_is_scored_again_with_subgroups(place: Path) -> None:
    command = ["evaluate", str(place / "run/classifier/predictions.csv"), "--out", str(place / "again.json")]
    (place / "params.yaml").write_text("tasks: {t: {targets: [fast]}}\nevaluate: {bootstrap: 100}\n")
    command += ["--params", str(place / "params.yaml"), "--store", str(place / "first-store")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    figures = json.loads((place / "again.json").read_text())
    rows = pd.DataFrame(figures["subgroups"]["test"])
    assert {"sex", "age"} <= set(rows["column"])
    line = json.loads((place / "test_scorings.jsonl").read_text().splitlines()[-1])
    assert (line["results"], line["digest"]) == ("again.json", figures["splits"]["test"]["digest"])
