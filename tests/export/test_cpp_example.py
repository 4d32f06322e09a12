"""The C++ example finds leads by name and gives the scores of onnxruntime in Python for a raw recording.

It needs g++. The scores also need an onnxruntime release: ``ONNXRUNTIME_ROOT`` is its folder with ``include`` and ``lib``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from deploy_models import SPEC, beats

from ecgssl.export.lead_names import LEAD_NAMES, lead_names_dict
from ecgssl.files import write_json
from ecgssl.signal.leads import LEADS, arrange

FOLDER = Path(__file__).parents[2] / "examples/cpp"
ROOT = Path(os.environ.get("ONNXRUNTIME_ROOT", "absent"))
PRINT_INPUTS = """
#include "recording.hpp"
#include <iostream>
int main(int, char** argv) {
  try {
    const Inputs found = read_inputs(argv[1], argv[2]);
    for (size_t i = 0; i < found.leads; ++i) std::cout << found.mask[i] << ' ';
    for (const float value : found.ecg) std::cout << value << ' ';
  } catch (const std::exception& error) {
    std::cerr << error.what();
    return 1;
  }
}
"""
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
with_onnxruntime = pytest.mark.skipif(
    not (ROOT / "include").is_dir(), reason="ONNXRUNTIME_ROOT is not set to a release of onnxruntime"
)
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
SPELLINGS = [
    (LEADS, LEADS),
    (LEADS, [f" {lead.upper()} " for lead in LEADS]),
    (EIGHT, [f"MDC_ECG_LEAD_{lead}" for lead in EIGHT]),
    (("V6", "aVF", "II"), ["ECG lead V6", "avf", "DII"]),
    (("V1", "III", "I"), ["c1", "lead iii", "ekg I"]),
]


def build(source: Path, made: Path, *places: str) -> Path:
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", f"-I{FOLDER}", str(source), *places, "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return made


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def write_csv(path: Path, names, signal: np.ndarray) -> Path:
    np.savetxt(path, signal.T, fmt="%.4f", delimiter=",", header=",".join(names), comments="")
    return path


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Return a program that prints the mask and the rows that the example passes to the graph."""
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "print.cpp").write_text(PRINT_INPUTS)
    return build(folder / "print.cpp", folder / "print")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Return a folder with the two files of a bundle that the example reads besides the graph."""
    folder = tmp_path_factory.mktemp("names")
    write_json(folder / LEAD_NAMES, lead_names_dict(), digits=None)
    write_json(folder / "signal.json", SPEC.model_dump(mode="json"))
    return folder


@pytest.mark.parametrize(("leads", "spelled"), SPELLINGS)
def test_leads_are_found_by_name(reader, names, tmp_path, leads, spelled):
    signal = (beats(4, 100, 1.0)[[LEADS.index(lead) for lead in leads]] / 1000).astype(np.float32)
    done = run(reader, names, write_csv(tmp_path / "r.csv", spelled, signal))
    assert done.returncode == 0, done.stderr
    values = np.array(done.stdout.split(), dtype=float)
    ecg, mask = arrange(signal, leads)
    np.testing.assert_array_equal(values[:12], mask)
    np.testing.assert_allclose(values[12:].reshape(12, -1), ecg, atol=2e-4)


def test_an_inverted_lead_is_turned(reader, names, tmp_path):
    done = run(reader, names, write_csv(tmp_path / "r.csv", ["-aVR", "V1"], np.ones((2, 3))))
    assert done.stdout.split()[12:][3 * 3 : 3 * 4] == ["-1", "-1", "-1"]


@pytest.mark.parametrize(
    ("header", "cells", "message"),
    [
        ("one,II,vx,V1", "1,1,1,1", 'unknown lead names: "one", "vx". Use I,'),
        ("0.1,0.2", "1,1", 'unknown lead names: "0.1", "0.2"'),
        ("", "1", 'unknown lead names: ""'),
        ("I,II,Lead I", "1,1,1", "lead I occurs twice"),
        ("I,II", "1,", "lead II has a value that is not a number"),
        ("I,II", "1,one", "lead II has a value that is not a number"),
        ("I,II", "1,1,1", "line 2 has 3 cells for 2 leads"),
    ],
)
def test_unknown_names_and_values_are_errors(reader, names, tmp_path, header, cells, message):
    (tmp_path / "r.csv").write_text(f"{header}\n{cells}\n")
    done = run(reader, names, tmp_path / "r.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    made = tmp_path_factory.mktemp("score") / "score"
    places = [f"-I{ROOT}/include", f"-L{ROOT}/lib", f"-Wl,-rpath,{ROOT.resolve()}/lib", "-lonnxruntime"]
    return build(FOLDER / "score.cpp", made, *places)


@with_onnxruntime
@pytest.mark.parametrize(("leads", "spelled"), SPELLINGS)
def test_agrees_with_python(exported, program, tmp_path, leads, spelled):
    signal = (beats(4, 500, 12.3) / 1000)[[LEADS.index(lead) for lead in leads]].astype(np.float32)
    done = run(program, exported.path, write_csv(tmp_path / "r.csv", spelled, signal), 500)
    assert done.returncode == 0, done.stderr
    ecg, mask = arrange(signal, leads)
    session = onnxruntime.InferenceSession(exported.path / "classifier.raw-500.onnx")
    (expected,) = session.run(["probability"], {"ecg": ecg[None], "lead_mask": mask[None]})
    np.testing.assert_allclose([float(line) for line in done.stdout.split()], expected[0], atol=1e-4)


@with_onnxruntime
def test_a_recording_that_is_too_short_has_no_score(exported, program, tmp_path):
    done = run(program, exported.path, write_csv(tmp_path / "r.csv", LEADS, np.zeros((12, 1000))), 500)
    assert (done.returncode, done.stdout) == (1, "")
    assert "too short" in done.stderr
