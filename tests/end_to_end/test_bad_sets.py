"""Wrong sets in a project: one message with all problems, exit code 2, and nothing is written."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import yaml
from command_line import contents, ecgssl, refused

PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """Return a folder with the layout of CPSC2018, a table of a local cohort, and parameters that describe both wrongly."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cpsc").mkdir()
    (tmp_path / "cpsc/A0001.mat").touch()
    (tmp_path / "mine.csv").write_text("path,patient_id,AF\n")
    sets = {
        "ptbxl": {"reader": "ptbxl", "root": "cpsc"},
        "mine": {"reader": "cohort", "manifest": "mine.csv"},
        "gone": {"reader": "cohort", "manifest": "gone.csv"},
    }
    params = {
        "sets": sets,
        "pretrain": {"sets": ["mine"]},
        "tasks": {"rhythm": {"set": "ptbxl", "targets": ["AFIB"]}},
        "tracking": {"backend": "none"},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return tmp_path


def test_files_of_all_sets_are_checked_at_once(project):
    """``make repro`` starts with this command, so that no stage runs with a wrong root."""
    before = contents(project)
    done = ecgssl("fingerprint")
    refused(
        done,
        "cpsc: sets.ptbxl.root: does not contain ptbxl_database.csv",
        "The folder has the layout of 'cpsc2018': set sets.ptbxl.reader to it",
        "mine.csv: ",
        "gone.csv: ",
    )
    assert contents(project) == before


def test_references_are_checked_before_files(project):
    before = contents(project)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["pretrain"]["sets"] = ["mimic"]
    params["tasks"]["rhythm"]["set"] = "ptblx"
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    done = ecgssl("fingerprint")
    refused(
        done,
        "params.yaml: pretrain.sets: 'mimic' is not in section sets. Use one of: ptbxl, mine, gone",
        "params.yaml: tasks.rhythm.set: 'ptblx' is not in section sets. Did you mean 'ptbxl'?",
    )
    (project / "params.yaml").write_bytes(before["params.yaml"])
    assert contents(project) == before


@pytest.mark.parametrize("stage", ["cohort", "preprocess"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "mimic"], "params.yaml: sets: has no set 'mimic'. Choose one of: ptbxl, mine, gone"),
        ([], "params.yaml: sets: has 3 sets. Choose one of: ptbxl, mine, gone"),
        (["--dataset", "ptbxl"], "cpsc: sets.ptbxl.root: does not contain"),
    ],
)
def test_stages_refuse_wrong_sets(project, monkeypatch, capsys, stage, arguments, message):
    before = contents(project)
    monkeypatch.setattr(sys, "argv", [f"{stage}.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PIPELINES / f"{stage}.py"), run_name="__main__")
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    left = {name for name in contents(project).keys() - before.keys() if not Path(name).name.startswith(".")}
    assert left == set()
