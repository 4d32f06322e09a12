"""Two processes on one output: the second is refused with owner and age, and a killed one leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecgssl.errors import InputError
from ecgssl.files import atomic_directory
from ecgssl.output_lock import exclusive

OWNER = """
import sys
from pathlib import Path
from ecgssl.files import atomic_directory
from ecgssl.output_lock import exclusive
with exclusive(sys.argv[1]) as lock:
    lock.record(run="r1")
    with atomic_directory(sys.argv[1]) as folder:
        (folder / "half").write_text("x")
        print("ready", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def start() -> Iterator[Callable[[Path], subprocess.Popen]]:
    """Yield a function that starts a process that makes a folder and waits for a line."""
    begun = []

    def begin(out: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", OWNER, str(out)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_the_second_process_is_refused_and_then_continues(tmp_path, start):
    out = tmp_path / "store"
    other = start(out)
    message = (
        rf"store: output: has been in use by process {other.pid} on \S+ for \d+ s\. Wait until it ends, or use another"
    )
    for use in (exclusive(out), exclusive(out, wait=0.2), atomic_directory(out)):
        with pytest.raises(InputError, match=message), use:
            pass
    waiting = threading.Timer(0.3, lambda: other.communicate("\n"))
    waiting.start()
    with exclusive(out, wait=20) as lock:
        assert lock.previous == {}
        assert (out / "half").read_text() == "x"
    waiting.join()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_killed_process_releases_the_lock_and_its_folder_is_removed(tmp_path, start):
    out = tmp_path / "bundle"
    other = start(out)
    other.kill()
    other.wait()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".tmp"]
    with exclusive(out) as lock:
        assert (lock.previous["process"], lock.previous["run"]) == (other.pid, "r1")
        with atomic_directory(out) as folder:
            (folder / "whole").write_text("y")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["bundle", "bundle/whole"]


def test_temporary_folders_of_other_outputs_are_kept(tmp_path):
    names = [".mine2.123-0123abcd.tmp", ".min.123-0123abcd.tmp", ".mine.tmp", ".mine.partial-0123abcd"]
    for name in (*names, ".mine.99-0123abcd.tmp"):
        (tmp_path / name).mkdir()
    with atomic_directory(tmp_path / "mine"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "mine"])


def test_a_process_may_lock_its_output_again_but_another_thread_may_not(tmp_path):
    found = []

    def other_thread() -> None:
        try:
            with exclusive(tmp_path / "out"):
                found.append("locked")
        except InputError as error:
            found.append(str(error))

    with exclusive(tmp_path / "out"):
        with exclusive(tmp_path / "out"), exclusive(tmp_path / "other"):
            pass
        thread = threading.Thread(target=other_thread)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in found[0]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_lock_file_of_a_killed_process_is_no_obstacle(tmp_path):
    (tmp_path / ".out.lock").write_text("{broken")
    with exclusive(tmp_path / "out") as lock:
        assert lock.previous == {}
