"""Search of all outputs for identifiers that were planted in headers, tables and file names.

``NAMES_RECORDS`` lists the files that may contain the name of a record, and no other personal data.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import ecgssl
from deploy_models import beats
from dicom_files import dicom, group
from hospital_xml import PERSON, aecg, muse
from wfdb_files import write_record

from ecgssl.config import SyntheticParams, load_params
from ecgssl.datasets.synthetic.published_key import patient_key
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.io.wfdb.reader import header_path
from ecgssl.registry.mlflow_registry import register_bundle
from ecgssl.signal.leads import LEADS
from ecgssl.store.patient_key import patient_hash
from ecgssl.tracking.runs import track

pytestmark = pytest.mark.long

PROFILE = Path(__file__).parents[2] / "ecgssl/profiles/quickstart.yaml"
COUNT = 72
HEADER = {"name": "Headerfamily", "mrn": "HDR-660417", "birth": "1944-11-23", "street": "Headerstrasse 17b"}
FOLDER = "Folderfamily_Annegret_19520817"
FILES = "Filefamily-FN81127"
TABLE = {
    "name": "Tablefamily",
    "mrn": "MRN-5150",
    "birth": "1961-03-09",
    "street": "12 Tablestreet",
    "time": "2019-07-21",
}
RECORD = "studyname"
"""Prefix of the record names in the manifest, which do not identify a person."""

PERSONS = [*PERSON.values(), "19310415", "20240229", "4711-0815", *HEADER.values(), FOLDER, FILES, *TABLE.values()]
"""Identifiers that only the user's own files may contain; compared case-insensitively."""

NAMES_RECORDS = (
    "store/index.parquet",
    "store/rejected.csv",
    "store/overlap*",
    "*/predictions.csv",
    "scores.csv",
    "scores.jsonl",
    "embeddings.parquet",
)
"""Files that may contain a record's name, so that users can find the recording: store, predictions, score files."""


def hospital(folder: Path) -> Path:
    """Write recordings in four formats with personal data in headers and file names, and return their table."""
    records = folder / FOLDER
    for i in range(COUNT - 3):
        notes = f"# Name: {HEADER['name']}\n# MRN {HEADER['mrn']}\n# Age: 61 Sex: F DOB: {HEADER['birth']}\n"
        notes += f"# {HEADER['street']}\n"
        write_record(records, f"{FILES}-{i}", beats(i), rate=250, comments=notes)
    leads = [dict(zip(LEADS, beats(900 + i), strict=True)) for i in range(3)]
    write = {
        "xml": muse(leads[0], rate=250, per_bit="1").encode("latin-1"),
        "aecg.xml": aecg(leads[1], increment='value="4" unit="ms"', scale="1").encode(),
        "dcm": dicom(group(leads[2], rate="250", sensitivity="1")),
    }
    for suffix, data in write.items():
        (records / f"{FILES}.{suffix}").write_bytes(data)
    paths = [f"{FOLDER}/{FILES}-{i}" for i in range(COUNT - 3)] + [f"{FOLDER}/{FILES}.{suffix}" for suffix in write]
    # one recording is invalid, so that there is a rejection
    header = header_path(folder / paths[1])
    header.write_text(header.read_text().replace(" 250 ", " fast ", 1))
    table = pd.DataFrame(
        {
            "record_id": [f"{RECORD}-{i}" for i in range(COUNT)],
            "path": paths,
            "patient_id": [f"{TABLE['mrn']}-{i}" for i in range(COUNT)],
            "split": [("train", "val", "test", "val")[i % 4] for i in range(COUNT)],
            "acq_time": TABLE["time"],
            "age": [30 + i % 50 for i in range(COUNT)],
            "sex": ["female", "male"] * (COUNT // 2),
            "site": "ward",
            "Name": TABLE["name"],
            "Born": TABLE["birth"],
            "Address": TABLE["street"],
            "MI": [i // 4 % 2 for i in range(COUNT)],
        }
    )
    table.to_csv(folder / "cohort.csv", index=False)
    return folder / "cohort.csv"


def small(folder: Path) -> Path:
    params = yaml.safe_load(PROFILE.read_text())
    params["sets"] = {"simulated": {}}
    params["pretrain"].pop("sets", None)
    params["quality"]["beats"] = "none"
    params["store"] |= {"workers": 1}
    params["model"] |= {"width": 32, "depth": 1, "heads": 2, "patch": 50}
    params["model"]["decoder"] |= {"width": 32, "depth": 1, "heads": 2}
    params["pretrain"] |= {"samples": 32, "batch_size": 16, "probe": {"targets": []}}
    params["tasks"] = {"infarct": {"targets": ["MI"]}}
    params["finetune"]["linear"] |= {"C": [0.1]}
    params["evaluate"] |= {"bootstrap": 100}
    params["export"] |= {"task": "infarct", "mode": "linear", "raw_rates": [], "pt2": False}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """Run all commands once and return their messages by step and the folder of all outputs."""
    base = tmp_path_factory.mktemp("privacy")
    (base / "made").mkdir()
    manifest, params, out = hospital(base / "hospital"), small(base), base / "made"
    messages: dict[str, str] = {}

    def step(name: str, *arguments: object, codes: tuple[int, ...] = (0,)) -> None:
        done = ecgssl(*arguments)
        messages[name] = done.out + done.err
        assert done.code in codes, done

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out)
        patch.setenv("XDG_CONFIG_HOME", str(base / "config"))
        # as in a project after make repro
        simulate(out / "data/raw", SyntheticParams(patients=2, recordings_per_patient=(1, 1)), 0)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        given = ("--params", params)
        records = manifest.parent / FOLDER
        step(
            "inspect", "inspect", records / f"{FILES}.xml", records / f"{FILES}.dcm", "--json", "--plot", out / "pages"
        )
        step("check", "check", manifest, "--targets", "MI", "--out", out / "check.html", *given, codes=(3,))
        step("preprocess", "preprocess", "--manifest", manifest, "--out", out / "store", "--figure", "worst.png",
             *given, codes=(3,))  # fmt: skip
        step("pretrain", "pretrain", "--store", out / "store", "--out", out / "run", *given)
        step("finetune", "finetune", "--store", out / "store", "--encoder", out / "run/pretrained",
             "--targets", "MI", "--out", out / "tuned", *given)  # fmt: skip
        step("report", "report", out / "tuned", "--store", out / "store", "--attribution", "none", "--recordings", "1")
        step("export", "export", "--model", out / "tuned/classifier", "--out", out / "bundle", "--store", out / "store",
             *given)  # fmt: skip
        with track("export", load_params(params)) as run:
            run.log_artifact(out / "bundle")
            register_bundle(run, out / "bundle", "ecgssl-classifier")
        for suffix in ("csv", "jsonl"):
            step(f"predict {suffix}", "predict", manifest, "--bundle", out / "bundle", "--out", out / f"scores.{suffix}",
                 codes=(3,))  # fmt: skip
        step("embed", "embed", manifest, "--bundle", out / "bundle", "--out", out / "embeddings.parquet", codes=(3,))
        step("monitor", "monitor", out / "scores.csv", "--embeddings", out / "embeddings.parquet", "--bundle", out / "bundle",
             "--out", out / "drift.html")  # fmt: skip
    messages["bad predict"] = ecgssl("predict", manifest, "--bundle", out / "bundle", "--out", out / "scores.txt").err
    messages["serve"] = served(out / "bundle", records)
    return SimpleNamespace(base=base, out=out, messages=messages)


def served(bundle: Path, records: Path) -> str:
    """Return the log of the service for one valid and two invalid recordings."""
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-m", "ecgssl", "serve", "--bundle", str(bundle), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        first = server.stdout.readline()
        address = re.search(r"http://\S+", first)[0].rstrip("/")
        answers = [post(address, f"{FILES}.xml", (records / f"{FILES}.xml").read_bytes())]
        answers.append(post(address, f"{FILES}.dcm", (records / f"{FILES}.dcm").read_bytes()[:2000]))
        answers.append(post(address, f"{FILES}.txt", HEADER["name"].encode()))
        assert "prob" in answers[0] or "score" in answers[0]
    finally:
        server.send_signal(signal.SIGTERM)
        rest = server.communicate(timeout=60)[0]
    return "\n".join([first, rest, *answers])


def post(address: str, name: str, data: bytes) -> str:
    """Upload a file as a browser does and return the body of the response, whatever its status."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    body = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + data + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{address}/predict", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    opener = urllib.request.build_opener(NoError())
    until = time.monotonic() + 30
    while True:
        try:
            with opener.open(request, timeout=60) as answered:
                return answered.read().decode()
        except urllib.error.URLError as error:
            # the address is printed shortly before the server accepts connections
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > until:
                raise
            time.sleep(0.1)


class NoError(urllib.request.HTTPErrorProcessor):
    def http_response(self, request, response):
        return response


def found(data: bytes, words: list[str]) -> list[str]:
    """Return the words that occur in the data, in the three encodings used by the outputs."""
    lower = data.lower()
    return [w for w in words if any(w.lower().encode(e) in lower for e in ("utf-8", "utf-16-le", "latin-1"))]


def contents(path: Path) -> bytes:
    """Return the content of a file; for a compressed table, its text is appended."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        data += pd.read_parquet(path).to_csv().encode()
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            data += "".join(f"{name}{arrays[name]}" for name in arrays).encode()
    return data


def test_outputs_contain_no_identifiers(line):
    files = [path for path in line.out.rglob("*") if path.is_file()]
    leaks = {str(path.relative_to(line.out)): words for path in files if (words := found(contents(path), PERSONS))}
    assert leaks == {}
    # pages of the inspect command are named after the files
    paths = [path.relative_to(line.out) for path in line.out.rglob("*")]
    paths = [str(path) for path in paths if path.parts[0] != "pages"]
    assert found("\n".join(paths).encode(), PERSONS) == []
    kinds = {path.suffix for path in files} | {path.name for path in files}
    assert kinds >= {".html", ".json", ".db", ".safetensors", ".onnx", ".parquet", ".png", "MLmodel", "SHA256SUMS"}


def test_names_of_recordings_are_only_where_they_must_be(line):
    files = [path for path in line.out.rglob("*") if path.is_file()]
    named = {str(path.relative_to(line.out)) for path in files if found(contents(path), [RECORD])}
    wrong = {name for name in named if not any(fnmatch.fnmatch(name, pattern) for pattern in NAMES_RECORDS)}
    assert wrong == set()
    assert {"store/index.parquet", "scores.csv", "scores.jsonl", "embeddings.parquet"} <= named


def test_messages_contain_no_identifiers(line):
    """Only commands with file names as arguments may print these names."""
    leaks = {name: words for name, text in line.messages.items() if (words := found(text.encode(), [*PERSONS, RECORD]))}
    assert set(leaks.pop("inspect", [])) <= {FOLDER, FILES}
    assert leaks == {}


def test_a_patient_is_a_keyed_hash(line):
    patients = pd.read_parquet(line.out / "store/index.parquet")["patient"]
    assert patients.nunique() == len(patients)
    assert all(re.fullmatch(r"[0-9a-f]{16,}", patient) for patient in patients)
    # parameters as shipped: no patient can be found with a published key, and the private key is outside of the project
    guesses = {patient_hash(patient_key(seed), f"{TABLE['mrn']}-{i}") for seed in range(20) for i in range(COUNT)}
    assert not guesses & set(patients)
    key = line.base / "config/ecgssl/patient.key"
    assert os.stat(key).st_mode & 0o077 == 0  # noqa: PTH116 (bits are the point)
    secret = key.read_bytes().strip()
    assert [path for path in line.out.rglob("*") if path.is_file() and secret in path.read_bytes()] == []


def test_mlflow_receives_no_patient_hash_code_or_waveform(line):
    tracked = [path for path in (line.out / "mlartifacts").rglob("*") if path.is_file()]
    assert {"losses.csv", "params.json", "choices.json"} <= {path.name for path in tracked}
    shown = {"worst.png", "gallery.png", "reconstruction.png", "recordings.safetensors"}
    assert {path.name for path in tracked} & shown == set()
    assert shown <= {path.name for path in line.out.rglob("*")}, "they are on this machine"
    sent = b"".join(path.read_bytes() for path in [*tracked, line.out / "mlflow.db"])
    index = pd.read_parquet(line.out / "store/index.parquet")
    for value in (*index["patient"], *index["waveform_hash"]):
        raw = bytes.fromhex(value)
        assert not any(form in sent for form in (value.encode(), raw, raw[::-1]))


def test_the_drift_report_has_no_small_cell(line):
    report = json.loads((line.out / "drift.json").read_text())
    counts = [side["count"] for one in report["shares"] for side in (one["reference"], one["batch"])]
    counts += [count for one in report["numbers"] for side in ("reference", "batch") for count in one[side]["counts"]]
    counts += [row[side] for one in report["categories"] for row in one["counts"] for side in ("reference", "batch")]
    assert [count for count in counts if isinstance(count, int) and 0 < count < 10] == []
    assert counts
    assert report["verdict"] != "drift", "the batch has the recordings of the store"
