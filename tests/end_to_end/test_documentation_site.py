"""Documentation site: the build finds broken links, every page is in the navigation, and generated pages are current."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SITE = runpy.run_path(str(REPOSITORY / "docs/build_site.py"))


@pytest.mark.parametrize("script", ["command_reference", "api_reference"])
def test_generated_pages_are_current(script):
    made = runpy.run_path(str(REPOSITORY / f"docs/{script}.py"))
    assert made["OUTPUT"].read_text(encoding="utf-8") == made["reference"](), f"run: python docs/{script}.py"


def test_the_reference_has_every_command():
    text = (REPOSITORY / "docs/commands.md").read_text(encoding="utf-8")
    files = {path.stem for path in (REPOSITORY / "ecgssl/cli").glob("*.py")}
    for name in ("check", "doctor", "predict", "pretrain", "finetune", "export", "profile use"):
        assert name.partition(" ")[0] in files
        assert f"\n## ecgssl {name}\n" in text
    row = next(line for line in text.splitlines() if line.startswith("| `--windows`"))
    assert row.startswith("| `--windows` | `contract` \\| `mean` \\| `max` | `contract` | Long recordings: ")


def test_every_page_is_in_the_navigation_once():
    listed = re.findall(r"(?:- |: )(\S+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = {path.as_posix() for path in SITE["sources"]() if path.suffix == ".md"}
    assert sorted(listed) == sorted(pages)


def test_the_build_fails_for_a_broken_link_and_a_broken_anchor(tmp_path):
    """``make docs`` builds the site itself."""
    pages = tmp_path / "pages"
    SITE["copy_pages"](pages)
    with (pages / "docs/formats.md").open("a", encoding="utf-8") as file:
        file.write("\n[one](no-such-page.md) [two](data.md#no-such-heading) [three](data.md#download)\n")
    done = SITE["render"](pages, tmp_path / "site")
    assert done.returncode != 0
    warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 2, done.stderr
    assert "no-such-page.md" in done.stderr
    assert "no-such-heading" in done.stderr
