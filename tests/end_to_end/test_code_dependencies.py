"""Code dependencies of the DVC stages: the list is the closure of the imports, and DVC acts on it."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import shutil
from collections.abc import Iterator
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
import yaml
from dvc_project import Project

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
def project(tmp_path_factory) -> Project:
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
    for name in (
        "pretrain",
        "encoder",
        *(f"{kind}/{task}" for kind in ("tasks", "exports") for task in params["tasks"]),
    ):
        place = folder / f"data/selection/{name}.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text("{}")
    from dvc.repo import Repo

    Repo.init(str(folder), no_scm=True).close()
    project = Project(folder)
    project.commit()
    return project


def stale(project: Project) -> set[str]:
    """Return the stages that DVC would run, without the part of a name behind ``@``."""
    return {name.partition("@")[0] for name in project.stale()}


@contextlib.contextmanager
def altered(project: Project, *patterns: str, text: str = "\n# changed\n") -> Iterator[None]:
    """Append a text to the files of the project that match the patterns, and remove it after the block."""
    before = {path: path.read_bytes() for pattern in patterns for path in project.folder.glob(pattern)}
    assert len(before) >= len(patterns)
    for path, content in before.items():
        path.write_bytes(content + text.encode())
    try:
        yield
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def test_pages_and_readme_files_run_no_stage(project):
    """A changed report runs no stage, because pretraining takes hours. Without a change, no stage is stale either."""
    with altered(project, "ecgssl/report/build.py", "ecgssl/preprocessing/README.md"):
        assert stale(project) == set()


def test_changed_code_runs_the_stages_that_import_it(project):
    with altered(project, "ecgssl/finetuning/losses.py"):
        found = stale(project)
    assert "finetune" in found
    assert found.isdisjoint({"pretrain", "preprocess", "cohort"})
    with altered(project, "ecgssl/model/fda.py"):
        found = stale(project)
    assert "pretrain" in found
    assert found.isdisjoint({"preprocess", "cohort"})


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data/processed/*/file", {"select"}),
        ("data/selection/tasks/*.json", {"finetune"}),
    ],
)
def test_pretraining_depends_on_the_selection_and_not_on_the_stores(project, pattern, expected):
    with altered(project, pattern):
        found = stale(project)
    assert found & {"select", "pretrain", "finetune"} == expected | (found & {"select"})
