"""Ablation benchmark: cells of equal compute, finished cells are kept, and report figures agree with scikit-learn."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from ecgssl.errors import InputError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def ablation(monkeypatch):
    """Return the benchmark scripts as modules, imported as they import each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module("ablation"), import_module("ablation_report")
    for name in ("ablation", "ablation_report"):
        sys.modules.pop(name)


def test_cells_are_made_once_with_equal_compute(ablation, store, make_params, tmp_path):
    script, report = ablation
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(make_params().model_dump(mode="json")))
    args = Namespace(
        store=store.path, params=path, out=tmp_path / "out", task=["t=AF"], rows="random;core;contrastive", seeds=2,
        tflop=0.004, minutes=None, label_sets=[], shares=[0.5, 1.0], full=[], set=[],
    )  # fmt: skip
    script.run(args)
    results = pd.read_parquet(args.out / "results.parquet")
    assert sorted(zip(results["row"], results["seed"], results["share"], strict=True)) == sorted(
        (row, seed, share) for row in ("random", "core", "contrastive") for seed in (0, 1) for share in (0.5, 1.0)
    )
    trained = results[results["row"] != "random"]
    assert trained["seen"].groupby(trained["row"]).first()["contrastive"] > trained["seen"].min()
    spent = trained["seen"] * trained["flop_per_recording"]
    assert (abs(spent - 4e9) <= 4 / 2 * trained["flop_per_recording"]).all(), "equal up to half a batch of four"
    assert not list((args.out / "cells").glob("*/run"))

    made = {p: p.stat().st_mtime_ns for p in args.out.rglob("*.npz")}
    assert len(made) == 6
    script.run(args)
    assert {p: p.stat().st_mtime_ns for p in args.out.rglob("*.npz")} == made
    args.tflop = 1.0
    with pytest.raises(InputError, match="was written with different parameters"):
        script.run(args)

    table = report.compare([args.out], "test", "core").set_index(["row", "share"])
    rows, answers = store.rows("test"), store.index["AF"].to_numpy(dtype=float)
    for row in ("random", "core"):
        for share in (0.5, 1.0):
            found = [
                roc_auc_score(answers[rows], np.load(args.out / f"cells/{row}-{seed}/logits.npz")[key])
                for seed in (0, 1)
                for key in [f"t/{share:g}/linear/test"]
            ]
            assert table.loc[(row, share), "auroc"] == pytest.approx(np.mean(found))
    assert "macro AUROC (95 % interval)" in report.report([args.out], "val", "core")
    assert (args.out / "val.png").read_bytes().startswith(b"\x89PNG")
    assert not (args.out / "test.csv").exists(), "compare must not write files"


def test_cells_of_equal_processor_time(ablation, store, make_params, tmp_path):
    script, _ = ablation
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(make_params().model_dump(mode="json")))
    args = Namespace(
        store=store.path, params=path, out=tmp_path / "out", task=[], label_sets=["A"], rows="contrastive", seeds=1,
        tflop=None, minutes=1.0, shares=[1.0], full=[], set=[],
    )  # fmt: skip
    seconds = script.costs(args, store)
    assert set(seconds) == {row for row, extra in script.ROWS.items() if extra is not None}
    assert script.costs(args, store) == seconds, "the costs are measured once"
    for row in ("core", "contrastive", "core, no FDA"):
        params, _ = script.parameters(args, row, 0, {**seconds, row: 0.5})
        assert params.pretrain.samples == 120, "60 s of 0.5 s, in batches of four"


def test_a_label_that_cannot_be_learned_has_one_output(ablation, store, make_params):
    script, _ = ablation
    params, train, val = make_params(), store.rows("train"), store.rows("val")
    values = store.index[["AF", "AF"]].to_numpy(dtype=float)
    values[train, 1] = 0
    features = np.random.default_rng(0).normal(size=(len(store), 3))
    found, probe = script.probe_logits(features, values, store, params, train, val, ["AF", "never"])
    assert probe is None
    for split in ("val", "test"):
        assert not found[split][:, 1].any()
        assert len(np.unique(found[split][:, 0])) > 1
    alone, known = script.probe_logits(features, values[:, :1], store, params, train, val, ["AF"])
    assert known is not None
    np.testing.assert_allclose(alone["test"][:, 0], found["test"][:, 0])


def test_differences_and_their_mean(ablation, tmp_path):
    """Two tasks, an informative row and a random one, two seeds."""
    _, report = ablation
    generator = np.random.default_rng(0)
    truth = pd.DataFrame({"split": "val", "a": generator.integers(0, 2, 80), "b": generator.integers(0, 2, 80)})
    (tmp_path / "truth").mkdir()
    truth.assign(patient=np.arange(80) // 2).to_parquet(tmp_path / "truth/truth.parquet")
    (tmp_path / "run.json").write_text('{"tasks": {"one": ["a"], "other": ["b"]}}')
    lines, reached = [], {}
    for row, noise in (("knows", 0.7), ("guesses", 30.0)):
        for seed in (0, 1):
            cell = tmp_path / "cells" / f"{row}-{seed}"
            cell.mkdir(parents=True)
            logits = {t: truth[[t]].to_numpy() + noise * generator.normal(size=(80, 1)) for t in ("a", "b")}
            np.savez(cell / "logits.npz", **{"one/1/linear/val": logits["a"], "other/1/linear/val": logits["b"]})
            reached[row, seed] = [roc_auc_score(truth[t], logits[t]) for t in ("a", "b")]
            for task in ("one", "other"):
                lines.append(
                    {
                        "row": row,
                        "seed": seed,
                        "cell": cell.name,
                        "task": task,
                        "mode": "linear",
                        "share": 1.0,
                        "val_auroc": 0.5,
                    }
                )
    pd.DataFrame(lines).to_parquet(tmp_path / "results.parquet")
    table = report.compare([tmp_path], "val", "knows").set_index(["task", "row"])
    for k, task in enumerate(("one", "other")):
        each = [reached["guesses", seed][k] - reached["knows", seed][k] for seed in (0, 1)]
        line = table.loc[(task, "guesses")]
        assert line["difference"] == pytest.approx(np.mean(each))
        assert line["seeds_agree"] == 2
        assert line["d_low"] < line["difference"] < line["d_high"] < 0
    whole = table.loc[("mean", "guesses")]
    assert whole["auroc"] == pytest.approx(np.mean([reached["guesses", seed] for seed in (0, 1)]))
    assert whole["difference"] == pytest.approx(
        table.loc[[("one", "guesses"), ("other", "guesses")], "difference"].mean()
    )
    narrow = whole["d_high"] - whole["d_low"]
    assert narrow < min(
        table.loc[(task, "guesses")].pipe(lambda x: x["d_high"] - x["d_low"]) for task in ("one", "other")
    )
    assert "| guesses | all |" in report.markdown(table.reset_index(), "knows")


def test_each_row_uses_its_best_tuning_run(ablation, tmp_path):
    _, report = ablation
    truth = pd.DataFrame({"split": "val", "a": [0, 0, 0, 1, 1, 1], "patient": np.arange(6)})
    good, poor = np.arange(6.0)[:, None], np.array([0.0, 5, 2, 3, 4, 1])[:, None]
    outs = [tmp_path / "one", tmp_path / "two"]
    for out, better in zip(outs, ("x", "y"), strict=True):
        (out / "truth").mkdir(parents=True)
        truth.to_parquet(out / "truth/truth.parquet")
        (out / "run.json").write_text(json.dumps({"params": out.name, "tasks": {"t": ["a"]}, "shares": [1.0]}))
        lines = []
        for row in ("x", "y"):
            logits = good if row == better else poor
            (out / "cells" / row).mkdir(parents=True)
            np.savez(out / "cells" / row / "logits.npz", **{"t/1/linear/val": logits})
            reached = roc_auc_score(truth["a"], logits[:, 0])
            lines.append(
                {"row": row, "seed": 0, "cell": row, "task": "t", "mode": "linear", "share": 1.0, "val_auroc": reached}
            )
        pd.DataFrame(lines).to_parquet(out / "results.parquet")
    table = report.compare(outs, "val", "x").set_index("row")["auroc"]
    assert table.to_dict() == {"x": 1.0, "y": 1.0}
    assert report.compare(outs[:1], "val", "x").set_index("row")["auroc"]["y"] == pytest.approx(5 / 9)
    assert "| x | **1.0000** | 0.5556 |" in report.report(outs, "val", "x")
    (outs[1] / "run.json").write_text('{"params": "two", "tasks": {"t": ["a"]}, "shares": [0.5]}')
    with pytest.raises(InputError, match="shares: differs from"):
        report.compare(outs, "val", "x")
