"""Named sets in parameters: default names, wrong references, the form of earlier releases, and the choice of one set."""

from __future__ import annotations

import pytest
import yaml

from ecgssl.config import load_one_set, load_params, parse_params
from ecgssl.datasets.load import load_set
from ecgssl.errors import InputError

TWO = {
    "sets": {"archive": {"reader": "cohort", "manifest": "a.csv"}, "ptbxl": {"reader": "ptbxl", "root": "data/x"}},
    "pretrain": {"sets": ["archive"]},
    "tasks": {"rhythm": {"set": "ptbxl", "targets": ["AF"]}},
}


@pytest.fixture
def file(tmp_path):
    """Return a parameter file with two sets."""
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(TWO))
    return path


def problems_of(data: dict) -> dict[str, list[str]]:
    """Return the problems of parameters by field, each as text with its fix."""
    with pytest.raises(InputError) as caught:
        parse_params(data)
    found: dict[str, list[str]] = {}
    for problem in caught.value.problems:
        assert problem.where == "params.yaml"
        found.setdefault(problem.field, []).append(f"{problem.what}. {problem.remedy}")
    return found


def test_names_may_be_left_out_with_one_set():
    one = parse_params({"sets": {"mine": {}}, "tasks": {"rhythm": {"targets": ["AF"]}}})
    assert (one.pretrain.sets, one.tasks["rhythm"].set, one.one_set().name) == (("mine",), "mine", "mine")
    none = parse_params({"tasks": {"rhythm": {"targets": ["AF"]}}})
    assert (list(none.sets), none.pretrain.sets, none.tasks["rhythm"].set) == (
        ["synthetic"],
        ("synthetic",),
        "synthetic",
    )


@pytest.mark.parametrize("pretrain", [{}, {"pretrain": {}}], ids=["no_section", "empty_section"])
def test_names_are_needed_with_several_sets(pretrain):
    found = problems_of({"sets": TWO["sets"], **pretrain, "tasks": {"rhythm": {"targets": ["AF"]}}})
    assert found == {
        "pretrain.sets": ["is missing, but there are 2 sets. List one or more of: archive, ptbxl"],
        "tasks.rhythm.set": ["is missing, but there are 2 sets. Set it to one of: archive, ptbxl"],
    }
    with pytest.raises(InputError, match=r"params\.yaml: sets: has 2 sets\. Choose one of: archive, ptbxl"):
        parse_params(TWO).one_set()


def test_a_set_may_have_a_number_as_name(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("sets: {2017: {reader: cohort, manifest: m.csv}}\ntasks: {t: {targets: [AF]}}\n")
    with pytest.raises(InputError, match="sets"):  # YAML reads the name as a number, which is not a name of a set
        load_one_set(path, reader="cohort")


def test_all_wrong_references_are_listed_at_once():
    found = problems_of({
        "sets": TWO["sets"],
        "pretrain": {"sets": ["archives", "ptbxl", "ptbxl"], "sampling": {"archive": 1.0}, "samples": -1},
        "tasks": {"rhythm": {"set": "georgia", "targets": ["AF"]}, "other": {"set": "ptbxl", "targets": []}},
    })  # fmt: skip
    assert found["pretrain.sets"] == [
        "'archives' is not in section sets. Did you mean 'archive'? Use one of: archive, ptbxl",
        "lists ptbxl more than once. Remove the duplicates",
    ]
    assert found["tasks.rhythm.set"] == ["'georgia' is not in section sets. Use one of: archive, ptbxl"]
    assert found["pretrain.sampling"] == [
        "has a weight for 'archive', which is not in pretrain.sets. Remove the weight, or add the set to pretrain.sets",
        "has no weight for ptbxl. Add a weight for each set of pretrain.sets",
    ]
    assert {"pretrain.samples", "tasks.other.targets"} <= found.keys()


@pytest.mark.parametrize(
    "sampling", [{"archive": 0}, {"archive": -1.0}, {"archive": True}, {}, "equal", {"archive": "x"}]
)
def test_wrong_weights(sampling):
    found = problems_of({**TWO, "pretrain": {"sets": ["archive"], "sampling": sampling}})
    assert any(field.startswith("pretrain.sampling") for field in found)


def test_settings_that_cannot_differ_between_sets():
    sets = {"a": {"signal": {"duration": 5}}, "b": {"quality": {}, "label": "all", "set": "ptbxl"}}
    found = problems_of(
        {**TWO, "sets": sets, "pretrain": {"sets": ["a"]}, "tasks": {"t": {"set": "a", "targets": ["AF"]}}}
    )
    assert found["sets.a.signal"][0].endswith("Set it in section 'signal' for all sets")
    assert found["sets.b.quality"][0].endswith("Set it in section 'quality' for all sets")
    assert found["sets.b.label"] == ["unknown key. Did you mean 'labels'?"]
    assert found["sets.b.set"] == ["unknown key. Use 'reader'"]


@pytest.mark.parametrize("name", ["PTB-XL", "a b", "a/b", ""])
def test_names_of_sets_are_names_of_folders(name):
    assert any(field.startswith("sets.") for field in problems_of({"sets": {name: {}}, "tasks": {}}))


@pytest.mark.parametrize(
    ("old", "sets"),
    [
        ({"set": "ptbxl", "root": "data/x"}, {"ptbxl": {"reader": "ptbxl", "root": "data/x"}}),
        ({"overlap": "warn"}, {"synthetic": {"reader": "synthetic", "overlap": "warn"}}),
        (None, {"synthetic": {"reader": "synthetic"}}),
    ],
)  # fmt: skip
def test_the_error_for_the_old_form_can_be_pasted(old, sets):
    """Replacing the two sections by the texts of the message gives valid parameters with the same content."""
    found = problems_of({"data": old, "tasks": {"rhythm": ["AF", "SB"]}, "seed": 3})
    assert found.keys() == {"data", "tasks"}
    pasted = yaml.safe_load("\n".join(texts[0].partition("\n")[2] for texts in found.values()))
    assert pasted == {"sets": sets, "tasks": {"rhythm": {"targets": ["AF", "SB"]}}}
    assert parse_params({**pasted, "seed": 3}).tasks["rhythm"].targets == ["AF", "SB"]


def test_overrides_of_the_old_form(file):
    with pytest.raises(InputError) as caught:
        load_params(file, ["data.set=ptbxl", "data.split.kind=temporal", "pretrain.samples=5"])
    remedies = [(problem.field, problem.remedy) for problem in caught.value.problems]
    assert remedies == [
        ("data.set", "Use --set sets.NAME.reader=ptbxl"),
        ("data.split.kind", "Use --set sets.NAME.split.kind=temporal"),
    ]


def test_a_command_reads_one_set(file):
    assert load_one_set(file, dataset="ptbxl").data.reader == "ptbxl"
    named = load_one_set(file, reader="cohort", given=["manifest=b.csv"])
    assert (named.name, str(named.data.manifest)) == ("archive", "b.csv")
    for options, message in (
        ({}, r"has 2 sets, and this command reads one\. Choose one with --dataset: archive, ptbxl"),
        ({"dataset": "ptbx"}, r"--dataset: 'ptbx' is not in section sets of .*Use one of: archive, ptbxl"),
        (
            {"dataset": "ptbxl", "overrides": ["sets.archive.root=x"]},
            r"sets\.archive\.root: .*Use --set sets\.ptbxl\.root=",
        ),
    ):
        with pytest.raises(InputError, match=message):
            load_one_set(file, **options)


def test_messages_of_one_set_have_its_name(file):
    chosen = load_one_set(file, dataset="ptbxl")
    with pytest.raises(InputError, match=r"data/x: sets\.ptbxl\.root: does not contain"), chosen.messages():
        load_set(chosen)
