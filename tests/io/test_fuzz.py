"""Short version of ``benchmarks/fuzz_readers.py``: every reader returns a recording or a reason code for any input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fuzz_runner import Worker, run
from fuzz_seeds import make_seeds
from fuzz_worker import check_error, peak
from mutations import mutate

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.files.array_layout import to_texts
from ecgssl.io.formats import FORMATS
from ecgssl.io.listing import find_recordings
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.io.read_errors import parser_errors
from ecgssl.io.wfdb.samples import FLAC, STORAGE
from ecgssl.signal.leads import LEADS

pytestmark = pytest.mark.long

MUTATIONS = 60
SEEDS = {
    form: [seed.name for seed in make_seeds() if seed.format == form] for form in {s.format: 0 for s in make_seeds()}
}

BOMBS = {
    "aecg: billion laughs": "entities",
    "aecg: foreign file": "entities",
    "aecg: attributes": "header",
    "aecg: declared punycode": "header",
    "dicom: elements": "header",
    "dicom: items to the limit": "header",
    "dicom: values of the age": "header",
    "scp: pointers to everything": "header",
    "matlab: waste behind variables": "too_large",
    "matlab: letters": "content",
    "matlab: leads all alike": "no_leads",
    "hdf5: packed zeros": "unreadable",
    "npz: zeros": "content",
    "npz: zeros, bzip2": "compressed",
    "sierra: channels": "header",
    "sierra: channels in parts": "header",
    "sierra: channels, valid": "header",
    "sierra: labels": "header",
    "wfdb 16: leads all alike": "header",
    "wfdb 16: files": "header",
    "wfdb 16: long name, FLAC": "unreadable",
    "wfdb segments: one segment often": "header",
}
"""Files that earlier versions needed minutes or gigabytes for, or failed on, with their expected reason codes."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """Start one worker for all tests, because its start takes as long as a hundred files."""
    with Worker() as started:
        yield started


@pytest.mark.parametrize("form", SEEDS)
def test_damaged_files(worker, form):
    names = SEEDS[form]
    tally = run(worker, form, [(names[i % len(names)], i) for i in range(MUTATIONS)])
    assert not tally.failures, "\n".join(tally.failures)
    # some damaged files are readable and some are refused
    assert 0 < tally.outcomes["recording"] < MUTATIONS
    assert tally.outcomes.total() == MUTATIONS
    assert len(tally.outcomes) > 2


def test_every_format_is_damaged():
    """The storage formats of WFDB have separate rows."""
    others = {form for form in SEEDS if not form.startswith("wfdb")}
    assert others - {"matlab 7.3"} == {form.name for form in FORMATS} - {"wfdb"}
    stored = {int(code) for seed in make_seeds() for code in re.findall(rb"\.\w+ (\d+)", seed.content[:200])}
    assert stored >= {*STORAGE, *FLAC}


@pytest.mark.parametrize("name", BOMBS)
def test_files_made_to_exhaust_a_reader(worker, name):
    answer = worker.ask(name.partition(":")[0], name, 0)
    assert (answer["outcome"], answer["failure"]) == (BOMBS[name], "")


def test_the_worker_sees_hangs_and_crashes():
    """The fuzz tests rely on this."""
    with Worker() as worker:
        assert "took" in str(worker.ask("npy", "one", 0, seconds=0.0)["failure"])
        assert not worker.ask("npy", "one", 0)["failure"]
        assert worker.process is not None
        worker.process.kill()
        assert "exit code -9" in str(worker.ask("npy", "one", 1)["failure"])
        # it starts another one, which ends by itself
        assert "exit code 1" in str(worker.ask("npy", "no such seed", 0)["failure"])
        assert not worker.ask("npy", "one", 1)["failure"]


def test_the_worker_sees_memory():
    before = peak(reset=True)
    assert np.ones(50 << 17).sum() == 50 << 17
    assert 45 < peak() - before < 100
    assert peak(reset=True) - before < 45
    with pytest.raises(RecordingError) as caught, parser_errors(Path("a.npy"), "numpy"):
        raise MemoryError
    with pytest.raises(AssertionError, match="memory"):
        check_error(caught.value, private=True)


def test_seeds_are_valid_and_mutations_repeat():
    seeds = make_seeds()
    assert len({(seed.format, seed.name) for seed in seeds}) == len(seeds)
    for seed in seeds:
        damaged = [mutate(seed.content, number, seed.kind) for number in range(16)]
        assert damaged == [mutate(seed.content, number, seed.kind) for number in range(16)]
        assert sum(data != seed.content for data in damaged) > 11


@pytest.mark.parametrize("place", range(len(make_seeds())))
def test_an_undamaged_seed_is_a_recording(place, tmp_path):
    seed = make_seeds()[place]
    for name, data in {**seed.beside, seed.file: seed.wrap(seed.content)}.items():
        (tmp_path / name).write_bytes(data)
    path = tmp_path / (seed.asked or seed.file)
    assert read(
        path if seed.members[-1] is None else f"{path}#{seed.members[-1]}", overrides=seed.overrides
    ).signal.size


def test_names_as_long_as_names_may_be(tmp_path):
    """With a header suffix or a member, these names exceed the limit of the file system."""
    path = tmp_path / f"{'a' * 250}.npy"
    np.save(path, np.ones((2, 12, 50), np.float32))
    overrides = MetadataOverrides(500.0, "mV", LEADS)
    assert find_recordings(tmp_path).recordings == (f"{path}#0", f"{path}#1")
    assert read(f"{path}#1", overrides=overrides).signal.shape == (12, 50)
    with pytest.raises(RecordingError) as caught:
        read(tmp_path / f"{'b' * 300}.npy")
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("order", "<>")
def test_texts_of_code_points_that_are_none(order):
    """numpy returns invalid texts for them, which raise errors on use."""
    good = np.array(["I", "V1"]).astype(f"{order}U2")
    assert to_texts(good) == ("I", "V1")
    codes = np.frombuffer(good.tobytes(), f"{order}u4").copy()
    codes[2] = 0x110000
    assert to_texts(np.frombuffer(codes.tobytes(), f"{order}U2")) is None
    codes[2] = 0xD800
    assert to_texts(np.frombuffer(codes.tobytes(), f"{order}U2")) == ("I", "?1")
