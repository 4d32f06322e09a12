"""Library that runs a bundle: choice, number of threads, and the torch module of a bundle that onnxruntime runs."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ecgssl
from ecgssl.errors import InputError
from ecgssl.export import engine as engines
from ecgssl.export.bundle import load_bundle
from ecgssl.export.engine import choose_engine, thread_count


@pytest.fixture
def path(exported) -> Path:
    return exported.path


@pytest.fixture
def recordings() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(0, 0.3, (3, 12, 1000)).astype(np.float32), generator.random((3, 12)) < 0.8


@pytest.mark.parametrize(
    ("device", "gpu", "graph", "absent", "expected"),
    [
        ("cpu", True, True, (), "onnxruntime"),
        ("auto", False, True, (), "onnxruntime"),
        ("auto", True, True, (), "torch"),
        ("cuda", False, True, (), "torch"),
        ("cpu", False, False, (), "torch"),
        ("cpu", False, True, ("onnxruntime",), "torch"),
        ("auto", True, True, ("torch",), "onnxruntime"),
        ("cuda", True, False, ("torch",), "onnxruntime"),
    ],
)
def test_choice_for_auto(monkeypatch, tmp_path, device, gpu, graph, absent, expected):
    monkeypatch.setattr(engines, "installed", lambda name: name not in absent)
    monkeypatch.setattr(engines, "_has_gpu", lambda: gpu)
    file = tmp_path / "classifier.onnx"
    if graph:
        file.touch()
    assert choose_engine("auto", device, file) == expected
    assert [choose_engine(given, device, file) for given in ("torch", "onnxruntime")] == ["torch", "onnxruntime"]


def test_a_cpu_loads_onnxruntime_and_a_missing_graph_loads_torch(path, tmp_path):
    assert (load_bundle(path).device, load_bundle(path, "torch").device) == ("onnxruntime", "cpu")
    without = shutil.copytree(path, tmp_path / "bundle")
    for file in without.glob("*.onnx"):
        file.unlink()
    sums = without / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if ".onnx" not in line))
    assert load_bundle(without).device == "cpu"
    with pytest.raises(InputError, match=r"classifier\.onnx: file: is missing"):
        load_bundle(without, "onnxruntime")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has a GPU")
def test_without_a_gpu_cuda_is_an_error_and_auto_is_the_cpu(path):
    assert load_bundle(path, device="auto").device == "onnxruntime"
    with pytest.raises(InputError, match="device: cuda: is not available"):
        load_bundle(path, device="cuda")


def test_the_torch_model_is_loaded_on_first_use_and_gives_the_same_logits(path, recordings):
    bundle, other = load_bundle(path), load_bundle(path, "torch")
    assert "model" not in vars(bundle)
    assert bundle.model is bundle.model
    expected = other.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in bundle.model.state_dict().items())
    for name, values in bundle.graph.run(*recordings).items():
        np.testing.assert_allclose(values, other.graph.run(*recordings)[name], atol=1e-4)


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_a_loaded_model_is_pickled_and_copied(path, recordings, engine):
    model = ecgssl.load(path, engine=engine)
    expected = model.bundle.graph.run(*recordings)["logits"]
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert (again.version, again.bundle.device) == (model.version, model.bundle.device)
        np.testing.assert_array_equal(again.bundle.graph.run(*recordings)["logits"], expected)


def test_files_that_changed_after_loading_are_refused(path, encoder_bundle, tmp_path):
    folder = shutil.copytree(path, tmp_path / "bundle")
    model = ecgssl.load(folder)
    data = pickle.dumps(model)
    shutil.rmtree(folder)
    shutil.copytree(encoder_bundle, folder)
    with pytest.raises(InputError, match=r"bundle: is version .*, but .* was loaded before"):
        pickle.loads(data)
    with pytest.raises(InputError, match=r"bundle: is version .*, but .* was loaded before"):
        _ = model.bundle.model


def test_threads_are_those_of_torch(path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        session = load_bundle(path).graph._session
        assert session.get_session_options().intra_op_num_threads == thread_count() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("asked", "expected"), [("3", "3"), ("2,4", "2"), ("0", None), ("x", None), (None, None)])
def test_threads_without_torch_are_those_of_the_environment(asked, expected):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {} if asked is None else {"OMP_NUM_THREADS": asked}
    code = "import sys; from ecgssl.export.engine import thread_count; print(thread_count(), 'torch' in sys.modules)"
    if expected is None and hasattr(os, "sched_getaffinity"):
        # a process that is limited to one core has one thread, unless the machine has only one core
        code = "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])\n" + code
        expected = "1" if (os.cpu_count() or 1) > 1 else "0"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected or "0", "False"]
