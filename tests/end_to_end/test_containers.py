"""Container recipes: their files exist and are in the build context, their command is valid, and the user is not root."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from test_documents import command_problem

REPOSITORY = Path(__file__).parents[2]
RECIPES = sorted((REPOSITORY / "containers").glob("Dockerfile.*"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe(recipe):
    text = recipe.read_text().replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    kept = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [name for step, rest in steps if step == "COPY" and "--from" not in rest for name in rest.split()[:-1]]
    assert {"pyproject.toml", "ecgssl", "LICENSE"} <= set(copied), "pip needs them"
    for name in copied:
        assert (REPOSITORY / name).exists(), name
        assert any(fnmatch(name.split("/")[0], pattern) for pattern in kept), f"{name} is not in the build context"
    final = [rest for step, rest in steps if step == "USER"]
    assert final == ["10001"]
    (command,) = (json.loads(rest) for step, rest in steps if step == "CMD")
    assert json.loads(next(rest for step, rest in steps if step == "ENTRYPOINT")) == ["ecgssl"]
    assert command_problem(" ".join(command)) is None


def test_the_images_use_the_python_of_the_lock_files():
    """``constraints.txt`` and ``locks`` hold versions for this Python."""
    wanted = re.search(r"--python-version (\S+)", (REPOSITORY / "locks/update.sh").read_text())[1]
    for recipe in RECIPES:
        images = re.findall(r"^FROM (\S+)", recipe.read_text(), re.MULTILINE)
        assert {image.split("-")[0] for image in images} == {f"python:{wanted}"}, recipe.name
