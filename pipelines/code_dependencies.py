"""Code dependencies of the DVC stages, generated from the imports of each stage script.

``python pipelines/code_dependencies.py`` rewrites the code entries of ``deps`` in ``dvc.yaml``. A test fails if they are
out of date. The list of a stage is the closure of the imports of its script: imports inside functions count, imports under
``TYPE_CHECKING`` do not. A module path in a string, such as ``"ecgssl.io.wfdb.reader:read_wfdb"``, counts as an import, and
``import_module(name, "ecgssl.datasets.public")`` as imports of all modules of that package.
Tables and templates that a script reads are included. A package is listed as one folder if most of its files are needed,
because DVC reads and writes the whole ``dvc.lock`` after each stage, which takes seconds if it has a thousand entries.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FACADE = "ecgssl"
"""Name of the package. Its lazily importing function ``load`` is ignored, because no stage calls it."""
MOST = 0.75
"""Smallest share of the files of a folder for which the folder is listed instead of its files."""


@cache
def modules() -> dict[str, Path]:
    """Return a dict from the dotted name of each module in the package to its file."""
    found = {}
    for path in sorted((ROOT / FACADE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def closure(script: Path) -> set[Path]:
    """Return the script and all package files that it may run or read, relative to the repository root."""
    reached: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += _imports(path)
    return {path.relative_to(ROOT) for path in reached}


def dependencies(script: Path) -> list[str]:
    """Return the entries for ``deps`` in ``dvc.yaml``: folders of which most files are needed, and single files."""
    files = closure(script)
    entries: set[str] = set()
    for path in files:
        covered = path
        for folder in path.parents:
            if folder.parts[:1] == (FACADE,) and len(folder.parts) > 1 and _needs_most(folder, files):
                covered = folder
        entries.add(covered.as_posix())
    own = script.relative_to(ROOT).as_posix()
    return [own, *sorted(entries - {own})]


def _needs_most(folder: Path, files: set[Path]) -> bool:
    contents = _contents(folder)
    return len(contents & files) >= MOST * len(contents)


@cache
def _contents(folder: Path) -> frozenset[Path]:
    """Return all files that DVC tracks in a folder of the package (README files and caches are in ``.dvcignore``)."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix not in (".pyc", ".md"))
    return frozenset(path.relative_to(ROOT) for path in found)


@cache
def _imports(path: Path) -> frozenset[Path]:
    """Return the modules that a file imports and the data files that it reads."""
    if path.suffix != ".py":
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = path != modules()[FACADE]
    names = {name for node in _nodes(tree, lazy) for name in _names(node)}
    parents = {".".join(name.split(".")[: n + 1]) for name in names for n in range(name.count(".") + 1)}
    found = {modules()[name] for name in parents & modules().keys()}
    found |= {path.with_name(name) for node in ast.walk(tree) for name in _neighbours(node)}
    return frozenset(found.union(*(_data_files(node) for node in ast.walk(tree))))


def _neighbours(node: ast.AST) -> Iterator[str]:
    """Yield the names of files in the folder of a script, from calls ``Path(__file__).with_name("...")``."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "Path(__file__).with_name":
        yield ast.literal_eval(node.args[0])


def _nodes(tree: ast.AST, lazy: bool) -> Iterator[ast.AST]:
    """Yield the syntax nodes of a module, except blocks under ``TYPE_CHECKING``.

    Unless ``lazy`` is set, the bodies of functions are also left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if not lazy and isinstance(node, ast.FunctionDef):
            continue
        yield node
        yield from _nodes(node, lazy)


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{FACADE}."):
        module, colon, _ = node.value.partition(":")
        if colon and module in modules():
            yield module
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and len(node.args) == 2:
        package = f"{ast.literal_eval(node.args[1])}."
        yield from (name for name in modules() if name.startswith(package))


def _data_files(node: ast.AST) -> Iterator[Path]:
    """Yield the tables and templates in a package that a call ``files("...")`` or ``PackageLoader("...")`` refers to."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("files", "PackageLoader") and node.args):
        return
    name = node.args[0]
    if isinstance(name, ast.Constant) and name.value in modules():
        package = modules()[name.value].parent
        yield from (p for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc", ".md"))


def rewritten(text: str) -> str:
    """Return the text of ``dvc.yaml`` with the code entries of each stage's ``deps`` replaced by the generated ones."""
    lines: list[str] = []
    scripts = iter(_scripts(text))
    for line in text.splitlines():
        entry = line.strip().removeprefix("- ")
        if line.startswith("      - ") and entry.startswith(("pipelines/", f"{FACADE}/")):
            continue
        lines.append(line)
        if line == "    deps:":
            lines += [f"      - {dependency}" for dependency in dependencies(ROOT / next(scripts))]
    return "\n".join(lines) + "\n"


def _scripts(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("    cmd: python "):
            yield line.split()[2]


def main() -> None:
    """Update the code dependencies in ``dvc.yaml``."""
    path = ROOT / "dvc.yaml"
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
