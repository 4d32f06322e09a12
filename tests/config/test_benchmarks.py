"""Standard benchmarks: each gives a complete parameter file that differs only in labels and split."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from command_line import ecgssl, refused

from ecgssl.config import load_params, parse_params
from ecgssl.config.benchmark import read_benchmarks
from ecgssl.datasets.public.public_set import public_set
from ecgssl.errors import InputError

PIPELINES = Path(__file__).parents[2] / "pipelines"
BENCHMARKS = read_benchmarks(PIPELINES / "benchmarks.yaml")
SIZES = {"superclass": 5, "subclass": 23, "diagnostic": 44, "form": 19, "rhythm": 12, "all": 71}
"""Labels of the six label sets of PTB-XL (Strodthoff et al. 2021, table I)."""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_a_whole_parameter_file(name):
    benchmark = BENCHMARKS[name]
    profile = (PIPELINES / f"profiles/{benchmark.profile}.yaml").read_text()
    text = benchmark.params(profile, name, "/a place/of: it")
    params = parse_params(yaml.safe_load(text))
    assert {name: task.targets for name, task in params.tasks.items()} == {benchmark.task: benchmark.targets}
    assert len(set(benchmark.targets)) == len(benchmark.targets)
    assert params.exported[0] == benchmark.task
    assert set(params.pretrain.probe.targets) <= set(benchmark.targets)
    data = params.one_set().data
    assert data.root == Path("/a place/of: it")
    assert data.labels in public_set(data.reader).label_sets
    assert params.model == load_params(PIPELINES / f"profiles/{benchmark.profile}.yaml").model
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
    (tmp_path / "pipelines").symlink_to(PIPELINES)
    done = ecgssl("profile", "use", "icbeb2018", "--root", "/data/cpsc")
    assert done.code == 0, done.err
    assert load_params("params.yaml").one_set().data.reader == "cpsc2018"
    listed = ecgssl("profile", "list").out
    assert all(name in listed for name in (*BENCHMARKS, "quickstart", "ptbxl"))
    refused(ecgssl("profile", "use", "icbeb"), "is not a profile", "icbeb2018")


def test_a_broken_file_is_said(tmp_path):
    (tmp_path / "b.yaml").write_text("x: {about: a, task: t}")
    with pytest.raises(InputError, match="benchmarks"):
        read_benchmarks(tmp_path / "b.yaml")
    assert read_benchmarks(tmp_path / "none.yaml") == {}
