"""Run commands in a process that cannot import some libraries, as if they were not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

_CODE = """
import contextlib, io, json, sys, traceback

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from ecgssl.cli import main
done = {{}}
for command, arguments in json.loads({commands!r}).items():
    sys.argv = ["ecgssl", command, *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            code = traceback.format_exc()
    done[command] = code, out.getvalue(), err.getvalue()
print(json.dumps(done))
"""


def run_without(
    libraries: Iterable[str], folder: Path, commands: Mapping[str, list[str]]
) -> dict[str, tuple[object, str, str]]:
    """Run commands of ecgssl in one process and return exit code (or traceback), output and errors of each.

    Args:
        libraries: import names of the libraries that cannot be imported.
        folder: working directory.
        commands: arguments by command.
    """
    code = _CODE.format(blocked=set(libraries), commands=json.dumps(commands))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
