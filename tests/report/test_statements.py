"""Statements of reports, model cards and checklists: each of them describes what happened in the run."""

from __future__ import annotations

import json
from html import unescape
from types import SimpleNamespace

import pytest
from statement_runs import EXTERNAL, OWN, make_statement_runs

from ecgssl.config import ExportParams
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.leaderboard import named_mode
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.model_card import model_card
from ecgssl.export.write_graphs import WrittenGraphs
from ecgssl.finetuning.frozen_run import classifier_of
from ecgssl.report.answers import answers
from ecgssl.report.sections import render_report
from ecgssl.report.statements import comparison, repetitions, selection
from ecgssl.report.subgroup_tables import subgroup_tables
from ecgssl.training.checkpoint import load_classifier
from ecgssl.training.model_folder import read_json

CASES = ("usual", "small", "uncalibrated", "folds", "external", "one_class", "recalibrated")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """Return the runs of ``make_statement_runs``, without figures of curves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecgssl.stages.finetune_and_evaluate.draw_curves", lambda *_: [])
        return make_statement_runs(tmp_path_factory.mktemp("statements"))


def card(made: SimpleNamespace, name: str) -> str:
    """Return the model card that an export of the run would write."""
    folder = classifier_of(made.folders[name])
    classifier, spec = load_classifier(folder)
    graph = ContractModule(classifier, spec, Decision.load(folder))
    return model_card(graph, ExportParams(), read_json(folder / "config.json"), WrittenGraphs())


def text(made: SimpleNamespace, name: str) -> str:
    return " ".join(unescape(made.pages[name]).split())


def items(made: SimpleNamespace, name: str) -> dict[str, dict]:
    return {row["item"]: row for row in made.reports[name]["checklists"]["tripod_ai"]}


def stard(made: SimpleNamespace, name: str) -> dict[str, dict]:
    return {row["item"]: row for row in made.reports[name]["checklists"]["stard_ai"]}


def test_a_usual_run_states_its_calibrator_thresholds_and_choices(made):
    page, found = text(made, "usual"), items(made, "usual")
    fitted = "platt, fitted on validation (24 recordings of 24 patients)"
    assert f"Calibration: {fitted}." in page
    assert (
        "Youden's index, sensitivity 0.90, specificity 0.90, chosen on validation (24 recordings of 24 patients)"
        in page
    )
    assert "Penalty and class weight: by AUROC on validation." in page
    assert "used neither for fine-tuning nor for choices" in page
    assert {found[item]["status"] for item in ("12c", "12f", "13", "15", "24")} == {"filled"}
    assert f"Calibration: {fitted}." in card(made, "usual")
    assert "| `HIGH` | youden |" in card(made, "usual")
    method = made.reports["usual"]["evaluation"]["method"]
    assert method["calibration"].startswith(fitted)


def test_three_positives_in_validation_give_no_calibrator_and_no_threshold(made):
    decision = Decision.load(made.folders["small"] / "classifier")
    assert decision.labels[0].positives == 3
    reason = "3 positive and 21 negative"
    page, found = text(made, "small"), items(made, "small")
    assert f"Calibration: none ({reason}, 10 of each needed)." in page
    assert f"Thresholds: none ({reason} recordings, 10 of each needed)." in page
    assert "by log loss in a cross-validation on the training recordings" in page
    for item in ("12f", "15", "24"):
        assert found[item]["status"] == "part", item
    assert stard(made, "small")["15c"]["status"] == stard(made, "small")["30"]["status"] == "part"
    assert "by log loss in a cross-validation" in found["13"]["said"]
    assert "sensitivity" not in found["12e"]["said"]
    assert f"Calibration: none ({reason}, 10 of each needed)." in card(made, "small")
    assert "Probabilities are not calibrated." in card(made, "small")
    assert '<i class="key main"></i>calibrated' not in made.pages["small"]


def test_calibration_that_was_switched_off(made):
    page, found = text(made, "uncalibrated"), items(made, "uncalibrated")
    assert "Calibration: none (not requested)." in page
    assert "calibrated probability is at" not in page
    assert "A recording is positive if its probability is at or above the threshold." in page
    assert (found["12f"]["status"], found["24"]["status"], found["15"]["status"]) == ("part", "part", "filled")
    assert "Calibration: none (not requested)." in card(made, "uncalibrated")


def test_folds_compare_every_recording_and_use_no_validation(made):
    page, found = text(made, "folds"), items(made, "folds")
    compared = f"0 of {OWN} held-out recordings are among the {EXTERNAL} pretraining recordings"
    assert compared in page
    assert compared in card(made, "folds")
    assert "Each recording was scored by a model that was not trained on its patient." in page
    counted = f"0 of {OWN} recordings share their patient with another fold, 0 have a copy in another fold"
    assert counted in page
    assert counted in card(made, "folds")
    assert "No recording has a copy in another fold." in page
    assert "In each fold they were chosen on the other folds." in page
    assert "All recordings of a patient are in the same one of 3 folds (1 repeats)." in page
    assert "Calibration: none (no recordings of validation to fit on)." in page
    stored = f"platt, fitted on out-of-fold predictions ({OWN} recordings of {OWN} patients)"
    assert f"decision.json, which these results do not use: {stored}" in page
    assert (found["12f"]["status"], found["24"]["status"]) == ("part", "part")
    assert "Thresholds: none (no recordings of validation to choose them on)." in page
    assert "0 positive and 0 negative" not in page
    assert repetitions(made.reports["folds"]).text == ""
    assert f"Calibration: {stored}." in card(made, "folds")


def test_the_repetition_of_the_results_and_the_mean_are_stated(made):
    report = json.loads(json.dumps(made.reports["folds"]))
    report["asked"]["folds"]["repeats"] = 2
    report["evaluation"]["cross_validation"]["macro"]["auroc"] |= {"value": 0.9, "low": 0.85, "high": 0.95}
    report["evaluation"]["cross_validation"]["macro"].pop("auprc")
    assert repetitions(report).text == (
        "All results on this page are those of the first of 2 repetitions of the cross-validation. "
        "Mean of the repetitions: mean AUROC 0.900 (0.850 to 0.950)."
    )


def test_an_external_evaluation_states_that_nothing_was_fitted(made):
    page, found = text(made, "external"), items(made, "external")
    assert found["1"]["said"] == "External evaluation of a model of HIGH from the ECG."
    assert "The model was not trained, and nothing was chosen, on these recordings." in page
    assert "All recordings form one external split." in page
    trained = f"0 of {EXTERNAL} held-out recordings are among the 48 recordings that the model was trained on"
    assert trained in page
    assert "Compared with a linear probe on clinical features with sex." in found["23a"]["said"]
    assert "Paired" in found["12e"]["said"]
    first = page[: page.index('<h2 id="task">')]
    assert "A linear probe on clinical features with sex has mean AUROC" in first
    assert made.reports["external"]["cohort"]["splits"][0]["split"] == "external"


def test_one_class_leaves_items_without_a_number(made):
    page, found = text(made, "one_class"), items(made, "one_class")
    assert "The mean auroc is undefined" in found["23a"]["said"]
    assert found["23a"]["status"] == "part"
    assert stard(made, "one_class")["31"]["status"] == "part"
    assert "Undefined for RARE: " in found["12e"]["said"]
    assert found["12e"]["status"] == "part"
    assert "net benefit. No output has both classes." in page
    assert "calibration curves. No output has both classes." in page


def test_a_target_that_the_external_cohort_lacks_is_named(made):
    """RARE has no column in the external table; the evaluation is complete and reports it as absent."""
    page, report = text(made, "absent"), made.reports["absent"]
    assert "<tr><th>Not in this cohort</th><td>RARE</td></tr>" in page
    assert report["evaluation"]["external"]["absent_targets"] == ["RARE"]
    rows = {row["label"]: row for row in report["prevalence"]}
    assert (rows["RARE"]["recordings"], rows["RARE"]["unknown"]) == (0, EXTERNAL)
    assert rows["HIGH"]["positives"] == EXTERNAL // 2
    assert report["cohort"]["splits"][0]["labelled"] == EXTERNAL
    assert "Undefined for RARE: " in items(made, "absent")["12e"]["said"]


def test_a_recalibration_names_both_calibrators(made):
    decision = Decision.load(made.folders["recalibrated"])
    assert decision.fitted_on["thresholds"] == "as frozen"
    page = text(made, "recalibrated")
    assert "Calibration: platt, fitted on validation (24 recordings of 24 patients)." in page
    assert "Results with new calibrators (" in page
    assert "under recalibrated in evaluation.json" in page


@pytest.mark.parametrize(("epoch", "expected"), [(3, "epoch 3, chosen by macro AUROC"), (0, "the probe was kept")])
def test_training_from_random_weights_is_not_called_pretraining(made, epoch, expected):
    report = json.loads(json.dumps(made.reports["usual"]))
    report["choices"] = {"epoch": epoch, "started_from": report["choices"]}
    report["asked"] |= {"mode": "scratch", "overlap": {"not_checked": "nothing was pretrained"}}
    paired = {"difference": 0.2, "low": 0.1, "high": 0.3, "p": 0.01}
    report["evaluation"]["paired"]["test"]["random"]["auroc"] = paired
    page = " ".join(unescape(render_report(report, [])).split())
    assert "training the encoder improves the result" in page
    assert "pretraining improves" not in page
    assert expected in page
    assert expected in answers(report)["model"].text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.02, 0.3, "The model is better than the clinical baseline."),
        (-0.1, 0.3, "The model does not beat the clinical baseline. The interval includes 0."),
        (-0.3, -0.1, "The model does not beat the clinical baseline. The clinical baseline is better."),
        (None, None, "The difference is undefined."),
    ],
)
def test_the_first_lines_compare_with_the_clinical_baseline(made, low, high, expected):
    report = json.loads(json.dumps(made.reports["usual"]))
    name = report["evaluation"]["clinical"]
    value = report["evaluation"]["models"][name]["test"]["macro"]["auroc"]["value"]
    report["evaluation"]["paired"]["test"][name]["auroc"] = {"difference": 0.04, "low": low, "high": high, "p": 0.5}
    page = " ".join(unescape(render_report(report, [])).split())
    first = page[: page.index('<h2 id="task">')]
    assert expected in first
    assert f"A linear probe on {name} has mean AUROC {value:.3f}" in first
    assert ("; difference +0.040" in first) == (low is not None)
    report["evaluation"]["clinical"] = None
    assert "There is no comparison with a clinical baseline." in render_report(report, [])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"by_patient": 0, "by_waveform": 6}, "6 recordings have a copy in another fold, so a model was trained on"),
        ({"by_patient": 0, "by_waveform": None}, "Copies of recordings in other folds were not searched."),
        ({"by_patient": 4, "by_waveform": 0}, "4 recordings were scored by a model that was trained on their patient."),
        (None, "Copies of recordings in other folds were not searched."),
    ],
)
def test_copies_in_other_folds_are_stated(made, counts, expected):
    report = json.loads(json.dumps(made.reports["folds"]))
    report["asked"]["overlap"]["across_folds"] = counts and {"recordings": OWN} | counts
    assert expected in answers(report)["partition"].text
    report["checklists"] = {key: [] for key in report["checklists"]}
    page = unescape(render_report(report, []))
    if counts is not None and counts["by_waveform"] is None:
        assert "copies in other folds were not searched, because the store has no waveform codes" in page
    elif counts is not None:
        assert f"{counts['by_waveform']} have a copy in another fold" in page


def test_patients_in_two_splits_are_stated(made):
    report = json.loads(json.dumps(made.reports["usual"]))
    report["cohort"]["patients_in_two_splits"] = 4
    report["asked"]["overlap"]["across_splits"] = 9
    said = answers(report)["partition"].text
    assert "4 patients are in more than one split." in said
    assert "9 recordings share a patient or waveform across splits." in said
    report["checklists"] = {key: [] for key in report["checklists"]}
    page = render_report(report, [])
    assert "4 patients are in more than one split." in page
    assert "one split only" not in said + page


@pytest.mark.parametrize("name", CASES)
def test_filled_items_have_their_content(made, name):
    """Each rule compares a statement with the files of the run, independently of the code that writes it."""
    report = json.loads((made.folders[name] / "report.json").read_text())
    decision, figures = report["evaluation"]["decision"], report["evaluation"]
    fitted = any(label["calibrator"]["method"] not in ("none", "linear") for label in decision["labels"])
    cuts = any(cut["value"] is not None for label in decision["labels"] for cut in label["thresholds"].values())
    rows = {(key, row["item"]): row for key in report["checklists"] for row in report["checklists"][key]}
    filled = {key for key, row in rows.items() if row["status"] == "filled"}
    said = " ".join(row["said"] for row in rows.values())
    assert (("tripod_ai", "12f") in filled) == fitted
    assert (("tripod_ai", "24") in filled) == fitted
    assert (("tripod_ai", "15") in filled) == (("stard_ai", "15c") in filled) == cuts
    if not (fitted or report["decision"]["labels"][0]["calibrator"]["method"] == "platt"):
        assert "platt" not in said
        assert "platt" not in text(made, name)
    main = figures["models"][figures["main"]][report["split"]]
    assert (("stard_ai", "31") in filled) == (main["macro"]["auroc"]["value"] is not None)
    assert ("randomly initialised" in rows["stard_ai", "31"]["said"]) == (
        "random" in figures["paired"][report["split"]]
    )
    counted = any(p["value"] is not None for f in main["labels"].values() for p in f["thresholds"].values())
    assert (("stard_ai", "30") in filled) == counted
    assert "0 of 0" not in text(made, name)
    assert "All choices were made on the validation split" not in text(made, name)


def test_the_linear_probe_of_a_nonlinear_one_is_a_part_of_it():
    """Training did not start from it, as it does in the mode full."""
    choices = {
        "epoch": 3,
        "started_from": {"C": {"af": 1.0}, "chosen_by": ["validation_auroc"], "class_weight": {"af": "none"}},
    }
    said = {}
    for mode in ("mlp", "full"):
        report = {"choices": choices, "asked": {"mode": mode, "kind": "multilabel", "folds": 0}}
        said[mode] = selection(report).text
        assert said[mode].startswith("The weights are those of epoch 3, chosen by")
    assert "Penalty and class weight of the linear probe:" in said["mlp"]
    assert "Penalty and class weight of the linear probe that training started from:" in said["full"]


def test_the_choice_of_nonlinear_baselines_is_stated():
    asked = {"mode": "mlp", "kind": "multilabel", "folds": 0}
    choices = {"epoch": 0, "epoch_of_random": 0, "clinical_baseline": {"epoch": 6}}
    said = selection({"choices": choices, "asked": asked}).text
    assert "No epoch improved on the linear probe" in said
    assert said.endswith(
        "Nonlinear probes of the baselines, chosen in the same way: "
        "randomly initialised encoder linear probe kept, clinical features epoch 6."
    )


def test_a_subgroup_has_the_counts_of_all_outputs():
    entries = [
        {"column": "sex", "group": "female", "label": name, "records": records, "patients": 9, "metrics": {"auroc": {}}}
        for name, records in (("af", 61), ("lvh", 1059), ("mi", 61))
    ]
    report = {"evaluation": {"subgroups": {"test": entries}}, "split": "test"}
    ((group, records, patients, *_),) = subgroup_tables(report)[0]["rows"]
    assert (group, records, patients) == ("female", "61 to 1,059", "9")


def test_training_from_a_nonlinear_probe_is_stated():
    start = {"C": {"af": 1.0}, "chosen_by": ["validation_auroc"], "class_weight": {"af": "none"}, "epoch": 2}
    asked = {"mode": "full", "kind": "multilabel", "folds": 0}

    def said(epoch):
        return selection({"choices": {"epoch": epoch, "started_from": start}, "asked": asked}).text

    assert "Training started from a nonlinear probe, whose epoch 2 was chosen in the same way." in said(3)
    assert "Penalty and class weight of the linear probe: " in said(3)
    assert said(0).startswith("No epoch improved on the nonlinear probe by")
    assert named_mode("full", {"epoch": 0, "started_from": start}) == "full (nonlinear probe kept)"
    start["epoch"] = 0
    assert "so training started from the linear probe. Penalty" in said(3)
    assert named_mode("full", {"epoch": 0, "started_from": start}) == "full (linear probe kept)"


def test_the_probe_of_a_baseline_is_nonlinear_only_if_an_epoch_was_better():
    clinical = "clinical features with sex"
    choices = {"epoch": 3, "epoch_of_random": 2, "clinical_baseline": {"epoch": 0}}
    figures = {"main": "mlp", "baseline": "random", "paired": {"test": {"mlp": {}, "random": {}, clinical: {}}}}
    report = {"choices": choices, "split": "test", "evaluation": figures}
    assert comparison(report).text == (
        "Compared with a nonlinear probe on a randomly initialised encoder, a linear probe on clinical features with sex."
    )
    # an external evaluation states what was evaluated
    figures["external"] = {"clinical_baseline": {"nonlinear": True}}
    assert "a nonlinear probe on clinical features with sex." in comparison(report).text
    del figures["external"]
    choices["clinical_baseline"]["epoch"] = 1
    assert "a nonlinear probe on clinical features with sex." in comparison(report).text
    # runs of earlier releases and of other modes do not state an epoch
    del choices["epoch_of_random"], choices["clinical_baseline"]
    assert "nonlinear" not in comparison(report).text
