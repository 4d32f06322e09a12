"""Compatibility with artefacts of ecgssl 0.1.0: they load, or the error names the command that makes them again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import ecgssl, refused
from safetensors import safe_open
from safetensors.numpy import save_file

import ecgssl as package
from ecgssl.config import load_params
from ecgssl.errors import ContractMismatch, InputError
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.predictions import read_predictions
from ecgssl.export.bundle import load_bundle
from ecgssl.export.checksums import verify_sums, write_sums
from ecgssl.leakage.identities import Identities
from ecgssl.report.build import read_run
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch
from ecgssl.training.checkpoint import PRETRAINING, load_classifier, load_encoder
from ecgssl.training.embed import embed_store
from ecgssl.training.model_folder import load_signal

DATA = Path(__file__).parents[1] / "data/0.1.0"
PARAMS = DATA / "params.yaml"
TOLERANCE = 1e-4
BATCH = 10
"""Copies of the score files of 5 recordings that make a batch of the 50 that ``monitor`` needs."""


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(DATA / "store")


@pytest.fixture
def copy(tmp_path) -> Callable[[str], Path]:
    """Copy a fixture into the temporary folder and return its path."""
    return lambda name: Path(shutil.copytree(DATA / name, tmp_path / name))


def rows_of(store: Store, record_ids: pd.Series) -> np.ndarray:
    return pd.Index(store.index["record_id"]).get_indexer(record_ids)


def edit(path: Path, change: Callable[[dict], object]) -> None:
    """Apply a change to the content of a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> Path:
    """Replace the old sections by the text that the error prints, and return the new parameter file."""
    text = PARAMS.read_text()
    with pytest.raises(InputError) as caught:
        load_params(PARAMS)
    assert [problem.field for problem in caught.value.problems] == ["data", "tasks"]
    for problem in caught.value.problems:
        (line,) = (line for line in text.splitlines() if line.startswith(f"{problem.field}:"))
        text = text.replace(line, problem.remedy.partition("\n")[2])
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(text)
    return path


def test_parameters_load_after_the_printed_change(converted):
    params = load_params(converted)
    assert (params.one_set().name, params.one_set().data.patient_key) == ("synthetic", Path("patient.key"))
    assert params.tasks["tachy"].targets == ["sinus_tachy"]
    assert params.signal.leads == ("II", "V2")
    assert (params.model.width, params.pretrain.samples, params.exported) == (8, 64, ("tachy", "linear"))


def test_store_opens_with_its_arrays(store, converted):
    store.verify()
    digital = np.load(DATA / "store/shard-00000.npy", allow_pickle=False)
    signals = store.signals(np.arange(len(store)))
    assert signals.shape == (44, 2, 500)
    assert np.array_equal(signals, digital * np.float32(0.001))
    assert store.lead_mask(np.arange(len(store))).all()
    assert store.targets == ("sinus_tachy",)
    assert [len(store.rows(split)) for split in ("train", "val", "test")] == [8, 30, 6]
    assert len(Identities.of_store(store, store.rows("train")).codes.take(np.arange(8)).signs) == 8
    store.require_contract(load_params(converted).signal)


def test_encoder_loads_and_embeds_the_same(store):
    encoder, spec = load_encoder(DATA / "pretrained", expect=store.spec)
    assert spec.fingerprint == store.spec.fingerprint
    assert sum(p.numel() for p in encoder.parameters()) == 1008
    assert (DATA / "pretrained" / PRETRAINING).exists()
    identities = Identities.read(DATA / "pretrained")
    assert identities is not None
    assert np.array_equal(identities.waveforms, Identities.of_store(store, store.rows("train")).waveforms)
    stored = pd.read_csv(DATA / "embeddings.csv")
    expected = stored.filter(regex="^emb_").to_numpy()
    found = embed_store(encoder, store, rows_of(store, stored["record_id"]), show_progress=False)
    assert np.abs(found - expected).max() < TOLERANCE


def test_classifier_loads_and_predicts_the_same(store):
    classifier, _ = load_classifier(DATA / "run/classifier", expect=store.spec)
    predictions = read_predictions(DATA / "run/classifier/predictions.csv")
    predictions = predictions[predictions["model"] == "linear"]
    assert len(predictions) == 36
    batch = load_batch(store, rows_of(store, predictions["record_id"]), next(classifier.parameters()).device)
    logits = classifier(batch.x, batch.lead_mask).detach().numpy()[:, 0]
    assert np.abs(logits - predictions["logit__sinus_tachy"].to_numpy()).max() < TOLERANCE


@pytest.mark.parametrize("name", ["bundle", "bundle_encoder"])
def test_bundles_load_and_score_the_same(store, name):
    """Loading verifies the checksums and repeats the self-test."""
    model = package.load(DATA / name)
    assert model.version.endswith(f"+{verify_sums(DATA / name)[:16]}")
    assert model.targets == (("sinus_tachy",) if name == "bundle" else ())
    table, output, columns = (
        ("scores.csv", "logits", "logit__") if name == "bundle" else ("embeddings.csv", "embedding", "emb_")
    )
    stored = pd.read_csv(DATA / table)
    rows = rows_of(store, stored["record_id"])
    found = model.bundle.graph.run(store.signals(rows), store.lead_mask(rows))[output]
    assert np.abs(found - stored.filter(regex=f"^{columns}").to_numpy()).max() < TOLERANCE


def test_bundle_scores_a_raw_recording():
    signal = np.random.default_rng(0).standard_normal((2, 5000)).cumsum(axis=1) / 50
    scores = package.load(DATA / "bundle").predict(signal, 500, ["II", "V2"])
    assert set(scores.calls["sinus_tachy"]) == {"sensitivity_0.90", "specificity_0.90", "youden"}


@pytest.mark.parametrize(
    ("name", "tables"), [("bundle", ("scores.csv", "scores.jsonl")), ("bundle_encoder", ("embeddings.csv",) * 2)]
)
def test_monitor_reads_the_score_files(tmp_path, name, tables):
    batch = [DATA / table for table in tables] * (BATCH // 2)
    done = ecgssl("monitor", *batch, "--bundle", DATA / name, "--out", tmp_path / "drift.html")
    assert done.code == 0, done
    assert json.loads((tmp_path / "drift.json").read_text())["batch"]["recordings"] == 5 * BATCH
    assert (tmp_path / "drift.html").read_text().startswith("<!doctype html>")


def test_report_of_the_run_is_written(tmp_path):
    done = ecgssl("report", DATA / "run", "--store", DATA / "store", "--out", tmp_path, "--recordings", 1)
    assert done.code == 0, done
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["asked"]["ecgssl"] == "0.1.0"
    assert report["evaluation"] == json.loads((DATA / "run/evaluation.json").read_text())
    assert (tmp_path / "report.html").exists()


def pretrain(out: Path, params: Path):
    """Run the command of the stopped run again, for one more step."""
    given = ("--store", DATA / "store", "--out", out, "--params", params, "--set", "pretrain.samples=640")
    return ecgssl("pretrain", *given, "--max-time", 1e-9)


def test_stopped_run_of_another_release_is_refused(copy, converted):
    stopped = copy("stopped")
    refused(
        pretrain(stopped, converted),
        f"{stopped / 'pretrain-66d1268862be'}: ecgssl: is a stopped run of ecgssl 0.1.0, "
        f"but ecgssl {package.__version__} is installed. "
        "Remove the folder and start again with 'ecgssl pretrain', or resume it with ecgssl 0.1.0",
    )
    assert [path.name for path in stopped.glob("*/*.pt")] == ["step-000000001.pt"]


def test_renamed_parameter_is_refused_with_a_near_match(tmp_path):
    content = yaml.safe_load(PARAMS.read_text())
    content["pretrain"]["learning_rates"] = content["pretrain"].pop("learning_rate")
    content["storage"] = content.pop("store")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as error:
        load_params(tmp_path / "params.yaml")
    assert "pretrain.learning_rates: unknown key. Did you mean 'learning_rate'?" in str(error.value)
    assert "storage: unknown key. Did you mean 'store'?" in str(error.value)


def later_waveform_codes(folder: Path) -> None:
    index = pd.read_parquet(folder / "index.parquet")
    index["waveform_hash"] = "09" + index["waveform_hash"].str[2:]
    index.to_parquet(folder / "index.parquet")


def later_identities(folder: Path) -> None:
    path = folder / "recordings.safetensors"
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(file.metadata()["about"])
    save_file(tensors, path, {"about": json.dumps(about | {"version": 9})})


def train_identities(folder: Path) -> Identities:
    store = Store(folder)
    return Identities.of_store(store, store.rows("train"))


REFUSED = {
    "store version": ("store", "spec.json", lambda c: c.update(version=9), Store, "'ecgssl preprocess'"),
    "store cleaning": (
        "store",
        "spec.json",
        lambda c: c["spec"].update(cleaning_version=9),
        Store,
        "'ecgssl preprocess'",
    ),
    "waveform codes": ("store", "", later_waveform_codes, train_identities, "'ecgssl preprocess'"),
    "encoder sizes": ("pretrained", "config.json", lambda c: c["model"].update(x=1), load_encoder, "'ecgssl pretrain'"),
    "encoder cleaning": (
        "pretrained",
        "signal.json",
        lambda c: c.update(cleaning_version=9),
        load_signal,
        "'ecgssl pretrain'",
    ),
    "encoder recordings": ("pretrained", "", later_identities, Identities.read, "'ecgssl pretrain'"),
    "classifier sizes": (
        "run/classifier",
        "config.json",
        lambda c: c["model"].update(x=1),
        load_classifier,
        "'ecgssl finetune'",
    ),
    "classifier kind": (
        "run/classifier",
        "config.json",
        lambda c: c.update(task_kind="x"),
        load_classifier,
        "'ecgssl finetune'",
    ),
    "decision": ("run/classifier", "decision.json", lambda c: c.update(version=9), Decision.load, "'ecgssl finetune'"),
    "evaluation": ("run", "evaluation.json", lambda c: c.update(version=9), read_run, "'ecgssl finetune'"),
    "bundle limits": (
        "bundle",
        "config.json",
        lambda c: c["quality"].update(x=1),
        load_bundle,
        "'ecgssl export'",
    ),
    "bundle labels": (
        "bundle",
        "labels.json",
        lambda c: c["decision"].update(version=9),
        load_bundle,
        "'ecgssl export'",
    ),
}
"""By name: fixture, file in it, change as a later release could make it, function that reads it, command in the message."""


@pytest.mark.parametrize("case", REFUSED)
def test_other_versions_are_refused_with_the_command(copy, case):
    name, file, change, load, command = REFUSED[case]
    folder = copy(name)
    if file:
        edit(folder / file, change)
    else:
        change(folder)
    if name == "bundle":
        write_sums(folder)
    with pytest.raises(InputError) as error:
        load(folder)
    assert isinstance(error.value, ContractMismatch) == case.endswith("cleaning")
    assert all(str(folder) in problem.where for problem in error.value.problems)
    assert command in str(error.value)


def test_altered_bundle_is_refused_with_the_command(copy):
    folder = copy("bundle")
    edit(folder / "labels.json", lambda content: content.update(kind="regression"))
    with pytest.raises(InputError, match=r"labels\.json: content: .* make it again with 'ecgssl export'"):
        package.load(folder)


def test_other_reference_statistics_are_refused_with_the_command(copy, tmp_path):
    folder = copy("bundle")
    given = (*[DATA / "scores.csv"] * BATCH, "--bundle", folder, "--out", tmp_path / "drift.html")
    edit(folder / "reference_statistics.json", lambda content: content.update(version=9))
    write_sums(folder)
    refused(ecgssl("monitor", *given), "reference_statistics.json", "'ecgssl export'")
    (folder / "reference_statistics.json").unlink()
    write_sums(folder)
    refused(ecgssl("monitor", *given), "reference_statistics.json", "'ecgssl export'")


def test_score_file_of_another_bundle_is_refused_with_the_command(tmp_path):
    given = ("--bundle", DATA / "bundle_encoder", "--out", tmp_path / "drift.html")
    refused(ecgssl("monitor", DATA / "scores.csv", *given), f"{DATA / 'scores.csv'}: model: ", "'ecgssl predict'")
    table = pd.read_csv(DATA / "scores.csv").rename(columns={"window_policy": "windowing"})
    table.to_csv(tmp_path / "scores.csv", index=False)
    refused(
        ecgssl("monitor", tmp_path / "scores.csv", *given), "columns: do not include window_policy", "'ecgssl predict'"
    )
