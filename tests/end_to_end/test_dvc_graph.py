"""Stages that DVC runs after a change of a set, a task or a parameter, and results from a DVC remote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from dvc.parsing import DataResolver
from dvc.repo import Repo
from dvc_project import Project, make_project

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.long
RHYTHM, SHAPE, AGE = (f"finetune@{task}-linear-1.0-12lead" for task in ("rhythm", "shape", "age"))


@pytest.mark.parametrize("profile", sorted((REPOSITORY / "ecgssl/profiles").glob("*.yaml")), ids=lambda p: p.stem)
def test_dvc_resolves_the_stages_with_each_profile(profile, tmp_path):
    """A profile need not have each key of ``params.yaml``, so dvc.yaml can only refer to keys that all of them have."""
    shutil.copy(profile, tmp_path / "params.yaml")
    definition = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
    stages = DataResolver(Repo.init(str(tmp_path), no_scm=True), str(tmp_path), definition).resolve()["stages"]
    params = yaml.safe_load(profile.read_text())
    settings = len(params["tasks"])
    for key in ("modes", "fractions", "lead_sets"):
        settings *= len(params["finetune"][key])
    assert len([name for name in stages if name.startswith("finetune@")]) == settings
    assert {f"preprocess@{name}" for name in params["sets"]} < set(stages)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Project:
    """Return a project after one ``dvc repro``."""
    project = make_project(tmp_path_factory.mktemp("project"))
    ran = project.run()
    assert {RHYTHM, SHAPE, "pretrain"} < set(ran)
    return project


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """Return a copy of the finished project."""
    shutil.copytree(finished.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_nothing_is_stale_after_a_run(finished):
    assert finished.stale() == set()


def test_options_of_a_set_concern_no_other_set(project):
    params = project.params()
    params["sets"]["clinic"]["labels"] = "all"
    project.set_params(params)
    stale = project.stale()
    assert {stage for stage in stale if "@" in stage} == {"cohort@clinic", "preprocess@clinic"}
    assert "pretrain" not in stale


def test_downstream_changes_do_not_run_pretraining_unless_its_recordings_change(project):
    """A new downstream set with a task, other labels of a task and new recordings of its set run their own stages only.

    The classifier of another task is not exported again.

    A downstream set with a patient of the corpus changes the list of left-out recordings, so that pretraining runs again.
    """
    params = project.params()
    params["sets"]["city"] = {"reader": "cohort"}
    params["tasks"]["age"] = {"set": "city", "targets": ["age"]}
    params["tasks"]["shape"]["targets"] = ["MI", "HYP"]
    project.set_params(params)
    project.set_patients("city", "x y")
    project.set_patients("ward", "f g")
    ran = project.run("pretrain", RHYTHM, SHAPE, AGE, "export")
    assert {stage for stage in ran if stage.startswith(("pre", "finetune", "export"))} == {
        "preprocess@city", "preprocess@ward", SHAPE, AGE,
    }  # fmt: skip
    project.set_patients("city", "b x")
    ran = project.run("pretrain")
    assert ran == ["cohort@city", "preprocess@city", "select", "pretrain"]
    assert project.run("export")[-2:] == [RHYTHM, "export"]


def test_an_experiment_has_its_own_metrics_plots_and_leaderboard(project, tmp_path):
    """``dvc exp run`` with another objective runs no preprocessing, and its results are compared with those before."""
    project.git("add", "--all")
    project.git("commit", "--quiet", "--allow-empty", "--message", "run")
    ran = project.experiment("contrastive", "objective.kind=contrastive")
    assert ran[0] == "pretrain"
    assert set(ran[1:]) == {RHYTHM, SHAPE, "evaluate", "export"}
    (changed,) = project.metrics_diff("HEAD", "contrastive").items()
    assert changed == ("metrics/evaluate.json", {"auroc": {"old": 0.5, "new": 0.25, "diff": -0.25}})
    assert {"plots/pretrain/losses.csv", "plots/evaluate/roc.png"} <= project.plots("contrastive")
    # the leaderboards that ``ecgssl leaderboard`` merges
    boards = {
        rev: project.get("metrics/leaderboard.json", rev, tmp_path / f"{rev}.json") for rev in ("HEAD", "contrastive")
    }
    assert boards == {"HEAD": '["core"]', "contrastive": '["contrastive"]'}


def test_a_clone_gets_the_results_from_a_remote_without_a_run(finished, tmp_path):
    """After ``dvc push`` to a folder, a clone has all results with ``dvc pull``. Only ``data/raw`` is not pushed."""
    finished.git("add", "--all")
    finished.git("commit", "--quiet", "--message", "run")
    committed = set(finished.git("ls-files").split())
    assert {"dvc.lock", "metrics/evaluate.json", "metrics/leaderboard.md", "metrics/preprocess/ward.json"} < committed
    assert not [name for name in committed if name.startswith(("models", "plots", "exports", "data/processed", "runs"))]
    finished.push(tmp_path / "remote")
    clone = finished.clone(tmp_path / "clone")
    clone.pull(tmp_path / "remote")
    results = [
        path.relative_to(finished.folder)
        for name in ("data/processed", "data/selection", "models", "plots", "exports", "metrics")
        for path in (finished.folder / name).rglob("*")
        if path.is_file() and path.name != ".gitignore"
    ]
    assert len(results) > 20
    for path in results:
        assert (clone.folder / path).read_bytes() == (finished.folder / path).read_bytes(), path
    assert {stage.partition("@")[0] for stage in clone.stale()} == {"cohort", "preprocess"}
    assert clone.run(allow_missing=True) == []
    shown = clone.plots()
    assert {"plots/pretrain/losses.csv", "plots/evaluate/roc.png", "plots/preprocess/ward/worst.png"} <= shown
