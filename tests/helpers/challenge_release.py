"""Small releases of the PhysioNet/CinC Challenge with selectable defects."""

from __future__ import annotations

from pathlib import Path

from wfdb_files import noise, write_record

FOLDERS = (
    "cpsc_2018",
    "cpsc_2018_extra",
    "st_petersburg_incart",
    "ptb",
    "ptb-xl",
    "georgia",
    "chapman_shaoxing",
    "ningbo",
)
OFFSET = 24
"""Return the MATLAB header before the samples."""


def write_header_and_signal(
    root: Path, subset: str, name: str, dx: str = "426783006", *, age: str = "60", sex: str = "Male", **options
) -> Path:
    """Write one recording to ``training/{subset}/g1``: format ``16+24``, signal in a ``.mat``, labels in comments."""
    folder = root / "training" / subset / "g1"
    comments = f"#Age: {age}\n#Sex: {sex}\n#Dx: {dx}\n#Rx: Unknown\n#Hx: Unknown\n#Sx: Unknown\n"
    samples = options.pop("samples", 600)
    digital = options.pop("digital", None)
    gain = options.pop("gain", "1000/mV")
    path = write_record(
        folder,
        name,
        noise(samples=samples) if digital is None else digital,
        gain=gain,
        comments=comments,
        suffix="mat",
        **options,
    )
    header, signal = path.with_suffix(".hea"), path.with_suffix(".mat")
    header.write_text(header.read_text().replace(".mat 16 ", f".mat 16+{OFFSET} "))
    signal.write_bytes(bytes(OFFSET) + signal.read_bytes())
    return path
