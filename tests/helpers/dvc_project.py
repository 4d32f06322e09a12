"""Small DVC project with the stages of ``dvc.yaml``, whose scripts are replaced by scripts that write a few bytes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
LOG = "runs/log.txt"
SCRIPT = '''"""Stand-in for a stage: write its outputs from its arguments and inputs, and note that it ran."""
import json, pathlib, sys
argument = sys.argv[-1] if len(sys.argv) > 1 else ""
stage = pathlib.Path(sys.argv[0]).stem.partition("_recordings")[0]
with open("runs/log.txt", "a") as log:
    log.write(stage + ("@" + argument if argument else "") + "\\n")
parameters = pathlib.Path("params.yaml").read_text()
try:
    parameters = json.loads(parameters)
except ValueError:
    # an experiment writes YAML that is not JSON; the library is slow to import
    import yaml
    parameters = yaml.safe_load(parameters)
def read(path):
    return pathlib.Path(path).read_text().split()
def write(path, text="x"):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
if stage == "cohort":
    write(f"data/raw/{argument}/manifest.csv", argument)
    write(f"metrics/cohort/{argument}.json", "{}")
elif stage == "preprocess":
    # a store is the list of its patients, which the fingerprint of the set holds
    write(f"data/processed/{argument}/index", pathlib.Path(f"data/fingerprints/{argument}.json").read_text())
    write(f"plots/preprocess/{argument}/worst.png")
    write(f"metrics/preprocess/{argument}.json", json.dumps({"stored": len(read(f"data/processed/{argument}/index"))}))
elif stage == "select":
    stores = {name: read(f"data/processed/{name}/index") for name in parameters["sets"]}
    pretrained = parameters["pretrain"]["sets"]
    tested = {p for name, patients in stores.items() if name not in pretrained for p in patients}
    kept = {name: sorted(set(stores[name]) - tested) for name in pretrained}
    write("data/selection/pretrain.json", json.dumps(kept))
    for task, values in parameters["tasks"].items():
        for folder in ("tasks", "exports"):
            write(f"data/selection/{folder}/{task}.json", json.dumps([values["targets"], stores[values["set"]]]))
    write("data/selection/encoder.json", json.dumps(stores[parameters["pretrain"]["sets"][0]]))
    write("metrics/selection.json", json.dumps({"kept": sum(map(len, kept.values()))}))
elif stage == "pretrain":
    made = pathlib.Path("data/selection/pretrain.json").read_text() + parameters["objective"]["kind"]
    write("models/pretrained/weights", made)
    write("plots/pretrain/losses.csv", "samples,reconstruction,contrastive,budget,kept_fraction\\n1,2,3,4,5\\n")
    write("plots/pretrain/epochs.csv", "samples,relative_lead,relative_time,uniformity,effective_rank\\n1,2,3,4,5\\n")
    write("plots/pretrain/importance.png"); write("plots/pretrain/reconstruction.png"); write("plots/pretrain/gallery.png")
    write("metrics/pretrain.json", '{"loss": 1.0}')
elif stage == "finetune":
    task = argument.partition("-")[0]
    made = [pathlib.Path(f"data/selection/tasks/{task}.json").read_text(), read("models/pretrained/weights")]
    write(f"models/finetuned/{argument}/weights", json.dumps(made))
elif stage == "evaluate":
    write("metrics/evaluate/all.json", "{}")
    objective = parameters["objective"]["kind"]
    write("metrics/evaluate.json", json.dumps({"auroc": {"core": 0.5}.get(objective, 0.25)}))
    write("metrics/leaderboard.md", "| method |"); write("metrics/leaderboard.json", json.dumps([objective]))
    write("plots/evaluate/roc.png")
elif stage == "export":
    write("exports/encoder/config.json"); write("exports/classifier/config.json")
    write("metrics/export.json", '{"size": 1}')
else:
    raise SystemExit(f"no stand-in for stage {stage}")
'''


class Project:
    """DVC project in a folder.

    Args:
        folder: root of the project.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def set_params(self, params: dict[str, Any]) -> None:
        """Write the parameters. JSON is YAML, and the scripts read it without a YAML library."""
        (self.folder / "params.yaml").write_text(json.dumps(params))

    def params(self) -> dict[str, Any]:
        """Return the parameters."""
        return json.loads((self.folder / "params.yaml").read_text())

    def set_patients(self, name: str, patients: str) -> None:
        """Write the fingerprint of a set, which stands for its files: the names of its patients."""
        path = self.folder / f"data/fingerprints/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(patients)

    def stale(self) -> set[str]:
        """Return the stages that ``dvc status`` lists."""
        with self._repository() as repository:
            return set(repository.status())

    def commit(self) -> None:
        """Record the present dependencies and outputs in ``dvc.lock``, as ``dvc commit --force`` does."""
        with self._repository() as repository:
            repository.commit(force=True)

    def run(self, *stages: str, **options: bool) -> list[str]:
        """Run ``dvc repro`` for stages (all by default) with options; return the stages that ran, in order."""
        log = self.folder / LOG
        log.parent.mkdir(exist_ok=True)
        log.write_text("")
        with self._repository() as repository:
            repository.reproduce(list(stages) or None, **options)
        return log.read_text().split()

    def experiment(self, name: str, *changes: str) -> list[str]:
        """Run ``dvc exp run`` with a name and changed parameters; return the stages that ran, in order."""
        log = self.folder / LOG
        log.write_text("")
        with self._repository() as repository:
            assert repository.experiments.run(name=name, params=list(changes))
        return log.read_text().split()

    def metrics_diff(self, first: str, second: str) -> dict[str, Any]:
        """Return the metrics that ``dvc metrics diff`` lists, by file."""
        with self._repository() as repository:
            return dict(repository.metrics.diff(first, second)["diff"])

    def get(self, path: str, revision: str, out: Path) -> str:
        """Return the content of a file of a revision or experiment, from ``dvc get``."""
        from dvc.repo import Repo

        Repo.get(str(self.folder), path, out=str(out), rev=revision)
        return out.read_text()

    def git(self, *arguments: str) -> str:
        """Run git and return its output."""
        identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *identity, *arguments], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def push(self, remote: Path) -> None:
        """Run ``dvc push`` to a remote in a local folder."""
        with self._repository(remote) as repository:
            assert repository.push()

    def pull(self, remote: Path) -> None:
        """Run ``dvc pull`` from a remote in a local folder."""
        with self._repository(remote) as repository:
            repository.pull()

    def clone(self, folder: Path) -> Project:
        """Return a git clone of the project in a new folder."""
        self.git("clone", "--quiet", str(self.folder), str(folder))
        return Project(folder)

    def plots(self, revision: str = "workspace") -> set[str]:
        """Return the files that ``dvc plots show`` finds in a revision or experiment."""
        with self._repository() as repository:
            found = repository.plots.show(revs=[revision])
        sources = found[revision]["sources"]["data"]
        return {path for path, content in sources.items() if "error" not in content}

    @contextlib.contextmanager
    def _repository(self, remote: Path | None = None) -> Iterator[Any]:
        from dvc.repo import Repo

        options = {} if remote is None else {"core": {"remote": "folder"}, "remote": {"folder": {"url": str(remote)}}}

        before = Path.cwd()
        os.chdir(self.folder)
        try:
            with Repo(str(self.folder), config=options) as repository:
                yield repository
        finally:
            os.chdir(before)


def make_project(folder: Path) -> Project:
    """Create a git and DVC project with two sets, one task on each, and the ignore rules of the repository.

    The modules of the package are left out of the dependencies, because ``test_code_dependencies.py`` covers them.
    """
    project = Project(folder)
    pipeline = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
    (folder / "pipelines").mkdir()
    for stage in pipeline["stages"].values():
        stage["deps"] = [dep for dep in stage["deps"] if not dep.startswith("ecgssl")]
        script = stage["cmd"].split()[1]
        (folder / script).write_text(SCRIPT)
        for table in {dep for dep in stage["deps"] if dep.startswith("pipelines/")} - {script}:
            (folder / table).write_text("a table\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    for name in (".dvcignore", ".gitignore"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    params: dict[str, Any] = {}
    for key in {key for stage in pipeline["stages"].values() for key in stage["params"] if "${" not in key}:
        *sections, last = key.split(".")
        place = params
        for section in sections:
            if not isinstance(place.get(section), dict):
                place[section] = {}
            place = place[section]
        place.setdefault(last, 1)
    params["sets"] = {"archive": {"reader": "cohort"}, "clinic": {"reader": "ptbxl"}, "ward": {"reader": "cohort"}}
    params["pretrain"] = {"sets": ["archive"]}
    params["tasks"] = {"rhythm": {"set": "clinic", "targets": ["AF"]}, "shape": {"set": "ward", "targets": ["MI"]}}
    params["objective"] = {"kind": "core"}
    params["export"] = {"task": "rhythm", "mode": "linear"}
    params["finetune"] |= {"modes": ["linear"], "fractions": [1.0], "lead_sets": ["12lead"]}
    project.set_params(params)
    for name, patients in (("archive", "a b c"), ("clinic", "d e"), ("ward", "f")):
        project.set_patients(name, patients)
    project.git("init", "--quiet")
    from dvc.repo import Repo

    Repo.init(str(folder)).close()
    shutil.copyfile(REPOSITORY / ".dvc/config", folder / ".dvc/config")
    return project
