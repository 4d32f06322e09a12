"""The documents agree with the code: files, modules, links, commands and options that they mention exist."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from ecgssl.cli import app

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CODE_OF_CONDUCT.md",
        "docs/*.md",
        "docs/tutorials/*.md",
        "benchmarks/README.md",
        "data/README.md",
        "examples/*/README.md",
    )
    for path in REPOSITORY.glob(pattern)
)
CODE = re.compile(r"^```[^\n]*\n(.*?)^```|((?:^ {4,}\S[^\n]*\n)+)|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?<![\w./-])(?:ecgssl|tests|benchmarks|pipelines|examples|docs)/[\w./*-]*")
MODULE = re.compile(r"(?<![\w./-])ecgssl(?:\.[A-Za-z_]\w*)+")
COMMAND = re.compile(r"(?<![\w./-])ecgssl +([a-z][^|;>\n]*)")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def code_of(text: str) -> Iterator[str]:
    """Yield code spans and code blocks of a Markdown text, with continued lines joined and comments removed."""
    for parts in CODE.findall(text):
        joined = "".join(parts).replace("\\\n", " ")
        yield re.sub(r"\s#\s.*|\s<-\s.*", "", joined)


def command_problem(arguments: str) -> str | None:
    """Return what is wrong with the arguments of an ``ecgssl`` command, or None."""
    command = typer.main.get_command(app)
    try:
        words = shlex.split(arguments)
    except ValueError:  # a quotation mark that the expression cut off
        words = arguments.split()
    while hasattr(command, "commands") and words:  # typer may bring a copy of click
        name = words.pop(0)
        if name not in command.commands:
            return f"no command {name!r}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    wrong = [word for word in words if word.startswith("--") and word.split("=")[0] not in {*known, "--help"}]
    return f"no option {', '.join(wrong)}" if wrong else None


def module_exists(name: str) -> bool:
    """Return whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


def headings(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a Markdown file."""
    lines = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.strip().lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
class TestDocument:
    """One document at a time."""

    def test_files_and_folders_exist(self, document):
        code = "\n".join(code_of(document.read_text(encoding="utf-8")))
        names = {name.rstrip("./") for name in FILE.findall(code)}
        missing = [name for name in sorted(names) if not list(REPOSITORY.glob(name))]
        assert not missing, f"{document.name} mentions files that do not exist: {missing}"

    def test_modules_exist(self, document):
        code = "\n".join(code_of(document.read_text(encoding="utf-8")))
        missing = [name for name in sorted(set(MODULE.findall(code))) if not module_exists(name)]
        assert not missing, f"{document.name} mentions modules that do not exist: {missing}"

    def test_commands_have_the_options(self, document):
        code = "\n".join(code_of(document.read_text(encoding="utf-8")))
        problems = [f"ecgssl {line}: {problem}" for line in COMMAND.findall(code) if (problem := command_problem(line))]
        assert not problems, f"{document.name}: " + "; ".join(problems)

    def test_links_lead_somewhere(self, document):
        broken = []
        for target, anchor in LINK.findall(document.read_text(encoding="utf-8")):
            path = document.parent / target if target else document
            if not path.exists() or (anchor and path.suffix == ".md" and anchor not in headings(path)):
                broken.append(f"{target}#{anchor}" if anchor else target)
        assert not broken, f"{document.name} has broken links: {broken}"


def test_a_wrong_option_and_a_wrong_command_are_found():
    assert command_problem("check cohort.csv --out check.html") is None
    assert command_problem("profile use ptbxl --root X") is None
    assert command_problem("check cohort.csv --folds 5") == "no option --folds"
    assert command_problem("train --store X") == "no command 'train'"


def test_a_missing_module_is_found():
    assert module_exists("ecgssl.load")
    assert module_exists("ecgssl.model.core_ecg")
    assert not module_exists("ecgssl.no_such_package.module")
