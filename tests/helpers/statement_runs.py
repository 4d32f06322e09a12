"""Runs whose reports state different things: usual, few positives, folds, no calibration, external, one class."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from heartbeats import heartbeats
from small_cohort import small_encoder, small_params
from wfdb_files import write_record

from ecgssl.config import Params
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.finetuning.evaluate_external import evaluate_external
from ecgssl.leakage.identities import Identities
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.report.build import write_report
from ecgssl.signal.leads import LEADS
from ecgssl.stages.finetune_and_evaluate import finetune_and_evaluate
from ecgssl.store.store import Store

OWN, EXTERNAL = 72, 24
"""Recordings of the own store (one per patient) and of the external store."""


def make_statement_runs(folder: Path) -> SimpleNamespace:
    """Write two stores and all runs with their reports.

    HIGH is balanced. RARE has 3 positive recordings in validation and none in the external store. Patients with HIGH
    have three times the voltage in V1.

    The encoder of the run by folds was pretrained on the external store, the others do not record their pretraining.

    Returns:
        ``folders`` and ``reports`` by name of the case, and ``pages`` with the text of each page.
    """
    signals = heartbeats(OWN + EXTERNAL)
    own = _store(folder / "own", signals[:OWN], external=False)
    other = _store(folder / "other", signals[OWN:], external=True)
    bare = _store(folder / "bare", signals[OWN:], external=True, targets=("HIGH",))
    encoder, known = (small_encoder(folder / name, own) for name in ("encoder", "known"))
    Identities.of_store(other, other.rows("external")).write(known)
    cases: dict[str, dict[str, Any]] = {
        "usual": {"targets": ["HIGH"]},
        "small": {"targets": ["RARE"]},
        "uncalibrated": {"targets": ["HIGH"], "calibration": "none"},
        "pair": {"targets": ["HIGH", "RARE"]},
        "folds": {"targets": ["HIGH"], "cross_validated": True, "encoder": known},
    }
    folders, reports = {}, {}
    for name, case in cases.items():
        out, params = folder / name, _params(case.get("calibration", "platt"))
        finetune_and_evaluate(
            params, own, case.get("encoder", encoder), case["targets"], "linear", out,
            cross_validated=case.get("cross_validated", False), show_progress=False,
        )  # fmt: skip
        folders[name], reports[name] = out, write_report(out, own, recordings=0, show_progress=False)
    for name, run, store, share in (
        ("external", "usual", other, None),
        ("one_class", "small", other, None),
        ("recalibrated", "usual", other, 0.5),
        ("absent", "pair", bare, None),
    ):
        out = folder / name
        evaluate_external(folders[run], _params("platt"), out, store.path, share=share)
        reports[name] = write_report(folders[run], store, external=out, recordings=0, show_progress=False)
        folders[name] = out
    pages = {name: (out / "report.html").read_text() for name, out in folders.items()}
    return SimpleNamespace(own=own, other=other, folders=folders, reports=reports, pages=pages)


def _params(calibration: str) -> Params:
    params = small_params(folds=3, repeats=1)
    changes = {"bootstrap": 100, "calibration": calibration, "subgroups": ["sex"]}
    return params.model_copy(update={"evaluate": params.evaluate.model_copy(update=changes)})


def _store(folder: Path, signals: np.ndarray, external: bool, targets: tuple[str, ...] = ("HIGH", "RARE")) -> Store:
    rows = [",".join(("record_id,path,patient_id,split,sex", *targets))]
    rare_in_val = 0
    for number, signal in enumerate(signals):
        high = number % 2
        digital = np.rint(1000 * signal).astype(np.int16)
        if high:
            digital[LEADS.index("V1")] *= 3
        write_record(folder / "records", f"r{number}", digital, LEADS, rate=100)
        split = "external" if external else ("train", "val", "test")[number // 2 % 3]
        rare = int(number % 4 == 1 and not external)
        if split == "val":
            rare_in_val += rare
            rare = int(rare and rare_in_val <= 3)
        sex = "female" if number % 3 else "male"
        prefix = "ext" if external else "rec"
        rows.append(
            f"{prefix}{number},records/r{number},{prefix}p{number},{split},{sex},{high}"
            + f",{rare}" * (len(targets) - 1)
        )
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    preprocess(load_manifest(folder / "m.csv"), small_params(), folder / "store", bytes(32), progress=False)
    return Store(folder / "store")
