"""Writer for WFDB storage formats that the package wfdb cannot write, implemented sample by sample from signal(5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RANGE = {
    8: (-60, 60),
    16: (-32768, 32767),
    24: (-(2**23), 2**23 - 1),
    32: (-(2**31), 2**31 - 1),
    61: (-32768, 32767),
    80: (-128, 127),
    160: (-32768, 32767),
    212: (-2048, 2047),
    310: (-512, 511),
    311: (-512, 511),
    508: (-128, 127),
    516: (-32768, 32767),
    524: (-(2**23), 2**23 - 1),
}
"""Smallest and largest sample; in format 8, differences must fit 8 bits."""


def pack(storage: int, samples: Sequence[int]) -> bytes:
    """Return the bytes of samples in stored order; in format 8 they are differences."""
    if storage == 8:
        return b"".join(s.to_bytes(1, "little", signed=True) for s in samples)
    if storage in (16, 61):
        return b"".join(s.to_bytes(2, "little" if storage == 16 else "big", signed=True) for s in samples)
    if storage == 160:
        return b"".join((s + 32768).to_bytes(2, "little") for s in samples)
    if storage == 80:
        return bytes(s + 128 for s in samples)
    if storage in (24, 32):
        return b"".join(s.to_bytes(storage // 8, "little", signed=True) for s in samples)
    if storage == 212:
        return b"".join(_pair(*samples[i : i + 2]) for i in range(0, len(samples), 2))
    return b"".join(_triplet(storage, samples[i : i + 3]) for i in range(0, len(samples), 3))


def _pair(first: int, second: int | None = None) -> bytes:
    a, b = first & 0xFFF, (second or 0) & 0xFFF
    return bytes([a & 0xFF, a >> 8 | b >> 8 << 4, b & 0xFF])[: 2 if second is None else 3]


def _triplet(storage: int, some: Sequence[int]) -> bytes:
    a, b, c = (s & 0x3FF for s in (*some, 0, 0)[:3])
    if storage == 311:
        word = (a | b << 10 | c << 20).to_bytes(4, "little")
        return word[: {1: 2, 2: 3, 3: 4}[len(some)]]
    # 310: 11 low bits of each byte pair without the lowest, then the 5 high bits of both
    word = ((a << 1) | (c & 0x1F) << 11).to_bytes(2, "little") + ((b << 1) | (c >> 5) << 11).to_bytes(2, "little")
    return word[: 2 if len(some) == 1 else 4]


def write_by_hand(
    folder: Path,
    name: str,
    storage: int,
    channels: Sequence[NDArray[np.int64]],
    names: Sequence[str],
    *,
    per_frame: int = 1,
    gain: str = "200(0)/mV",
    prologue: bytes = b"",
    skew: Sequence[int] | None = None,
    rate: str = "250",
) -> Path:
    """Write channels of equal length to one file and return the path of the record without suffix."""
    stored = channels
    if storage == 8:
        stored = [np.diff(channel, prepend=channel[0]) for channel in channels]
    frames = len(channels[0]) // per_frame
    flat = np.stack([np.asarray(channel).reshape(frames, per_frame) for channel in stored], axis=1).ravel()
    (folder / f"{name}.dat").write_bytes(prologue + pack(storage, flat.tolist()))
    lines = [f"{name} {len(channels)} {rate} {frames}"]
    for row, (channel, lead) in enumerate(zip(channels, names, strict=True)):
        text = f"{storage}{f'x{per_frame}' if per_frame > 1 else ''}{f':{skew[row]}' if skew else ''}"
        text += f"+{len(prologue)}" if prologue else ""
        total = (int(channel.sum()) + 32768) % 65536 - 32768
        lines.append(f"{name}.dat {text} {gain} 16 0 {channel[0]} {total} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return folder / name


def write_by_wfdb(
    folder: Path,
    name: str,
    storage: Sequence[int],
    channels: Sequence[NDArray[np.int64]],
    names: Sequence[str],
    *,
    per_frame: int = 1,
    files: Sequence[str] | None = None,
    skew: Sequence[int] | None = None,
    offset: int | None = None,
) -> Path:
    """Write channels with the package wfdb, with a format and a file for each channel."""
    import wfdb

    count = len(channels)
    record = wfdb.Record(
        record_name=name,
        n_sig=count,
        fs=250,
        file_name=list(files or [f"{name}.dat"] * count),
        fmt=[str(code) for code in storage],
        samps_per_frame=[per_frame] * count,
        skew=None if skew is None else list(skew),
        byte_offset=None if offset is None else [offset] * count,
        adc_gain=[200.0] * count,
        baseline=[0] * count,
        units=["mV"] * count,
        sig_name=list(names),
        adc_res=[16] * count,
        adc_zero=[0] * count,
        block_size=[0] * count,
        e_d_signal=[np.asarray(channel) for channel in channels],
    )
    record.set_d_features(expanded=True)
    record.wrsamp(expanded=True, write_dir=str(folder))
    return folder / name
