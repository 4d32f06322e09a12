"""Command ``ecgssl draw``: the format of the file follows its suffix."""

from __future__ import annotations

import numpy as np
from command_line import ecgssl, refused
from heartbeats import heartbeats
from wfdb_files import write_record

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
