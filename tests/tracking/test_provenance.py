"""Provenance in a temporary git repository; removal of secrets and legal names of logged values."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ecgssl.config import Params
from ecgssl.tracking.provenance import provenance, source_state
from ecgssl.tracking.values import error_line, legal_name

PARAMS = Params(tasks={"rhythm": {"targets": ["AF"]}})


def _git(*arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    _git("init", "-q")
    for name in ("train.py", "dvc.lock", "metrics.json"):
        (tmp_path / name).write_text("1\n")
    _git("add", "-A")
    _git("commit", "-qm", "first")
    return tmp_path


def test_results_do_not_make_the_source_dirty_but_code_does(repository: Path) -> None:
    clean = source_state()
    assert str(clean) == _git("rev-parse", "HEAD")
    pipeline = provenance(PARAMS)["pipeline"]
    (repository / "metrics.json").write_text("2\n")
    (repository / "dvc.lock").write_text("2\n")
    assert source_state() == clean
    assert provenance(PARAMS)["pipeline"] == pipeline
    (repository / "train.py").write_text("2\n")
    assert str(source_state()) == f"{clean.commit}+dirty"
    assert provenance(PARAMS)["pipeline"] != pipeline


def test_changes_are_seen_from_a_folder_of_the_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "train.py").write_text("2\n")
    (repository / "sub").mkdir()
    monkeypatch.chdir(repository / "sub")
    assert source_state().changes


def test_the_lock_and_the_data_are_digested_where_they_are(repository: Path) -> None:
    tags = provenance(PARAMS)
    listed = subprocess.run(["sha256sum", "dvc.lock"], check=True, capture_output=True, text=True).stdout
    assert tags["dvc_lock_sha"] == listed.split()[0]
    assert tags["data_fingerprint"] == "absent"
    assert provenance(PARAMS.model_copy(update={"seed": 1}))["pipeline"] != tags["pipeline"]


def test_outside_a_repository_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert str(source_state()) == "unknown"


def test_secrets_are_removed_before_the_message_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://bob:p%40ss@host/x")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t" * 40)
    error = OSError("line\n" + "." * 180 + "t" * 40 + " bob p@ss p%40ss postgres://eve:hidden@db")
    text = error_line(error)
    assert text.startswith("OSError: line ...")
    assert "tt" not in text
    for secret in ("p@ss", "p%40ss", "hidden"):
        assert secret not in error_line(OSError(str(error)[150:]))


@pytest.mark.parametrize(
    ("name", "legal"), [("loss/total", "loss/total"), ("auroc@AF", "auroc_AF"), ("/a//../b", "a/b"), ("..", "_")]
)
def test_names_become_legal(name: str, legal: str) -> None:
    assert legal_name(name) == legal
