"""HTTP service: same scores as a score file, separate responses per client, no stored files and no names in logs."""

from __future__ import annotations

import base64
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from deploy_models import beats
from plain_bundle import plain_bundle
from wfdb_files import write_record

from ecgssl.export.bundle import load_bundle
from ecgssl.io.recording import Recording
from ecgssl.scoring.files import embed, predict
from ecgssl.scoring.scores import recording_outputs
from ecgssl.serving.read_upload import ReadJob, read_job, safe_name
from ecgssl.serving.request_limits import RequestError, RequestLimits
from ecgssl.serving.service import Service
from ecgssl.signal.leads import LEADS

CUTS = ("youden", "sensitivity_0.90", "specificity_0.90")


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    write_record(folder, "good", beats(0), rate=250)
    write_record(folder, "long", beats(1, 500, 35), rate=500)
    write_record(folder, "short", beats(2, seconds=4), rate=250)
    gap = beats(3)
    gap[8] = 0
    write_record(folder, "flat", gap, rate=250)
    return folder


def send(served, path: str, *files: Path, **fields: object) -> requests.Response:
    parts = [("files", (file.name, file.read_bytes())) for file in files]
    return requests.post(f"{served.address}{path}", files=parts, data=fields, timeout=60)


def both(records: Path, name: str) -> tuple[Path, Path]:
    return records / f"{name}.hea", records / f"{name}.dat"


def as_json(seed: int, rate: int = 250) -> dict:
    return {"signal": (beats(seed, rate) / 1000).tolist(), "sampling_rate": rate, "leads": list(LEADS)}


def test_health_and_model(served):
    assert requests.get(f"{served.address}/health", timeout=60).json() == {"status": "ok"}
    about = requests.get(f"{served.address}/model", timeout=60).json()
    assert (about["model"], about["fingerprint"]) == (served.bundle.version, served.bundle.fingerprint)
    assert [target["name"] for target in about["targets"]] == ["MI", "NORM"]
    assert {cut["name"] for cut in about["targets"][0]["thresholds"]} == set(CUTS)
    assert "platt" in about["calibration_note"]
    assert about["explains"] == "integrated_gradients"
    assert about["notice"].startswith("For research only.")


@pytest.mark.parametrize("windows", ["contract", "mean", "max"])
def test_scores_are_those_of_a_score_file(served, records, tmp_path, windows):
    predict(served.path, [records / "long", records / "flat"], tmp_path / "s.parquet", windows=windows)
    table = pd.read_parquet(tmp_path / "s.parquet").set_index("record_id")
    for name in ("long", "flat"):
        answer = send(served, f"/predict?windows={windows}", *both(records, name)).json()
        row = table.loc[name]
        for score in answer["scores"]:
            target = score["target"]
            assert score["logit"] == row[f"logit__{target}"]
            assert score["probability"] == row[f"prob__{target}"]
            assert {c["threshold"]: c["positive"] for c in score["calls"]} == {
                cut: bool(row[f"call__{target}__{cut}"]) for cut in CUTS
            }
        received = answer["recording"]
        assert (received["windows"], received["leads"]) == (row["windows"], row["leads"].split())
        assert (received["duration"], received["sampling_rate"]) == (row["duration"], row["sampling_rate"])
        assert ";".join(dict.fromkeys(f["code"] for f in received["findings"])) == row["flags"]
        assert all(finding["meaning"] != finding["code"] for finding in received["findings"])
        assert (answer["model"], answer["fingerprint"]) == (row["model"], row["fingerprint"])


def test_embedding_is_that_of_a_file(served, records, tmp_path):
    embed(served.path, [records / "good"], tmp_path / "e.parquet")
    row = pd.read_parquet(tmp_path / "e.parquet").filter(like="emb_").iloc[0]
    answer = send(served, "/embed", *both(records, "good")).json()
    assert np.array_equal(np.float32(answer["embedding"]), row.to_numpy())


def test_json_scores_as_the_file_of_the_same_signal(served, records):
    sent = as_json(0)
    file = send(served, "/predict", *both(records, "good")).json()
    memory = requests.post(f"{served.address}/predict", json=sent, timeout=60).json()
    assert memory["scores"] == file["scores"]
    order = np.random.default_rng(0).permutation(12)
    turned = {
        **sent,
        "signal": [sent["signal"][i] for i in order],
        "leads": [f"MDC_ECG_LEAD_{LEADS[i]}" for i in order],
    }
    assert requests.post(f"{served.address}/predict", json=turned, timeout=60).json()["scores"] == file["scores"]
    turned["signal"][int(np.flatnonzero(order == 8)[0])] = [None] * 2500
    assert "V3" not in requests.post(f"{served.address}/predict", json=turned, timeout=60).json()["recording"]["leads"]


@pytest.mark.parametrize("samples", [40, 2500])
def test_a_transposed_signal_is_not_scored(served, samples):
    sent = as_json(0)
    sent["signal"] = [list(row) for row in zip(*(row[:samples] for row in sent["signal"]), strict=True)]
    answer = requests.post(f"{served.address}/predict", json=sent, timeout=60)
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert problem["field"] == "signal"
    assert "transpose?" in problem["what"]


def test_unknown_lead_names_are_listed_and_not_scored(served):
    sent = as_json(0)
    names = ["I", "II", "lead_3", "aVR", "aVL", "aVF", "Poche", *LEADS[7:]]
    answer = requests.post(f"{served.address}/predict", json=sent | {"leads": names}, timeout=60)
    assert answer.status_code == 422
    assert "'lead_3', 'Poche'" in answer.json()["problems"][0]["what"]


def test_what_a_form_states(served, tmp_path):
    np.save(tmp_path / "signal.npy", (beats(0) / 1.0).astype(np.float32))
    bare = send(served, "/predict", tmp_path / "signal.npy")
    assert bare.status_code == 422
    fields = {"sampling_rate": "250", "unit": "uV", "leads": ", ".join(LEADS)}
    stated = send(served, "/predict", tmp_path / "signal.npy", **fields).json()
    memory = requests.post(f"{served.address}/predict", json=as_json(0), timeout=60).json()
    for a, b in zip(stated["scores"], memory["scores"], strict=True):
        assert a["logit"] == pytest.approx(b["logit"], abs=1e-4)


def test_a_member_of_many(served, tmp_path):
    np.save(tmp_path / "many.npy", np.stack([beats(i) / 1000 for i in range(2)]).astype(np.float32))
    fields = {"sampling_rate": "250", "unit": "mV", "leads": ",".join(LEADS)}
    unnamed = send(served, "/predict", tmp_path / "many.npy", **fields)
    assert unnamed.json()["reasons"][0]["code"] == "member"
    found = send(served, "/predict", tmp_path / "many.npy", member="1", **fields).json()
    memory = requests.post(f"{served.address}/predict", json=as_json(1), timeout=60).json()
    assert found["scores"][0]["logit"] == pytest.approx(memory["scores"][0]["logit"], abs=1e-4)
    assert (
        send(served, "/predict", tmp_path / "many.npy", member="7", **fields).json()["reasons"][0]["code"] == "member"
    )


def test_two_hundred_at_once_get_their_own(served):
    """Parallel requests get the same scores as single requests."""
    count = 200
    model = Service(served.bundle, served.service.readers)
    sent = [as_json(1000 + seed, rate=100) for seed in range(count)]
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda body: requests.post(f"{served.address}/predict", json=body, timeout=300), sent))
    assert {answer.status_code for answer in answers} == {200}
    found = [answer.json()["scores"] for answer in answers]
    assert len({scores[0]["logit"] for scores in found}) == count, "all recordings differ"
    b = served.bundle
    for body, scores in zip(sent, found, strict=True):
        recording = Recording(np.float32(body["signal"]), 100.0, LEADS, "")
        read = read_job(ReadJob(recording, "contract"), served.root, b.spec, b.quality, b.lsb, RequestLimits())
        logits = recording_outputs(b, [read.prepared], "logits", "contract")[0]
        assert [score.model_dump() for score in model.predict(read, logits)["scores"]] == scores


def test_drawing_and_where_it_looked(served, records):
    view = send(served, "/view", *both(records, "flat")).json()
    looked = send(served, "/explain?target=NORM", *both(records, "flat")).json()
    for uri in (view["drawing"], looked["drawing"]):
        head, _, data = uri.partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
    assert view["scores"] == send(served, "/predict", *both(records, "flat")).json()["scores"]
    assert sum(looked["shares"].values()) == pytest.approx(1, abs=1e-6)
    assert looked["shares"]["V3"] == 0, "a lead that the model did not see"
    assert "NORM" in looked["in_words"]
    assert send(served, "/explain?target=none", *both(records, "flat")).status_code == 422


@pytest.mark.parametrize(("name", "code"), [("short", "too_short"), ("notes.txt", "format"), ("empty.csv", None)])
def test_a_recording_that_cannot_be_used(served, records, tmp_path, name, code):
    (tmp_path / "notes.txt").write_text("not an ECG")
    (tmp_path / "empty.csv").write_bytes(b"")
    files = both(records, name) if name == "short" else (tmp_path / name,)
    answer = send(served, "/predict", *files)
    assert answer.status_code == 422
    body = answer.json()
    assert set(body["problems"][0]) == {"where", "field", "what", "remedy"}
    assert body["reasons"]
    if code:
        assert [(r["code"], r["meaning"] != code) for r in body["reasons"]] == [(code, True)]


def test_nothing_is_kept_and_nobody_named(served, records, tmp_path, caplog):
    """The file name and its content are not returned, logged or kept on disk.

    The answer to a header without its signal file names the file to add, which is the client's own file name.
    """
    name = "Doe_Jane_19610203"
    write_record(tmp_path, name, beats(5), rate=250, comments="# Patient: Doe Jane\n")
    files = both(tmp_path, name)
    caplog.set_level(logging.DEBUG)
    answers = [send(served, path, *files, member=name) for path in ("/predict", "/view")]
    answers += [send(served, path, *files) for path in ("/predict", "/embed", "/view", "/explain?target=MI")]
    answers += [send(served, f"/{name}", *files)]
    alone = send(served, "/predict", files[0])
    assert f"Add {name}.dat" in alone.text
    assert alone.text.count(name) == 1
    answers += [requests.post(f"{served.address}/predict?patient={name}", data=name, timeout=60)]
    received = "".join(answer.text for answer in answers) + "".join(str(a.headers) for a in answers)
    logged = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("ecgssl", "uvicorn"))
    )
    assert "POST /predict 200" in logged
    for text in (received, logged):
        # a figure is 190 kB of base64, which can contain three letters by chance
        assert not any(word in text for word in ("Doe_Jane", "Doe Jane", "19610203"))
    assert [path for path in served.root.rglob("*") if path.is_file()] == []


def test_names_cannot_leave_their_folder():
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("C:\\x\\..\\y.hea") == "y.hea"
    assert safe_name(".hidden") == "hidden"
    assert safe_name("...") == "file"
    assert safe_name("a b#1.csv") == "a_b_1.csv"
    assert len(safe_name("x" * 500)) == 100
    assert len(safe_name("\u5fc3" * 80 + ".csv").encode()) <= 100
    assert safe_name("\u5fc3" * 80 + ".csv").endswith(".csv")


def test_an_encoder_scores_nothing(tmp_path, served):
    service = Service(load_bundle(plain_bundle(tmp_path, "encoder")), served.service.readers)
    assert service.model(1).kind == "encoder"
    service.require("contract", "embedding")
    with pytest.raises(RequestError) as caught:
        service.require("contract", "logits")
    assert caught.value.status == 404
    with pytest.raises(RequestError, match="independent labels only"):
        served.service.require("max", "embedding")


@pytest.mark.real
@pytest.mark.parametrize("name", ["ge_muse.xml", "mortara.dcm", "hl7_aecg.xml", "philips_sierra_1_03.xml"])
def test_files_of_devices(served, real_data, tmp_path, name):
    path = real_data / "vendor" / name
    answer = send(served, "/predict", path)
    predict(served.path, [path], tmp_path / "s.parquet")
    row = pd.read_parquet(tmp_path / "s.parquet").iloc[0]
    assert answer.status_code == 200
    assert answer.json()["scores"][0]["logit"] == row["logit__MI"]
