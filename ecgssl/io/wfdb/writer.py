"""Writer for WFDB records: a ``.hea`` header and a ``.dat`` file of interleaved 16-bit samples (format 16).

Format: WFDB Applications Guide, header(5) and signal(5). ``wfdb.wrsamp`` is not used, because it takes longer than
simulating the signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_wfdb(
    folder: Path,
    record: str,
    signal: NDArray[np.floating],
    sampling_rate: float,
    leads: Sequence[str],
    comment: str = "",
    gain: float = 1000.0,
) -> None:
    """Write ``record.hea`` and ``record.dat`` into ``folder``.

    Args:
        folder: existing folder.
        record: name of the record, with only letters, digits, hyphens and underscores.
        signal: (leads, samples) in mV.
        sampling_rate: sampling rate in Hz.
        leads: lead names, one per row.
        comment: comment line at the end of the header; empty for none.
        gain: number of digital steps per mV.

    Raises:
        ValueError: a value is not finite or does not fit in 16 bits (-32768 means "no value" in this format).
    """
    steps = signal * signal.dtype.type(gain)
    np.rint(steps, out=steps)
    low, high = float(steps.min()), float(steps.max())
    if not (low >= -32767 and high <= 32767):
        raise ValueError(f"{record}: values from {low / gain} to {high / gain} mV are not finite or exceed 16 bits")
    digital = steps.astype("<i2")
    checksum = digital.sum(axis=1, dtype=np.int64) % 65536
    lines = [f"{record} {len(leads)} {sampling_rate:g} {signal.shape[1]}"]
    lines += [
        f"{record}.dat 16 {gain:.1f}(0)/mV 16 0 {first} {total} 0 {lead}"
        for lead, first, total in zip(leads, digital[:, 0].tolist(), checksum.tolist(), strict=True)
    ]
    if comment:
        lines.append(f"#{comment}")
    (folder / f"{record}.dat").write_bytes(digital.T.tobytes())
    (folder / f"{record}.hea").write_text("\n".join(lines) + "\n")
