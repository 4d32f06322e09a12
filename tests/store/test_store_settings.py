"""Overrides of the command line against the settings of an existing store or bundle."""

from __future__ import annotations

import json
import shutil

import pytest
from command_line import contents, ecgssl, refused
from store_cohort import params

from ecgssl.config import QualityParams, load_params
from ecgssl.errors import InputError
from ecgssl.signal.spec import SignalSpec
from ecgssl.store.settings import model_settings, require_settings, require_store_settings
from ecgssl.store.store import Store


@pytest.fixture
def file(tmp_path):
    """Return a parameter file whose settings are not those of the store."""
    path = tmp_path / "params.yaml"
    path.write_text("tasks: {t: {targets: [MI]}}\nsignal: {sampling_rate: 500}\n")
    return path


def check(file, store, *overrides):
    require_store_settings(overrides, load_params(file, list(overrides)), store)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("signal.sampling_rate=250", "signal.sampling_rate: is 250.0, but .* was made with 100.0"),
        ("signal.clean.band=[0.5, 30]", r"signal.clean.band: is \[0.5, 30.0\], but .* was made with \[0.5, 40.0\]"),
        ("signal.clean={band: [0.5, 30]}", r"signal.clean.band: is \[0.5, 30.0\]"),
        ("quality.min_leads=12", "quality.min_leads: is 12, but .* was made with 6"),
        ("quality.policy={nan: reject}", "quality.policy.nan: is 'reject', but .* was made with 'mask'"),
        ("store.lsb=0.005", "store.lsb: is 0.005, but"),
        ("sets.synthetic.overlap=drop_train", "sets.synthetic.overlap: is 'drop_train', but .* was made with 'error'"),
        ("sets.synthetic.labels=rhythm", "sets.synthetic.labels: is 'rhythm', but .* does not record this setting"),
    ],
)
def test_an_override_that_would_be_ignored_is_refused(made, file, override, text):
    with pytest.raises(InputError, match=text) as caught:
        check(file, Store(made[0]), override)
    assert len(caught.value.problems) == 1
    assert "Remove the override" in caught.value.problems[0].remedy


def test_all_are_listed_and_equal_or_other_overrides_are_accepted(made, file):
    store = Store(made[0])
    equal = (
        "signal.sampling_rate=100",
        "quality.min_leads=6",
        f"store.lsb={store.lsb}",
        "sets.synthetic.overlap=error",
    )
    check(file, store, *equal, "finetune.linear.C=[1]", "seed=3", "store.workers=2", "evaluate.bootstrap=100")
    check(file, store)
    with pytest.raises(InputError) as caught:
        check(file, store, "signal.duration=5", "quality.span=[0.2, 20]", "seed=3")
    assert [problem.field for problem in caught.value.problems] == ["signal.duration", "quality.span"]


def test_settings_that_an_old_store_does_not_record(made, file, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(made[0], folder)
    about = json.loads((folder / "spec.json").read_text())
    del about["quality"]["min_leads"]
    (folder / "spec.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=r"quality\.min_leads: is 6, but .* does not record this setting"):
        check(file, Store(folder), "quality.min_leads=6")


def test_settings_of_a_bundle(file):
    settings = model_settings(SignalSpec(), QualityParams(), 0.001)
    accepted = ["sets.synthetic.overlap=drop_train", "store.workers=2", "signal.sampling_rate=100"]
    require_settings(accepted, load_params(file, accepted), settings, "bundle", "use another bundle")
    refused_too = [*accepted, "store.lsb=0.002"]
    with pytest.raises(InputError, match=r"store\.lsb: is 0\.002, but bundle was made with 0\.001.*use another bundle"):
        require_settings(refused_too, load_params(file, refused_too), settings, "bundle", "use another bundle")


@pytest.mark.parametrize(
    "command",
    [
        ("finetune", "--encoder", "./none", "--targets", "MI", "--out", "run"),
        ("pretrain", "--out", "run"),
        ("export", "--model", "./none", "--out", "run"),
        ("evaluate", "--run", "none", "--out", "run"),
        ("evaluate", "none.csv", "--out", "run.json"),
        ("recalibrate", "--run", "none", "--out", "run"),
    ],
)
def test_every_command_with_a_store_refuses(made, file, tmp_path, monkeypatch, command):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    settings = ("--params", file, "--set", "signal.sampling_rate=250", "--set", "tracking.backend=none")
    done = ecgssl(*command, "--store", made[0], *settings)
    refused(done, f"--set: signal.sampling_rate: is 250.0, but {made[0]} was made with 100.0")
    assert contents(work) == {}
    assert params().signal.sampling_rate == 100
