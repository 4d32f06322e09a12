"""Results on label sets: cells are made once, tables agree with scikit-learn, and scorings of fold 10 are logged."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import ptbxl_report
import ptbxl_results
import pytest
import yaml
from bare_store import bare_store
from ptbxl_report import LOG, PAGE, log_table
from sklearn.metrics import roc_auc_score

from ecgssl.errors import InputError
from ecgssl.evaluation.quoted import read_quoted
from ecgssl.finetuning.finetune import random_encoder
from ecgssl.training.checkpoint import save_model


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, make_params):
    """Return the folder of a store with two label sets, 80 recordings of 40 patients, and parameters and an encoder."""
    folder = tmp_path_factory.mktemp("labelled")
    rng, count = np.random.default_rng(0), 80
    params = make_params(finetune={"full": {"epochs": 1, "patience": 1}})
    labels = {f"{name}.{k}": rng.integers(0, 2, count).astype(float) for name in ("superclass", "form") for k in "ab"}
    for name in ("form.a", "form.b"):
        labels[name][::5] = np.nan
    splits = ["train", "train", "val", "test"] * 20
    patients = [4 * (number // 8) + number % 4 for number in range(count)]
    made = bare_store(folder / "store", range(count), splits, patients, labels=labels, spec=params.signal)
    save_model(folder / "tiny", random_encoder(params.model, made, 7), made.spec)
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    return folder


def arguments(folder, out, *more):
    given = ["run", "--store", f"{folder}/store", "--params", f"{folder}/params.yaml", "--out", str(out)]
    return [*given, "--encoder", f"tiny={folder}/tiny", "--labels", "superclass", "form", "--kernels", "12", *more]


def test_cells_tables_and_log(labelled, counting, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ptbxl_report, "mean_replicates", few_resamples(ptbxl_report.mean_replicates, monkeypatch))
    out, log = tmp_path / "out", tmp_path / "log.csv"
    common = arguments(labelled, out, "--row", "random", "--row", "linear:tiny", "--row", "minirocket", "--draws", "2")
    common += ["--shares", "1.0", "0.5", "--leads", "12lead", "1lead"]
    ptbxl_results.main(common)
    names = {path.stem for path in (out / "cells").glob("*.json")}
    assert len(names) == 3 * 2 * (1 + 2 + 1), "rows x label sets x (all labels, two draws of half, one lead)"
    assert {"linear-tiny-form-0.5-1-12lead", "minirocket-superclass-1-0-1lead"} <= names
    cell = json.loads((out / "cells/linear-tiny-form-0.5-1-12lead.json").read_text())
    whole = json.loads((out / "cells/linear-tiny-form-1-0-12lead.json").read_text())
    assert 0 < cell["labelled"] < whole["labelled"] == 32, "every fifth recording has no label of the set"
    assert str(labelled) not in json.dumps(whole["command"])
    made = {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*")}
    ptbxl_results.main(common)
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*")} == made
    capsys.readouterr()

    ptbxl_results.main(["report", "--out", str(out), "--log", str(log), "--against", "random"])
    text = capsys.readouterr().out
    assert "macro AUROC on fold 9 (95 % interval), 12lead, 50% of the labels, mean of 2 draws" in text
    assert not log.exists(), "fold 9 is not logged"
    truth = pd.read_parquet(out / "truth.parquet")
    line = (
        pd.read_csv(out / "val.csv")
        .set_index(["row", "labels", "share", "leads"])
        .loc[("linear:tiny", "form", 0.5, "12lead")]
    )
    expected = []
    for draw in (0, 1):
        with np.load(out / f"cells/linear-tiny-form-0.5-{draw}-12lead/logits.npz") as kept:
            part = truth.iloc[kept["val_rows"]]
            assert set(part["split"]) == {"val"}
            expected += [roc_auc_score(part[f"form.{k}"], kept["val"][:, i]) for i, k in enumerate("ab")]
    assert line["auroc"] == pytest.approx(np.mean(expected), abs=1e-4)
    assert line["low"] <= line["auroc"] <= line["high"]

    for _ in range(2):
        ptbxl_results.main(["report", "--out", str(out), "--log", str(log), "--split", "test"])
    details = ["details", "--out", str(out), "--log", str(log), "--row", "random", "--labels", "superclass"]
    ptbxl_results.main([*details, "--split", "test"])
    with log.open() as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == 2 * len(names) * 3 // 4 + 2, "one line per figure; draws are averaged"
    assert [line["metric"] for line in lines[-2:]] == ["macro AUROC", "macro AUPRC"]
    assert "--split test" in lines[0]["command"]
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{ptbxl_report.START}\nobsolete\n{ptbxl_report.END}\n\nEnd\n")
    ptbxl_results.main(["log", "--log", str(log), "--page", str(page)])
    assert "obsolete" not in page.read_text()
    assert page.read_text().endswith(f"{ptbxl_report.END}\n\nEnd\n")
    assert page.read_text().count("linear:tiny") == len(
        {line["date"] for line in lines if line["row"] == "linear:tiny"}
    )


def few_resamples(function, monkeypatch):
    """Set 100 bootstrap resamples instead of 1,000, and return the function."""
    monkeypatch.setitem(function.__globals__, "RESAMPLES", 100)
    return function


def test_from_scratch_and_labels_that_cannot_be_learned(labelled, tmp_path, capsys):
    out = tmp_path / "out"
    common = arguments(labelled, out, "--row", "scratch:tiny", "--leads", "12lead", "--shares", "1.0")
    ptbxl_results.main([*common, "--labels", "superclass"])
    cell = json.loads((out / "cells/scratch-tiny-superclass-1-0-12lead.json").read_text())
    assert cell["choices"]["epoch"] in (0, 1)
    assert 0 <= cell["val_auroc"] <= 1
    ptbxl_results.main([*common, "--row", "clinical", "--labels", "superclass"])
    cell = json.loads((out / "cells/clinical-superclass-1-0-12lead.json").read_text())
    assert set(cell["choices"]["C"]) == {"superclass.a", "superclass.b"}
    few = arguments(labelled, out, "--row", "scratch:tiny", "--leads", "12lead", "--shares", "0.01", "--draws", "1")
    ptbxl_results.main([*few, "--labels", "superclass"])
    cell = json.loads((out / "cells/scratch-tiny-superclass-0.01-0-12lead.json").read_text())
    assert "superclass." in cell["not_fitted"]
    capsys.readouterr()
    ptbxl_results.main(["report", "--out", str(out)])
    assert "1 cells could not be fitted" in capsys.readouterr().out


def test_wrong_rows_and_label_sets_are_listed(labelled, tmp_path):
    with pytest.raises(InputError) as caught:
        ptbxl_results.main(arguments(labelled, tmp_path, "--row", "guess", "--row", "full:other"))
    assert "guess: is unknown" in str(caught.value)
    assert "full:other: has no encoder" in str(caught.value)
    with pytest.raises(InputError, match="rhythm: is not a label set of this store"):
        ptbxl_results.main([*arguments(labelled, tmp_path, "--row", "random"), "--labels", "rhythm"])
    with pytest.raises(InputError, match="has no finished cell"):
        ptbxl_results.main(["report", "--out", str(tmp_path / "none")])


def test_the_page_shows_the_log_and_the_published_results():
    text = PAGE.read_text(encoding="utf-8")
    assert log_table(LOG) in text, "run: python benchmarks/ptbxl_results.py log"
    for quoted in read_quoted(PAGE.parents[1] / "pipelines/published.csv"):
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {quoted.method} |")]
        assert f" {quoted.value:.3f} " in line, quoted
