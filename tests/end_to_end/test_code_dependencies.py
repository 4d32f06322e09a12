"""Code dependencies of the DVC stages: the list is the closure of the imports, and DVC acts on it."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.long
STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]


@pytest.fixture(scope="module")
def generator():
    """Return the module ``pipelines/code_dependencies.py``."""
    spec = importlib.util.spec_from_file_location("code_dependencies", REPOSITORY / "pipelines/code_dependencies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lists_of_dvc_yaml_are_up_to_date(generator):
    text = (REPOSITORY / "dvc.yaml").read_text()
    assert generator.rewritten(text) == text, "run: python pipelines/code_dependencies.py"


@pytest.mark.parametrize("name", STAGES)
def test_the_list_covers_the_closure_and_little_else(generator, name):
    """A file is listed if it is needed; a folder is listed if at least three quarters of its files are needed."""
    needed = generator.closure(REPOSITORY / STAGES[name]["cmd"].split()[1])
    listed = set()
    for entry in (Path(dep) for dep in STAGES[name]["deps"] if dep.startswith(("ecgssl", "pipelines"))):
        place = REPOSITORY / entry
        found = {
            path.relative_to(REPOSITORY)
            for path in ([place] if entry.suffix else place.rglob("*"))
            if path.is_file() and path.suffix not in (".pyc", ".md")
        }
        assert len(found & needed) >= 0.75 * len(found), entry
        listed |= found
    assert needed <= listed


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_the_closure_agrees_with_the_modules_that_python_finds(generator, name):
    """The standard library scans byte code, which includes imports inside functions and those for type checkers only."""
    script = REPOSITORY / STAGES[name]["cmd"].split()[1]
    # the top-level package imports the scoring interface inside a function that no stage calls
    finder = ModuleFinder(path=[str(REPOSITORY)], excludes=["ecgssl.scoring.api"])
    finder.run_script(str(script))
    files = {Path(module.__file__) for key, module in finder.modules.items() if key.startswith("ecgssl")}  # type: ignore[attr-defined]
    found = {path.relative_to(REPOSITORY) for path in files}
    ours = {path for path in generator.closure(script) if path.suffix == ".py"} - {script.relative_to(REPOSITORY)}
    assert ours <= found
    for path in found - ours:
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        text = "".join((REPOSITORY / other).read_text().partition("if TYPE_CHECKING:")[0] for other in ours)
        assert f"from {name} import" not in text, name


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Return a copy of the code with stand-ins for all outputs, so that DVC considers every stage up to date."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("ecgssl", "pipelines"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignore)
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    finetune = params["finetune"]
    keys = [
        (f"{task}-{mode}", f"{task}-{mode}-{share}-{leads}")
        for task in params["tasks"]
        for mode in finetune["modes"]
        for share in finetune["fractions"]
        for leads in finetune["lead_sets"]
    ]
    sets = list(params["sets"])
    (folder / "data/fingerprints").mkdir(parents=True)
    for name in sets:
        (folder / f"data/fingerprints/{name}.json").write_text("{}")
    for stage in STAGES.values():
        for entry in [*stage.get("outs", []), *stage.get("metrics", [])]:
            path = next(iter(entry)) if isinstance(entry, dict) else entry
            for name, (short, long) in itertools.product(sets, keys):
                path_of_item = path.replace("${key}", long if "finetuned" in path else short)
                place = folder / path_of_item.replace("${item.set}", name)
                if place.suffix:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_text("{}")
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    (place / "file").write_text("x")
    # files inside the output of stage select
    for name in ("pretrain", *(f"tasks/{task}" for task in params["tasks"])):
        place = folder / f"data/selection/{name}.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text("{}")
    dvc(folder, "init", "--no-scm", "--quiet")
    dvc(folder, "commit", "--force", "--quiet")
    return folder


def dvc(folder: Path, *arguments: str) -> str:
    """Run DVC and return its output."""
    command = [sys.executable, "-m", "dvc", *arguments]
    env = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stale(folder: Path) -> set[str]:
    """Return the stages that DVC would run, without the part of a name behind ``@``."""
    status = yaml.safe_load(dvc(folder, "status", "--json")) or {}
    return {name.partition("@")[0] for name in status}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (None, set()),
        ("ecgssl/finetuning/losses.py", {"finetune"}),
        ("ecgssl/model/fda.py", {"pretrain"}),
        ("ecgssl/report/build.py", set()),
        ("ecgssl/preprocessing/README.md", set()),
    ],
)
def test_dvc_runs_the_stages_whose_code_changed(project, path, expected):
    """A changed fine-tuning loss runs fine-tuning again; a changed report runs no stage, because pretraining takes hours."""
    if path is None:
        assert stale(project) == expected
        return
    place = project / path
    before = place.read_bytes() if place.exists() else None
    place.write_bytes((before or b"") + b"\n# changed\n")
    try:
        found = stale(project)
    finally:
        if before is None:
            place.unlink()
        else:
            place.write_bytes(before)
    assert expected <= found if expected else found == set()
    if path == "ecgssl/finetuning/losses.py":
        assert "pretrain" not in found
        assert "preprocess" not in found


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data/processed/*/file", {"select"}),
        ("data/selection/tasks/*.json", {"finetune"}),
    ],
)
def test_pretraining_depends_on_the_selection_and_not_on_the_stores(project, pattern, expected):
    changed = {path: path.read_text() for path in project.glob(pattern)}
    assert changed
    for path in changed:
        path.write_text("changed")
    try:
        found = stale(project)
    finally:
        for path, text in changed.items():
            path.write_text(text)
    assert found & {"select", "pretrain", "finetune"} == expected | (found & {"select"})
