"""Standard benchmarks: each gives a complete parameter file that differs only in labels and split."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from command_line import ecgssl, refused

from ecgssl.cli.profile import PROFILES
from ecgssl.config import load_params, parse_params
from ecgssl.config.benchmark import read_benchmarks
from ecgssl.datasets.public.public_set import public_set
from ecgssl.errors import InputError
from ecgssl.evaluation.quoted import read_quoted

PIPELINES = Path(__file__).parents[2] / "pipelines"
BENCHMARKS = read_benchmarks()
SIZES = {"superclass": 5, "subclass": 23, "diagnostic": 44, "form": 19, "rhythm": 12, "all": 71}
"""Labels of the six label sets of PTB-XL (Strodthoff et al. 2021, table I)."""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_a_whole_parameter_file(name):
    benchmark = BENCHMARKS[name]
    profile = (PROFILES / f"{benchmark.profile}.yaml").read_text()
    text = benchmark.params(profile, name, "/a place/of: it")
    params = parse_params(yaml.safe_load(text))
    assert {name: task.targets for name, task in params.tasks.items()} == {benchmark.task: benchmark.targets}
    assert len(set(benchmark.targets)) == len(benchmark.targets)
    assert params.exported[0] == benchmark.task
    assert set(params.pretrain.probe.targets) <= set(benchmark.targets)
    data = params.one_set().data
    assert data.root == Path("/a place/of: it")
    assert data.labels in public_set(data.reader).label_sets
    assert params.model == load_params(PROFILES / f"{benchmark.profile}.yaml").model
    assert params.finetune.fractions == benchmark.fractions
    assert ("merl" in name) == (data.merl is not None)
    # comments of the profile are preserved
    assert text.count("#") > 15


def test_labels_of_ptbxl():
    sets = {b.data["labels"]: b.targets for n, b in BENCHMARKS.items() if n.startswith("ptbxl")}
    assert {labels: len(targets) for labels, targets in sets.items()} == SIZES
    assert set(sets["all"]) == set(sets["diagnostic"]) | set(sets["form"]) | set(sets["rhythm"])


def test_labels_of_ptbxl_are_those_of_the_release(real_data):
    from ecgssl.datasets.public.ptbxl import PTBXL

    for name in (n for n in BENCHMARKS if n.startswith("ptbxl")):
        benchmark = BENCHMARKS[name]
        found = PTBXL(real_data / "ptbxl_500", labels=benchmark.data["labels"], sampling_rate=100).cohort()
        assert set(found.targets) == set(benchmark.targets), name


def test_use_writes_it_and_names_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = ecgssl("profile", "use", "icbeb2018", "--root", "/data/cpsc")
    assert done.code == 0, done.err
    assert load_params("params.yaml").one_set().data.reader == "cpsc2018"
    listed = ecgssl("profile", "list").out
    assert all(name in listed for name in (*BENCHMARKS, "quickstart", "ptbxl", "paper"))
    refused(ecgssl("profile", "use", "icbeb"), "is not a profile", "icbeb2018")


def test_folders_of_a_profile_with_several_sets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = ecgssl("profile", "use", "paper", "--root", "mimic=/data/a=b", "--root", "ningbo=n: 1")
    assert done.code == 0, done.err
    roots = {name: str(one.root) for name, one in load_params("params.yaml").sets.items()}
    assert roots == {"mimic": "/data/a=b", "ptbxl": "data/ptb-xl-1.0.3", "icbeb": "data/cpsc2018", "ningbo": "n: 1"}
    profile = (PROFILES / "paper.yaml").read_text().splitlines()
    changed = [line for line in Path("params.yaml").read_text().splitlines() if line not in profile]
    assert changed == ['    root: "/data/a=b"', '    root: "n: 1"']
    before = Path("params.yaml").read_text()
    wrong = ("/data/all", "ptbxl=", "mimic=/a", "mimic=/b", "cpsc=/c")
    refused(
        ecgssl("profile", "use", "paper", *(part for value in wrong for part in ("--root", value))),
        "'/data/all' does not start with the name of a set", "mimic, ptbxl, icbeb, ningbo",
        "'ptbxl=' has no folder", "gives set mimic two folders", "'cpsc=/c' does not start",
    )  # fmt: skip
    refused(ecgssl("profile", "use", "quickstart", "--root", "/data"), "no set of the profile has a line 'root:'")
    assert Path("params.yaml").read_text() == before
    assert ecgssl("profile", "use", "ptbxl", "--root", "/x=y/ptb-xl").code == 0
    assert str(load_params("params.yaml").one_set().data.root) == "/x=y/ptb-xl"


def test_the_tasks_of_the_paper_are_those_of_the_benchmarks():
    """The method table finds published results by public set, name of the task and number of targets."""
    params = load_params(PROFILES / "paper.yaml")
    for name, benchmark in BENCHMARKS.items():
        if "merl" not in name:
            task = params.tasks[benchmark.task]
            one = params.sets[task.set]
            assert one.reader == benchmark.data["reader"]
            prefix = f"{benchmark.data['labels']}." if one.reader == "ptbxl" else ""
            assert task.targets == [prefix + target for target in benchmark.targets], name
    assert len(params.tasks) == sum("merl" not in name for name in BENCHMARKS)
    published = {(r.reader, r.task): r.targets for r in read_quoted(PIPELINES / "published.csv")}
    found = {(params.sets[task.set].reader, name): len(task.targets) for name, task in params.tasks.items()}
    assert published.items() <= found.items()


def test_a_broken_file_is_said(tmp_path):
    (tmp_path / "b.yaml").write_text("x: {about: a, task: t}")
    with pytest.raises(InputError, match="benchmarks"):
        read_benchmarks(tmp_path / "b.yaml")


def test_an_edited_file_is_replaced_only_with_force_and_kept(tmp_path, monkeypatch):
    """Only the folders of sets may differ from a profile, because ``--root`` writes them."""
    monkeypatch.chdir(tmp_path)
    params = tmp_path / "params.yaml"
    quickstart = (PROFILES / "quickstart.yaml").read_text()
    assert ecgssl("profile", "use", "quickstart").out == "params.yaml is now profile quickstart\n"
    assert params.read_text() == quickstart
    # an unchanged profile, and an unchanged benchmark, are replaced without a backup
    assert ecgssl("profile", "use", "ptbxl_form").code == 0
    assert ecgssl("profile", "use", "ptbxl", "--root", "/my/ptb-xl").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
    with_root = params.read_text()
    done = ecgssl("profile", "use", "quickstart")
    assert done.out == "params.yaml is now profile quickstart; the previous file is params.yaml.bak\n"
    assert (tmp_path / "params.yaml.bak").read_text() == with_root

    edited = quickstart.replace("seed: 0", "seed: 1")
    assert edited != quickstart
    params.write_text(edited)
    refused(
        ecgssl("profile", "use", "ptbxl-tiny"), "params.yaml: file: exists and differs from every profile", "--force"
    )
    assert params.read_text() == edited
    done = ecgssl("profile", "use", "ptbxl-tiny", "--force")
    assert "the previous file is params.yaml.bak1" in done.out
    assert (tmp_path / "params.yaml.bak1").read_text() == edited
    assert (tmp_path / "params.yaml.bak").read_text() == with_root
    assert load_params(params).model.preset == "tiny"
