"""Merging of leaderboards of several runs: rows for each objective, and refusal of results that do not belong together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from command_line import ecgssl, refused

from ecgssl.evaluation.leaderboard import Entry
from ecgssl.evaluation.leaderboard_file import Leaderboard
from ecgssl.evaluation.method_table import method_table
from ecgssl.evaluation.predictions import recordings_digest
from ecgssl.evaluation.quoted import Quoted
from ecgssl.files import write_json

PAPER = Quoted(method="ResNet", reader="ptbxl", task="super", targets=5, value=0.93, split="fold 10", source="paper")


def run(objective: str, value: float, **more: object) -> list[Entry]:
    """Return the settings of a run: linear probe, training from scratch, and the linear probe with a tenth of the labels."""
    linear = Entry(
        "super", "linear", 1.0, "12lead", "12lead", "auroc", 100, value, value - 0.05, value + 0.05,
        random=0.7, objective=objective, set="a", tested_set="a", test_digest="abc",
    )  # fmt: skip
    linear = replace(linear, **more)  # type: ignore[arg-type]
    return [linear, replace(linear, mode="scratch", value=0.75), replace(linear, share=0.1, value=value - 0.2)]


def saved(path: Path, entries: list[Entry]) -> Path:
    table = method_table(entries, [PAPER], {"a": "ptbxl"}, {"super": 5})
    return write_json(path, Leaderboard(table, entries).as_json())


@pytest.fixture
def core(tmp_path: Path) -> Path:
    return saved(tmp_path / "core.json", run("core", 0.9))


def test_each_objective_has_a_row_and_shared_rows_occur_once(core: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "other.json", run("contrastive", 0.8, random=0.7004))
    done = ecgssl("leaderboard", core, other, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    lines = (tmp_path / "out/leaderboard.md").read_text().splitlines()
    assert [line.split(" | ")[:2] for line in lines[4:9]] == [
        ["| random encoder, linear", "0.700 |"],
        ["| from scratch", "0.750 (0.850 to 0.950) |"],
        ["| core, linear", "0.900 (0.850 to 0.950) |"],
        ["| contrastive, linear", "0.800 (0.750 to 0.850) |"],
        ["| ResNet", "0.930 \\[1\\] |"],
    ]
    settings = [line.split(" | ")[1:4] for line in lines if line.startswith("| super ")]
    assert settings == [
        ["core", "linear", "100 %"], ["contrastive", "linear", "100 %"], ["-", "scratch", "100 %"],
        ["core", "linear", "10 %"], ["contrastive", "linear", "10 %"],
    ]  # fmt: skip
    assert (tmp_path / "out/leaderboard.png").read_bytes().startswith(b"\x89PNG")
    # the result can be merged again, and merging it with its parts changes nothing
    again = ecgssl("leaderboard", tmp_path / "out/leaderboard.json", core, other, "--out", tmp_path / "again")
    assert again.code == 0, again.err
    assert (tmp_path / "again/leaderboard.json").read_bytes() == (tmp_path / "out/leaderboard.json").read_bytes()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"test_digest": "abe"}, "other.json: a: super: test_digest: is 'abe', but 'abc' in"),
        ({"records": 99}, "a: super: records: is 99, but 100 in"),
        ({"metric": "mae"}, "a: super: metric_title: is 'MAE', but 'macro AUROC' in"),
        ({"trained_on": "1lead", "tested_on": "1lead"}, "a: super: leads: is '1lead', but '12lead' in"),
        ({"random": 0.71}, "random encoder, linear, a: super: is 0.71, but 0.7 in"),
    ],
)
def test_results_that_do_not_belong_together_are_refused(
    core: Path, tmp_path: Path, more: dict[str, object], problem: str
) -> None:
    other = saved(tmp_path / "other.json", run("contrastive", 0.8, **more))
    refused(ecgssl("leaderboard", core, other, "--out", tmp_path / "out"), problem, f" in {core}")
    assert not (tmp_path / "out").exists()


def test_one_method_with_two_values_needs_names(core: Path, tmp_path: Path) -> None:
    """Two runs of one objective, for example with and without a component, are distinguished by names."""
    other = saved(tmp_path / "other.json", run("core", 0.8))
    out = ("--out", tmp_path / "out")
    done = ecgssl("leaderboard", core, other, *out)
    refused(done, "core, linear, a: super: is 0.8, but 0.9 in", "share 0.1, 12lead, tested on a 12lead: is auroc 0.6")
    refused(ecgssl("leaderboard", core, other, *out, "--name", "x"), "--name: 1 names for 2 files")
    done = ecgssl("leaderboard", core, other, *out, "--name", "core", "--name", "no FDA")
    assert done.code == 0, done.err
    assert {"core, linear", "no FDA, linear"} < {line.split(" | ")[0][2:] for line in done.out.splitlines()}


def test_files_that_are_not_leaderboards_are_refused(core: Path, tmp_path: Path) -> None:
    board = json.loads(core.read_text())
    for settings, problem in (
        ([], "settings: is empty"),
        (
            [{**row, "test_digest": ""} for row in board["settings"]],
            "3 of 3 settings do not record their test recordings",
        ),
        ([{**board["settings"][0], "value": "0.9"}], "settings.0.value"),
    ):
        write_json(tmp_path / "bad.json", {**board, "settings": settings})
        refused(ecgssl("leaderboard", tmp_path / "bad.json", "--out", tmp_path / "out"), "bad.json", problem)
    refused(ecgssl("leaderboard", tmp_path / "none.json", "--out", tmp_path / "out"), "none.json: file: does not exist")


def test_the_digest_depends_on_recordings_and_targets_in_any_order() -> None:
    part = pd.DataFrame({"record_id": ["r1", "r2"], "target__AF": [1.0, None], "logit__AF": [0.3, 0.2]})
    same = recordings_digest(part, ["AF"])
    assert recordings_digest(part.iloc[::-1].assign(logit__AF=9.0), ["AF"]) == same
    changed = [part.assign(target__AF=[1.0, 0.0]), part.assign(record_id=["r1", "r3"]), part.iloc[:1]]
    assert len({same, *(recordings_digest(other, ["AF"]) for other in changed)}) == 4
