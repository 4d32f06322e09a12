"""The profile ``paper`` on small releases of its four sets in their official layouts, with a tiny encoder."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from collections.abc import Iterable
from math import nan
from pathlib import Path

import pytest
import yaml
from paper_releases import write_cpsc, write_mimic, write_ningbo, write_ptbxl

from ecgssl.evaluation.calibration.reliability import Coefficient
from ecgssl.store.store import Store

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
SIZES = {"mimic": 60, "ptbxl": 200, "icbeb": 110, "ningbo": 170}
WRITERS = {"mimic": write_mimic, "ptbxl": write_ptbxl, "icbeb": write_cpsc, "ningbo": write_ningbo}
ALL_TASKS = ["superclass", "subclass", "diagnostic", "form", "rhythm", "all_statements", "icbeb", "conditions"]
"""Tasks of the profile, which are run with a linear probe on all labels and 12 leads."""
ONE_TASK = "superclass"
"""Task that is run in every mode, with every fraction, and with 12 leads and one lead."""


def run_stages(names: Iterable[str], sets: Iterable[str], settings: Iterable[str]) -> None:
    """Run the scripts of stages of dvc.yaml in this process, for each set or setting, and check their exit codes."""
    for name in names:
        stage = STAGES[name]
        script = REPOSITORY / stage["cmd"].split()[1]
        values = {"set": ("--dataset", sets), "task": ("--setting", settings)}.get(
            next(iter(stage.get("matrix", ())), "")
        )
        for arguments in [[]] if values is None else [[values[0], value] for value in values[1]]:
            run_script(script, arguments)


def run_script(script: Path, arguments: list[str]) -> None:
    """Run the script of a stage in this process and check its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script.name, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0, (script, arguments)


def small(profile: dict) -> dict:
    """Return the profile with fewer and smaller computations. Sets, labels, tasks and signal settings are unchanged."""
    profile["store"]["workers"] = 1
    profile["model"] |= {"width": 16, "depth": 1, "heads": 2, "decoder": {"width": 16, "depth": 1, "heads": 2}}
    few = {"samples": 32, "batch_size": 16, "compile": False, "probe": {"recordings": 32}}
    profile["pretrain"] |= few
    profile["finetune"]["draws"] = 2
    profile["finetune"]["linear"] = {"C": [0.1], "class_weight": ["none"]}
    profile["finetune"]["full"] |= {"epochs": 1}
    profile["evaluate"] |= {"bootstrap": 100, "subgroups": []}
    profile["export"] |= {"raw_rates": [], "pt2": False}
    profile["tracking"]["backend"] = "none"
    return profile


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project folder after all stages: every task with a linear probe, and one task in all settings."""
    folder = tmp_path_factory.mktemp("paper")
    profile = small(yaml.safe_load((REPOSITORY / "ecgssl/profiles/paper.yaml").read_text()))
    for name, one in profile["sets"].items():
        assert WRITERS[name](folder / one["root"], SIZES[name] // (2 if name == "mimic" else 1)) == SIZES[name]
    protocol = {**profile["finetune"], "lead_sets": ["12lead", "1lead"]}
    one_task = profile | {"finetune": protocol, "tasks": {ONE_TASK: profile["tasks"][ONE_TASK]}}
    linear = {"modes": ["linear"], "fractions": [1.0], "lead_sets": ["12lead"]}
    every_task = profile | {"finetune": profile["finetune"] | linear, "export": {**profile["export"], "mode": "linear"}}
    sets = list(profile["sets"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        leave_out_slow_figures(patch)
        write_params(every_task)
        first = [f"{task}-linear-1.0-12lead" for task in ALL_TASKS]
        run_stages([name for name in STAGES if name != "export"], sets, first)
        Path("metrics/leaderboard.json").rename("every_task.json")
        write_params(one_task)
        others = [setting for setting in settings_of(protocol) if setting not in first]
        run_stages(["finetune", "evaluate", "export"], sets, others)
    return folder


def leave_out_slow_figures(patch: pytest.MonkeyPatch) -> None:
    """Leave out curves and calibration lines, which take most of the time for 199 targets; other tests compute them."""
    undefined = Coefficient(nan, nan, nan, "not computed in this test")
    patch.setattr("ecgssl.evaluation.by_kind.multilabel.calibration_line", lambda *arguments: (undefined, undefined))
    for name in ("draw_curves", "write_curves"):
        patch.setattr(f"ecgssl.stages.evaluate.{name}", lambda *arguments: [])


def write_params(params: dict) -> None:
    """Write params.yaml in the current folder."""
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def settings_of(protocol: dict) -> list[str]:
    """Return the keys of all settings of the task ``ONE_TASK``."""
    return [
        f"{ONE_TASK}-{mode}-{share}-{leads}"
        for mode in protocol["modes"]
        for share in protocol["fractions"]
        for leads in protocol["lead_sets"]
    ]


def test_the_settings_of_the_profile_are_the_published_protocol():
    profile = yaml.safe_load((REPOSITORY / "ecgssl/profiles/paper.yaml").read_text())
    assert profile["model"]["preset"] == "base"
    assert profile["pretrain"]["sets"] == ["mimic"]
    assert list(profile["tasks"]) == ALL_TASKS
    assert set(SIZES) == set(profile["sets"])
    assert profile["finetune"]["modes"] == ["linear", "full", "scratch"]
    assert len(profile["finetune"]["fractions"]) > 1
    assert len(profile["finetune"]["lead_sets"]) > 1


def test_every_recording_is_stored_or_rejected_with_the_known_reason(project):
    expected = {"mimic": ["truncated"], "ptbxl": [], "icbeb": [], "ningbo": ["known_defect"]}
    for name, count in SIZES.items():
        figures = json.loads((project / f"metrics/preprocess/{name}.json").read_text())
        assert figures["recordings"] == count == figures["stored"] + figures["rejected"], name
        with (project / f"data/processed/{name}/rejected.csv").open(newline="") as file:
            assert [row["reason"] for row in csv.DictReader(file)] == expected[name], name
    assert len(Store(project / "data/processed/ptbxl").targets) == 5 + 23 + 44 + 19 + 12 + 71
    assert Store(project / "data/processed/mimic").targets == ()


def test_the_encoder_is_pretrained_on_the_corpus_only(project):
    selection = json.loads((project / "metrics/selection.json").read_text())
    train = len(Store(project / "data/processed/mimic").rows("train"))
    assert 0 < train < SIZES["mimic"]
    assert set(selection) == set(SIZES)
    assert {name: figures["train"] for name, figures in selection.items() if "train" in figures} == {"mimic": train}
    assert json.loads((project / "data/selection/pretrain.json").read_text())["sets"].keys() == {"mimic"}


def test_the_method_table_has_every_task_and_its_published_results(project):
    methods = json.loads((project / "every_task.json").read_text())["methods"]
    sets = {"icbeb": "icbeb", "conditions": "ningbo"}
    columns = [f"{sets.get(task, 'ptbxl')}: {task}" for task in ALL_TASKS]
    assert [column["title"] for column in methods["columns"]] == columns
    rows = {row["method"]: row["results"] for row in methods["rows"]}
    assert set(rows["random encoder, linear"]) == set(rows["core, linear"]) == set(columns)
    quoted = {title for results in rows.values() for title, result in results.items() if result["quoted"]}
    assert quoted == set(columns[:6])
    assert rows["xresnet1d101, supervised"]["ptbxl: all_statements"]["value"] == 0.925


def test_one_task_in_every_mode_fraction_and_lead_set(project):
    board = json.loads((project / "metrics/leaderboard.json").read_text())
    found = {(r["mode"], r["share"], r["trained_on"], r["tested_on"]) for r in board["settings"]}
    pairs = [
        (mode, share, leads)
        for mode in ("linear", "full", "scratch")
        for share in (1.0, 0.5)
        for leads in ("12lead", "1lead")
    ]
    fewer = {(mode, 1.0, "12lead", "1lead") for mode in ("linear", "full", "scratch")}
    assert found == {(mode, share, leads, leads) for mode, share, leads in pairs} | fewer
    names = [row["method"] for row in board["methods"]["rows"]]
    assert names[:5] == [
        "random encoder, linear", "clinical features with age and sex, linear", "from scratch", "core, linear",
        "core, full",
    ]  # fmt: skip
    drawn = project / f"models/finetuned/{ONE_TASK}-full-0.5-12lead/draw-1.csv"
    assert drawn.exists()


def test_the_exported_classifier_is_that_of_the_profile(project):
    labels = json.loads((project / "exports/classifier/labels.json").read_text())
    assert labels["targets"] == [f"superclass.{name}" for name in ("NORM", "MI", "STTC", "CD", "HYP")]
