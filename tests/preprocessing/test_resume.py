"""Resumption after a kill at any instant: the store equals that of an uninterrupted run."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
from dataclasses import replace

import pytest
from command_line import contents, ecgssl
from store_cohort import KEY, make_cohort, params

from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError
from ecgssl.preprocessing import shards
from ecgssl.preprocessing.preprocess import PreprocessReport, preprocess
from ecgssl.stages import preprocess as stage
from ecgssl.store.patient_key import patient_hash
from ecgssl.store.store import Store

TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.scandir", "os.listdir")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return seven recordings, two of them unusable, in three shards."""
    return load_manifest(make_cohort(tmp_path_factory.mktemp("small"), 7))


SETTINGS = {"shard_recordings": 3, "workers": 1, "max_rejected_fraction": 0.5}


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """Return the store of an uninterrupted run and its duration in s with all libraries loaded."""
    folder = tmp_path_factory.mktemp("whole")
    for _ in range(2):
        report = preprocess(small, params(store=SETTINGS), folder / "out", KEY, progress=False)
    return contents(folder / "out"), report.seconds


@pytest.fixture(scope="module")
def processes():
    """Return a context whose processes start with all libraries loaded, so that a run takes less than a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_resume", "scipy.fft", "wfdb"])
    return context


def run(cohort, out, touches=None, ready=None):
    """Preprocess; after ``touches`` file-system calls below the parent of ``out``, the process kills itself."""

    def die(event, arguments):
        nonlocal touches
        if event in TOUCHES and str(arguments[0]).startswith(str(out.parent)):
            touches -= 1
            if touches < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    if touches is not None:
        sys.addaudithook(die)
    if ready is not None:
        ready.set()
    preprocess(cohort, params(store=SETTINGS), out, KEY, progress=False)


def test_killed_before_any_touch_of_the_file_system(small, whole, processes, tmp_path):
    left = set()
    for touches in range(1, 100, 9):
        out = tmp_path / str(touches) / "out"
        process = processes.Process(target=run, args=(small, out, touches))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        left |= {path.suffix for path in out.parent.glob(".out.partial-*/*/*")}
        preprocess(small, params(store=SETTINGS), out, KEY, progress=False)
        assert contents(out.parent) == {"out": None, **{f"out/{name}": data for name, data in whole[0].items()}}
    assert touches > 30
    assert left >= {".unfinished", ".npy", ".arrow", ".csv", ".parquet", ".json"}


def test_killed_at_random_moments(small, whole, processes, tmp_path):
    moments = random.Random(0)
    out, kills = tmp_path / "out", 0
    for _ in range(5):
        ready = processes.Event()
        process = processes.Process(target=run, args=(small, out, None, ready))
        process.start()
        ready.wait()
        process.join(moments.uniform(0, whole[1]))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    report = preprocess(small, params(store=SETTINGS), out, KEY, progress=False)
    assert kills > 0
    assert report.counted == 7
    assert contents(tmp_path) == {"out": None, **{f"out/{name}": data for name, data in whole[0].items()}}


def test_what_is_damaged_is_made_again_and_what_is_whole_is_not(cohort, made, tmp_path, monkeypatch):
    seen, real = [], shards.request_steps

    def dies_in_the_last_shard(item, *rest):
        seen.append(item.path[-2:])
        if len(seen) == 18:
            raise KeyboardInterrupt
        return real(item, *rest)

    monkeypatch.setattr(shards, "request_steps", dies_in_the_last_shard)
    with pytest.raises(KeyboardInterrupt):
        preprocess(cohort, params(), tmp_path / "out", KEY, progress=False)
    assert not (tmp_path / "out").exists()
    (partial,) = tmp_path.iterdir()
    # shards have 6, 7 and 7 recordings; one sample of the second is altered
    shard = partial / "store/shard-00001.npy"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x55")
    report = preprocess(cohort, params(), tmp_path / "out", KEY, progress=False)
    assert (len(seen), report.resumed) == (18 + 14, 6)
    assert contents(tmp_path / "out") == contents(made[0])
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("sections", "resumed"),
    [
        ({}, 7),
        ({"quality": {"flat_sd": 0.004}}, 0),
        ({"signal": {"clean": {"mains": 50}}}, 0),
        ({"store": {**SETTINGS, "lsb": 0.002}}, 0),
        ({"store": {**SETTINGS, "shard_recordings": 2}}, 0),
    ],
)
def test_only_work_of_the_same_kind_is_used(small, tmp_path, sections, resumed):
    strict = {
        **SETTINGS,
        "max_rejected_fraction": 0.28,
    }  # two of seven exceed the limit, which the last shard reveals
    with pytest.raises(InputError):
        preprocess(small, params(store=strict), tmp_path / "out", KEY, progress=False)
    settings = params(**{"store": SETTINGS, **sections})
    assert preprocess(small, settings, tmp_path / "out", KEY, progress=False).resumed == resumed


def test_labels_and_key_may_change_meanwhile(small, tmp_path):
    strict = {**SETTINGS, "max_rejected_fraction": 0.28}
    with pytest.raises(InputError):
        preprocess(small, params(store=strict), tmp_path / "out", KEY, progress=False)
    relabelled = replace(small, table=small.table.assign(AF=1.0, patient_id="one", split="train"))
    report = preprocess(relabelled, params(store=SETTINGS), tmp_path / "out", b"k" * 32, progress=False)
    assert report.resumed == 7
    index = Store(tmp_path / "out").index
    assert (index["AF"] == 1).all()
    assert set(index["patient"]) == {patient_hash(b"k" * 32, "one")}


@pytest.mark.parametrize(
    ("resumed", "seconds", "expected"),
    [(7, 3.0, "all prepared by an earlier run"), (4, 10.0, "0.3 recordings/s"), (0, 0.1, "70 recordings/s")],
)
def test_the_speed_counts_the_recordings_of_this_run(small, tmp_path, monkeypatch, resumed, seconds, expected):
    report = PreprocessReport(7, 7, 0, 0, 7, {}, {}, (), seconds, resumed)
    monkeypatch.setattr(stage, "preprocess_set", lambda *_, **__: report)
    (tmp_path / "p.yaml").write_text("tasks: {t: {targets: [AF]}}\n")
    done = ecgssl("preprocess", "--manifest", small.source, "--out", tmp_path / "out", "--params", tmp_path / "p.yaml")
    assert (done.code, done.err) == (0, "")
    assert f" s, {expected}\n" in done.out
