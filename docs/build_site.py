"""Build of the documentation site: ``python docs/build_site.py`` (``make docs``) writes ``build/site``.

The Markdown files of the repository are the pages. They are copied to ``build/pages`` with the layout of the repository, so
that links between them lead to the same files on the site as in a clone. ``mkdocs.yml`` has the navigation. Warnings, links
without a target and anchors without a heading are errors. The build needs no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build/pages"
SITE = ROOT / "build/site"
SOURCES = (
    "*.md",
    "docs/*.md",
    "docs/*.png",
    "docs/*.css",
    "docs/tutorials/*",
    "benchmarks/README.md",
    "data/README.md",
    "examples/*/README.md",
)


def sources() -> Iterator[Path]:
    """Yield the files of the site, relative to the repository."""
    for pattern in SOURCES:
        yield from (path.relative_to(ROOT) for path in sorted(ROOT.glob(pattern)) if path.is_file())


def copy_pages(pages: Path) -> None:
    """Copy the files of the site to a folder, which is replaced."""
    shutil.rmtree(pages, ignore_errors=True)
    for path in sources():
        (pages / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, pages / path)


def render(pages: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Make the HTML files of the pages in a folder, which is replaced.

    Returns:
        The finished process of mkdocs. Its exit code is not 0 after a warning; the warnings are in ``stderr``.
    """
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--site-dir", str(site)]
    environment = {**os.environ, "ECGSSL_DOCS_PAGES": str(pages), "NO_MKDOCS_2_WARNING": "true"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def main() -> int:
    """Build the site and print what is wrong, or the number of pages. Return the exit code."""
    copy_pages(PAGES)
    done = render(PAGES, SITE)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
    else:
        print(f"wrote {len(list(SITE.rglob('*.html')))} pages to {SITE.relative_to(ROOT)}/index.html")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
