"""Report of a run: content for each kind of task and for old runs, privacy, escaping, and pages in a browser."""

from __future__ import annotations

import csv
import json
import re
import shutil
from copy import deepcopy
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from browser import Page
from command_line import ecgssl, refused
from report_runs import FAST, SECRETS, TASKS, make_run
from sklearn.metrics import average_precision_score, log_loss, precision_recall_curve

from ecgssl.config import EvaluateParams
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.predictions import write_predictions
from ecgssl.files import write_json
from ecgssl.html.charts import ticks
from ecgssl.report.answers import answers
from ecgssl.report.build import gather, read_run, write_report
from ecgssl.report.checklists import CARD, CHECKLISTS, answerable, fill, items
from ecgssl.report.compare import ABOUT, compare, render_comparison, write_comparison
from ecgssl.report.curves import precision_recall
from ecgssl.report.people import people
from ecgssl.report.sections import render_report


def titles(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def test_the_flow_adds_up(made):
    for name in TASKS:
        flow = made.reports[name]["cohort"]
        assert flow["counted"] == 96
        assert flow["counted"] == flow["stored"] + flow["rejected"]
        assert sum(r["recordings"] for r in flow["reasons"]) == flow["rejected"] == 2
        assert sum(s["recordings"] for s in flow["splits"]) == flow["stored"]
    index = made.store.index
    by_split = {row["split"]: row for row in made.reports["findings"]["cohort"]["splits"]}
    for split, row in by_split.items():
        part = index[index["split"] == split]
        assert (row["recordings"], row["patients"]) == (len(part), part["patient"].nunique())
        assert row["labelled"] == int(part[["af", "lvh"]].notna().any(axis=1).sum())
    assert by_split["train"]["scored"] == 0
    assert by_split["test"]["scored"] == len(index[index["split"] == "test"])


def test_prevalence_is_that_of_the_store(made):
    for row in made.reports["findings"]["prevalence"]:
        cells = made.store.index.loc[made.store.index["split"] == row["split"], row["label"]]
        assert (row["recordings"], row["positives"]) == (int(cells.notna().sum()), int(cells.sum()))
        assert row["unknown"] == int(cells.isna().sum())
    for row in made.reports["classes"]["prevalence"]:
        codes = made.store.index.loc[made.store.index["split"] == row["split"], "rhythm"]
        assert row["positives"] == int(
            (codes == ["rhythm:sinus", "rhythm:af", "rhythm:paced"].index(row["label"])).sum()
        )
    for row in made.reports["numbers"]["prevalence"]:
        cells = made.store.index.loc[made.store.index["split"] == row["split"], "lvef"]
        assert row["mean"] == pytest.approx(cells.mean())
        assert row["sd"] == pytest.approx(cells.std())


def test_every_kind_of_task_has_its_parts(made):
    always = ["Task", "Cohort", "Results", "Subgroups", "Best and worst recordings", "Model card"]
    for name, page in made.pages.items():
        found = titles(page)
        assert [t for t in found if t in always] == always
        assert ("Calibration" in found) == (name != "numbers")
        assert ("Thresholds" in found and "Decision curve" in found) == (name in ("findings", "old"))
        assert not re.search(r"<tbody>\s*</tbody>", page)
        assert page.count("<svg") >= (1 if name == "numbers" else 4)
    assert "<h3>Confusion matrix</h3>" in made.pages["classes"]
    assert "limits of agreement" in made.pages["numbers"]
    assert "Youden" in made.pages["findings"]


def test_missing_parts_of_an_old_run_are_reported(made):
    messages = re.findall(r'<p class="absent">(.*?)</p>', made.pages["old"])
    for part in (
        "flow of recordings",
        "calibrated probabilities",
        "thresholds",
        "net benefit",
        "subgroups",
        "drawings",
    ):
        assert any(part in text for text in messages), part
    assert made.reports["old"]["people"] is None


def test_the_table_of_outputs_has_no_empty_column(made):
    """The columns of the randomly initialised encoder are omitted if they are unknown, as are its differences in old runs."""
    for name, last in (("findings", "difference (DeLong)"), ("old", "randomly initialised encoder")):
        assert heads_of_outputs(made.pages[name])[-1] == last
    report = deepcopy(made.reports["findings"])
    report["evaluation"] |= {"baseline": None, "paired": {}}
    del report["evaluation"]["models"]["random"]
    page = render_report(report, [b"", b""])
    assert heads_of_outputs(page) == ["output", "positive", "AUROC", "AUPRC"]


def test_intervals_without_width_are_stated_once(made, tmp_path):
    """With predictions of AF without errors, every resample has the AUROC 1."""
    run = shutil.copytree(made.runs["findings"], tmp_path / "run")
    table = read_run(run).predictions
    perfect = (table["model"] == "linear") & table["target__af"].notna()
    table.loc[perfect, "logit__af"] = 4 * table.loc[perfect, "target__af"] - 2
    figures = evaluate(table, FAST, 0, main="linear")
    write_predictions(table, run / "classifier/predictions.csv")
    write_json(run / "evaluation.json", figures)
    write_report(run, None, show_progress=False)
    page = " ".join((run / "report.html").read_text().split())
    found = figures["models"]["linear"]["test"]["labels"]
    auroc = found["af"]["auroc"]
    assert auroc["value"] == auroc["low"] == auroc["high"] == 1
    counted = figures["splits"]["test"]
    assert page.count("Intervals without width") == page.count("does not show certainty") == 1
    (caution,) = re.findall(r"<li><b>Intervals without width</b>: (.*?)</li>", page)
    assert "AUROC (af); AUPRC (af); sensitivity (af" in caution
    assert f"of {counted['records']} recordings of {counted['patients']} patients" in caution
    assert f"positive recordings: af {found['af']['positives']} of {found['af']['records']}" in caution
    # the mean over both outputs has a width
    assert "mean AUROC" not in caution
    # so have all intervals of this regression
    assert "Intervals without width" not in made.pages["numbers"]
    report = deepcopy(made.reports["numbers"])
    models = report["evaluation"]["models"]
    for found in (models["linear"]["test"]["labels"]["lvef"], models["random"]["test"]["macro"]):
        found["mae"]["low"] = found["mae"]["high"]
    page = render_report(report, [b"", b""])
    assert "mean absolute error (randomly initialised encoder); mean absolute error (lvef). The bounds" in page


def heads_of_outputs(page: str) -> list[str]:
    """Return the headings of the table of outputs."""
    part = page[page.index("<h3>Each output</h3>") :]
    return re.findall(r"<th>(.*?)</th>", part[: part.index("</thead>")])


def test_figures_on_the_page_are_those_of_the_evaluation(made):
    figures = json.loads((made.runs["findings"] / "evaluation.json").read_text())
    macro = figures["models"]["linear"]["test"]["macro"]["auroc"]
    shown = f'{macro["value"]:.3f} <span class="ci">({macro["low"]:.3f} to {macro["high"]:.3f})</span>'
    assert shown in made.pages["findings"]
    point = figures["models"]["linear"]["test"]["labels"]["lvh"]["thresholds"]["youden"]
    if point["value"] is not None:
        assert f"{point['tp']} / {point['fp']} / {point['fn']} / {point['tn']}" in made.pages["findings"]
    assert json.loads((made.runs["findings"] / "report.json").read_text())["evaluation"] == figures


def test_pages_contain_no_patient_recording_or_path(made):
    """The source files of the page hold these names."""
    predictions = (made.runs["findings"] / "classifier/predictions.csv").read_text()
    assert "HOLTER-" in predictions
    hashes = set(made.store.index["patient"])
    places = [str(made.folder), made.folder.name, *SECRETS]
    for run in made.runs.values():
        for name in ("report.html", "report.json"):
            text = (run / name).read_text()
            assert len(text) > 10_000
            assert not [secret for secret in places if secret in text], name
            assert not [patient for patient in hashes if patient in text], name


def test_small_groups_are_withheld(made):
    for entry in made.reports["findings"]["people"]["site"]:
        assert all(n is None or n == 0 or n >= 10 for n in entry["counts"])
    assert "under 10" in made.pages["findings"] or "fewer than 10" in made.pages["findings"]


def test_recordings_are_the_best_and_the_worst(made):
    """Compare with log losses of scikit-learn; each attribution map is complete."""
    report, run = made.reports["findings"], read_run(made.runs["findings"])
    names = ["af", "lvh"]
    table = run.predictions[(run.predictions["model"] == "linear") & (run.predictions["split"] == "test")]
    probabilities = Decision.from_dict(run.evaluation["decision"]).probabilities(table[[f"logit__{n}" for n in names]])
    truth = table[[f"target__{n}" for n in names]].to_numpy()
    losses = []
    for y, p in zip(truth, probabilities, strict=True):
        known = ~np.isnan(y)
        losses.append(log_loss(y[known], p[known], labels=[0, 1]))
    found = (truth == 1).any(axis=1)
    expected = {"worst": int(np.argmax(losses)), "best": int(np.flatnonzero(found)[np.argmin(np.array(losses)[found])])}
    assert [(one["number"], one["how"]) for one in report["recordings"]] == [(1, "worst"), (2, "best")]
    for one in report["recordings"]:
        row = expected[one["how"]]
        assert [o["label"] for o in one["outputs"]] == names
        np.testing.assert_allclose([o["predicted"] for o in one["outputs"]], probabilities[row])
        true = [np.nan if o["true"] is None else o["true"] for o in one["outputs"]]
        np.testing.assert_array_equal(true, truth[row])
        assert one["attribution"]["complete"]
        assert sum(one["attribution"]["share_by_lead"].values()) == pytest.approx(1)
    assert made.pages["findings"].count('src="data:image/png;base64,') == 2


def test_splits_are_counted_together():
    """Folds cover train, validation and test; recordings of another hospital are external, with or without a split."""
    store = SimpleNamespace(index=pd.DataFrame({"split": ["train", "val", "test", "external", ""]}))
    splits = {
        name: people(SimpleNamespace(index=store.index.assign(age=50.0)), as_one=name)["splits"]
        for name in (None, "folds", "external")
    }
    assert splits == {
        None: ["train", "val", "test", "external"],
        "folds": ["folds", "external"],
        "external": ["external"],
    }


def test_a_run_by_folds_of_few_leads(made, tmp_path):
    run = make_run(made.store, tmp_path / "folds", TASKS["findings"], folded=True)
    report = write_report(run, made.store, recordings=1, attribution="rollout", show_progress=False)
    (row,) = report["cohort"]["splits"]
    assert (row["split"], row["recordings"], row["scored"]) == ("folds", 94, 94)
    assert {entry["split"] for entry in report["prevalence"]} == {"folds"}
    page = (run / "report.html").read_text()
    assert "4 folds of patients, 2 repeats" in page
    model = read_run(run).classifier
    encoder, everything = (sum(p.numel() for p in part.parameters()) for part in (model.encoder, model))
    assert f"heads, {encoder:,} parameters ({everything:,} with the head)" in page
    assert page.count("All results on this page are those of the first of 2 repetitions of the cross-validation.") == 2
    assert "I, II, V2" in page
    shown = set(report["recordings"][0]["attribution"]["share_by_lead"])
    assert shown == {"I", "II", "III", "aVR", "aVL", "aVF", "V2"}
    assert report["recordings"][0]["attribution"]["gap"] is None


def test_the_report_is_the_same_again(made, tmp_path):
    write_report(made.runs["classes"], made.store, out=tmp_path, recordings=1, show_progress=False)
    for name in ("report.html", "report.json"):
        assert (tmp_path / name).read_bytes() == (made.runs["classes"] / name).read_bytes()


def test_checklists_have_the_items_of_the_guidelines():
    """The checklists have 27 items in 52 parts (Collins 2024) and 40 items in 48 parts (Sounderajah 2025)."""
    for name, whole, parts in (("tripod_ai", 27, 52), ("stard_ai", 40, 48)):
        rows = items(name)
        assert len(rows) == parts
        numbers = [int(re.match(r"\d+", row["item"])[0]) for row in rows]
        assert sorted(set(numbers)) == list(range(1, whole + 1))
        assert numbers == sorted(numbers)
        assert len({row["item"] for row in rows}) == parts
        assert all(row["covers"] in (("whole", "part") if row["answers"] else ("",)) for row in rows)
        assert (files("ecgssl.report") / "tables" / f"{name}.csv").is_file()
        with (files("ecgssl.report") / "tables" / f"{name}.csv").open() as stream:
            assert len(list(csv.reader(stream))) == parts + 1


def test_checklists_use_the_answers_of_runs(made):
    known = set().union(*(answers(report) for report in made.reports.values()))
    asked = {key for name in CHECKLISTS for row in items(name) for key in row["answers"].split()}
    assert asked - known <= {"differences", "imbalance", "clusters", "cluster_results", "licence"}
    assert known <= asked


def test_gaps_are_visible_until_the_user_fills_them(made, tmp_path):
    report = made.reports["findings"]
    assert set(CARD) <= set(report["gaps"])
    assert "tripod_ai.17" in report["gaps"]
    assert made.pages["findings"].count('class="gap"') >= len(report["gaps"])
    given = {"ethics": "Approved <by> the board", "stard_ai.38": "No funder", "intended_use": "Triage"}
    again = write_report(made.runs["findings"], None, out=tmp_path, given=given, show_progress=False)
    page = (tmp_path / "report.html").read_text()
    assert "Approved &lt;by&gt; the board" in page
    assert not {"ethics", "tripod_ai.17", "tripod_ai.3b", "stard_ai.38"} & set(again["gaps"])
    assert fill("tripod_ai", {}, {})[0]["status"] == "open"
    assert set(report["gaps"]) <= answerable()


def test_precision_and_recall_are_those_of_sklearn():
    rng = np.random.default_rng(0)
    y, s = rng.integers(0, 2, 60).astype(float), np.round(rng.normal(size=60), 1)
    y[:5] = np.nan
    recall, precision = precision_recall(y, s)
    known = ~np.isnan(y)
    theirs, ours = precision_recall_curve(y[known], s[known])[:2], (precision[::-1], recall[::-1])
    np.testing.assert_allclose(ours[0], theirs[0][:-1])
    np.testing.assert_allclose(ours[1], theirs[1][:-1])
    area = np.sum(np.diff(np.r_[0, recall]) * precision)
    assert area == pytest.approx(average_precision_score(y[known], s[known]))
    with pytest.raises(ValueError, match="positive"):
        precision_recall(np.zeros(3), np.arange(3))


def test_drawn_curves_have_the_reported_areas(made):
    for name in ("findings", "classes"):
        report = made.reports[name]
        for model in ("linear", "random"):
            for label, reported in report["evaluation"]["models"][model]["test"]["labels"].items():
                x, y = (np.array(side) for side in report["curves"]["roc"][label][model])
                assert np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) == pytest.approx(reported["auroc"]["value"], abs=2e-3)
                x, y = (np.array(side) for side in report["curves"]["pr"][label][model])
                assert np.sum(np.diff(x) * y[1:]) == pytest.approx(reported["auprc"]["value"], abs=2e-3)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.04, 0.2), (12, 87), (0.5, 1.0), (3, 3)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-9 <= t <= high + 1e-9 for t in found)
    assert len(set(np.round(np.diff(found), 9))) <= 1


def test_runs_are_compared_on_their_shared_recordings(made, tmp_path):
    other = make_run(made.store, tmp_path / "gamma-run", TASKS["findings"], seed=7)
    assert write_comparison([made.runs["findings"], other], tmp_path / "compare.html") == ["A", "B"]
    reported = json.loads((tmp_path / "compare.json").read_text())
    assert [about["mode"] for about in reported["runs"].values()] == ["linear", "linear"]
    alone = [json.loads((run / "evaluation.json").read_text()) for run in (made.runs["findings"], other)]
    values = [one["models"]["linear"]["test"]["macro"]["auroc"]["value"] for one in alone]
    for name, value in zip("AB", values, strict=True):
        assert reported["models"][name]["macro"]["auroc"]["value"] == pytest.approx(value, abs=1e-5)
    gain = reported["paired"]["B"]["auroc"]
    assert gain["difference"] == pytest.approx(values[0] - values[1], abs=1e-5)
    assert gain["low"] <= gain["difference"] <= gain["high"]
    run = read_run(other)
    kept = replace(run, config=run.config | {"mode": "full"}, choices=run.choices | {"epoch": 0})
    about = compare({"A": run, "B": kept}, ["a", "b"], EvaluateParams(bootstrap=100), 0)["runs"]
    assert (about["A"]["mode"], about["B"]["mode"]) == ("linear", "full (linear probe kept)")
    page = (tmp_path / "compare.html").read_text()
    assert not [secret for secret in (*SECRETS, str(tmp_path), "gamma-run") if secret in page]


def test_runs_of_other_recordings_or_outputs_are_not_compared(made, tmp_path):
    other = shutil.copytree(made.runs["findings"], tmp_path / "cut")
    table = pd.read_csv(other / "classifier/predictions.csv")
    last = table.loc[table["split"] == "test", "record_id"].iloc[-1]
    table[table["record_id"] != last].to_csv(other / "classifier/predictions.csv", index=False)
    for second, reported in ((other, "was tested on other recordings"), (made.runs["numbers"], "has other outputs")):
        done = ecgssl("report", "--compare", made.runs["findings"], second, "--out", tmp_path / "c.html")
        refused(done, reported, second, made.runs["findings"])
    assert not (tmp_path / "c.html").exists()


def test_the_command(made, tmp_path):
    answers = tmp_path / "answers.yaml"
    answers.write_text("ethics: Approved\ntripod_ai.18a: No funder\n")
    done = ecgssl("report", made.runs["numbers"], "--out", tmp_path / "out", "--answers", answers, "--recordings", 0)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"wrote {tmp_path / 'out/report.html'}; ")
    assert "Approved" in (tmp_path / "out/report.html").read_text()
    answers.write_text("ethic: Approved\n")
    refused(
        ecgssl("report", made.runs["numbers"], "--out", tmp_path / "x", "--answers", answers), "ethic", "not a question"
    )
    refused(ecgssl("report", tmp_path / "none"), "none")
    shutil.copytree(made.runs["numbers"], tmp_path / "own")
    shutil.copytree(made.store.path, tmp_path / "own" / "store-0123")
    done = ecgssl("report", tmp_path / "own", "--recordings", 0)
    assert done.code == 0, done
    assert json.loads((tmp_path / "own" / "report.json").read_text())["cohort"]
    refused(ecgssl("report", made.runs["numbers"], made.runs["findings"]), "2 runs are given")
    refused(ecgssl("report", "--compare", made.runs["numbers"], made.runs["findings"]), "--out")
    assert not (tmp_path / "x").exists()


def test_hostile_names_are_escaped(made):
    """Names of targets, groups and answers come from input files and can contain any text."""
    hostile = '<script>alert(1)</script>&"'
    report = json.loads((made.runs["findings"] / "report.json").read_text().replace('"lvh"', json.dumps(hostile)))
    report["asked"] |= {"task": hostile, "set": hostile, "recorded_leads": [hostile, "I"]}
    report["card"]["users"] = hostile
    report["people"]["device"] = [{"value": hostile, "counts": [12] * len(report["people"]["splits"])}]
    report["evaluation"]["method"][hostile] = hostile
    comparison = {
        "kind": "multilabel",
        "labels": ["af", hostile],
        "runs": {"A": dict.fromkeys(ABOUT, hostile)},
        "records": 1,
        "patients": 1,
        "method": {"interval": hostile},
        "models": {"A": report["evaluation"]["models"]["linear"]["test"]},
        "paired": {},
    }
    for page in (render_report(report, [b"", b""]), render_comparison(comparison)):
        assert "<script" not in page
        assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;") >= 8


@pytest.mark.parametrize("name", ["synthetic", "ptbxl"])
def test_the_encoder_and_its_pretraining_data_are_named(made, name):
    """A warning before the first section says if the encoder has seen synthetic recordings only."""
    files = read_run(made.runs["findings"])
    origin = {"name": "small", "data": {"set": name, "train": 1200}, "started_from": None}
    report = gather(replace(files, config=files.config | {"encoder": origin}), None, {}) | {"recordings": []}
    page = render_report(report, [])
    first = page[: page.index("<h2")]
    assert ("The encoder was pretrained on synthetic recordings only." in first) is (name == "synthetic")
    text = f"small, pretrained on {name} (1,200 recordings)"
    assert text in page
    assert f"Encoder: {text}." in answers(report)["model"].text


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_without_errors(made, width):
    """The pages load nothing, show every image, and scroll sideways only inside table boxes."""
    tab = Page(width)
    try:
        for name, run in made.runs.items():
            address = (run / "report.html").as_uri()
            tab.open(address)
            assert tab.run("[...document.images].every(i => i.complete && i.naturalWidth > 100)")
            assert tab.run("document.images.length") == (0 if name == "old" else 2)
            assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.complaints == []
        assert {url.split(":")[0] for url in tab.requested} <= {"file", "data", "about"}
        assert not [u for u in tab.requested if u.startswith("file") and not u.endswith("report.html")]
    finally:
        tab.close()
