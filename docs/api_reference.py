"""Generator of docs/api.md from the docstrings of the public Python interface: ``python docs/api_reference.py``.

The objects are those in ``ecgssl.__all__``. Their source files are parsed, not imported, so torch is not needed.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import ecgssl

OUTPUT = Path(__file__).with_name("api.md")
PACKAGE = Path(ecgssl.__file__).parent
HEAD = """# Python API

All objects that `import ecgssl` provides, generated from the docstrings by `python docs/api_reference.py`.
[python-api.md](python-api.md) introduces them with examples.
"""
HEADINGS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example")
Definition = ast.ClassDef | ast.FunctionDef
Documented = Definition | str
"""A class or function, or the text that follows a constant."""


def find(module: str, name: str) -> Documented | None:
    """Return the definition of an object in a module of the package, or the text of a constant.

    An object that the module imports from another module of the package is found there.
    """
    path = PACKAGE.joinpath(*module.split("."))
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            text = after.value if isinstance(after, ast.Expr) else None
            return str(text.value) if isinstance(text, ast.Constant) else ""
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ecgssl."):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return find(str(node.module).removeprefix("ecgssl."), alias.name)
    return None


def public() -> Iterator[tuple[str, Documented]]:
    """Yield the name and definition of each public object, in the order of ``ecgssl.__all__`` without regard to case."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    here = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for name in sorted(set(ecgssl.__all__) - {"__version__"}, key=str.lower):
        if name in here:
            yield name, here[name]
            continue
        module, _, attribute = ecgssl._LAZY[name].partition(":")
        found = find(module, attribute)
        if found is None:
            raise LookupError(f"{name} is not defined in ecgssl.{module}")
        yield name, found


def signature(name: str, node: Definition) -> str:
    """Return a call with all arguments and their types, on several lines if it is long."""
    function = node
    if isinstance(node, ast.ClassDef):
        methods = {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}
        if "__init__" not in methods:
            fields = [m for m in node.body if isinstance(m, ast.AnnAssign) and isinstance(m.target, ast.Name)]
            return _call(name, [ast.unparse(m) for m in fields if not ast.unparse(m.target).startswith("_")], "")
        function = methods["__init__"]
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    defaults = [None] * (len(given.args) - len(given.defaults)) + list(given.defaults)
    arguments = [_argument(a, d) for a, d in zip(given.args, defaults, strict=True) if a.arg != "self"]
    if given.kwonlyargs:
        arguments += ["*", *(_argument(a, d) for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True))]
    result = (
        "" if isinstance(node, ast.ClassDef) or function.returns is None else f" -> {ast.unparse(function.returns)}"
    )
    return _call(name, arguments, result)


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg + (f": {ast.unparse(argument.annotation)}" if argument.annotation else "")
    return text if default is None else f"{text} = {ast.unparse(default)}"


def _call(name: str, arguments: list[str], result: str) -> str:
    line = f"{name}({', '.join(arguments)}){result}"
    return line if len(line) <= 100 else "\n".join([f"{name}(", *(f"    {a}," for a in arguments), f"){result}"])


def markdown(docstring: str) -> str:
    """Return a docstring in the style of Google as Markdown."""
    text = inspect.cleandoc(docstring).replace("``", "`")
    parts = re.split(rf"^({'|'.join(HEADINGS)}):\n", text, flags=re.MULTILINE)
    lines = [parts[0].strip()]
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        indented = re.match(r"(?:(?: {4}.*)?\n?)*", body)
        assert indented is not None
        inside, after = textwrap.dedent(indented[0]).strip(), body[indented.end() :].strip()
        if heading == "Example":
            inside = f"```pycon\n{inside}\n```"
        elif heading != "Returns":
            entries = re.split(r"\n(?! )", inside)
            inside = "\n".join(f"- {_entry(' '.join(entry.split()))}" for entry in entries)
        else:
            inside = " ".join(inside.split())
        lines += [f"**{heading}**", inside, *([after] if after else [])]
    return "\n\n".join(lines)


def _entry(text: str) -> str:
    """Return an entry of a list of arguments or errors with the name as code."""
    name, colon, rest = text.partition(": ")
    return f"`{name}`: {rest}" if colon and "`" not in name else text


def section(name: str, node: Documented) -> str:
    """Return the section of an object, with the public methods and properties of a class."""
    if isinstance(node, str):
        return f"## ecgssl.{name}\n\n{markdown(node)}\n"
    lines = [f"## ecgssl.{name}", f"```python\n{signature(name, node)}\n```", markdown(ast.get_docstring(node) or "")]
    for method in node.body if isinstance(node, ast.ClassDef) else []:
        if not isinstance(method, ast.FunctionDef) or method.name.startswith("_"):
            continue
        decorators = {ast.unparse(d) for d in method.decorator_list}
        if "overload" in decorators or not ast.get_docstring(method) or any("validator" in d for d in decorators):
            continue
        lines.append(f"### {name}.{method.name}")
        if not decorators & {"property", "cached_property"}:
            lines.append(f"```python\n{signature(method.name, method)}\n```")
        lines.append(markdown(ast.get_docstring(method) or ""))
    return "\n\n".join(lines) + "\n"


def reference() -> str:
    """Return the text of docs/api.md."""
    return "\n".join([HEAD, *(section(name, node) for name, node in public())])


if __name__ == "__main__":
    OUTPUT.write_text(reference(), encoding="utf-8")
    print(f"wrote {OUTPUT}")
