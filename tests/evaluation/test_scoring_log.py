"""Log of scorings of test recordings: what a line contains, and how often recordings were scored."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ecgssl.errors import InputError
from ecgssl.evaluation.scoring_log import FILE, Scorings, count_scorings, log_scorings
from ecgssl.report.statements import use_of_recordings


def figures(value: float, digest: str = "abc", split: str = "test") -> dict[str, Any]:
    """Return what the log reads of an evaluation on validation and on a further split."""
    macro = {"macro": {"auroc": {"value": value}}}
    counts = {"records": 5, "patients": 4}
    return {
        "primary": "auroc", "main": "linear", "models": {"linear": {"val": macro, split: macro}},
        "splits": {"val": {**counts, "digest": "other"}, split: {**counts, "digest": digest}},
    }  # fmt: skip


def test_a_line_has_the_result_and_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "Erika Mustermann.csv"
    table.touch()
    monkeypatch.setattr(
        sys, "argv", ["/opt/bin/ecgssl", "finetune", "--manifest", str(table), f"--root={tmp_path}", "--mode", "linear"]
    )
    log_scorings(tmp_path, figures(0.9), "af")
    (line,) = map(json.loads, (tmp_path / FILE).read_text().splitlines())
    assert line["command"] == "ecgssl finetune --manifest PATH --root=PATH --mode linear"
    assert (line["results"], line["split"], line["records"], line["values"]) == ("af", "test", 5, {"linear": 0.9})
    assert {"date", "commit", "ecgssl"} < line.keys()


def test_repeated_and_different_results_are_counted_for_the_same_recordings(tmp_path: Path) -> None:
    assert count_scorings(tmp_path, "abc") is None
    for made in (figures(0.9), figures(0.9), figures(0.8), figures(0.7, "abe"), figures(0.6, split="external")):
        log_scorings(tmp_path, made, "af")
    with (tmp_path / FILE).open("a") as file:
        file.write("{damaged\n")
    assert count_scorings(tmp_path, "abc") == Scorings(4, 3)
    assert count_scorings(tmp_path, "abe") == Scorings(1, 1)
    assert count_scorings(tmp_path, "other") is None


def test_the_same_result_under_another_mode_counts_once(tmp_path: Path) -> None:
    linear, full = figures(0.9), figures(0.9)
    full["main"], full["models"] = "full", {"full": full["models"]["linear"]}
    other = figures(0.9)
    other["models"] |= {
        name: {split: {"macro": {"auroc": {"value": 0.5}}} for split in ("val", "test")}
        for name in ("random", "clinical features with age")
    }
    for made in (linear, full, other):
        log_scorings(tmp_path, made, "af")
    assert count_scorings(tmp_path, "abc") == Scorings(3, 1)


@pytest.mark.parametrize(
    ("counted", "text"),
    [
        (
            {"total": 2, "different": 1},
            "scored 2 times in the runs of this folder (test_scorings.jsonl), with the same result each time.",
        ),
        ({"total": 1, "different": 1}, "They were scored once in the runs of this folder (test_scorings.jsonl)."),
        (
            {"total": 12, "different": 7},
            "scored 12 times in the runs of this folder (test_scorings.jsonl), with 7 different results.",
        ),
        (None, "neither for fine-tuning nor for choices."),
    ],
)
def test_the_report_states_how_often_they_were_scored(counted: dict[str, int] | None, text: str) -> None:
    asked = {"folds": None, "judged_on": None, "overlap": {}}
    report = {"asked": asked, "split": "test", "scorings": counted, "evaluation": {}}
    assert use_of_recordings(report).text.endswith(text)


def test_a_log_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        log_scorings(tmp_path, figures(0.9), "af")
