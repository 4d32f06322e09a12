"""Every command that writes a file or folder refuses an output that another process uses, and names that process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import contents, ecgssl, refused
from sound_cohort import PROFILE
from wfdb_files import write_record

from ecgssl.signal.leads import LEADS

OWNER = """
import fcntl, json, sys, time
files = [open(name, "w") for name in sys.argv[1:]]
for file in files:
    fcntl.flock(file, fcntl.LOCK_EX)
    json.dump({"process": PROCESS, "host": "ward-3", "since": int(time.time()) - 5}, file)
    file.flush()
print("ready", flush=True)
sys.stdin.readline()
"""
COMMANDS = {
    "check": "check table.csv --out OUT.html",
    "draw": "draw r0.hea --out OUT.png",
    "download": "download ptbxl --root ROOT",
    "embed": "embed --bundle ./bundle r0.hea --out OUT.csv",
    "evaluate predictions": "evaluate predictions.csv --out OUT.json",
    "evaluate run": "evaluate --run ./run --store STORE --out OUT",
    "evaluate manifest": "evaluate --run ./run --manifest table.csv --out OUT",
    "export": "export --model ./run --out OUT",
    "finetune": "finetune --store STORE --encoder ./run --targets AF --out OUT",
    "finetune manifest": "finetune --manifest table.csv --bundle ./bundle --targets AF --out OUT",
    "leaderboard": "leaderboard board.json --out OUT",
    "monitor": "monitor scores.csv --bundle ./bundle --out OUT.html",
    "predict": "predict --bundle ./bundle r0.hea --out OUT.csv",
    "preprocess": "preprocess --manifest table.csv --out OUT",
    "pretrain": "pretrain --store STORE --out ROOT",
    "recalibrate": "recalibrate --run ./run --store STORE --out OUT",
    "report": "report OUT",
    "report elsewhere": "report run --out OUT",
    "report external": "report run --judged OUT",
    "report comparison": "report run run --compare --out OUT.html",
    "simulate": "simulate --out OUT --patients 1",
}
WITHOUT_PARAMS = {"draw", "download", "embed", "predict", "leaderboard", "monitor", "report", "simulate"}
LOCKS = {"download": "ROOT/.ecgssl-download.lock", "pretrain": "ROOT/.pretrained.lock"}


def lock_of(command: str) -> str:
    """Return the lock file of a command: next to the output unless ``LOCKS`` names another."""
    outputs = [f".{word}.lock" for word in COMMANDS[command].split() if word.startswith("OUT")]
    return LOCKS[command] if command in LOCKS else outputs[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder whose outputs are all in use by another process."""
    folder = tmp_path_factory.mktemp("used")
    write_record(folder, "r0", np.zeros((12, 1000), dtype=np.int16), LEADS, rate=100)
    (folder / "table.csv").write_text("record_id,path,patient_id,split,AF\na,r0,p,train,1\n")
    (folder / "ROOT").mkdir()
    locks = sorted({str(folder / lock_of(command)) for command in COMMANDS})
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.replace("PROCESS", "77"), *locks],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    yield folder
    owner.communicate("\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_in_use_is_refused_with_its_owner(
    command: str, place: Path, made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before = contents(place)
    words = [str(made.store) if word == "STORE" else word for word in COMMANDS[command].split()]
    options = [] if words[0] in WITHOUT_PARAMS else ["--params", made.base / "params.yaml"]
    done = ecgssl(*words, *options)
    refused(done, "has been in use by process 77 on ward-3 for", "Wait until it ends, or use another output")
    assert contents(place) == before


def test_every_command_with_an_output_is_tested() -> None:
    # these read only, or replace one small file atomically
    others = {"doctor", "encoders", "fingerprint", "inspect", "overlap", "profile", "results", "serve", "sign"}
    names = {path.stem for path in (PROFILE.parents[2] / "ecgssl/cli").glob("[a-z]*.py")}
    helpers = {"app", "attribution_option", "manifest_options", "scoring_options", "signature_option"}
    assert names - helpers - others == {words.split()[0] for words in COMMANDS.values()}
