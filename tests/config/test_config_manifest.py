"""Parameters of tables and targets: accepted declarations, and errors with the reason."""

from __future__ import annotations

import pytest

from ecgssl.config import ManifestParams, Target, parse_params
from ecgssl.config.targets_file import examine_targets_file
from ecgssl.errors import InputError


def refused(data):
    with pytest.raises(InputError) as caught:
        parse_params({"tasks": {"t": {"targets": ["a"]}}, "sets": {"mine": data}})
    return {problem.field: f"{problem.what}. {problem.remedy}" for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("declared", "reported"),
    [
        ({"positive": [True]}, "put quotes around the word"),
        ({"positive": {"a": 1}}, "must be text or a number"),
        ({"range": [1, 2]}, "range cannot be used with kind 'binary'"),
        ({"kind": "regression", "positive": ["1"]}, "positive cannot be used with kind 'regression'"),
        ({"kind": "multiclass", "classes": ["a", "b"], "uncertain": "positive"}, "uncertain cannot be used"),
        ({"kind": "multiclass"}, "needs classes"),
        ({"kind": "multiclass", "classes": ["a"]}, "needs classes"),
        ({"kind": "multiclass", "classes": ["a", "a"]}, "duplicate class: 'a'"),
        ({"kind": "multiclass", "classes": {"A": ["x"], "B": ["X"]}}, "'x' has two meanings"),
        ({"kind": "multiclass", "classes": "A"}, "must be a list of class names"),
        ({"positive": ["1"], "negative": ["1"]}, "'1' has two meanings"),
        ({"kind": "regression", "range": [9, 5]}, "range 9 to 5 is empty"),
        ({"kind": "ordinal"}, "Input should be 'binary'"),
    ],
)
def test_declarations_that_cannot_be(declared, reported):
    assert any(reported in text for text in refused({"targets": {"t": declared}}).values())


def test_empty_cells_are_never_negative():
    reported = refused({"targets": {"t": {"missing": "negative"}}})
    assert "always unknown" in reported["sets.mine.targets.t.missing"]
    assert "an empty cell means unknown" in refused({"values": {"af": {"": "0"}}})["sets.mine.values"]


def test_unknown_keys_are_corrected_below_a_name_of_the_users_own():
    reported = refused({"targets": {"range": {"kimd": "binary"}}, "colums": {}})
    assert reported["sets.mine.targets.range.kimd"] == "unknown key. Did you mean 'kind'?"
    assert reported["sets.mine.colums"] == "unknown key. Did you mean 'columns'?"


def test_cells_are_text_whatever_yaml_makes_of_them():
    target = Target(positive=2, negative=[1, " no "])
    assert (target.positives, target.negatives) == (("2",), ("1", "no"))
    assert ManifestParams(values={"sex": {1: "male"}}).values == {"sex": {"1": "male"}}


def test_what_a_store_says_of_a_target_reads_back_without_cells_of_the_table():
    declared = Target(kind="multiclass", column="Diagnose", classes={"SR": ["Sinus"], "AF": []}, unknown=["?"])
    assert declared.published() == {"kind": "multiclass", "classes": ["SR", "AF"]}
    assert list(Target.model_validate(declared.published()).classes or {}) == ["SR", "AF"]
    number = Target(kind="regression", unit="%", range=(5, 90), column="EF")
    assert number.published() == {"kind": "regression", "unit": "%", "range": [5.0, 90.0]}
    assert Target.model_validate(number.published()).range == (5, 90)


def test_what_wins():
    mine = ManifestParams(columns={"age": "A"}, dates="day_first")
    file = ManifestParams(columns={"age": "B", "sex": "C"}, dates="month_first", encoding="cp850")
    both = mine.over(file)
    assert (both.columns, both.dates, both.encoding) == ({"age": "A", "sex": "C"}, "day_first", "cp850")
    assert ManifestParams().over(file) == file


def test_a_targets_file(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("targets:\n  ef: {kind: regression, rnge: [1, 2]}\ncolumn: {}\n")
    with pytest.raises(InputError) as caught:
        examine_targets_file(path)
    reported = {problem.field: problem.remedy for problem in caught.value.problems}
    assert reported == {"targets.ef.rnge": "Did you mean 'range'?", "column": "Did you mean 'columns'?"}
    path.write_text("targets: {ef: {kind: regression, range: [1, 2]}}\n")
    assert examine_targets_file(path)[0].targets["ef"].range == (1, 2)
    for text, what in (("a: [", "YAML"), ("- a", "content")):
        path.write_text(text)
        with pytest.raises(InputError, match=what):
            examine_targets_file(path)


def test_all_faults_of_a_targets_file_are_reported_at_once(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(
        "targets:\n"
        "  a: {kind: bin, classes: [A]}\n"
        "  b: {kind: regression, range: [2, 1], unitt: mV, negative: 0}\n"
        "  c: {positive: yes, negative: 1, range: [3, 1]}\n"
        "  d: {positive: ja, negative: JA, foo: 1}\n"
        "  e: {positive: ja, negative: nein}\n"
    )
    reading, problems = examine_targets_file(path)
    assert list(reading.targets) == ["e"]
    assert sorted((problem.field, problem.what.partition(" (got")[0]) for problem in problems) == [
        ("targets.a.kind", "Input should be 'binary', 'multilabel', 'multiclass' or 'regression'"),
        ("targets.b", "negative cannot be used with kind 'regression'; range 2 to 1 is empty"),
        ("targets.b.unitt", "unknown key"),
        ("targets.c", "range cannot be used with kind 'binary'; range 3 to 1 is empty"),
        ("targets.c.positive", "YAML reads yes, no, on, off, true and false as booleans: put quotes around the word"),
        ("targets.d", "'ja' has two meanings; remove one of them"),
        ("targets.d.foo", "unknown key"),
    ]
    # keys that YAML reads as other types than text, and a wrong section
    path.write_text("targets: {yes: {kind: 3}, null: {}}\nvalues: {sex: {yes: male}}\n3: 4\n")
    with pytest.raises(InputError) as caught:
        examine_targets_file(path)
    assert len(caught.value.problems) == 5
