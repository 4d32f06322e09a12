"""Cohort of simulated recordings with a learnable target, its store, and a randomly initialised encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from heartbeats import heartbeats
from wfdb_files import write_record

from ecgssl.config import ModelParams, Params, parse_params
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.model.encoder import Encoder
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.signal.leads import LEADS
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import save_model

SPLITS = ("train", "train", "train", "val", "test")


def small_params(**finetune: object) -> Params:
    sections = {"signal": {"duration": 5.0}, "store": {"workers": 1}, "evaluate": {"bootstrap": 100}}
    sections["tracking"] = {"backend": "none"}
    grid = {"linear": {"C": [0.01, 1.0], "class_weight": ["none"]}}
    return parse_params({"tasks": {"t": {"targets": ["HIGH"]}}, "finetune": grid | finetune, **sections})


def small_store(folder: Path, patients: int = 25, leads: Sequence[str] = LEADS, positive: int | None = None) -> Store:
    """Return a store with two recordings per patient.

    Patients with HIGH have three times the voltage in V1; normalisation removes the scale of each lead.

    Args:
        folder: folder for recordings, manifest and store.
        patients: number of patients; the splits repeat in a fixed order.
        leads: recorded leads.
        positive: number of patients with HIGH; every second patient by default.
    """
    rows = ["record_id,path,patient_id,split,HIGH,VOLTS"]
    for number, signal in enumerate(heartbeats(2 * patients, rate=100.0)):
        patient = number // 2
        high = patient % 2 if positive is None else int(patient < positive)
        digital = np.rint(1000 * signal).astype(np.int16)
        if high:
            digital[LEADS.index("V1")] *= 3
        names = [LEADS.index(lead) for lead in leads]
        write_record(folder / "records", f"r{number}", digital[names], tuple(leads), rate=100)
        split = SPLITS[(patient // 2) % len(SPLITS)]
        rows.append(f"rec{number},records/r{number},p{patient},{split},{high},{np.ptp(signal[6]):.3f}")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    (folder / "m.targets.yaml").write_text("targets: {VOLTS: {kind: regression, unit: mV}, HIGH: {kind: binary}}\n")
    params = small_params()
    quality = params.quality.model_copy(update={"min_leads": 1})
    params = params.model_copy(update={"quality": quality})
    preprocess(load_manifest(folder / "m.csv"), params, folder / "store", bytes(32), progress=False)
    return Store(folder / "store")


def small_encoder(folder: Path, store: Store) -> Path:
    torch.manual_seed(7)
    encoder = Encoder(ModelParams(width=32, depth=2, heads=2, patch=50), store.spec.leads, store.spec.samples)
    save_model(folder, encoder.eval(), store.spec)
    return folder
