"""Keys for patient ids: private for real patients, never deleted, and published only for simulated patients."""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
from pathlib import Path

import pytest
from store_cohort import params

from ecgssl.config import SetParams, SyntheticParams, load_one_set
from ecgssl.datasets.synthetic.published_key import patient_key
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.errors import InputError
from ecgssl.leakage.identities import Identities
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.store.choose_key import choose_key, default_key_file
from ecgssl.store.patient_key import load_or_make_key, patient_hash
from ecgssl.store.published_hashes import _warn
from ecgssl.store.store import Store

REPOSITORY = Path(__file__).parents[2]
SIMULATED = SetParams()


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f"pipelines/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a working directory and set the folder for configuration to one next to it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def of_cohort(key: Path | str | None = None) -> SetParams:
    return SetParams(reader="cohort", manifest="m.csv", patient_key=key)


def written(path: Path | str, key: bytes) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(key.hex() + "\n")
    return path


@pytest.mark.parametrize("name", ["params.yaml", "ecgssl/profiles/quickstart.yaml", "ecgssl/profiles/ptbxl.yaml"])
def test_shipped_parameters_use_a_private_key_for_a_cohort(project, name):
    """The simulated set is there, as after ``make repro``, and the set is then changed to a cohort."""
    shipped = load_one_set(REPOSITORY / name, reader="cohort", given=["manifest=m.csv"])
    written("data/raw/synthetic/patient.key", patient_key(0))
    key = choose_key(shipped.data, shipped.params.seed, "data/processed")
    assert key not in [patient_key(seed) for seed in range(100)]
    assert choose_key(shipped.data, shipped.params.seed, "elsewhere") == key
    made = project.parent / "config/ecgssl/patient.key"
    assert load_or_make_key(made) == key
    assert made.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in project.rglob("*.key")] == ["patient.key"], "no key of a cohort in the project"


def test_simulated_patients_have_the_published_key(project):
    assert choose_key(SIMULATED, 7, "store") == patient_key(7)
    written("data/raw/patient.key", patient_key(7))
    assert choose_key(SetParams(patient_key="data/raw/patient.key"), 7, "store") == patient_key(7)
    assert not default_key_file().exists()


@pytest.mark.parametrize("seed", [0, 42, 60_000, 987_654_321])
def test_the_published_key_is_refused_for_other_sets(project, seed):
    """A large seed is found by the README of the simulated set, or because the parameters have the same seed."""
    place = written(project / "sim/patient.key", patient_key(seed))
    (place.parent / "README.txt").write_text(
        f"Generated with seed {seed}: 3 patients, 4 recordings of 10 s at 500 Hz.\n"
    )
    copied = written(project.parent / "keys/hospital.key", patient_key(seed))
    ptbxl = SetParams(reader="ptbxl", root="x", patient_key=copied)
    for data in (of_cohort(place), of_cohort(copied), ptbxl):
        with pytest.raises(
            InputError, match=rf"published key of simulated patients \(seed {seed}\).*Remove sets.NAME.patient_key"
        ):
            choose_key(data, seed, "store")
    with pytest.raises(InputError, match="published key"):
        choose_key(of_cohort(place), 0, "store")


@pytest.mark.parametrize(
    "place", ["data/raw/a.key", "data/processed/k", "data/selection/k", "models/x/k", "runs/k", "out/store/k"]
)
def test_a_key_in_a_replaced_or_shared_folder_is_refused(project, place):
    with pytest.raises(InputError, match="is replaced, removed or shared"):
        choose_key(of_cohort(place), 0, "out/store")
    assert not Path(place).exists()
    written(place, bytes(32))
    with pytest.raises(InputError, match="Move the file out of it"):
        choose_key(of_cohort(place), 0, "out/store")


def test_a_key_that_git_would_add_is_refused(project):
    subprocess.run(["git", "init", "-q"], check=True)
    with pytest.raises(InputError, match="git repository"):
        choose_key(of_cohort("secret.key"), 0, "out")
    Path(".gitignore").write_text("*.key\n")
    assert len(choose_key(of_cohort("secret.key"), 0, "out")) == 32


def test_the_key_of_an_earlier_release_is_not_replaced_silently(project):
    earlier = written("data/patient.key", bytes(range(32)))
    with pytest.raises(InputError, match=r"Move the file there, or set sets.NAME.patient_key to data/patient.key"):
        choose_key(of_cohort(), 0, "store")
    assert not default_key_file().exists()
    assert choose_key(of_cohort(earlier), 0, "store") == bytes(range(32))


def test_stage_cohort_keeps_a_private_key(project):
    stage = script("cohort")
    key = written("data/raw/patient.key", bytes(range(32)))
    with pytest.raises(InputError, match=r"data/raw/patient\.key"):
        stage._write_note(Path("data/raw"))
    with pytest.raises(InputError, match="private key"):
        simulate("data/raw", SyntheticParams(patients=2), 0)
    assert load_or_make_key(key) == bytes(range(32))
    written(key, patient_key(3))
    stage._write_note(Path("data/raw"))
    assert [path.name for path in Path("data/raw").iterdir()] == ["README.txt"]


def test_make_clean_keeps_private_keys_only(project, capsys):
    keys = [written("data/raw/patient.key", bytes(32)), written("runs/deep/er/my.txt", b"x" * 32)]
    written("models/patient.key", patient_key(11))
    Path("data/raw/records").mkdir()
    Path("mlflow.db").write_text("")
    script("clean").main(["data/raw", "models", "runs", "mlflow.db", "absent"])
    left = sorted(path for path in Path().rglob("*") if path.is_file())
    assert left == sorted(keys)
    assert not Path("data/raw/records").exists()
    assert capsys.readouterr().out.count("kept ") == 2
    recipe = (REPOSITORY / "Makefile").read_text().partition("\nclean:")[2]
    assert "pipelines/clean.py" in recipe
    assert "rm " not in recipe


def test_dvc_does_not_delete_data_raw_itself():
    text = (REPOSITORY / "dvc.yaml").read_text()
    assert "- data/raw/${item.set}:\n          cache: false\n          persist: true" in text


@pytest.fixture
def warnings(caplog):
    _warn.cache_clear()
    caplog.set_level(logging.WARNING, "ecgssl")
    return caplog


def test_stores_and_encoders_made_with_the_published_key_are_named(cohort, tmp_path, warnings):
    """The patient ids can be guessed from such a store: the warning names it."""
    store = tmp_path / "store"
    preprocess(cohort, params(), store, patient_key(3), progress=False)
    hashes = set(Store(store).index["patient"])
    assert patient_hash(patient_key(3), "patient1") in hashes
    Identities.of_store(Store(store), Store(store).rows("train")).write(tmp_path)
    assert Identities.read(tmp_path) is not None
    assert [record.getMessage().partition(":")[0] for record in warnings.records] == [
        str(store),
        str(tmp_path / "recordings.safetensors"),
    ]
    assert "seed 3" in warnings.text


def test_stores_with_a_private_key_and_simulated_stores_are_not_named(made, tmp_path, warnings):
    assert json.loads((made[0] / "spec.json").read_text())["patient_numbering"]
    Store(made[0])
    assert warnings.records == []
