"""The whole pipeline on the command line, from recordings to scores, with small settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import contents, ecgssl
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ecgssl.config import SyntheticParams
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.store.store import Store

pytestmark = pytest.mark.long

TARGETS = ["t_inversion", "st_elevation"]
MODES = ["linear", "full"]
PROFILE = Path(__file__).parents[2] / "ecgssl/profiles/quickstart.yaml"
BROKEN = {"truncated": "truncated", "header": "header", "flat": "min_leads"}


def overridden(folder: Path) -> Path:
    """Write the quickstart profile with much smaller settings."""
    params = yaml.safe_load(PROFILE.read_text())
    params["sets"] = {"mine": {"reader": "cohort", "manifest": "m.csv", "patient_key": str(folder / "patient.key")}}
    params["signal"]["duration"] = 5
    params["store"] |= {"workers": 1, "shard_recordings": 100}
    params["model"] |= {"width": 32, "depth": 2, "heads": 2, "patch": 50}
    params["model"]["decoder"] |= {"width": 32, "heads": 2}
    params["pretrain"].pop("sets", None)
    params["pretrain"] |= {"samples": 384, "batch_size": 32, "probe": {"targets": TARGETS}}
    params["tasks"] = {"waves": {"targets": TARGETS}}
    params["finetune"]["full"] |= {"epochs": 2, "batch_size": 32}
    params["evaluate"]["bootstrap"] = 100
    params["export"] = {"tolerance": 1e-4, "opset": 20}
    params["tracking"] = {"backend": "none"}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def break_recordings(manifest: Path) -> dict[str, str]:
    """Add identifying patient ids, damage three recordings, and return the expected reason by record."""
    table = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    table["patient_id"] = "MRN-4711-" + table["patient_id"]
    table.to_csv(manifest, index=False)
    train = table[table["split"] == "train"].iloc[:3]
    for (_, row), kind in zip(train.iterrows(), BROKEN, strict=True):
        dat = (manifest.parent / row["path"]).with_suffix(".dat")
        hea = dat.with_suffix(".hea")
        if kind == "truncated":
            dat.write_bytes(dat.read_bytes()[:-100])
        elif kind == "header":
            hea.write_text(hea.read_text().replace(" 250 ", " fast ", 1))
        else:
            dat.write_bytes(bytes(dat.stat().st_size))
            lines = [line.split(" ") for line in hea.read_text().splitlines()]
            for line in lines[1:13]:
                line[5:7] = "0", "0"
            hea.write_text("\n".join(" ".join(line) for line in lines) + "\n")
    return dict(zip(train["record_id"], BROKEN.values(), strict=True))


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """Run all commands in one folder next to the recordings."""
    base = tmp_path_factory.mktemp("line")
    params, out = overridden(base), base / "out"
    shape = SyntheticParams(patients=60, recordings_per_patient=(2, 3), sampling_rate=250, duration=6)
    manifest = simulate(base / "ward-seven", shape, seed=1)
    broken = break_recordings(manifest)
    finished = {}

    def step(name: str, *arguments: object, code: int = 0) -> None:
        finished[name] = ecgssl(*arguments)
        assert (finished[name].code, finished[name].err) == (code, ""), finished[name].err

    step("preprocess", "preprocess", "--manifest", manifest, "--out", out / "store", "--params", params, code=3)
    step("pretrain", "pretrain", "--store", out / "store", "--out", out / "run", "--params", params)
    for mode in MODES:
        given = ("--encoder", out / "run/pretrained", "--targets", ",".join(TARGETS), "--mode", mode)
        step(mode, "finetune", "--store", out / "store", *given, "--out", out / mode, "--params", params)
    made = out / "full/classifier"
    given = ("--store", out / "store", "--out", out / "again.json", "--params", params)
    step("evaluate", "evaluate", made / "predictions.csv", *given)
    for name, model in (("classifier", made), ("encoder", out / "run/pretrained")):
        given = ("--model", model, "--out", out / "bundles" / name, "--store", out / "store")
        # only the classifier gets raw graphs
        quick = () if name == "classifier" else ("--set", "export.raw_rates=[]", "--set", "export.pt2=false")
        step(f"export {name}", "export", *given, "--params", params, *quick)
    step("predict", "predict", manifest, "--bundle", out / "bundles/classifier", "--out", out / "scores.csv", code=3)
    step("embed", "embed", manifest, "--bundle", out / "bundles/encoder", "--out", out / "embeddings.parquet", code=3)
    table = pd.read_csv(manifest, dtype={"patient_id": str})
    return SimpleNamespace(
        base=base, out=out, params=params, manifest=manifest, table=table, broken=broken, finished=finished
    )


@pytest.fixture(scope="module")
def store(line):
    return Store(line.out / "store")


def predictions(folder: Path, model: str) -> pd.DataFrame:
    table = pd.read_csv(folder / "classifier/predictions.csv", float_precision="round_trip")
    return table[table["model"] == model].set_index("record_id")


def run_onnx(path: Path, store: Store, rows: np.ndarray, output: str) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run([output], {"ecg": store.signals(rows), "lead_mask": store.lead_mask(rows)})[0]


def test_every_recording_is_stored_or_rejected_with_its_reason(line, store):
    rejected = pd.read_csv(line.out / "store/rejected.csv")
    assert dict(zip(rejected["record_id"], rejected["reason"], strict=True)) == line.broken
    assert [*store.index["record_id"]] == [r for r in line.table["record_id"] if r not in line.broken]
    count = len(line.table)
    summary = f"{count} recordings = {count - 3} stored + 3 rejected"
    assert line.finished["preprocess"].out.startswith(summary)
    for reason in line.broken.values():
        assert f"rejected for {reason}: 1" in line.finished["preprocess"].out
    assert line.finished["predict"].out.startswith(f"{count} inputs = {count - 3} scored + 3 rejected")


def test_splits_and_targets_arrive_at_the_predictions(line):
    known = line.table.set_index("record_id")
    for mode in MODES:
        for model in (mode, "random"):
            table = predictions(line.out / mode, model)
            wanted = known[known["split"].isin(["val", "test"])].dropna(subset=TARGETS, how="all")
            assert sorted(table.index) == sorted(wanted.index)
            wanted = wanted.loc[table.index]
            assert table["split"].tolist() == wanted["split"].tolist()
            for target in TARGETS:
                np.testing.assert_array_equal(table[f"target__{target}"], wanted[target].astype(float))
                np.testing.assert_allclose(table[f"prob__{target}"], expit(table[f"logit__{target}"]), rtol=1e-12)
            assert table.groupby("patient").ngroups == wanted["patient_id"].nunique()


def test_files_score_as_the_store_did(line):
    """The scores from raw files equal those from the store, because predict cleans and rounds in the same way."""
    scores = pd.read_csv(line.out / "scores.csv").set_index("record_id")
    assert scores.index.tolist() == line.table["record_id"].tolist()
    assert scores["reasons"].dropna().to_dict() == line.broken
    wanted = predictions(line.out / "full", "full")
    for target in TARGETS:
        column = f"logit__{target}"
        assert wanted[column].std() > 2e-3
        np.testing.assert_allclose(scores.loc[wanted.index, column], wanted[column], atol=1e-4)


def test_onnx_alone_scores_as_torch_did(line, store):
    wanted = predictions(line.out / "full", "full")
    rows = np.flatnonzero(store.index["record_id"].isin(wanted.index))
    found = run_onnx(line.out / "bundles/classifier/classifier.onnx", store, rows, "logits")
    wanted = wanted.loc[store.index["record_id"].iloc[rows]]
    np.testing.assert_allclose(found, wanted[[f"logit__{t}" for t in TARGETS]], atol=1e-4)


def test_embeddings_of_files_are_those_of_the_store(line, store):
    table = pd.read_parquet(line.out / "embeddings.parquet").set_index("record_id")
    columns = [c for c in table if c.startswith("emb_")]  # type: ignore[attr-defined]
    wanted = run_onnx(line.out / "bundles/encoder/encoder.onnx", store, np.arange(len(store)), "embedding")
    assert wanted.shape[1] == len(columns)
    np.testing.assert_allclose(table.loc[store.index["record_id"], columns], wanted, atol=1e-4)
    assert table.loc[list(line.broken), columns].isna().all(axis=None)


@pytest.mark.parametrize("mode", MODES)
def test_metrics_are_those_of_sklearn(line, mode):
    figures = json.loads((line.out / mode / "evaluation.json").read_text())
    for model in (mode, "random"):
        table = predictions(line.out / mode, model)
        for split in ("val", "test"):
            part = table[table["split"] == split]
            scores = figures["models"][model][split]
            aurocs, auprcs = [], []
            for target in TARGETS:
                known = part[part[f"target__{target}"].notna()]
                y, p = known[f"target__{target}"], known[f"prob__{target}"]
                label = scores["labels"][target]
                assert (label["records"], label["positives"]) == (len(known), int(y.sum()))
                assert label["unknown"] == len(part) - len(known)
                aurocs.append(roc_auc_score(y, p))
                auprcs.append(average_precision_score(y, p))
                assert label["auroc"]["value"] == pytest.approx(aurocs[-1], abs=1e-5)
                assert label["auprc"]["value"] == pytest.approx(auprcs[-1], abs=1e-5)
                assert label["calibration"]["before"]["brier"]["value"] == pytest.approx(
                    brier_score_loss(y, p), abs=1e-5
                )
            assert scores["macro"]["auroc"]["value"] == pytest.approx(np.mean(aurocs), abs=1e-5)
            assert scores["macro"]["auprc"]["value"] == pytest.approx(np.mean(auprcs), abs=1e-5)
            low, high = scores["macro"]["auroc"]["low"], scores["macro"]["auroc"]["high"]
            assert 0 <= low <= np.mean(aurocs) <= high <= 1


def test_evaluation_of_the_file_is_the_one_made_with_it(line):
    assert (line.out / "again.json").read_bytes() == (line.out / "full/evaluation.json").read_bytes()


def test_no_output_holds_a_patient_or_a_place(line):
    """Outputs hold neither patient ids, nor the key of the hashes, nor the folder of the recordings."""
    key = (line.base / "patient.key").read_bytes().strip()
    patients = [p.encode() for p in line.table["patient_id"]]
    assert all(p in line.manifest.read_bytes() for p in patients)
    found = contents(line.out)
    assert len(found) > 30
    for name, data in found.items():
        if name.endswith(".parquet"):
            # compressed: search the decompressed values
            data += pd.read_parquet(line.out / name).to_csv().encode()
        for secret in (b"MRN-4711", key, b"ward-seven", str(line.base).encode()):
            assert data is None or secret not in data, name
    assert "MRN-4711" not in "".join(done.out for done in line.finished.values())


def test_the_encoder_knows_its_recordings_and_the_bundles_do_not(line, store):
    """For a local cohort, the file that identifies its recordings stays in the encoder's folder."""
    encoder = line.out / "run/pretrained"
    done = ecgssl("overlap", encoder, line.out / "store", "--json")
    assert (done.code, done.err) == (3, "")
    report = json.loads(done.out)
    train = store.index["record_id"].iloc[store.rows("train")]
    for by in ("waveform", "patient"):
        assert [name for _, name in report[by]["pairs"]] == [f"{name} (train)" for name in train]
    held_out = len(store.rows("val")) + len(store.rows("test"))
    summary = f"0 of {held_out:,} held-out recordings are among the {len(train):,} pretraining recordings"
    for mode in MODES:
        assert f"overlap with pretraining: {summary}, compared by waveform and patient" in line.finished[mode].out
    assert summary in (line.out / "bundles/classifier/README.md").read_text()
    assert (encoder / "recordings.safetensors").exists()
    assert not list((line.out / "bundles").rglob("recordings.safetensors"))


def test_nothing_is_left_behind(line):
    """Temporary folders and resumable state are removed when a command has finished."""
    left = [name for name in contents(line.out) if any(part.startswith(".") for part in Path(name).parts)]
    left += [name for name in contents(line.out) if name.endswith((".pt", ".tmp", "run.json")) or "work" in name]
    assert left == []


def test_preprocessing_again_gives_the_same_bytes(line, tmp_path):
    done = ecgssl("preprocess", "--manifest", line.manifest, "--out", tmp_path / "store", "--params", line.params)
    assert done.code == 3
    assert contents(tmp_path / "store") == contents(line.out / "store")


def test_pretraining_again_gives_the_same_encoder(line, tmp_path):
    ecgssl("pretrain", "--store", line.out / "store", "--out", tmp_path, "--params", line.params)
    assert contents(tmp_path / "pretrained") == contents(line.out / "run/pretrained")


@pytest.mark.parametrize("mode", MODES)
def test_finetuning_again_gives_the_same_predictions(line, tmp_path, mode):
    given = ("--encoder", line.out / "run/pretrained", "--targets", ",".join(TARGETS), "--mode", mode)
    again = tmp_path / mode
    ecgssl("finetune", "--store", line.out / "store", *given, "--out", again, "--no-report", "--params", line.params)
    # the report states how often the test split was scored, which is more often in the other folder
    first = {name: content for name, content in contents(line.out / mode).items() if not name.startswith("report.")}
    assert contents(again) == first


@pytest.mark.parametrize("file", ["spec.json", "index.parquet", "shard-00000.npy"])
def test_a_store_without_one_of_its_files_is_none(line, tmp_path, file):
    copy = shutil.copytree(line.out / "store", tmp_path / "store")
    (copy / file).unlink()
    given = ("--encoder", line.out / "run/pretrained", "--targets", TARGETS[0], "--params", line.params)
    for verb in (("finetune", *given), ("pretrain", "--params", line.params)):
        done = ecgssl(verb[0], "--store", copy, *verb[1:], "--out", tmp_path / "out")
        assert done.code == 2
        assert done.err.startswith(f"error: {copy / file}: store: does not exist")
        assert "ecgssl preprocess" in done.err
    assert not (tmp_path / "out").exists()
