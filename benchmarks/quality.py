"""Benchmark of the quality checks: detection rates of simulated faults, and false alarms on original recordings.

    python benchmarks/quality.py --root FOLDER [--count 250] [--markdown]
    python benchmarks/quality.py --synthetic 100
    python benchmarks/quality.py --fit cohort.csv --root FOLDER

``--root`` (default: environment variable ECGSSL_REAL_DATA) is searched recursively for recordings. Without a root,
simulated recordings are used. False alarms are counted on every readable recording. Faults are added to up to
``--count`` twelve-lead recordings without gaps, with a sampling rate of 250 Hz or more. A fault counts as detected if a
finding has one of its codes and, for a fault of single leads, lists an affected lead. For each fault, recordings that have
one of its codes without the fault are excluded. If the root
contains ``ptbxl_database.csv``, no faults are added to folds 1 to 7, because the check of the lead order was fitted on
them. The cardiologists' notes on noise and drift are then compared with the quality metrics. Intervals are Wilson's
95 % intervals. The output is JSON, or Markdown tables with ``--markdown``.

``--fit`` prints ``ecgssl.signal.lead_order.USUAL`` for the train split of a manifest, in units of 1e-4.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from planted_faults import FAULTS, Fault

from ecgssl.config import QualityParams, ReasonCode, SyntheticParams
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.listing import find_recordings
from ecgssl.io.wfdb.writer import write_wfdb
from ecgssl.signal.beats import beat_lead, high_frequency
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.lead_order import INDEPENDENT, second_moments
from ecgssl.signal.leads import LEADS, arrange, measured
from ecgssl.signal.quality import Quality, assess_cleaned, assess_raw
from ecgssl.signal.r_peaks import r_peaks
from ecgssl.signal.spec import SignalSpec

SPEC, PARAMS = SignalSpec(), QualityParams()
EVERY = np.ones(len(LEADS), dtype=bool)
FITTED_FOLDS = 7
NOTES = {"static_noise": "hf_noise", "burst_noise": "hf_noise", "baseline_drift": "wander"}
"""Columns of ``ptbxl_database.csv`` and the corresponding quality metrics."""


def assess(
    signal: np.ndarray, rate: float, present: np.ndarray = EVERY, recorded: np.ndarray = EVERY
) -> tuple[Quality, np.ndarray]:
    """Return the quality of a recording from both steps of the checks, and the cleaned signal.

    The second step always runs, even if the first step rejects the recording, so that every code can occur.
    """
    first, ready = assess_raw(signal, rate, present, recorded, PARAMS, SPEC)
    cleaned = crop(clean(ready, rate, SPEC), SPEC)
    return assess_cleaned(cleaned, first, PARAMS, SPEC), cleaned


def rate_of(hits: int, of: int) -> dict[str, Any]:
    """Return the proportion ``hits / of`` with Wilson's 95 % interval."""
    if of == 0:
        return {"hits": 0, "of": 0, "rate": None, "interval": None}
    z, p = 1.96, hits / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = ((middle + sign * half) / (1 + z * z / of) for sign in (-1, 1))
    interval = [round(max(0.0, low), 4), round(min(1.0, high), 4)]
    return {"hits": hits, "of": of, "rate": round(p, 4), "interval": interval}


def caught(found: Quality, fault: Fault, leads: Sequence[str]) -> bool:
    return any(f.code in fault.codes and (not leads or f.lead in leads) for f in found.findings)


def plant_all(recordings: list[tuple[np.ndarray, float]], seed: int) -> list[dict[str, Any]]:
    """Return the detection rate of every fault over complete twelve-lead recordings."""
    untouched = [assess(signal, rate)[0].reasons for signal, rate in recordings]
    rows = []
    for number, fault in enumerate(FAULTS):
        hits = of = 0
        for place, (signal, rate) in enumerate(recordings):
            if rate < fault.least_rate or set(fault.codes) & set(untouched[place]):
                continue
            planted, leads = fault.plant(signal, rate, np.random.default_rng([seed, number, place]))
            hits += caught(assess(planted, rate)[0], fault, leads)
            of += 1
        rows.append({"group": fault.group, "fault": fault.name, "codes": list(fault.codes), **rate_of(hits, of)})
    return rows


def altered_files(recordings: list[tuple[np.ndarray, float]], seed: int) -> dict[str, Any]:
    """Return the rate at which the checksum in the header detects a single flipped bit in a WFDB file."""
    rng, hits = np.random.default_rng(seed), 0
    with tempfile.TemporaryDirectory() as folder:
        for signal, rate in recordings:
            write_wfdb(Path(folder), "r", np.clip(np.nan_to_num(signal), -30, 30), rate, LEADS)
            file = Path(folder) / "r.dat"
            content = bytearray(file.read_bytes())
            content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
            file.write_bytes(content)
            try:
                read(Path(folder) / "r")
            except RecordingError as error:
                hits += error.reason == "checksum"
    return {"group": "file", "fault": "one bit turned", "codes": ["checksum"], **rate_of(hits, len(recordings))}


def false_alarms(found: list[Quality]) -> dict[str, Any]:
    """Return the rate of each reason code, and of any code, in original recordings."""
    counts = Counter(code for quality in found for code in quality.reasons)
    rates = {code: rate_of(counts[code], len(found)) for code in get_args(ReasonCode)}
    return {**rates, "any": rate_of(sum(bool(quality.reasons) for quality in found), len(found))}


def agreement(notes: pd.DataFrame, found: dict[int, Quality]) -> dict[str, Any]:
    """Return, for each cardiologist's note, the AUROC of the quality metric and the flag rates with and without the note."""
    out = {}
    for column, figure in NOTES.items():
        noted = notes.loc[list(found), column].notna().to_numpy()
        values = np.array([quality.figures[figure] for quality in found.values()])
        flagged = np.array([figure in quality.reasons for quality in found.values()])
        ranks = pd.Series(values).rank().to_numpy()
        pairs = int(noted.sum()) * int((~noted).sum())
        area = (ranks[noted].sum() - noted.sum() * (noted.sum() + 1) / 2) / pairs if pairs else None
        out[column] = {
            "figure": figure,
            "noted": int(noted.sum()),
            "of": len(noted),
            "auroc": None if area is None else round(float(area), 3),
            "flagged_where_noted": rate_of(int(flagged[noted].sum()), int(noted.sum())),
            "flagged_elsewhere": rate_of(int(flagged[~noted].sum()), int((~noted).sum())),
        }
    return out


def same_beats(cleaned: np.ndarray, usable: np.ndarray) -> dict[str, bool] | None:
    """Return whether heart rate and beat count of the selected lead, and of lead II, agree with the median of all leads.

    Return ``None`` if fewer than six leads have the median number of beats.
    """
    peaks = [r_peaks(row, SPEC.sampling_rate) for row in cleaned]
    counts = np.array([len(found) for found in peaks], dtype=float)
    rates = np.array([6000 / np.median(np.diff(found)) if len(found) > 2 else np.nan for found in peaks])
    count, rate = np.median(counts[usable]), np.nanmedian(rates[usable])
    if np.sum(np.abs(counts - count)[usable] < 1) < 6:
        return None
    chosen = beat_lead(LEADS, usable, *high_frequency(cleaned, SPEC.sampling_rate), PARAMS.hf_noise)  # type: ignore[call-arg]
    out = {}
    for name, row in (("chosen", LEADS.index(chosen or "II")), ("II", LEADS.index("II"))):
        out[f"rate_{name}"] = bool(abs(rates[row] - rate) <= 3)
        out[f"count_{name}"] = bool(abs(counts[row] - count) < 1)
    return out


def timing(recordings: list[tuple[np.ndarray, float]]) -> dict[str, float]:
    """Return the CPU time per recording of each step in microseconds, as the best of five passes."""
    first = [assess_raw(signal, rate, EVERY, EVERY, PARAMS, SPEC) for signal, rate in recordings]
    cleaned = [crop(clean(x, rate, SPEC), SPEC) for (_, x), (_, rate) in zip(first, recordings, strict=True)]
    without = QualityParams(beats="none")

    def best(call: Any, items: list[Any]) -> float:
        times = []
        for _ in range(5):
            start = time.process_time()
            for item in items:
                call(*item)
            times.append(time.process_time() - start)
        return round(1e6 * min(times) / len(items), 1)

    pairs = [(x, quality) for x, (quality, _) in zip(cleaned, first, strict=True)]
    return {
        "raw": best(lambda x, rate: assess_raw(x, rate, EVERY, EVERY, PARAMS, SPEC), recordings),
        "cleaned": best(lambda x, quality: assess_cleaned(x, quality, without, SPEC), pairs),
        "cleaned_with_neurokit2": best(lambda x, quality: assess_cleaned(x, quality, PARAMS, SPEC), pairs),
    }


def fit(manifest: Path, root: Path | None) -> None:
    """Print the mean second moments of the independent leads as JSON, with each recording scaled to trace 1."""
    cohort = load_manifest(manifest, root)
    rows, total, count = [LEADS.index(lead) for lead in INDEPENDENT], np.zeros((8, 8)), 0
    for path in cohort.table.loc[cohort.table["split"] == "train", "path"]:
        recording = read(cohort.root / path)
        raw, _ = arrange(recording.signal, recording.leads)
        moments = second_moments(crop(clean(raw, recording.sampling_rate, SPEC), SPEC)).mean(axis=0)[rows][:, rows]
        total += moments / np.trace(moments)
        count += 1
    print(json.dumps({"recordings": count, "usual": np.rint(1e4 * total / count).astype(int).tolist()}))


def synthetic(patients: int, seed: int, folder: Path) -> Path:
    simulate(folder / "set", SyntheticParams(patients=patients), seed)
    return folder / "set"


def measure(root: Path, count: int, seed: int) -> dict[str, Any]:
    """Return all results for the recordings in a folder."""
    table = next(iter(sorted(root.rglob("ptbxl_database.csv"))), None)
    notes = pd.read_csv(table, index_col="ecg_id") if table else pd.DataFrame()
    complete, found, noted, unreadable, rhythms = [], [], {}, Counter(), []
    for path in find_recordings(root).recordings:
        try:
            recording = read(path)
            raw, present = arrange(recording.signal, recording.leads)
            quality, cleaned = assess(raw, recording.sampling_rate, present, measured(recording.leads))
        except RecordingError as error:
            unreadable[error.reason] += 1
            continue
        found.append(quality)
        if quality.lead_mask.all():
            rhythms += [same for same in [same_beats(cleaned, quality.lead_mask)] if same]
        official = table is not None and table.parent in Path(path).parents
        number = int(Path(path).stem[:5]) if official else 0
        if official and path.endswith("_hr.hea"):
            noted[number] = quality
        # files with the prefix HR are copies of PTB-XL recordings in the PhysioNet/CinC Challenge
        copied = table is not None and Path(path).stem.startswith("HR")
        fitted = copied or (official and notes.loc[number, "strat_fold"] <= FITTED_FOLDS)
        if recording.sampling_rate >= 250 and present.all() and np.isfinite(raw).all() and not fitted:
            complete.append((raw[:, : round(SPEC.duration * recording.sampling_rate)], recording.sampling_rate))
    chosen = np.random.default_rng(seed).permutation(len(complete))[:count]
    recordings = [complete[i] for i in sorted(chosen)]
    return {
        "untouched": len(found),
        "unreadable": dict(unreadable),
        "planted_in": len(recordings),
        "false_alarms": false_alarms(found),
        "caught": [*plant_all(recordings, seed), altered_files(recordings, seed)],
        "cardiologists_notes": agreement(notes, noted) if noted else {},
        "same_beats_as_most_leads": {
            name: rate_of(sum(same[name] for same in rhythms), len(rhythms)) for name in (rhythms or [{}])[0]
        },
        "microseconds": timing(recordings),
        "limits": PARAMS.model_dump(mode="json", exclude={"policy"}),
    }


def percent(row: dict[str, Any]) -> str:
    if row["rate"] is None:
        return "-"
    low, high = row["interval"]
    return f"{row['rate']:.1%} ({low:.1%} to {high:.1%})"


def markdown(result: dict[str, Any]) -> str:
    """Return the results as Markdown tables."""
    lines = ["| fault | planted | found as | caught (95 % interval) | of |", "|---|---|---|---|---|"]
    for row in result["caught"]:
        codes = ", ".join(f"`{code}`" for code in row["codes"])
        lines.append(f"| {row['group']} | {row['fault']} | {codes} | {percent(row)} | {row['of']} |")
    lines += ["", "| code | untouched recordings that have it | of |", "|---|---|---|"]
    lines += [f"| `{code}` | {percent(row)} | {row['of']} |" for code, row in result["false_alarms"].items()]
    if result["cardiologists_notes"]:
        lines += ["", "| note | figure | AUROC | flagged where noted | flagged elsewhere |", "|---|---|---|---|---|"]
    for note, row in result["cardiologists_notes"].items():
        flagged = f"{percent(row['flagged_where_noted'])} | {percent(row['flagged_elsewhere'])}"
        lines.append(f"| {note} ({row['noted']} of {row['of']}) | {row['figure']} | {row['auroc']} | {flagged} |")
    lines += ["", "| same beats as most leads | share | of |", "|---|---|---|"]
    lines += [f"| {n} | {percent(row)} | {row['of']} |" for n, row in result["same_beats_as_most_leads"].items()]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark and print its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=os.environ.get("ECGSSL_REAL_DATA") or None)
    parser.add_argument(
        "--synthetic", type=int, metavar="PATIENTS", help="use simulated recordings of this number of patients"
    )
    parser.add_argument("--count", type=int, default=250, help="number of recordings to add faults to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--fit", type=Path, metavar="MANIFEST")
    arguments = parser.parse_args()
    if arguments.fit:
        return fit(arguments.fit, arguments.root)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = None if arguments.synthetic else arguments.root
        root = root or synthetic(arguments.synthetic or 100, arguments.seed, Path(folder))
        result = measure(root, arguments.count, arguments.seed)
    result["seconds"] = round(time.perf_counter() - start, 1)
    print(markdown(result) if arguments.markdown else json.dumps(result, indent=2))
    return None


if __name__ == "__main__":
    main()
