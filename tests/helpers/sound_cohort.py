"""Valid cohort with store, models and bundle, for tests that damage one part."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import yaml
from command_line import Done, ecgssl
from deploy_models import SPEC, beats, classifier
from wfdb_files import write_record

from ecgssl.signal.spec import SignalSpec
from ecgssl.training.checkpoint import save_model

PROFILE = Path(__file__).parents[2] / "ecgssl/profiles/quickstart.yaml"
RECORDS = 16


def make_cohort(base: Path) -> SimpleNamespace:
    """Write recordings with manifest and store, a bundle, and models with equal and with different settings."""
    params = yaml.safe_load(PROFILE.read_text())
    params["sets"] = {"mine": {"reader": "cohort", "manifest": "m.csv", "patient_key": str(base / "patient.key")}}
    params["store"]["workers"] = 1
    params["store"]["max_rejected_fraction"] = 0.5
    params["pretrain"].pop("sets", None)
    params["pretrain"] |= {"samples": 16, "batch_size": 8, "probe": {"targets": []}}
    params["tasks"] = {"rhythm": {"targets": ["AF"]}}
    params["export"] = {"tolerance": 1e-4, "opset": 20, "raw_rates": [], "pt2": False}
    params["tracking"] = {"backend": "none"}
    (base / "params.yaml").write_text(yaml.safe_dump(params))
    for number in range(RECORDS):
        write_record(base / "records", f"r{number}", beats(number), rate=250)
    write_manifest(base / "m.csv", base / "records")
    done = ecgssl("preprocess", "--manifest", base / "m.csv", "--out", base / "store", "--params", base / "params.yaml")
    assert done.code == 0, done.err
    model = classifier()
    other = SignalSpec(sampling_rate=250.0)
    save_model(base / "classifier", model, SPEC, {"task": "rhythm", "mode": "linear"})
    save_model(base / "encoder", model.encoder, SPEC)
    save_model(base / "encoder250", classifier(other).encoder, other)
    done = ecgssl("export", "--model", base / "classifier", "--out", base / "bundle", "--params", base / "params.yaml")
    assert done.code == 0, done.err
    return SimpleNamespace(base=base, params=base / "params.yaml", manifest=base / "m.csv", store=base / "store")


def write_manifest(path: Path, records: Path, /, **changed: dict[int, str]) -> Path:
    """Write a manifest of the records; ``changed`` replaces cells of a column by row."""
    rows = pd.DataFrame(
        {
            "record_id": [f"rec{i}" for i in range(RECORDS)],
            "path": [str(records / f"r{i}") for i in range(RECORDS)],
            "patient_id": [f"p{i // 2}" for i in range(RECORDS)],
            "split": [("train", "train", "val", "test")[i // 2 % 4] for i in range(RECORDS)],
            "AF": [str(i % 2) for i in range(RECORDS)],
            "RARE": [str(int(i == 0)) for i in range(RECORDS)],
        }
    )
    for column, cells in changed.items():
        for row, cell in cells.items():
            rows.loc[row, column] = cell
    rows.to_csv(path, index=False)
    return path


def preprocess(made: SimpleNamespace, manifest: Path, out: Path, *more: object) -> Done:
    return ecgssl("preprocess", "--manifest", manifest, "--out", out, "--params", made.params, *more)
