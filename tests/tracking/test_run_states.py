"""States of MLflow runs after a stop or a kill, parallel first starts, and databases of an interrupted creation."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecgssl.config import Params
from ecgssl.errors import Diverged, Stopped
from ecgssl.output_lock import OutputLock
from ecgssl.tracking.runs import track
from ecgssl.tracking.sqlite_store import prepared

PARAMS = Params(tasks={"rhythm": {"targets": ["AF"]}})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a working directory for a default database, shared because its schema takes seconds to create."""
    folder = tmp_path_factory.mktemp("states")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def states(folder: Path) -> dict[str, str]:
    with sqlite3.connect(folder / "mlflow.db") as database:
        return dict(database.execute("SELECT name, status FROM runs ORDER BY start_time"))


def _create(uri: str) -> None:
    """Create a table as slowly as MLflow; a second creation at the same time would fail."""
    with sqlite3.connect(uri.removeprefix("sqlite:///").partition("?")[0]) as database:
        time.sleep(0.1)
        database.execute("CREATE TABLE runs (name TEXT)")


def test_parallel_first_starts_create_the_database_once_and_lose_no_run(tmp_path):
    made, starts = [], 8
    barrier = threading.Barrier(starts)
    (tmp_path / ".m.db.0123abcd.new").write_text("of a process that was killed")

    def start(number: int) -> None:
        barrier.wait()
        uri = f"sqlite:///{tmp_path / 'm.db'}"
        with (
            prepared(uri, lambda new: (made.append(new), _create(new))),
            sqlite3.connect(tmp_path / "m.db") as database,
        ):
            database.execute("INSERT INTO runs VALUES (?)", (str(number),))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(starts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert sqlite3.connect(tmp_path / "m.db").execute("SELECT count(*) FROM runs").fetchone() == (starts,)
    assert [item.name for item in tmp_path.iterdir()] == ["m.db"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Stopped("stopped after 3 of 8 steps"), "KILLED"),
        (Diverged("diverged"), "FAILED"),
    ],
)
def test_a_stopped_run_is_killed_and_not_failed(project, error, status):
    name = f"ends-by-{type(error).__name__}"
    with pytest.raises(type(error)), track(name, PARAMS):
        raise error
    assert states(project)[name] == status


def test_a_killed_run_ends_as_killed_when_the_stage_starts_again(project):
    killed = OutputLock(project / "lock")
    # never left, as by a process that was killed
    unfinished = track("first-start", PARAMS, lock=killed)
    unfinished.__enter__()
    assert states(project)["first-start"] == "RUNNING"
    with track("second-start", PARAMS, lock=OutputLock(project / "lock", previous=killed._content)):
        assert states(project)["first-start"] == "KILLED"
    assert states(project)["second-start"] == "FINISHED"
    # a run in another tracking store is not an error
    with track("third-start", PARAMS, lock=OutputLock(project / "lock", previous={"mlflow_run": "0" * 32})):
        pass
    assert states(project)["third-start"] == "FINISHED"


@pytest.mark.parametrize(("runs", "remedy"), [(True, "Run 'mlflow db upgrade sqlite:///"), (False, "Remove old.db: ")])
def test_a_database_with_another_schema_gives_one_remedy(project, monkeypatch, caplog, runs, remedy):
    shutil.copyfile(project / "mlflow.db", project / "old.db")
    with sqlite3.connect(project / "old.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0a8213491aaa'")
        if not runs:
            database.execute("DELETE FROM runs")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'old.db'}")
    with track("stage", PARAMS):
        pass
    (message,) = (record.getMessage() for record in caplog.records if record.name == "ecgssl")
    assert remedy in message
    assert message.count("Run '") + message.count("Remove ") == 1
    assert "the stage continues" in message


def test_a_file_without_tables_is_replaced_and_another_is_kept(tmp_path):
    """An earlier release left an empty file if it was killed at its first start."""
    path, made = tmp_path / "m.db", []

    def create(uri: str) -> None:
        made.append(uri)
        _create(uri)

    path.write_bytes(b"")
    for _ in range(2):
        with prepared(f"sqlite:///{path}?timeout=5", create):
            assert sqlite3.connect(path).execute("SELECT count(*) FROM runs").fetchone() == (0,)
    assert len(made) == 1
    assert made[0].endswith(".new?timeout=5")
    assert [item.name for item in tmp_path.iterdir()] == ["m.db"]
