"""Generator of docs/commands.md from the typer commands: ``python docs/command_reference.py``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from ecgssl.cli import app

OUTPUT = Path(__file__).with_name("commands.md")
HEAD = """# Commands

All commands and options, generated from `ecgssl/cli` by `python docs/command_reference.py`.
`ecgssl COMMAND --help` prints the same text. Required options and arguments are marked in the column *default*.
"""
TAIL = """
## Exit codes

| code | meaning |
|--:|---|
| 0 | done |
| 1 | a bug |
| 2 | invalid input or usage; no result is written |
| 3 | done, but some recordings were rejected |
| 4 | stopped on request; the state is saved |
| 5 | training diverged; nothing is published |
"""


def commands(group: Any, prefix: str = "ecgssl") -> Iterator[tuple[str, Any]]:
    """Yield the full name and the click command of each visible command, in alphabetical order."""
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


_VALUES = {
    "str": "text",
    "int": "integer",
    "int range": "integer",
    "float": "number",
    "float range": "number",
    "Path": "path",
}


def value_text(parameter: Any, context: Any) -> str:
    """Return the values that an option or argument takes, or an empty text for a switch."""
    shown = parameter.display_type(context).strip("<>")
    several = re.fullmatch(r"list\[(.+)\]", shown)
    shown = several[1] if several else shown
    if shown == "bool":
        return ""
    if "," in shown:
        return f"{len(shown.split(','))} numbers"
    if "|" in shown:
        return " \\| ".join(f"`{choice}`" for choice in shown.split("|"))
    return _VALUES.get(shown, shown) + (", several" if several else "")


def default_text(parameter: Any) -> str:
    """Return the default of an option or argument."""
    if parameter.required:
        return "required"
    default = parameter.default
    if default in (None, [], (), "") or callable(default) or "UNSET" in repr(default):
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple | list):
        return "`" + " ".join(map(str, default)) + "`"
    return f"`{getattr(default, 'value', default)}`"


def row(parameter: Any, context: Any) -> str:
    """Return the table row of an option or argument."""
    if parameter.param_type_name == "argument":
        name = f"`{parameter.name.upper()}`"
    else:
        name = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    text = " ".join((getattr(parameter, "help", None) or "").split()).replace("|", "\\|")
    return f"| {name} | {value_text(parameter, context)} | {default_text(parameter)} | {text} |"


def section(name: str, command: Any) -> list[str]:
    """Return the section of a command: description, example and table of options."""
    text, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
    lines = [
        "",
        f"## {name}",
        "",
        re.sub(r"[ \t]*\n(?!\n)", " ", text.replace("\n\n", "\0")).replace("\0", "\n\n").strip(),
    ]
    if example:
        lines += ["", "    " + " ".join(example.split())]
    context = command.make_context(name, [], resilient_parsing=True)
    rows = [row(p, context) for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    if rows:
        lines += ["", "| option | value | default | meaning |", "|---|---|---|---|", *rows]
    return lines


def reference() -> str:
    """Return the text of docs/commands.md."""
    lines = [HEAD.rstrip()]
    for name, command in commands(get_command(app)):
        lines += section(name, command)
    return "\n".join(lines) + "\n" + TAIL


if __name__ == "__main__":
    OUTPUT.write_text(reference(), encoding="utf-8")
    print(f"wrote {OUTPUT}")
