"""Tests that the fast path for plain WFDB records gives the same samples and errors as the general path."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wfdb_files import write_record

from ecgssl.errors import RecordingError
from ecgssl.io.wfdb import reader as wfdb_reader
from ecgssl.io.wfdb.reader import read_wfdb
from ecgssl.signal.leads import LEADS


def outcome(path, without=None):
    """Return the result or error of reading with one of the two paths disabled (``without``)."""
    with pytest.MonkeyPatch.context() as patch:
        if without == "plain":
            patch.setattr(wfdb_reader, "_is_plain", lambda *arguments: False)
        if without == "general":
            patch.setattr(wfdb_reader, "_read_file", None)
        try:
            got = read_wfdb(path)
        except RecordingError as error:
            return str(error), error.reason
        return got.signal.tobytes(), got.signal.shape, got.leads, got.sampling_rate, got.meta


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_bit_by_bit(data):
    names = data.draw(st.permutations([*LEADS, "vx", "resp", "vz"]))[: data.draw(st.integers(1, 15))]
    if not set(names) & set(LEADS):
        names[0] = "II"
    samples = data.draw(st.integers(1, 40))
    digital = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-32768, 32768, (len(names), samples))
    digital[:, data.draw(st.integers(0, samples - 1))] = data.draw(st.sampled_from([-32768, 0, 32767]))
    gain = data.draw(st.sampled_from(["1000.0(0)/mV", "200/mV", "4.88(-511)/uV", "1e3(8388607)/V", "-999.7(12)/mV"]))
    sound = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder:
        path = write_record(Path(folder), "a", digital.astype(np.int16), tuple(names), gain=gain, checksum=sound)
        if data.draw(st.booleans()):
            size = data.draw(st.integers(0, 2 * digital.size))
            path.with_suffix(".dat").write_bytes(path.with_suffix(".dat").read_bytes()[:size])
        assert outcome(path, without="general") == outcome(path, without="plain")


@pytest.mark.parametrize(
    ("old", "new"),
    [(" 16 1000", " 212 1000"), (" 16 1000", " 16x2 1000"), (" 16 1000", " 16:3 1000"), ("(0)", "(8388608)")],
)
def test_other_records_use_the_general_path(tmp_path, old, new):
    path = write_record(tmp_path, "a", np.zeros((12, 30), dtype=np.int16))
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        outcome(path, without="general")


@pytest.mark.real
def test_all_real_records(real_data):
    headers = sorted(real_data.rglob("*.hea"))
    assert len(headers) > 2000
    for path in headers[::3]:
        assert outcome(path) == outcome(path, without="plain")
