"""Writer for small WFDB test records with arbitrary headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.leads import LEADS


def write_record(
    folder: Path,
    name: str,
    digital: NDArray[np.int16],
    names: tuple[str, ...] = LEADS,
    *,
    gain: str = "1000.0(0)/mV",
    rate: float | str = 500,
    comments: str = "",
    checksum: bool = True,
    suffix: str = "dat",
) -> Path:
    """Write digital values (leads, samples) in format 16 and return the path without suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    digital.T.astype("<i2").tofile(folder / f"{name}.{suffix}")
    lines = [f"{name} {len(names)} {rate} {digital.shape[1]}"]
    for row, lead in zip(digital, names, strict=True):
        total = int(row.astype(np.int64).sum()) if checksum else int(row.astype(np.int64).sum()) + 1
        checksum_value = (total + 32768) % 65536 - 32768
        lines.append(f"{name}.{suffix} 16 {gain} 16 0 {row[0]} {checksum_value} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n" + comments)
    return folder / name


def noise(leads: int = 12, samples: int = 5000, seed: int = 0) -> NDArray[np.int16]:
    """Return random digital values."""
    return np.random.default_rng(seed).integers(-2000, 2000, (leads, samples)).astype(np.int16)
