"""Command ``ecgssl draw``: the format of the file follows its suffix."""

from __future__ import annotations

import json
import re

import numpy as np
from command_line import ecgssl, refused
from heartbeats import heartbeats
from wfdb_files import write_record

from ecgssl.io import read
from ecgssl.signal.leads import LEADS


def test_the_suffix_decides_the_format(tmp_path):
    write_record(tmp_path, "r0", np.rint(1000 * heartbeats(1)[0]).astype(np.int16), LEADS, rate=100)
    for name, start in (("a.pdf", b"%PDF-"), ("b.SVG", b"<?xml"), ("c.png", b"\x89PNG")):
        done = ecgssl("draw", tmp_path / "r0.hea", "--out", tmp_path / name)
        assert (done.code, done.err) == (0, "")
        assert (tmp_path / name).read_bytes().startswith(start)
    for name in ("d.jpg", "e"):
        refused(ecgssl("draw", tmp_path / "r0.hea", "--out", tmp_path / name), f"{name}: suffix", ".png, .pdf, .svg")
        assert not (tmp_path / name).exists()


def test_inspect_and_drawing_state_one_heart_rate(tmp_path):
    """Spikes of 20 mV every 1.4 s hide the beats: the recording is rejected, and neither states a rate."""
    signal = np.rint(1000 * heartbeats(1, seconds=10.0)[0]).astype(np.int16)
    spikes = signal.copy()
    spikes[:, ::140] = 20000
    for name, rows in (("good", signal), ("spikes", spikes)):
        write_record(tmp_path, name, rows, LEADS, rate=100)
        (found,) = json.loads(ecgssl("inspect", tmp_path / f"{name}.hea", "--json").out)["recordings"]
        assert ecgssl("draw", tmp_path / f"{name}.hea", "--out", tmp_path / f"{name}.svg").code == 0
        drawn = {text.get_text() for text in read(tmp_path / f"{name}.hea").plot().axes[0].texts}
        shown = " ".join(drawn)
        if name == "good":
            assert re.search(r"heart rate (\d+)/min", shown)[1] == f"{found['figures']['heart_rate']:.0f}"
            assert "fails" not in shown
        else:
            assert (found["verdict"], found["figures"]["heart_rate"]) == ("rejected", None)
            assert "heart rate not reliable" in shown
            assert f"fails the quality checks: {found['reasons'][0]}" in shown
