"""Simulated set: recordings of the vectorcardiogram model as WFDB files with a manifest.

It needs no download. Results on it show that a pipeline works, and have no clinical meaning.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import SyntheticParams
from ecgssl.datasets.synthetic.electrode_noise import ELECTRODES_TO_LEADS, electrode_noise
from ecgssl.datasets.synthetic.heart_rhythm import fibrillation_rhythm, sinus_rhythm, with_ectopy
from ecgssl.datasets.synthetic.synthetic_patients import TARGETS, Episode, draw_episode, draw_patient, labels
from ecgssl.datasets.synthetic.vectorcardiogram import conducted_beat, dipole, ectopic_beat, fibrillation, twelve_leads
from ecgssl.errors import InputError, Problem
from ecgssl.files import make_folder
from ecgssl.io.wfdb.writer import write_wfdb
from ecgssl.pool import run_ordered
from ecgssl.signal.leads import LEADS

MANIFEST = "manifest.csv"
KEY = "patient.key"
SPLITS = (("train", 0.7), ("val", 0.1), ("test", 0.2))

_README = """Synthetic 12-lead ECGs
======================

A mathematical model generates all recordings: three dipole components, each a sum of Gaussians, projected to the leads
by a torso matrix. No person was recorded. Results on this set show that the software runs and learns. They have no
clinical meaning and must not be cited as clinical results.

manifest.csv    record, path, simulated patient, split, age, sex, and one column per label: 1, 0, empty = unknown
parameters.csv  parameters of each recording, which also determine its labels
patient.key     key that turns patient ids into hashes; fixed by the seed, because the patients are simulated
records/        WFDB, format 16, 1000 steps per mV

Generated with seed {seed}: {patients} patients, {recordings} recordings of {duration:g} s at {sampling_rate:g} Hz.
"""

_PARAMETERS = ("rhythm", "rate", "pr", "qrs", "qtc", "block", "voltage", "t_polarity", "st", "ectopic_beats")


def render(
    episode: Episode, sampling_rate: float, duration: float, rng: np.random.Generator, noise: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float64], int]:
    """Return one simulated recording.

    Args:
        episode: parameters of the recording.
        sampling_rate: sampling rate in Hz.
        duration: duration in s.
        rng: random generator of beat times and noise.
        noise: whether to add electrode noise.

    Returns:
        (12, samples) in mV in canonical order; (B,) R peaks in s, some of them outside the recording; and the number of
        premature ventricular beats inside.
    """
    samples = round(sampling_rate * duration)
    if episode.fibrillation:
        rhythm = fibrillation_rhythm(episode.rate, episode.irregularity, duration, rng)
    else:
        rhythm = sinus_rhythm(
            episode.rate, episode.breathing, episode.sinus_arrhythmia, episode.variability, duration, rng
        )
    if episode.ectopic_beats:
        rhythm = with_ectopy(rhythm, episode.ectopic_beats, duration, rng)
    # breathing moves the heart in the chest, which changes the amplitude
    gain = 1 + 0.04 * np.sin(2 * np.pi * episode.breathing * rhythm.times + rng.uniform(0, 2 * np.pi))
    rr = rhythm.repolarisation_rr
    own, other = ~rhythm.ectopic, rhythm.ectopic
    beats = [(conducted_beat(episode.heart), rhythm.times[own], rr[own], gain[own])]
    if episode.ectopic_focus is not None and other.any():
        ectopic = ectopic_beat(episode.ectopic_focus, episode.ectopic_qrs, episode.ectopic_height)
        beats.append((ectopic, rhythm.times[other], rr[other], gain[other]))
    source = dipole(beats, sampling_rate, samples)
    if episode.fibrillation:
        source += fibrillation(episode.fibrillatory_rate, episode.fibrillatory_height, sampling_rate, samples, rng)
    independent = (episode.torso @ source).astype(np.float32)
    if noise:
        potentials = electrode_noise(episode.noise, sampling_rate, samples, rng)
        independent += ELECTRODES_TO_LEADS.astype(np.float32) @ potentials
    return twelve_leads(independent), rhythm.times, int(other.sum())


def simulate(
    out_dir: Path | str,
    params: SyntheticParams,
    seed: int,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write the simulated set to ``out_dir`` atomically.

    Args:
        out_dir: folder that does not exist, is empty, or contains an earlier simulated set, which is replaced.
        params: number of patients and recordings, sampling rate and duration.
        seed: seed that determines every byte, independent of the number of workers.
        workers: number of processes; -1 for one per core.
        progress: function called with the number of patients completed since the last call.

    Returns:
        Path of the manifest.

    Raises:
        InputError: ``out_dir`` contains other files, or the range of recordings per patient is empty.
    """
    out = Path(out_dir)
    _check(out, params)
    make_folder(out.parent)
    # files.atomic_directory also syncs each file to disk, which takes 0.6 to 1 times as long as the simulation; a set lost
    # in a power failure can be simulated again from its seed
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent, ignore_cleanup_errors=True) as place:
        folder = Path(place) / "new"
        folder.mkdir()
        rows = _record_all(folder, params, seed, workers, progress)
        _write_tables(folder, rows, params, seed)
        _put_in_place(folder, out, Path(place) / "old")
    return out / MANIFEST


def patient_key(seed: int) -> bytes:
    """Return the published key of a simulated set, 32 bytes; ``patient.key`` contains it in hex."""
    return hashlib.sha256(f"ecgssl synthetic patients, seed {seed}".encode()).digest()


def split_of_patients(patients: int, seed: int) -> list[str]:
    """Return the split of each patient: 70, 10 and 20 % of them in random order, determined by the seed."""
    counts = [round(share * patients) for _, share in SPLITS]
    counts[0] = patients - sum(counts[1:])
    ordered = [name for (name, _), count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))).permutation(patients)
    splits = [""] * patients
    for place, name in zip(order.tolist(), ordered, strict=True):
        splits[place] = name
    return splits


def _record_patient(folder: Path, patient: int, params: SyntheticParams, seed: int) -> list[dict[str, Any]]:
    # one random stream per patient, independent of other patients and of the number of workers
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1, patient))))
    person = draw_patient(rng)
    low, high = params.recordings_per_patient
    rows = []
    for number in range(1, int(rng.integers(low, high + 1)) + 1):
        episode = draw_episode(person, rng)
        signal, _, ectopic_beats = render(episode, params.sampling_rate, params.duration, rng)
        record = f"syn-{patient:05d}-{number}"
        place = Path("records") / f"{patient // 1000:03d}"
        write_wfdb(folder / place, record, signal, params.sampling_rate, LEADS, comment="synthetic, not a patient")
        heart = episode.heart
        rows.append(
            {
                "record_id": record,
                "path": (place / record).as_posix(),
                "patient_id": f"P{patient:05d}",
                "age": person.age,
                "sex": person.sex,
                **labels(episode, ectopic_beats),
                "rhythm": "af" if episode.fibrillation else "sinus",
                "rate": round(episode.rate, 2),
                "pr": "" if episode.fibrillation else round(heart.pr, 4),
                "qrs": round(heart.qrs, 4),
                "qtc": round(heart.qtc, 4),
                "block": heart.block or "",
                "voltage": round(heart.voltage, 3),
                "t_polarity": round(heart.t_polarity, 3),
                "st": round(float(np.linalg.norm(heart.st)), 4),
                "ectopic_beats": ectopic_beats,
            }
        )
    return rows


def _record_all(
    folder: Path, params: SyntheticParams, seed: int, workers: int, progress: Callable[[int], None] | None
) -> list[dict[str, Any]]:
    for thousand in range((params.patients - 1) // 1000 + 1):
        (folder / "records" / f"{thousand:03d}").mkdir(parents=True)
    chunks = [range(start, min(start + 20, params.patients)) for start in range(0, params.patients, 20)]
    tasks = ((folder, chunk, params, seed) for chunk in chunks)
    rows: list[dict[str, Any]] = []
    with closing(run_ordered(_record_chunk, tasks, len(chunks), workers)) as results:
        for chunk, made in zip(chunks, results, strict=True):
            rows += made
            if progress is not None:
                progress(len(chunk))
    return rows


def _record_chunk(folder: Path, chunk: range, params: SyntheticParams, seed: int) -> list[dict[str, Any]]:
    return [row for patient in chunk for row in _record_patient(folder, patient, params, seed)]


def _write_tables(folder: Path, rows: list[dict[str, Any]], params: SyntheticParams, seed: int) -> None:
    import pandas as pd

    table = pd.DataFrame(rows)
    splits = split_of_patients(params.patients, seed)
    table["split"] = [splits[int(patient[1:])] for patient in table["patient_id"]]
    for target in TARGETS:
        table[target] = table[target].astype("Int64")
    manifest = ["record_id", "path", "patient_id", "split", "age", "sex", *TARGETS]
    table[manifest].to_csv(folder / MANIFEST, index=False, lineterminator="\n")
    table[["record_id", *_PARAMETERS]].to_csv(folder / "parameters.csv", index=False, lineterminator="\n")
    (folder / KEY).write_text(patient_key(seed).hex() + "\n")
    (folder / "README.txt").write_text(_README.format(**{**params.model_dump(), "seed": seed, "recordings": len(rows)}))


def _check(out: Path, params: SyntheticParams) -> None:
    problems = []
    low, high = params.recordings_per_patient
    if low > high:
        field = "data.synthetic.recordings_per_patient"
        what = f"the range {low} to {high} is empty"
        problems.append(Problem("params.yaml", field, what, "Write the smaller number first"))
    ours = out.is_dir() and (not any(out.iterdir()) or (out / KEY).is_file())
    if out.exists() and not ours:
        what = "is a file, or contains files that are not a simulated set"
        problems.append(Problem(str(out), "output folder", what, "Use another folder"))
    if problems:
        raise InputError(problems)


def _put_in_place(new: Path, out: Path, old: Path) -> None:
    # a non-empty folder cannot be replaced in one step, so the old set is moved away when the new one is complete
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
