"""Full and read-only disks: a message with path and free space, exit code 2, and the earlier output unchanged."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecgssl.errors import InputError, cannot_write, exit_with, write_error_number
from ecgssl.files import atomic_directory, make_folder, write_atomic

SCRIPT = """
import resource, sys
from pathlib import Path
from ecgssl.errors import exit_with
from ecgssl.files import atomic_directory, write_atomic

def direct(path):
    with atomic_directory(path) as folder:
        with (folder / "table.csv").open("w") as file:
            file.write("x" * 100_000)

def plain(path):
    with path.open("w") as file:
        file.write("x" * 100_000)

def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    path = Path(sys.argv[2])
    {"write": lambda: write_atomic(path, "x" * 100_000), "direct": lambda: direct(path),
     "plain": lambda: plain(path)}[sys.argv[1]]()

exit_with(main)
"""


@pytest.mark.parametrize("how", ["write", "direct", "plain"])
def test_a_disk_that_is_full_gives_exit_code_2_and_leaves_the_old_output(tmp_path, how):
    """A limit on file sizes simulates a full disk, because it needs no separate file system."""
    folder = tmp_path / "out"
    if how == "direct":
        folder.mkdir()
        (folder / "old").write_text("old")
    elif how == "write":
        folder.write_text("old")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = subprocess.run([sys.executable, "-c", SCRIPT, how, folder], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert "GB free). Free disk space, then run the same command again" in done.stderr
    assert str(folder if how != "plain" else tmp_path.parent.anchor) in done.stderr
    assert done.stderr.count("\n") == 1
    if how != "plain":
        assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_reason_and_remedy(tmp_path, number, monkeypatch):
    def refuse(*_, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    remedy = "Grant write permission or use another folder" if number == errno.EROFS else "Free disk space"
    with pytest.raises(InputError, match=rf"a/file.*{os.strerror(number)}; [\d.e+]+ GB free.*{remedy}"):
        write_atomic(tmp_path / "a/file", "x")
    with pytest.raises(InputError, match=remedy), atomic_directory(tmp_path / "b") as folder:
        write_atomic(folder / "c", "x")
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=remedy):
        make_folder(tmp_path / "d")
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def test_other_errors_remain_errors(capsys):
    """A file that does not exist is a bug if no reader has reported it."""
    assert write_error_number(FileNotFoundError(errno.ENOENT, "no")) is None
    assert (
        write_error_number(OSError("[Errno 28] Error writing bytes. Detail: [errno 28] No space left")) == errno.ENOSPC
    )
    assert write_error_number(ValueError("[errno 28]")) is None

    def missing() -> None:
        raise FileNotFoundError(errno.ENOENT, "no such file")

    with pytest.raises(FileNotFoundError):
        exit_with(missing)
    assert "Use a place where files can be created" in str(cannot_write("/x", OSError(errno.ENAMETOOLONG, "long")))
