"""Rules of the repository: import order, lazy imports, safe loading, profiles, and stage graph."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from ecgssl.cli import app
from ecgssl.config import load_params

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "ecgssl"
LAYERS = (
    ("extras", "version"),
    ("errors",),
    ("output_lock",),
    ("files", "csv_cells", "params_base", "pool", "progress"),
    ("checked_json",),
    ("tensor_header",),
    ("encoders",),
    ("html",),
    ("signal",),
    ("config",),
    ("tracking",),
    ("io",),
    ("datasets",),
    ("store",),
    ("leakage",),
    ("preprocessing",),
    ("model",),
    ("training",),
    ("evaluation",),
    ("inspection",),
    ("probes",),
    ("pretraining",),
    ("finetuning",),
    ("report",),
    ("export",),
    ("scoring",),
    ("monitoring",),
    ("registry",),
    ("stages",),
    ("serving",),
    ("installation",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
"""Packages and top-level modules, lowest first; each may import itself and its predecessors (CONTRIBUTING.md)."""
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(REPOSITORY / "pipelines").rglob("*.py")])
PROFILES = sorted((REPOSITORY / "ecgssl/profiles").glob("*.yaml"))
HEAVY = ("torch", "neurokit2", "mlflow", "sklearn", "pandas", "scipy", "matplotlib", "wfdb", "onnx", "joblib")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and full name of everything that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_imports_point_one_way():
    """Every package and every top-level module has a layer, and imports only from its own layer and those below it."""
    height = {name: number for number, names in enumerate(LAYERS) for name in names}
    found = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {path.stem for path in PACKAGE.glob("*.py")}
    assert found == set(height)
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        home = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for number, name in imported(path):
            parts = name.split(".")
            if parts[0] != "ecgssl":
                continue
            other = parts[1] if len(parts) > 1 and parts[1] in height else "__init__"
            if other != home and height[other] >= height[home]:
                wrong.append(f"{path.relative_to(REPOSITORY)}:{number}: {name}")
    assert wrong == []


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("mlflow", ["tracking/runs.py", "registry/mlflow_registry.py", "registry/mlflow_model.py"]),
        ("neurokit2", ["signal/quality.py"]),
    ],
)
def test_one_home_for_a_library(library, homes):
    users = {path for path in SOURCES if any(name.split(".")[0] == library for _, name in imported(path))}
    assert users == {PACKAGE / home for home in homes}


def test_nothing_is_unpickled_or_evaluated():
    """Every ``torch.load`` and ``numpy.load`` disables pickles, and no other function that can run code is called."""
    wrong, loads = [], 0
    for path in SOURCES:
        where = path.relative_to(REPOSITORY)
        for _, name in imported(path):
            if name.startswith("pickle.") or name.split(".")[0] in ("dill", "cloudpickle", "shelve", "marshal"):
                wrong.append(f"{where}: imports {name}")
        for node in ast.walk(ast.parse(path.read_text())):
            # torch.load raises pickle.UnpicklingError on a damaged file, even with weights_only
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("pickle."):
                if node.attr == "UnpicklingError":
                    continue
                wrong.append(f"{where}:{node.lineno}: {ast.unparse(node)}")
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called in ("eval", "exec", "compile", "yaml.load", "joblib.load", "pd.read_pickle", "os.system"):
                wrong.append(f"{where}:{node.lineno}: {called}")
            if given.get("shell") == "True" or given.get("allow_pickle") == "True":
                wrong.append(f"{where}:{node.lineno}: {called}")
            needed = {"torch.load": ("weights_only", "True"), "np.load": ("allow_pickle", "False")}.get(called)
            if needed:
                loads += 1
                if given.get(needed[0]) != needed[1]:
                    wrong.append(f"{where}:{node.lineno}: {called} without {needed[0]}={needed[1]}")
    assert wrong == []
    assert loads >= 3


@pytest.mark.parametrize(
    "code", ["import ecgssl", "import sys; sys.argv = ['ecgssl', '--help']\nfrom ecgssl.cli import main"]
)
def test_import_and_help_load_nothing_heavy(code):
    run = "try:\n    main()\nexcept SystemExit: pass" if "main" in code else ""
    script = f"{code}\n{run}\nimport sys; print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert ("preprocess" in done.stdout) == ("main" in code)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_profiles_parse_and_name_every_section(path):
    params = load_params(path)
    assert list(yaml.safe_load(path.read_text())) == list(type(params).model_fields)


def test_params_of_the_project_can_be_loaded():
    """A user may edit ``params.yaml`` or replace it with ``ecgssl profile use``; every valid file passes."""
    assert load_params(REPOSITORY / "params.yaml").tasks


def verbs() -> list:
    found = []
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        found += command.commands.values() if hasattr(command, "commands") else [command]
    return found


@pytest.mark.parametrize("verb", [v for v in verbs() if v.params], ids=lambda verb: verb.name)
def test_help_has_an_example_that_parses(verb):
    """All options in the example are options of the command, and all required options are present."""
    text = " ".join((verb.help or "").split())
    _, found, example = text.partition("Example: ecgssl ")
    if verb.name == "fingerprint":
        assert "DVC" in text, "called by make only"
        return
    assert found, f"{verb.name} has no example"
    words = example.split()
    words = words[words.index(verb.name) + 1 :]
    context = verb.make_context(verb.name, words, resilient_parsing=False)
    assert context.params


STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]


def outputs(stage: dict) -> list[str]:
    entries = [*stage.get("outs", []), *stage.get("metrics", [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


@pytest.mark.parametrize("name", STAGES)
def test_stages_depend_on_what_there_is(name):
    """Every dependency and parameter is a file of the repository or an output of an earlier stage."""
    params = yaml.safe_load((REPOSITORY / "ecgssl/profiles/quickstart.yaml").read_text())
    task, name_of_set = next(iter(params["tasks"])), next(iter(params["sets"]))
    earlier = list(STAGES)[: list(STAGES).index(name)]
    made = [
        Path(out.replace("/${key}", "").replace("/${item.set}", ""))
        for stage in earlier
        for out in outputs(STAGES[stage])
    ]
    for dep in (Path(dep.partition("/${")[0]) for dep in STAGES[name]["deps"]):
        inside = any(dep in out.parents or out in dep.parents for out in made)
        assert dep in made or inside or (REPOSITORY / dep).exists(), dep
    script = STAGES[name]["cmd"].split()[1]
    assert script in STAGES[name]["deps"]
    for key in STAGES[name]["params"]:
        place = params
        for name_in_key, value in (("item.task", task), ("export.task", task), ("item.set", name_of_set)):
            key = key.replace(f"${{{name_in_key}}}", value)
        for part in key.split("."):
            assert part in place, key
            place = place[part]


def test_outputs_of_stages_are_distinct():
    everything = [out for stage in STAGES.values() for out in outputs(stage)]
    assert len(everything) == len(set(everything))
