"""Fine-tuning from a store to predictions for every kind of task and mode, and all errors by field."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from heartbeats import heartbeats
from wfdb_files import write_record

from ecgssl.config import FinetuneParams, LinearParams, ManifestParams, ModelParams, Target, parse_params
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError
from ecgssl.evaluation.predictions import kind_of, outputs_of, read_predictions
from ecgssl.finetuning.finetune import finetune, random_encoder
from ecgssl.finetuning.full import predict_logits
from ecgssl.finetuning.publish import publish_finetuning
from ecgssl.finetuning.rows import choose_rows, lead_subset, share_of
from ecgssl.finetuning.task import Task, require_learnable, resolve_task, task_values
from ecgssl.model.encoder import Encoder
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.signal.leads import LEADS
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch, rows_at
from ecgssl.training.checkpoint import load_classifier, load_encoder, save_model

SECTIONS = {
    "tasks": {"t": {"targets": ["AF"]}},
    "signal": {"duration": 5.0},
    "store": {"workers": 1, "max_rejected_fraction": 0},
}
RECORDINGS = 60
PARAMS = FinetuneParams(
    linear={"C": [0.01, 1.0]},
    mlp={"epochs": 2, "batch_size": 16, "hidden": 8},
    attentive={"epochs": 2, "batch_size": 16, "queries": 2},
    full={"epochs": 2, "batch_size": 16},
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Return a store of 60 recordings of 30 patients, 36 of them for training.

    Recording 7 has no limb leads, and recording 9 has no known targets.
    """
    folder = tmp_path_factory.mktemp("cohort")
    columns = "AF,MI,rare,one_class,empty,constant,rhythm,gone,ef,age"
    rows = [f"record_id,path,patient_id,split,{columns}"]
    for n, signal in enumerate(heartbeats(RECORDINGS, rate=100.0)):
        digital, leads = np.rint(1000 * signal).astype(np.int16), LEADS
        if n == 7:
            digital, leads = digital[6:], LEADS[6:]
        write_record(folder, f"r{n}", digital, leads, rate=100)
        patient = n // 2
        split = ("train", "train", "train", "val", "test")[patient % 5]
        rhythm = ("SR", "AF", "PACE")[(n % 2 + patient) % 3]
        cells = [
            (n + patient) % 2, "" if n % 4 == 0 else n % 2, int(n in (0, 2, 4) if split == "train" else n % 2), 1, "", 7,
            rhythm, "SR" if rhythm == "PACE" and split == "train" else rhythm, 30 + n, 40 + n,
        ]  # fmt: skip
        cells = [""] * 10 if n == 9 else cells
        rows.append(f"rec{n},r{n},p{patient},{split}," + ",".join(map(str, cells)))
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    classes = {"SR": (), "AF": (), "PACE": ()}
    targets = {
        **{name: Target(kind="multiclass", classes=classes) for name in ("rhythm", "gone")},
        "ef": Target(kind="regression", unit="%"),
        "constant": Target(kind="regression"),
        "empty": Target(),
    }
    reading = ManifestParams(targets=targets)
    out = tmp_path_factory.mktemp("store") / "processed"
    cohort = load_manifest(folder / "m.csv", reading=reading)
    preprocess(cohort, parse_params(SECTIONS), out, bytes(32), overlap="warn", progress=False)
    return Store(out)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, store) -> Path:
    torch.manual_seed(4)
    model = Encoder(ModelParams(width=32, depth=1, heads=2, patch=50), store.spec.leads, store.spec.samples)
    path = tmp_path_factory.mktemp("encoder") / "e"
    save_model(path, model, store.spec)
    return path


def run(store, encoder, work, targets, mode="linear", **changes):
    return finetune(store, encoder, targets, mode, PARAMS, 3, work, show_progress=False, **changes)


@pytest.mark.parametrize("mode", ["linear", "mlp", "attentive", "full", "scratch"])
@pytest.mark.parametrize(
    ("targets", "kind", "outputs"),
    [
        (["AF", "MI"], "multilabel", ("AF", "MI")),
        (["rhythm"], "multiclass", ("rhythm:SR", "rhythm:AF", "rhythm:PACE")),
        (["ef", "age"], "regression", ("ef", "age")),
    ],
)
def test_every_kind_in_every_mode(store, encoder, tmp_path, mode, targets, kind, outputs):
    result = run(store, encoder, tmp_path / "work", targets, mode)
    assert (result.task.kind, result.task.outputs) == (kind, outputs)
    publish_finetuning(result, store, tmp_path / "c", "a task", mode)
    table = read_predictions(tmp_path / "c" / "predictions.csv")
    assert kind_of(table) == kind
    # a target of the regression is the age
    clinical = "clinical features" if kind == "regression" else "clinical features with age"
    assert list(table["model"].unique()) == [mode, "random", clinical]
    rows = np.concatenate([store.rows("val"), store.rows("test")])
    assert set(table["record_id"]) == set(store.index["record_id"].iloc[rows]) - {"rec9"}
    loaded, _ = load_classifier(tmp_path / "c", store.spec)
    assert (loaded.targets, loaded.kind) == (outputs, kind)
    own = table[table["model"] == mode]
    part = "pred" if kind == "regression" else "logit"
    known = rows[np.isin(rows, np.flatnonzero(store.index["record_id"] != "rec9"))]
    expected = predict_logits(loaded, store, known)
    # the linear probe uses saved embeddings, which were computed in other batches
    np.testing.assert_allclose(own[[f"{part}__{name}" for name in outputs]].to_numpy(), expected, rtol=1e-5, atol=1e-5)
    config = json.loads((tmp_path / "c" / "config.json").read_text())
    if kind == "regression":
        assert config["units"] == {"ef": "%", "age": "years"}
        assert abs(expected[:, 0].mean() - 60) < 25
    if kind == "multiclass":
        assert config["classes"] == ["SR", "AF", "PACE"]
    choices = json.loads((tmp_path / "c" / "choices.json").read_text())["choices"]
    assert choices["rows"]["train"] == 36 - (9 in store.rows("train"))
    assert list((tmp_path / "work").rglob("step-*.pt")) == []


def test_leads_that_are_not_named_are_not_seen(store, encoder, tmp_path):
    """A store with other content in the remaining leads gives the same predictions."""

    class Other(Store):
        def signals(self, rows):
            out = super().signals(rows)
            out[:, [i for i, lead in enumerate(self.spec.leads) if lead not in ("I", "II")]] = 3
            return out

    for mode in ("linear", "mlp", "attentive", "full"):
        one, other = (
            run(s, encoder, tmp_path / f"{mode}{k}", ["AF"], mode, leads=["II", "i"]).predictions
            for k, s in enumerate((store, Other(store.path)))
        )
        np.testing.assert_array_equal(one["logit__AF"], other["logit__AF"])
    whole = run(store, encoder, tmp_path / "linear0", ["AF"])
    two = run(store, encoder, tmp_path / "linear0", ["AF"], leads=["I", "II"])
    assert len(list((tmp_path / "linear0/embeddings").iterdir())) == 4, "embeddings are saved by encoder and leads"
    assert not np.allclose(whole.predictions["logit__AF"].iloc[:10], two.predictions["logit__AF"].iloc[:10])
    gone = [split for split in ("train", "val", "test") if 7 in store.rows(split)]
    assert two.choices["rows"]["without_leads"] == {s: int([s] == gone) for s in ("train", "val", "test")}
    assert two.choices["rows"]["unlabelled"] == {s: int(9 in store.rows(s)) for s in ("train", "val", "test")}
    twelve = run(store, encoder, tmp_path / "linear0", ["AF"], leads=list(LEADS))
    np.testing.assert_array_equal(twelve.predictions["logit__AF"], whole.predictions["logit__AF"])


@pytest.mark.parametrize("targets", [["AF", "MI"], ["ef"]])
def test_baselines_of_a_nonlinear_probe_are_nonlinear(store, tmp_path, targets):
    """A random encoder as encoder under test has exactly the outputs of the baseline."""
    random = random_encoder(ModelParams(width=32, depth=1, heads=2, patch=50), store, 3)
    save_model(tmp_path / "random", random, store.spec)
    linear, mlp = (run(store, tmp_path / "random", tmp_path / "work", targets, mode) for mode in ("linear", "mlp"))
    outputs = {}
    for mode, result in (("linear", linear), ("mlp", mlp)):
        for model, part in result.predictions.groupby("model", sort=False):
            outputs[mode, model] = outputs_of(part, result.task.outputs, result.task.kind)
    np.testing.assert_array_equal(outputs["linear", "random"], outputs["linear", "linear"])
    np.testing.assert_array_equal(outputs["mlp", "random"], outputs["mlp", "mlp"])
    assert mlp.choices["epoch_of_random"] == mlp.choices["epoch"]
    assert "epoch" not in linear.choices["clinical_baseline"]
    clinical = mlp.clinical
    assert (clinical.network is None) == (mlp.choices["clinical_baseline"]["epoch"] == 0)
    same = np.array_equal(outputs["linear", clinical.model], outputs["mlp", clinical.model])
    assert same == (clinical.network is None)


def test_full_starts_from_the_nonlinear_probe(store, encoder, tmp_path, monkeypatch):
    """With a learning rate near 0 it keeps the outputs of mode mlp. A stopped run does not train that probe again."""
    still = PARAMS.full.model_copy(update={"start": "mlp", "learning_rate": 1e-12, "epochs": 1})
    params = PARAMS.model_copy(update={"full": still, "mlp": PARAMS.mlp.model_copy(update={"learning_rate": 0.02})})

    def with_start(mode, work):
        return finetune(store, encoder, ["AF", "MI"], mode, params, 3, tmp_path / work, show_progress=False)

    mlp = with_start("mlp", "mlp")
    assert mlp.choices["epoch"] > 0

    def stop(*_, **__):
        raise KeyboardInterrupt

    steps = []
    monkeypatch.setattr("ecgssl.finetuning.mlp.rows_at", lambda *given: steps.append(given) or rows_at(*given))
    with monkeypatch.context() as patched:
        patched.setattr("ecgssl.finetuning.finetune.finetune_full", stop)
        with pytest.raises(KeyboardInterrupt):
            with_start("full", "full")
    first = len(steps)
    full = with_start("full", "full")
    # the second run trains the networks of both baselines, and not that of the start again
    assert len(steps) == 3 * first > 0
    assert full.clinical.network is not None or full.choices["clinical_baseline"]["epoch"] == 0
    assert full.choices["started_from"]["epoch"] == mlp.choices["epoch"]
    assert full.classifier.hidden_units == PARAMS.mlp.hidden
    tables = [
        result.predictions[result.predictions["model"] == mode] for mode, result in (("mlp", mlp), ("full", full))
    ]
    found, expected = (outputs_of(table, ["AF", "MI"], "multilabel") for table in tables)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert not list((tmp_path / "full").glob("*/step-*"))


def test_only_training_recordings_are_embedded_in_bf16(store, encoder, tmp_path):
    fp32, bf16 = (
        finetune(
            store, encoder, ["AF"], "linear", PARAMS.model_copy(update={"linear": linear}), 3, tmp_path,
            show_progress=False,
        )
        for linear in (LinearParams(C=[0.01], precision="fp32"), LinearParams(C=[0.01], precision="bf16"))
    )  # fmt: skip
    assert len(list((tmp_path / "embeddings").iterdir())) == 4, "two encoders and two precisions"
    values = task_values(store, resolve_task(store, ["AF"]))
    rows = choose_rows(store, values)
    model = load_encoder(encoder, store.spec, "")[0].eval()
    batch = load_batch(store, rows.train, torch.device("cpu"), None)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        embedded = model.embed(batch.x, batch.lead_mask, batch.recorded).float().numpy()
    np.testing.assert_allclose(bf16.classifier.head.mean, embedded.mean(axis=0), atol=1e-3)
    assert not np.allclose(bf16.classifier.head.mean, fp32.classifier.head.mean, rtol=0, atol=1e-6)
    for result in (fp32, bf16):
        scored = predict_logits(result.classifier, store, np.concatenate([rows.val, rows.test]))
        own = result.predictions[result.predictions["model"] == "linear"]
        np.testing.assert_allclose(own[["logit__AF"]], scored, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("targets", [["AF", "MI"], ["rhythm"], ["ef"]])
def test_a_share_is_of_patients_and_of_train_alone(store, targets):
    values = task_values(store, resolve_task(store, targets))
    train = choose_rows(store, values).train
    half, more = (share_of(store, values, train, share, 0) for share in (0.5, 0.8))
    patients = store.patients
    assert set(half) < set(more) < set(train)
    assert not set(patients[half]) & set(patients[np.setdiff1d(train, half)])
    assert 0.4 < len(half) / len(train) < 0.8


def test_rows_of_ones_own(store, encoder, tmp_path):
    usable = np.flatnonzero(store.index["record_id"] != "rec9")
    fold = store.patients[usable] % 3 == 0
    result = run(store, encoder, tmp_path, ["AF"], rows={"train": usable[~fold], "test": usable[fold]})
    assert set(result.predictions["split"]) == {"test"}
    assert set(result.predictions["record_id"]) == set(store.index["record_id"].iloc[usable[fold]])
    assert result.choices["chosen_by"] == ["cross_validation_log_loss"]
    final = run(store, encoder, tmp_path, ["AF"], rows={"train": usable})
    assert len(final.predictions) == 0
    for rows, message in (
        ({"train": usable, "test": usable[:1]}, "1 patients are in both train and test"),
        ({"train": usable[:0], "test": usable}, "train: has no recordings"),
        ({"train": usable, "dev": usable}, "dev: is not one of"),
    ):
        with pytest.raises(InputError, match=message):
            run(store, encoder, tmp_path, ["AF"], rows=rows)
    with pytest.raises(InputError, match="AF: has no known value in split 'val'"):
        run(store, encoder, tmp_path, ["AF"], "full", rows={"train": usable[~fold], "test": usable[fold]})


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            ["AF", "one_class"],
            "one_class: has 36 positive and 0 negative recordings of 18 and 0 patients, both",
        ),
        (["rare"], "rare: has 3 positive"),
        (["empty"], "empty: has no known value in split 'train'"),
        (["constant"], "constant: is 7 in all 36 known recordings in split 'train'"),
        (["gone"], "gone:PACE: has recordings of 0 patients, at least 4 are needed, in split 'train'"),
        (["AF", "ef"], "ef: is regression; other targets of the task differ"),
        (["rhythm", "gone"], "gone: is one of several multiclass targets"),
        (["af"], "af: is not a target of this store"),
    ],
)
def test_what_cannot_be_learned_is_refused(store, encoder, tmp_path, targets, message):
    for mode in ("linear", "full"):
        with pytest.raises(InputError) as caught:
            run(store, encoder, tmp_path / "work", targets, mode)
        assert message in str(caught.value).replace(f"{store.path}: ", "")
    assert not (tmp_path / "work").exists(), "the error precedes all computation"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0.0}, "share: 0 is not in"),
        ({"share": 0.1}, "both classes of at least 4 patients are needed"),
        ({"leads": []}, "leads: the list is empty"),
        ({"leads": ["I", "Vx"]}, "'Vx' is not a lead of the store"),
        ({"leads": ["I", "i"]}, "has a duplicate"),
    ],
)
def test_odd_shares_and_leads(store, encoder, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        run(store, encoder, tmp_path, ["AF"], **changes)


def test_every_shortage_is_reported_at_once():
    task = Task("t", ("a", "b"), "multilabel")
    values = np.column_stack([np.r_[np.ones(9), 0], np.full(10, np.nan)])
    rows = {split: np.arange(10) for split in ("train", "val", "test")}
    with pytest.raises(InputError) as caught:
        require_learnable(task, values, np.arange(10), rows, "here")
    assert len(caught.value.problems) == 4, "one negative is enough for scoring, not for training"


def test_patients_count_not_recordings():
    task = Task("t", ("a",), "multilabel")
    values = np.r_[np.ones(20), np.zeros(20)][:, None]
    rows = {"train": np.arange(40)}
    with pytest.raises(InputError, match="at least 4 patients"):
        require_learnable(task, values, np.r_[np.arange(20) % 3, np.arange(20) + 9], rows, "here", ())
    require_learnable(task, values, np.r_[np.arange(20) % 4, np.arange(20) + 9], rows, "here", ())


def test_age_of_a_set_that_states_it(store):
    """Return the years from the index, which has no target of this name."""
    assert "age" not in store.targets
    task = resolve_task(store, ["age"])
    assert (task.kind, task.units) == ("regression", ("years",))
    np.testing.assert_array_equal(task_values(store, task)[:, 0], store.index["age"])
    assert lead_subset(store, None) is None
