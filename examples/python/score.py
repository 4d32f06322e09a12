"""Score one raw recording with a bundle of ecgssl and onnxruntime, without importing ecgssl.

    pip install numpy onnxruntime
    python score.py BUNDLE recording.npz

The file holds ``signal`` (leads, samples) in mV, unfiltered, ``leads`` (names) and ``sampling_rate`` in Hz.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

LIMB = {"I": (1, 0), "II": (0, 1), "III": (-1, 1), "aVR": (-0.5, -0.5), "aVL": (1, -0.5), "aVF": (-0.5, 1)}


def derive(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return all leads, with missing limb leads derived from two others (Einthoven, Goldberger), as in training."""
    present = [lead for lead in LIMB if lead in rows]
    if len(present) < 2:
        return rows
    one_two = np.linalg.inv([LIMB[lead] for lead in present[:2]]) @ [rows[lead] for lead in present[:2]]
    return {lead: np.array(LIMB[lead]) @ one_two for lead in LIMB if lead not in rows} | rows


def main(bundle: Path, recording: Path) -> None:
    contract = json.loads((bundle / "signal.json").read_text())
    with np.load(recording, allow_pickle=False) as file:
        rate, rows = float(file["sampling_rate"]), dict(zip(file["leads"].tolist(), file["signal"], strict=True))
    rows = derive(rows)
    ecg = np.zeros((1, len(contract["leads"]), len(next(iter(rows.values())))), dtype=np.float32)
    mask = np.zeros(ecg.shape[:2], dtype=bool)
    for i, lead in enumerate(contract["leads"]):
        if lead in rows:
            ecg[0, i], mask[0, i] = rows[lead], True
    (graph,) = bundle.glob(f"*.raw-{rate:g}.onnx")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
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
