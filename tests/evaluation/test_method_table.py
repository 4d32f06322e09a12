"""Table of methods and test sets, and published results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecgssl.errors import InputError
from ecgssl.evaluation.leaderboard import Entry, leaderboard
from ecgssl.evaluation.method_plot import draw_methods
from ecgssl.evaluation.method_table import method_table
from ecgssl.evaluation.quoted import Quoted, read_quoted

PUBLISHED = Path(__file__).parents[2] / "pipelines/published.csv"


def made(
    mode: str, value: float | None, sets: tuple[str, str] = ("a", "a"), share: float = 1.0, **more: object
) -> Entry:
    low, high = (None, None) if value is None else (value - 0.05, value + 0.05)
    return Entry(
        "super", mode, share, "12lead", str(more.pop("tested_on", "12lead")), "auroc", 100, value, low, high,
        objective="core", set=sets[0], tested_set=sets[1], **more,
    )  # fmt: skip


def quoted(**more: object) -> Quoted:
    line = {"method": "ResNet", "reader": "ptbxl", "task": "super", "targets": 5, "value": 0.93, "split": "fold 10"}
    return Quoted.model_validate({**line, "source": "paper", **more})


ENTRIES = [
    made("linear", 0.8, random=0.7, random_low=0.65, random_high=0.75),
    made("full", 0.85, random=0.7),
    made("scratch", 0.75),
    made("linear", 0.6, ("a", "b")),
    made("linear", 0.5, share=0.1),
    made("linear", 0.4, tested_on="1lead"),
]


def test_each_method_has_a_row_and_each_test_set_a_column() -> None:
    table = method_table(ENTRIES)
    assert [column.title for column in table.columns] == ["a: super", "b: super, trained on a"]
    assert list(table.rows) == ["random encoder, linear", "from scratch", "core, linear", "core, full"]
    values = {name: {title: r.value for title, r in results.items()} for name, results in table.rows.items()}
    assert values["random encoder, linear"] == {"a: super": 0.7}
    # neither the share of 10 % nor the single lead
    assert values["core, linear"] == {"a: super": 0.8, "b: super, trained on a": 0.6}
    lines = table.as_markdown().splitlines()
    assert lines[0] == (
        "| method | a: super (macro AUROC, 100 recordings) | b: super, trained on a (macro AUROC, 100 recordings) |"
    )
    assert lines[2] == "| random encoder, linear | 0.700 (0.650 to 0.750) | - |"
    assert {line.count("|") for line in lines} == {4}
    assert json.loads(json.dumps(table.as_json()))["rows"][1]["results"]["a: super"]["value"] == 0.75


@pytest.mark.parametrize(
    ("more", "shown"),
    [({}, True), ({"reader": "cpsc2018"}, False), ({"task": "rhythm"}, False), ({"targets": 71}, False)],
)
def test_a_published_result_needs_the_same_public_set_task_and_targets(more: dict[str, object], shown: bool) -> None:
    table = method_table(ENTRIES, [quoted(**more)], {"a": "ptbxl", "b": "synthetic"}, {"super": 5})
    assert ("ResNet" in table.rows) == shown
    text = table.as_markdown()
    assert ("| ResNet | 0.930 \\[1\\] | - |" in text) == shown
    assert ("\\[1\\] quoted, not computed here: paper (fold 10)" in text) == shown


def test_a_column_of_fewer_labels_says_so_and_has_no_published_result() -> None:
    table = method_table([made("linear", 0.5, share=0.1)], [quoted()], {"a": "ptbxl"}, {"super": 5})
    assert [column.title for column in table.columns] == ["a: super, 10 % of the labels"]
    assert list(table.rows) == ["core, linear"]


def test_the_clinical_baseline_has_a_row_that_names_its_inputs() -> None:
    gain = {"clinical_gain": -0.02, "clinical_gain_low": -0.05, "clinical_gain_high": 0.01, "clinical_gain_p": 0.2}
    name = "clinical features with age and sex"
    entries = [
        made(
            "linear", 0.8, random=0.7, clinical=0.82, clinical_low=0.8, clinical_high=0.84, clinical_model=name, **gain
        ),
        made("full", 0.85, random=0.7),
    ]
    table = method_table(entries)
    assert list(table.rows) == ["random encoder, linear", f"{name}, linear", "core, linear", "core, full"]
    assert f"| {name}, linear | 0.820 (0.800 to 0.840) |" in table.as_markdown()
    lines = leaderboard(entries).splitlines()
    assert lines[0].endswith("| clinical baseline | gain over it (interval, p) |")
    assert lines[2].endswith("| - | - |")
    assert lines[3].endswith(f"| 0.820 ({name}) | -0.020 (-0.050 to +0.010, p 0.200) |")
    assert len({line.count("|") for line in lines}) == 1
    assert entries[0].metrics()["clinical_gain_low"] == -0.05
    assert "clinical" not in leaderboard(ENTRIES)


def test_baselines_with_a_nonlinear_probe_have_rows_of_their_own() -> None:
    name = "clinical features with age"
    entries = [
        made("mlp", 0.9, random=0.88, clinical=0.86, clinical_model=name, baseline_probe="mlp"),
        made("linear", 0.8, random=0.7, clinical=0.82, clinical_model=name),
    ]
    values = {method: results["a: super"].value for method, results in method_table(entries).rows.items()}
    assert values == {
        "random encoder, linear": 0.7,
        "random encoder, mlp": 0.88,
        f"{name}, linear": 0.82,
        f"{name}, mlp": 0.86,
        "core, mlp": 0.9,
        "core, linear": 0.8,
    }


def test_an_undefined_value_is_no_number() -> None:
    assert "| core, linear | undefined |" in method_table([made("linear", None)]).as_markdown()


def test_the_figure_has_a_panel_for_each_column_and_a_line_for_each_method() -> None:
    table = method_table(ENTRIES, [quoted()], {"a": "ptbxl"}, {"super": 5})
    figure = draw_methods(table)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a: super", "b: super, trained on a"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(table.rows)
    diamonds = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert [line.get_xdata()[0] for line in diamonds] == [0.93]


def test_published_results_of_the_repository_are_valid() -> None:
    results = read_quoted(PUBLISHED)
    found = {(r.method, r.task): r.value for r in results}
    assert found["xresnet1d101, supervised", "superclass"] == 0.928
    assert len(found) == len(results)


def test_all_problems_of_a_file_are_listed(tmp_path: Path) -> None:
    head, line = "method,reader,task,targets,metric,value,split,source\n", "m,ptbxl,super,5,auroc,0.9,fold 10,paper\n"
    path = tmp_path / "published.csv"
    path.write_text(head + line + line + "m,ptbxl,super,5,auroc,1.9,fold 10,\n" + "m,ptbxl,x,1,auroc,0.9,a,b,more\n")
    with pytest.raises(InputError) as found:
        read_quoted(path)
    text = str(found.value)
    assert "line 3: repeats line 2" in text
    assert "line 4: missing, unknown or invalid: value, source" in text
    assert "line 5: missing, unknown or invalid" in text
    with pytest.raises(InputError, match="cannot be read as UTF-8"):
        read_quoted(tmp_path / "absent.csv")
