"""Run the tutorials in docs/tutorials: ``python docs/run_tutorials.py`` writes the outputs of a run into them.

Blocks ``console`` hold commands (``$ ecgssl ...``) with their output, blocks ``pycon`` a Python session. Other blocks are not
run. All tutorials run in one folder with a copy of ``examples``, in one process except for other programs than ``ecgssl``. A
command that an earlier tutorial ran is not repeated. Commands of Node.js need a folder ``node_modules`` in ``examples/node`` or
in ``ECGSSL_NODE_MODULES``; without it, they are left out. Figures with the name of a file that a tutorial writes are copied
from the run. A test compares the outputs with the text: decimal numbers may differ by ``TOLERANCE``, p values are not compared,
and ``...`` stands for any text.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

FOLDER = Path(__file__).with_name("tutorials")
EXAMPLES = Path(__file__).parents[1] / "examples"
TOLERANCE = 0.03
"""Largest absolute difference of decimal numbers, which depend on processor and versions of libraries."""
BLOCK = re.compile(r"^```(console|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
P_VALUE = re.compile(r"\bp [\d.]+\d")
"""p values, which are not compared: resampling changes them more than other numbers."""
NUMBER = re.compile(r"[-+]?\d+\.\d+")


def tutorials() -> list[Path]:
    """Return the tutorials in the order in which they are run."""
    return sorted(FOLDER.glob("[0-9]*.md"))


def agrees(expected: str, found: str) -> bool:
    """Return whether two outputs have the same words and numbers within ``TOLERANCE``; ``...`` matches anything."""
    wanted, shown = (P_VALUE.sub("p value", " ".join(text.split())) for text in (expected, found))
    pattern = re.escape(NUMBER.sub("\0", wanted)).replace(re.escape("..."), "(?:.*?)").replace(re.escape("\0"), "\0")
    match = re.fullmatch(pattern.replace("\0", rf"({NUMBER.pattern})"), shown)
    if match is None:
        return False
    pairs = zip(NUMBER.findall(wanted), match.groups(), strict=True)
    return all(abs(float(a) - float(b)) <= TOLERANCE for a, b in pairs)


def command_output(arguments: list[str]) -> str:
    """Run an ``ecgssl`` command in this process and return its standard output.

    Raises:
        RuntimeError: the exit code is neither 0 nor 3 (some recordings were rejected).
    """
    from ecgssl.cli import main

    out, err = io.StringIO(), io.StringIO()
    with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            if ended.code not in (None, 0, 3):
                raise RuntimeError(f"{shlex.join(arguments)}: exit code {ended.code}\n{err.getvalue()}") from None
    return out.getvalue()


def program_output(words: list[str]) -> str:
    """Run another program in the current folder and return its standard output; ``python`` is the running interpreter.

    Raises:
        RuntimeError: the exit code is not 0.
    """
    words = [sys.executable if words[0] == "python" else words[0], *words[1:]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(words)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def node_modules() -> Path | None:
    """Return the folder with the package onnxruntime-node; ``None`` without it or without Node.js."""
    folder = Path(os.environ.get("ECGSSL_NODE_MODULES", EXAMPLES / "node/node_modules"))
    return folder.resolve() if shutil.which("node") and (folder / "onnxruntime-node").is_dir() else None


class Session:
    """Runs of blocks in the current folder. ``left_out`` lists the commands whose program is not installed."""

    def __init__(self) -> None:
        self.done: dict[str, str] = {}
        self.left_out: list[str] = []
        self.names: dict[str, Any] = {}

    def steps(self, text: str) -> Iterator[tuple[str, str, Callable[[], str]]]:
        """Yield input and stated output of each step of a tutorial, and the function that runs the step."""
        self.names = {"__name__": "__main__"}
        for kind, body in BLOCK.findall(text):
            if kind == "pycon":
                for example in doctest.DocTestParser().get_examples(body):
                    yield example.source, example.want, lambda source=example.source: self._python(source)
                continue
            for part in re.split(r"^(?=\$ )", body, flags=re.MULTILINE)[1:]:
                lines = re.match(r"\$ ((?:.*\\\n)*.*\n)", part)
                assert lines is not None
                if lines[1].startswith("node ") and node_modules() is None:
                    self.left_out.append(lines[1])
                    continue
                yield lines[1], part[lines.end() :], lambda line=lines[1]: self._command(line)

    def _command(self, line: str) -> str:
        line = line.replace("\\\n", " ").strip()
        if line not in self.done:
            words = shlex.split(line)
            self.done[line] = command_output(words) if words[0] == "ecgssl" else program_output(words)
        return self.done[line]

    def _python(self, source: str) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            try:
                exec(compile(source, "<tutorial>", "single"), self.names)
            except Exception as error:
                return "Traceback (most recent call last):\n...\n" + "".join(traceback.format_exception_only(error))
        return out.getvalue()


def rewritten(text: str, session: Session) -> str:
    """Return a tutorial with the outputs of this run in place of those that differ."""
    for source, stated, run in session.steps(text):
        found = run()
        if agrees(stated, found):
            continue
        kind, prompt = ("pycon", ">>> ") if f">>> {source.splitlines()[0]}\n" in text else ("console", "$ ")
        lines = source.splitlines() if kind == "pycon" else source.removesuffix("\n").split("\n")
        shown = prompt + "\n".join(
            [lines[0], *((f"... {line}".rstrip() if kind == "pycon" else line) for line in lines[1:])]
        )
        if f"{shown}\n{stated}" not in text:
            raise LookupError(f"{shown!r} with its output is not in the text")
        text = text.replace(f"{shown}\n{stated}", f"{shown}\n{found.rstrip()}\n" if found.strip() else f"{shown}\n", 1)
    return text


@contextlib.contextmanager
def workplace(folder: Path) -> Iterator[None]:
    """Use a folder as current folder, with the examples, a fixed key of patient ids and width of tables.

    Bootstrap intervals depend on the order of the hashes of patients, and so on the key.
    """
    before = Path.cwd()
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("node_modules"))
    if modules := node_modules():
        (folder / "examples/node/node_modules").symlink_to(modules)
    key = folder / "config/ecgssl/patient.key"
    key.parent.mkdir(parents=True)
    key.touch(mode=0o600)
    key.write_text("0123456789abcdef" * 4 + "\n")
    with mock.patch.dict(os.environ, {"XDG_CONFIG_HOME": str(folder / "config"), "COLUMNS": "100", "NO_COLOR": "1"}):
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def figures(text: str) -> list[str]:
    """Return the names of the figures that a tutorial shows."""
    return re.findall(r"!\[[^\]]*\]\(([\w-]+\.png)\)", text)


def main() -> None:
    """Run all tutorials, rewrite the files whose outputs differ, and copy the figures."""
    session = Session()
    with tempfile.TemporaryDirectory() as folder, workplace(Path(folder)):
        for path in tutorials():
            before = path.read_text(encoding="utf-8")
            after = rewritten(before, session)
            if after != before:
                path.write_text(after, encoding="utf-8")
            for name in figures(after):
                shutil.copyfile(name, FOLDER / name)
            print(f"{path.name}: {'rewritten' if after != before else 'unchanged'}", file=sys.stderr)
    for line in session.left_out:
        print(f"not run, because its program is not installed: {line.strip()}", file=sys.stderr)


if __name__ == "__main__":
    main()
