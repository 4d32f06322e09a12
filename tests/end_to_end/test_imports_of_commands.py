"""Commands and functions that need no torch do not import it, because its import takes seconds.

The commands run in the order of the list in one process, and each reports whether torch has been imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from typer.main import get_command

from ecgssl.cli import app

REPOSITORY = Path(__file__).parents[2]
OLD = REPOSITORY / "tests/data/0.1.0"
MODEL = "ptbxl-superclass"
NO_TRACKING = ("--set", "tracking.backend=none")
COMMANDS: dict[str, list[list[object]]] = {
    "profile": [["list"], ["use", "quickstart"]],
    "simulate": [["--out", "demo", "--patients", 6]],
    "inspect": [["demo"]],
    "check": [["demo/manifest.csv", "--out", "check.html"]],
    "draw": [["demo/records/000/syn-00000-1.hea", "--out", "drawing.png"]],
    "preprocess": [["--manifest", "demo/manifest.csv", "--out", "store", "--workers", 1, *NO_TRACKING]],
    "fingerprint": [[]],
    "predict": [["demo", "--bundle", MODEL, "--out", "scores.csv"]],
    "embed": [["demo", "--bundle", MODEL, "--out", "embeddings.csv"]],
    "monitor": [["scores.csv", "scores.csv", "--bundle", MODEL, "--out", "drift.html"]],
    "overlap": [["store", "ptbxl-tiny"]],
    "encoders": [[], [MODEL]],
    "leaderboard": [[REPOSITORY / "metrics/leaderboard.json", "--out", "board"]],
    "evaluate": [[OLD / "run/classifier/predictions.csv", "--out", "evaluation.json"]],
    "results": [[]],
    "download": [["no-such-set", "--root", "raw"]],
}
"""Arguments of each command that needs no torch, in an order in which earlier commands write the inputs of later ones."""
NEED_TORCH = {"doctor", "export", "finetune", "pretrain", "recalibrate", "report", "serve", "sign"}
"""Commands that run or verify a torch model, or list the GPUs that torch sees; their help needs no torch."""
FAIL = {"monitor": "a batch needs 50", "results": "Run 'make repro' first", "download": "no-such-set"}
"""Text in the error of each command that fails here. It fails after its imports."""

CODE = """
import contextlib, io, json, sys
from ecgssl.cli import main
for line in json.loads(sys.argv[1]):
    sys.argv = ["ecgssl", *line]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    print(json.dumps([line, code, "torch" in sys.modules, output.getvalue()]))
"""


def run(folder: Path, lines: list[list[object]]) -> list[tuple[list[str], int, bool, str]]:
    """Run command lines in a new process. Return each with its exit code, whether torch is imported, and its output."""
    given = json.dumps([list(map(str, line)) for line in lines])
    done = subprocess.run([sys.executable, "-c", CODE, given], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_lists_have_all_commands():
    assert COMMANDS.keys() | NEED_TORCH == set(cast(Any, get_command(app)).commands)
    assert not COMMANDS.keys() & NEED_TORCH


def test_commands_do_not_import_torch(tmp_path):
    lines = [[command, *arguments] for command, several in COMMANDS.items() for arguments in several]
    helps = [[], ["--help"], ["--version"], *([command, "--help"] for command in sorted(NEED_TORCH))]
    for line, code, imported, output in run(tmp_path, [*helps, *lines]):
        assert not imported, line
        if line and line[0] in FAIL:
            assert code != 0
            assert FAIL[line[0]] in output, line
        elif line:
            # 3: finished with findings
            assert code in (0, 3), (line, output)


@pytest.mark.parametrize(
    ("unused", "code"),
    [
        # pandas and scipy are used by the first recording or table
        ("torch pandas pyarrow sklearn scipy.fft scipy.special matplotlib yaml", f"ecgssl.load({MODEL!r})"),
        (
            "torch pandas neurokit2 sklearn scipy.stats matplotlib",
            f"ecgssl.load({MODEL!r}).predict(ecg, 250, ecgssl.LEADS)",
        ),
        ("torch onnxruntime pandas scipy.fft", "ecgssl.SignalSpec()"),
    ],
)
def test_functions_import_only_what_they_use(tmp_path, unused, code):
    script = "import sys, ecgssl, numpy as np\necg = np.random.default_rng(0).normal(0, 0.1, (12, 2500))\n"
    script += f"{code}\nprint([name for name in {unused.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
