"""The benchmark of the logistic regression solver runs, and all solvers reach the same objective."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from probe import main


def test_solvers_reach_the_same_objective(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--recordings", "200", "--widths", "16", "--labels", "2", "--out", str(tmp_path / "probe.json")])
    (row,) = json.loads((tmp_path / "probe.json").read_text())["results"]
    assert row["recordings"] == 200
    assert all(abs(other["relative_excess"]) < 1e-6 for other in row["scikit_learn"].values())
    assert "newton-cholesky" in capsys.readouterr().out
