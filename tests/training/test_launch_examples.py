"""Commands in ``docs/reproducing.md`` parse: scripts with bash, launches with torchrun, and ecgssl commands."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from torch.distributed.run import parse_args
from typer.main import get_command

from ecgssl.cli import app

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs/reproducing.md").read_text()
BLOCKS = [re.sub(r"(?m)^ +", "", block) for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)]
LAUNCHES = re.findall(r"^(?:srun )?torchrun ([^|]+?)(?: 2>&1.*)?$", "\n".join(BLOCKS).replace("\\\n", ""), re.MULTILINE)
VERBS = [*LAUNCHES, *re.findall(r"`(ecgssl [^`]+)`", TEXT)]


@pytest.mark.parametrize("block", BLOCKS)
def test_bash_reads_it(block):
    done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("launch", LAUNCHES)
def test_torchrun_reads_it(launch):
    options = parse_args(shlex.split(launch.replace('"$SLURM_NNODES"', "2")))
    assert options.nproc_per_node == "8"
    if options.no_python:
        assert options.training_script == "ecgssl"
    else:
        assert (REPOSITORY / options.training_script).is_file()


@pytest.mark.parametrize("words", [v for v in VERBS if "ecgssl " in v])
def test_the_command_line_reads_it(words):
    name, *arguments = shlex.split(words[words.index("ecgssl ") :])[1:]
    verb = get_command(app).commands[name]  # type: ignore[attr-defined]
    assert verb.make_context(name, arguments).params["store"] == [Path("data/mine")]


def test_there_are_examples():
    assert len(BLOCKS) >= 5
    assert len(LAUNCHES) == 5
    assert sum("#SBATCH" in block for block in BLOCKS) == 1
