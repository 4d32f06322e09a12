"""Wording of code, documents and pages: phrases that the style rules of CONTRIBUTING.md exclude."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".html", ".js", ".mjs", ".cpp", ".jinja", ".j2", ".toml"}
EXCLUDED = re.compile(
    r"\b(told|tells? of|mends?|mended|anew|whoever|nobody|beside it|in vain|of its own|none was to be had)\b",
    re.IGNORECASE,
)
THIS = Path(__file__).relative_to(REPOSITORY)


def tracked() -> list[Path]:
    """Return the text files under version control, or all of them outside a repository."""
    done = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        names = [Path(line) for line in done.stdout.splitlines()]
    else:
        names = [path.relative_to(REPOSITORY) for path in REPOSITORY.rglob("*") if ".venv" not in path.parts]
    kept = (path for path in names if path.suffix in SUFFIXES and (REPOSITORY / path).is_file())
    return sorted(path for path in kept if path != THIS and path.parts[:2] != ("tests", "data"))


def test_excluded_phrases_do_not_occur():
    found = []
    for path in tracked():
        for number, line in enumerate((REPOSITORY / path).read_text(encoding="utf-8").splitlines(), 1):
            found += [f"{path}:{number}: {match.group()}" for match in EXCLUDED.finditer(line)]
    assert found == []


@pytest.mark.parametrize("text", ["is told of", "Mend the file", "counted anew", "nobody knows", "written beside it"])
def test_the_expression_finds_the_phrases(text):
    assert EXCLUDED.search(text)


def test_every_package_has_a_readme():
    """The README has 5 to 15 lines on contents, input, output and permitted importers."""
    for init in sorted((REPOSITORY / "ecgssl").glob("*/__init__.py")):
        readme = init.with_name("README.md")
        assert readme.is_file(), readme
        lines = [line for line in readme.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert 4 <= len(lines) <= 16, (readme, len(lines))
