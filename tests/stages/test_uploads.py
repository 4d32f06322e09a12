"""MLflow and git receive no patient hashes, and no codes and waveforms of recordings that may not be shared."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from ecgssl.config import Params
from ecgssl.leakage.identities import Identities
from ecgssl.signal.leads import LEADS
from ecgssl.signal.waveform_hash import CODE_BYTES, waveform_hash
from ecgssl.stages.uploads import upload_encoder, upload_waveforms

REPOSITORY = Path(__file__).parents[2]
OPEN = ["CC BY 4.0", "ODC-By 1.0", "Apache-2.0", "CC BY 4.0 (as released again in the PhysioNet/CinC Challenges)"]
CLOSED = [
    "",
    "PhysioNet Restricted Health Data License 1.5.0: forbids sharing",
    "see the LICENSE file of your copy",
    "CC BY-NC 4.0",
]
HASHES = np.array([0x1122334455667788, 0x99AABBCCDDEEFF00], dtype=np.uint64)


class FakeRun:
    """Record of the uploads: content by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        self.files[f"{folder}/{path.name}" if folder else path.name] = path.read_bytes()


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    waves = np.random.default_rng(0).normal(size=(2, 12, 1000)).cumsum(axis=2).astype(np.float32)
    texts = [waveform_hash(wave, np.ones(12, bool), 100.0, LEADS) for wave in waves]
    return np.frombuffer(bytes.fromhex("".join(texts)), np.uint8).reshape(2, CODE_BYTES)


def encoder(folder: Path, licence: str, codes: np.ndarray) -> Path:
    folder.mkdir()
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_text(name)
    Identities(codes, HASHES, "0123456789abcdef", "set", licence).write(folder)
    assert HASHES.tobytes() in (folder / "recordings.safetensors").read_bytes()
    return folder


@pytest.mark.parametrize("licence", OPEN)
def test_an_open_set_gives_codes_without_patient_hashes(tmp_path, codes, licence):
    run = FakeRun()
    upload_encoder(run, encoder(tmp_path / "pretrained", licence, codes))
    assert set(run.files) == {
        f"pretrained/{name}" for name in ("model.safetensors", "config.json", "recordings.safetensors")
    }
    data = run.files["pretrained/recordings.safetensors"]
    assert codes.tobytes() in data
    assert not [number for number in HASHES if number.tobytes() in data]
    assert b"0123456789abcdef" not in data


@pytest.mark.parametrize("licence", CLOSED)
def test_another_set_gives_neither_codes_nor_hashes(tmp_path, codes, licence):
    run = FakeRun()
    upload_encoder(run, encoder(tmp_path / "pretrained", licence, codes))
    assert set(run.files) == {"pretrained/model.safetensors", "pretrained/config.json"}


@pytest.mark.parametrize(
    ("licence", "asked"), [(licence, asked) for licence in (*OPEN, *CLOSED) for asked in (False, True)]
)
def test_figures_of_waveforms(tmp_path, licence, asked):
    (tmp_path / "gallery.png").write_bytes(b"png")
    params, run = Params(tasks={"t": {"targets": ["AF"]}}, tracking={"upload_waveforms": asked}), FakeRun()
    upload_waveforms(run, [tmp_path / "gallery.png", tmp_path / "absent.png"], licence, params, "plots")
    assert set(run.files) == ({"plots/gallery.png"} if asked or licence in OPEN else set())


def test_git_ignores_what_shows_or_identifies_recordings():
    names = [
        *("plots/preprocess/worst.png", "plots/pretrain/gallery.png", "models/pretrained/recordings.safetensors"),
        *(
            "data/mine/index.parquet",
            "runs/a/plots/gallery.png",
            "mlflow.db",
            "mlartifacts/1/x",
            "check.html",
            "scores.csv",
        ),
    ]
    found = subprocess.run(["git", "-C", REPOSITORY, "check-ignore", *names], capture_output=True, text=True)
    if found.returncode == 128:
        pytest.skip("not a git repository")
    assert found.stdout.split() == names
