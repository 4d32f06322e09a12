"""Folder in which the examples of the Python interface run: recordings, a cohort, parameters, and models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml
from plain_bundle import plain_bundle
from shipped_fixtures import card
from store_cohort import beats
from training_fixtures import SECTIONS
from wfdb_files import write_record

from ecgssl.encoders.shipped import CARD
from ecgssl.export.checksums import write_sums

SPLITS = ("train", "train", "train", "val", "test")


def make_workplace(folder: Path) -> None:
    """Write ``ecg``, ``folder/a``, ``folder/b``, ``no-ecg.txt``, ``cohort.csv`` with recordings and ``params.yaml``."""
    for number, name in enumerate(("ecg", "a", "b")):
        write_record(folder if name == "ecg" else folder / "folder", name, beats(100 + number), rate=250)
    (folder / "no-ecg.txt").write_text("This is no recording.\n")
    rows = ["record_id,path,patient_id,split,af"]
    for number in range(20):
        digital = beats(number, high=3.0 if number % 2 else 1.0)
        write_record(folder / "records", f"r{number}", digital, rate=250)
        split = SPLITS[(number // 2) % len(SPLITS)]
        rows.append(f"rec{number},records/r{number},p{number},{split},{number % 2}")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    pretrain = SECTIONS["pretrain"] | {"samples": 16, "probe": {"every_epochs": 1}}
    params = SECTIONS | {
        "tasks": {"af": {"targets": ["af"]}},
        "signal": {"duration": 10.0},
        "pretrain": pretrain,
        "finetune": {"linear": {"C": [0.01, 1.0], "class_weight": ["none"]}},
        "evaluate": {"bootstrap": 100},
        "tracking": {"backend": "none"},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def make_models(folder: Path) -> None:
    """Write an encoder and a classifier with random weights, with the names and targets of the shipped models."""
    for name, targets in (("ptbxl-tiny", ()), ("ptbxl-superclass", ("NORM", "MI", "STTC", "CD", "HYP"))):
        kind = "classifier" if targets else "encoder"
        bundle = plain_bundle(folder / "made" / name, "multilabel" if targets else "encoder", targets=targets)
        shutil.copytree(bundle, folder / name)
        (folder / name / CARD).write_text(json.dumps(card(name=name, kind=kind, targets=targets)))
        write_sums(folder / name)
