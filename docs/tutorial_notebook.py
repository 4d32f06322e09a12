"""Notebook of a tutorial: ``python docs/tutorial_notebook.py`` writes ``docs/tutorials/2-embed-and-classify.ipynb``.

The notebook has the text, the code and the outputs of the page. ``docs/run_tutorials.py`` writes the outputs of a run into the
page, and a test compares them with a run, so the notebook is not run separately.
"""

from __future__ import annotations

import doctest
import json
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("tutorials") / "2-embed-and-classify.md"
BLOCK: re.Pattern[str] = runpy.run_path(str(Path(__file__).with_name("run_tutorials.py")))["BLOCK"]


def notebook(page: Path) -> dict[str, Any]:
    """Return the notebook of a tutorial in the format nbformat 4.5."""
    cells: list[dict[str, Any]] = []
    for kind, text in _parts(page.read_text(encoding="utf-8")):
        if kind == "markdown":
            cells.append({"cell_type": "markdown", "metadata": {}, "source": _lines(text)})
            continue
        cells += (_code_cell(source, output) for source, output in (_commands if kind == "console" else _python)(text))
    count = 0
    for place, cell in enumerate(cells, 1):
        cell["id"] = f"cell-{place:02d}"
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            for output in cell["outputs"]:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def as_json(content: dict[str, Any]) -> str:
    """Return the text of a notebook file."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind (``markdown``, ``console`` or ``pycon``) and content of the parts of a page."""
    place = 0
    for block in BLOCK.finditer(text):
        yield "markdown", text[place : block.start()].strip()
        yield block[1], block[2]
        place = block.end()
    yield "markdown", text[place:].strip()


def _commands(block: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a block, with the mark of a notebook for commands, and its output."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n", part)
        assert command is not None
        yield "!" + command[0].rstrip("\n"), part[command.end() :]


def _python(block: str) -> Iterator[tuple[str, str]]:
    """Yield the code of each cell and its output. A cell ends after a statement with output, or with the block."""
    sources = ""
    for example in doctest.DocTestParser().get_examples(block):
        sources += example.source
        if example.want:
            yield sources.rstrip("\n"), example.want
            sources = ""
    if sources:
        yield sources.rstrip("\n"), ""


def _code_cell(source: str, output: str) -> dict[str, Any]:
    outputs: list[dict[str, Any]] = []
    if output and (source.startswith("!") or source.splitlines()[-1].startswith("print(")):
        outputs = [{"output_type": "stream", "name": "stdout", "text": _lines(output)}]
    elif output:
        data = {"text/plain": _lines(output.rstrip("\n"))}
        outputs = [{"output_type": "execute_result", "data": data, "metadata": {}}]
    return {"cell_type": "code", "metadata": {}, "source": _lines(source), "outputs": outputs}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Write the notebook next to its page."""
    path = PAGE.with_suffix(".ipynb")
    path.write_text(as_json(notebook(PAGE)), encoding="utf-8")
    print(f"wrote {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
