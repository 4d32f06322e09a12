"""Named pipes and devices as input or output: every command refuses them at once instead of waiting for a writer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import ecgssl, refused
from sound_cohort import PROFILE

from ecgssl.errors import InputError
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.files import write_atomic
from ecgssl.store.patient_key import load_or_make_key
from ecgssl.store.store import Store

NOT_REGULAR = "is a named pipe, a socket or a device"


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """End a test that waits for a pipe."""

    def end(*_: object) -> None:
        raise TimeoutError("waits for a pipe")

    signal.signal(signal.SIGALRM, end)
    signal.alarm(60)
    yield
    signal.alarm(0)


COMMANDS = {
    "check": ["check", "{x.csv}", "--params", PROFILE],
    "check targets": ["check", "table.csv", "--targets-file", "{x.yaml}", "--params", PROFILE],
    "check params": ["check", "table.csv", "--params", "{x.yaml}"],
    "check device": ["check", "/dev/zero", "--params", PROFILE],
    "preprocess": ["preprocess", "--manifest", "{x.parquet}", "--out", "out", "--params", PROFILE],
    "pretrain": ["pretrain", "--store", "{store/spec.json}", "--out", "out", "--params", PROFILE],
    "evaluate": ["evaluate", "{x.csv}", "--out", "out.json", "--params", PROFILE],
    "evaluate parquet": ["evaluate", "{x.parquet}", "--out", "out.json", "--params", PROFILE],
    "evaluate run": [
        "evaluate",
        "--run",
        "{run/signal.json}",
        "--manifest",
        "t.csv",
        "--out",
        "o",
        "--params",
        PROFILE,
    ],
    "report answers": ["report", "run", "--answers", "{x.yaml}"],
    "predict": ["predict", "--bundle", "bundle", "{x.csv}", "--out", "scores.csv"],
    "predict to a pipe": ["predict", "--bundle", "bundle", "table.csv", "--out", "{x.csv}"],
    "monitor": ["monitor", "--bundle", "{bundle/SHA256SUMS}", "s.csv", "--out", "drift.html"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_refuse_pipes_and_devices(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("record_id,path\na,a.hea\n")
    arguments = []
    for argument in map(str, COMMANDS[name]):
        if argument.startswith("{"):
            pipe = Path(argument.strip("{}"))
            pipe.parent.mkdir(exist_ok=True)
            os.mkfifo(pipe)
            # the name of a folder if the pipe is a file in it
            argument = str(pipe.parent if pipe.parent.name else pipe)
        arguments.append(argument)
    refused(ecgssl(*arguments), NOT_REGULAR)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_score_files_are_refused_together(suffix: str, tmp_path: Path) -> None:
    from ecgssl.monitoring.read_scores import read_batch

    pipes = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for pipe in pipes:
        os.mkfifo(pipe)
    with pytest.raises(InputError) as caught:
        read_batch(pipes, "digest", ["I"], 10.0)
    assert [(p.where, p.field) for p in caught.value.problems] == [(str(pipe), "file") for pipe in pipes]


def test_keys_and_decisions_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "decision.json")
    with pytest.raises(InputError, match=NOT_REGULAR):
        Decision.load(tmp_path)
    with pytest.raises(InputError, match=NOT_REGULAR):
        load_or_make_key("/dev/null")
    for name in ("index.parquet", "rejected.csv"):
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / name)
        with pytest.raises(InputError, match=NOT_REGULAR):
            Store(tmp_path / name)


@pytest.mark.parametrize("linked", [False, True])
def test_pipes_and_devices_are_not_replaced(tmp_path: Path, linked: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    out = tmp_path / "out"
    if linked:
        out.symlink_to(pipe)
    with pytest.raises(InputError, match=NOT_REGULAR):
        write_atomic(out if linked else pipe, "text")
    assert pipe.is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == ({"pipe", "out"} if linked else {"pipe"})
