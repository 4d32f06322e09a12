"""Score one raw recording with a bundle of ecgssl and onnxruntime, without importing ecgssl.

    pip install numpy onnxruntime
    python score.py BUNDLE recording.npz

The file holds ``signal`` (leads, samples) in mV, unfiltered, ``leads`` (names) and ``sampling_rate`` in Hz. JSON with the
same three keys works as well. Lead names may have any spelling listed in ``lead_names.json`` of the bundle.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def read(path: Path) -> tuple[float, list[str], np.ndarray]:
    """Return sampling rate, lead names and signal of a file."""
    if path.suffix == ".json":
        data = json.loads(path.read_text())
    else:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name].tolist() for name in ("sampling_rate", "leads", "signal")}
    # null in JSON becomes NaN, for which the graph returns NaN
    return float(data["sampling_rate"]), list(data["leads"]), np.array(data["signal"], dtype=np.float32)


def named(leads: list[str], signal: np.ndarray, names: dict[str, str]) -> dict[str, np.ndarray]:
    """Return the rows by canonical lead name; exit if a name is unknown or occurs twice."""
    if len(leads) != len(signal):
        sys.exit(f"{len(leads)} lead names for {len(signal)} rows")
    found = [names.get(str(lead).strip().lower()) for lead in leads]
    if unknown := [repr(lead) for lead, name in zip(leads, found, strict=True) if name is None]:
        sys.exit(
            f"unknown lead names: {', '.join(unknown)}. Use I, II, III, aVR, aVL, aVF, V1 to V6, or remove these rows"
        )
    rows: dict[str, np.ndarray] = {}
    for name, row in zip(found, signal, strict=True):
        # a leading minus marks a lead that is stored inverted
        lead = name.lstrip("-")
        if lead in rows:
            sys.exit(f"lead {lead} occurs twice")
        rows[lead] = -row if name.startswith("-") else row
    return rows


def derive(rows: dict[str, np.ndarray], limb: dict[str, list[float]]) -> dict[str, np.ndarray]:
    """Return all leads, with missing limb leads derived from two others (Einthoven, Goldberger), as in training."""
    present = [lead for lead in limb if lead in rows]
    if len(present) < 2:
        return rows
    one_two = np.linalg.inv([limb[lead] for lead in present[:2]]) @ [rows[lead] for lead in present[:2]]
    return {lead: np.array(limb[lead]) @ one_two for lead in limb if lead not in rows} | rows


def main(bundle: Path, recording: Path) -> None:
    contract = json.loads((bundle / "signal.json").read_text())
    known = json.loads((bundle / "lead_names.json").read_text())
    # JSON sorts the keys; the first two present leads in clinical order determine the others, as in ecgssl
    limb = {lead: known["limb"][lead] for lead in ("I", "II", "III", "aVR", "aVL", "aVF")}
    rate, leads, signal = read(recording)
    rows = derive(named(leads, signal, known["names"]), limb)
    ecg = np.zeros((1, len(contract["leads"]), signal.shape[1]), dtype=np.float32)
    mask = np.zeros(ecg.shape[:2], dtype=bool)
    for i, lead in enumerate(contract["leads"]):
        if lead in rows:
            ecg[0, i], mask[0, i] = rows[lead], True
    if not mask.any():
        sys.exit(f"no lead of the model is in the recording. The model uses {', '.join(contract['leads'])}")
    graphs = list(bundle.glob(f"*.raw-{rate:g}.onnx"))
    if not graphs:
        sys.exit(f"the bundle has no graph for {rate:g} Hz. Export one with export.raw_rates")
    session = onnxruntime.InferenceSession(graphs[0], providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, {"ecg": ecg, "lead_mask": mask}), strict=True))
    if not np.isfinite(found["embedding"]).all():
        sys.exit("no result: the recording is too short, or a lead has a value that is not a number")
    if (bundle / "labels.json").exists():
        targets = json.loads((bundle / "labels.json").read_text())["targets"]
        score = found["probability" if "probability" in found else "value"][0]
        print(json.dumps(dict(zip(targets, score.tolist(), strict=True))))
    else:
        print(json.dumps(found["embedding"][0].tolist()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
