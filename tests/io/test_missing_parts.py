"""Recordings of several files with one part missing: the message names the file to add, but no text of the header."""

from __future__ import annotations

import pytest
from wfdb_files import noise, write_record

from ecgssl.config import QualityParams
from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.preprocessing.prepare import Rejected, read_or_reject
from ecgssl.serving.read_upload import ReadJob, ReadResult, Upload, read_job
from ecgssl.serving.request_limits import RequestError, RequestLimits
from ecgssl.signal.spec import SignalSpec

PERSON = "Mustermann_1950"


def error_of(path) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        read(path)
    return caught.value


def upload(folder, *files) -> ReadResult | RequestError:
    sent = tuple((file.name, file.read_bytes()) for file in files)
    try:
        return read_job(
            ReadJob(Upload(sent), "contract"), folder, SignalSpec(), QualityParams(), 0.001, RequestLimits()
        )
    except RequestError as error:
        return error


@pytest.mark.parametrize("suffix", ["dat", "mat"])
def test_a_header_alone_asks_for_its_signal_file(tmp_path, suffix):
    header = write_record(tmp_path, "00450_hr", noise(), suffix=suffix).with_suffix(".hea")
    signal = header.with_suffix(f".{suffix}")
    content = signal.read_bytes()
    signal.unlink()
    error = error_of(header)
    assert error.reason == "missing_file"
    assert error.problems[0].remedy.startswith(f"Add 00450_hr.{suffix} ")
    # details can be stored without the path, which may contain a patient's number
    with pytest.raises(Rejected) as caught:
        read_or_reject(header)
    assert "00450" not in caught.value.detail
    assert f"same name with the suffix .{suffix}" in caught.value.detail
    alone = upload(tmp_path, header)
    assert (type(alone), alone.reasons) == (RequestError, ("missing_file",))
    assert f"Add 00450_hr.{suffix} " in str(alone)
    signal.write_bytes(content)
    assert "missing_file" not in getattr(upload(tmp_path, header, signal), "reasons", ())


@pytest.mark.parametrize("file", [f"{PERSON}.dat", f"{PERSON}.mat", f"00450_hr.{PERSON}"])
def test_names_that_only_the_header_contains_are_not_repeated(tmp_path, file):
    header = write_record(tmp_path, "00450_hr", noise()).with_suffix(".hea")
    header.write_text(header.read_text().replace("00450_hr.dat", file))
    header.with_suffix(".dat").unlink()
    problem = error_of(header).problems[0]
    assert "signal file that is named in the header" in problem.remedy
    assert PERSON not in problem.what + problem.remedy
    assert PERSON not in str(upload(tmp_path, header))


def test_a_signal_file_alone_asks_for_its_header(tmp_path):
    path = write_record(tmp_path, "00450_hr", noise())
    path.with_suffix(".hea").unlink()
    signal = path.with_suffix(".dat")
    assert error_of(signal).problems[0].remedy.startswith("Add 00450_hr.hea, ")
    assert "add its header 00450_hr.hea" in str(upload(tmp_path, signal))


def test_a_record_without_its_segments_asks_for_them(tmp_path):
    header = tmp_path / "long.hea"
    header.write_text("long/2 12 500 10000\nlong_1 5000\nlong_2 5000\n")
    write_record(tmp_path, "long_1", noise())
    error = error_of(header)
    assert error.reason == "missing_file"
    assert "header of a segment is absent" in error.problems[0].what
    assert "all segments" in error.problems[0].remedy
