"""Commands check, predict and draw on Windows and macOS; on Linux without the modules that Windows lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from deploy_models import LEAN, SPEC, beats, classifier, decision
from wfdb_files import write_record

from ecgssl.config import QualityParams
from ecgssl.export.bundle import export_bundle
from ecgssl.training.checkpoint import save_model

WITHOUT_UNIX = """
import os, sys
for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules[name] = None
del os.getuid
real_open = os.open
def windows_open(path, flags, *rest, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return real_open(path, flags, *rest, **options)
os.open = windows_open
"""
"""Python code that removes features missing on Windows: Unix modules, user ids, and opening a folder as a file."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Write a table with four recordings, and a bundle."""
    folder = tmp_path_factory.mktemp("desktop")
    for number in range(4):
        write_record(folder, f"r{number}", beats(number), rate=250)
    rows = [f"rec{number},r{number},p{number},train,{number % 2}" for number in range(4)]
    (folder / "cohort.csv").write_text("record_id,path,patient_id,split,AF\n" + "\n".join(rows) + "\n")
    (folder / "params.yaml").write_text("tasks: {af: [AF]}\nstore: {workers: 1}\n")
    save_model(folder / "model", classifier(), SPEC)
    decision().save(folder / "model")
    export_bundle(folder / "model", folder / "bundle", LEAN, quality=QualityParams())
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a separate process."""
    start = "" if os.name == "nt" else WITHOUT_UNIX
    code = f"{start}\nimport sys\nsys.argv = ['ecgssl', *{list(arguments)!r}]\nfrom ecgssl.cli import main\nmain()"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_check_writes_its_page(cohort):
    done = run(cohort, "check", "cohort.csv", "--out", "check.html")
    assert done.returncode == 0, done.stderr
    assert "4 rows of 4 patients = 4 usable" in done.stdout
    assert "<html" in (cohort / "check.html").read_text(encoding="utf-8")


def test_predict_scores_every_recording(cohort):
    done = run(cohort, "predict", "cohort.csv", "--bundle", "bundle", "--out", "scores.csv")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(cohort / "scores.csv")["status"].tolist() == ["ok"] * 4


def test_draw_writes_a_page(cohort):
    done = run(cohort, "draw", "r0.hea", "--out", "r0.png")
    assert done.returncode == 0, done.stderr
    assert (cohort / "r0.png").read_bytes().startswith(b"\x89PNG")
