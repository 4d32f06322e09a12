"""Prediction files, the evaluation of several models, curves and figures."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from ecgssl.config import EvaluateParams
from ecgssl.errors import InputError
from ecgssl.evaluation.curves import reliability_rows, roc_curve, roc_rows, thin, write_rows
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.plots import draw_reliability, draw_roc
from ecgssl.evaluation.predictions import labels_of, prediction_table, read_predictions, write_predictions
from ecgssl.files import canonical_json
from ecgssl.stages.evaluate import draw_curves

PARAMS = EvaluateParams(bootstrap=100)
NAMES = ["AF", "wide_qrs", "never"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    count = 300
    patient = rng.integers(0, 120, count)
    latent = rng.normal(size=(count, 3))
    y = (latent + rng.normal(size=latent.shape) > 0.5).astype(float)
    y[:, 2] = 0
    y[rng.random(y.shape) < 0.05] = np.nan
    ids, patients = [f"{i:04d}" for i in range(count)], [f"{p:03d}" for p in patient]
    splits = np.array(["val", "test"])[patient % 2].tolist()
    parts = [
        prediction_table(ids, patients, splits, model, NAMES, y, latent + noise * rng.normal(size=latent.shape))
        for model, noise in (("linear", 0.3), ("scratch", 1.0), ("random", 3.0))
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_prediction_file_comes_back_exactly(table: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"predictions{suffix}"
    write_predictions(table, path)
    pd.testing.assert_frame_equal(read_predictions(path), table)
    assert labels_of(table) == NAMES
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_every_fault_of_a_prediction_file_is_named(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    text = table.astype(object)
    text.loc[1, "record_id"] = text.loc[0, "record_id"]
    text.loc[2, "patient"] = ""
    text.loc[3, "target__AF"] = 0.5
    text.loc[4, "prob__AF"] = 1.5
    text.loc[5, "logit__AF"] = "inf"
    text.loc[6, "logit__wide_qrs"] = "high"
    text.loc[table["record_id"] == "0007", "split"] = "train"
    text.to_csv(path, index=False)
    with pytest.raises(InputError) as error:
        read_predictions(path)
    fields = {p.field for p in error.value.problems}
    assert fields == {"record_id", "patient", "target__AF", "prob__AF", "logit__AF", "logit__wide_qrs"}
    assert "patients are in more than one split" in str(error.value)

    table.drop(columns=["patient", "prob__AF"]).to_csv(path, index=False)
    with pytest.raises(InputError) as error:
        read_predictions(path)
    assert {p.field for p in error.value.problems} == {"patient", "prob__AF"}


def test_missing_empty_and_foreign_files(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_predictions(tmp_path / "none.csv")
    with pytest.raises(InputError, match="suffix"):
        read_predictions(tmp_path / "x.pkl")
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(tmp_path / "x.csv")
    table.iloc[:0].to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError, match="the table is empty"):
        read_predictions(tmp_path / "x.csv")


def test_a_failed_write_leaves_the_old_file(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    write_predictions(table, path)
    before = path.read_bytes()
    with pytest.raises(InputError):
        write_predictions(pd.concat([table, table]), path)
    assert path.read_bytes() == before


def test_evaluation_equals_scikit_learn_and_leaves_out_the_undefined_label(table: pd.DataFrame) -> None:
    result = evaluate(table, PARAMS, seed=0)
    json.dumps(result, allow_nan=False)
    assert (result["main"], result["baseline"], result["labels"]) == ("linear", "random", NAMES)
    for model in ("linear", "scratch", "random"):
        for split in ("val", "test"):
            part = table[(table["model"] == model) & (table["split"] == split)]
            found = result["models"][model][split]
            for metric, reference in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
                expected = []
                for name in NAMES[:2]:
                    known = part[part[f"target__{name}"].notna()]
                    expected.append(reference(known[f"target__{name}"], known[f"logit__{name}"]))
                    entry = found["labels"][name][metric]
                    assert entry["value"] == pytest.approx(expected[-1])
                    assert entry["low"] < entry["value"] < entry["high"]
                    assert found["labels"][name]["positives"] == known[f"target__{name}"].sum()
                assert found["macro"][metric]["value"] == pytest.approx(np.mean(expected))
            assert found["macro"]["labels"] == 2
            assert found["macro"]["undefined"] == {"never": "no positive record"}
            none = {"value": None, "low": None, "high": None, "dropped": 100}
            assert found["labels"]["never"]["auroc"] == none
            calibration = found["labels"]["never"]["calibration"]["after"]
            assert (calibration["brier"], calibration["ece"]) == (none, None)
    paired = result["paired"]["test"]
    assert list(paired) == ["scratch", "random"]
    gap = paired["random"]["auroc"]
    macro = {m: result["models"][m]["test"]["macro"]["auroc"]["value"] for m in ("linear", "random")}
    assert gap["difference"] == pytest.approx(macro["linear"] - macro["random"])
    assert 0 < gap["low"] < gap["difference"] < gap["high"]
    assert gap["p"] < 0.05


def test_order_of_rows_does_not_matter_and_the_seed_does(table: pd.DataFrame) -> None:
    shuffled = table.sample(frac=1, random_state=1)
    ordered = evaluate(table, PARAMS, seed=0, main="linear")
    again = evaluate(shuffled, PARAMS, seed=0, main="linear")
    assert ordered["models"] == again["models"]
    assert ordered["paired"]["test"]["random"] == again["paired"]["test"]["random"]
    assert evaluate(table, PARAMS, seed=1)["models"] != ordered["models"]


def test_the_key_of_the_patient_hashes_does_not_change_results(table: pd.DataFrame) -> None:
    """Every machine has its own secret key, and thereby other hashes of the same patients."""
    hashes = {name: f"{(int(name) * 7919 + 31) % 1009:04x}" for name in table["patient"].unique()}
    assert len(set(hashes.values())) == len(hashes)
    ours = evaluate(table, PARAMS, seed=0, main="linear")
    theirs = evaluate(table.assign(patient=table["patient"].map(hashes)), PARAMS, seed=0, main="linear")
    assert canonical_json(theirs) == canonical_json(ours)


def test_models_must_be_there_and_on_the_same_records(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="'random' is not among"):
        evaluate(table[table["model"] != "random"], PARAMS, seed=0)
    alone = evaluate(table[table["model"] == "linear"], PARAMS, seed=0, baseline=None)
    assert alone["paired"] == {"test": {}}
    lost = table.drop(index=table.index[(table["model"] == "random") & (table["split"] == "test")][0])
    with pytest.raises(InputError, match="different records"):
        evaluate(lost, PARAMS, seed=0)
    with pytest.raises(InputError, match="no rows of split val, test, external"):
        evaluate(table.assign(split="train"), PARAMS, seed=0)


def test_roc_curve_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y, s = rng.integers(0, 2, 300).astype(float), np.round(rng.normal(size=300), 1)
    y[:30] = np.nan
    fpr, tpr = roc_curve(y, s)
    expected = sklearn_roc_curve(y[30:], s[30:], drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected[0])
    np.testing.assert_allclose(tpr, expected[1])
    with pytest.raises(ValueError, match="both classes"):
        roc_curve([1, 1], [0, 1])


def test_thinned_curves_keep_their_ends_and_their_area() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(20_000) < 0.01).astype(float)
    fpr, tpr = roc_curve(y, y + rng.normal(size=len(y)))
    x, z = thin(fpr, tpr, 200)
    assert len(x) <= 200
    assert (x[0], z[0], x[-1], z[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(z, x) == pytest.approx(np.trapezoid(tpr, fpr), abs=2e-3)


def test_series_are_tidy_and_small(table: pd.DataFrame, tmp_path: Path) -> None:
    write_rows(roc_rows(table), tmp_path / "roc.json")
    rows = pd.DataFrame(json.loads((tmp_path / "roc.json").read_text()))
    assert list(rows) == ["label", "model", "fpr", "tpr"]
    assert set(rows["label"]) == {"AF", "wide_qrs"}
    assert rows.groupby(["label", "model"]).size().max() <= 200
    reliability = pd.DataFrame(reliability_rows(table))
    known = table[(table["model"] == "linear") & (table["split"] == "test")]["target__AF"].notna().sum()
    mine = reliability[(reliability["label"] == "AF") & (reliability["model"] == "linear")]
    assert mine["records"].sum() == known
    assert ((mine["low"] <= mine["observed"]) & (mine["observed"] <= mine["high"])).all()


def test_figures_show_every_label_with_its_support(table: pd.DataFrame, tmp_path: Path) -> None:
    figure = draw_roc(table, bootstrap=100)
    figure.savefig(tmp_path / "roc.png")
    assert [a.get_title("left") for a in figure.axes] == NAMES
    part = table[(table["model"] == "linear") & (table["split"] == "test")]["target__AF"].dropna()
    assert figure.axes[0].texts[-1].get_text() == f"{int(part.sum())} of {len(part)} positive"
    texts = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert [t.split()[0] for t in texts] == ["linear", "scratch", "random"]
    assert "no positive record" in [t.get_text() for t in figure.axes[2].texts]
    calibration = draw_reliability(table)
    calibration.savefig(tmp_path / "reliability.png")
    assert "before calibration" in " ".join(calibration.get_supxlabel().split())
    for drawn in (figure, calibration, draw_roc(table, max_labels=2), draw_reliability(table, max_labels=1)):
        drawn.savefig(tmp_path / "drawn.png", dpi=120)
        shown = {drawn.get_supxlabel(), *(axes.get_title("left") for axes in drawn.axes)}
        boxes = [text.get_window_extent() for text in drawn.findobj(Text) if text.get_text() in shown]
        assert len(boxes) == 1 + len(drawn.axes)
        assert all(box.y1 < drawn.bbox.height and box.x1 < drawn.bbox.width for box in boxes)
    assert len(draw_roc(table, max_labels=1).axes) == 1
    with pytest.raises(ValueError, match="no predictions"):
        draw_roc(table, "train")


def test_the_interval_in_the_roc_figure_is_that_of_the_results(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    monkeypatch.setattr("ecgssl.stages.evaluate.png_bytes", lambda figure: figures.append(figure) or b"")
    for params in (PARAMS, PARAMS.model_copy(update={"one_per_patient": True, "confidence": 0.8})):
        draw_curves(table, "linear", tmp_path, SimpleNamespace(evaluate=params, seed=3))
        found = evaluate(table, params, seed=3, main="linear")["models"]["linear"]["test"]["labels"]["AF"]["auroc"]
        texts = [text.get_text() for text in figures[-2].axes[0].get_legend().get_texts()]
        assert f"linear {found['value']:.3f} ({found['low']:.3f}–{found['high']:.3f})" in texts
