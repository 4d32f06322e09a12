"""Headers of early PhysioNet/CinC Challenge 2020 releases with a wrong gain.

Challenge records have samples in uV, so the correct gain is 1000 per mV. The headers of June 2020 state 200 per mV for
PTB-XL, and headers before August 2020 state 4880 per mV for Georgia and other sets.
"""

from __future__ import annotations

import re
from pathlib import Path

from ecgssl.io.metadata import MetadataOverrides
from ecgssl.io.read_errors import read_error
from ecgssl.io.wfdb.header import Header

_MATLAB_HEADER = 24  # bytes before the samples of a MATLAB 4 file
_PTBXL = re.compile(r"HR\d{5}\.mat")
_ANY_SET = re.compile(r"(A|Q|I|S|HR|E|JS)\d{4,5}\.mat")
_PTBXL_LENGTH = (500.0, 5000)


def wrong_challenge_gain(header: Header) -> float | None:
    """Return the gain per mV of a header with the wrong gain of a Challenge release; ``None`` for other headers.

    A header is recognised only if all signals are stored in format 16 from byte 24 of a ``.mat`` file with the name of a
    Challenge record, and have unit mV, baseline 0 and the same gain, 4880 or 200. A gain of 200 also requires the name
    of a PTB-XL record, 12 leads, and 5000 samples at 500 Hz.
    """
    if not header.signals or header.signals[0].offset != _MATLAB_HEADER:
        return None
    layouts = {
        (line.file, line.format, line.per_frame, line.skew, line.offset, line.gain, line.unit.lower(), line.baseline)
        for line in header.signals
    }
    if len(layouts) != 1:
        return None
    file, *layout, gain, unit, baseline = layouts.pop()
    if layout != [16, 1, 0, _MATLAB_HEADER] or unit != "mv" or baseline != 0:
        return None
    ptbxl = len(header.signals) == 12 and (header.sampling_rate, header.frames) == _PTBXL_LENGTH
    if gain == 4880 and _ANY_SET.fullmatch(file):
        return gain
    return gain if gain == 200 and ptbxl and _PTBXL.fullmatch(file) else None


def refuse_wrong_challenge_gain(hea: Path, header: Header, overrides: MetadataOverrides) -> None:
    """Raise an error for a header with the wrong gain of a Challenge release, unless the unit is overridden.

    Raises:
        RecordingError: reason ``gain``.
    """
    gain = None if overrides.unit is not None else wrong_challenge_gain(header)
    if gain is None:
        return
    effect = "5 times too large" if gain < 1000 else "4.88 times too small"
    what = f"is {gain:g} per mV, as in releases of the Challenge before August 2020; voltages would be {effect}"
    fix = f"Download the header again (challenge-2021 at PhysioNet), or replace {gain:g} with 1000 in the header"
    keep = "If the gain is right, set units to mV (column units of a table, or --units mV)"
    raise read_error("gain", hea, "gain", what, f"{fix}. {keep}")
