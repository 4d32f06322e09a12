"""Pretraining on a GPU: same results as on the CPU, training in bf16, resumption, compilation and accumulation."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import pytest
import torch

from ecgssl.config import FDAParams
from ecgssl.finetuning.full import finetune_full, predict_logits
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.model.fda import FDA
from ecgssl.pretraining.loop import Stopped, build_model, pretrain
from ecgssl.probes.selection import macro_auroc
from ecgssl.signal.leads import LEADS
from ecgssl.training.batches import load_batch
from ecgssl.training.embed import embed_store

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible")

GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def plain_products():
    """Disable TF32 in fp32 products during the test, so that they agree with the CPU."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def run(store, make_params, tmp_path):
    """Run pretraining on the GPU; keyword arguments are those of ``pretrain``."""

    def call(name="run", options=None, **training):
        given = {"precision": "fp32", "device": "cuda", **training}
        return pretrain(store, make_params(pretrain=given), tmp_path / name, show_progress=False, **(options or {}))

    return call


def assert_close(found, expected, rel) -> None:
    assert [row["step"] for row in found.history] == [row["step"] for row in expected.history]
    for a, b in zip(found.history, expected.history, strict=True):
        for term in ("loss", "reconstruction", "contrastive"):
            assert a[term] == pytest.approx(b[term], rel=rel)


def test_encoder_as_on_the_cpu(store, make_params):
    model = build_model(make_params()).eval().encoder
    rows = np.arange(16)
    batch = load_batch(store, rows, torch.device("cpu"))
    assert not bool(batch.lead_mask.all()), "one recording must lack a lead"
    keep = torch.stack([torch.randperm(120, generator=torch.Generator().manual_seed(i))[:37] for i in range(16)])
    there = load_batch(store, rows, GPU)
    torch.testing.assert_close(there.x.cpu(), batch.x, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        expected, chosen = model.embed(batch.x, batch.lead_mask), model(batch.x, batch.lead_mask, keep)
        other = deepcopy(model).to(GPU)
        torch.testing.assert_close(other.embed(there.x, there.lead_mask).cpu(), expected, rtol=1e-3, atol=1e-4)
        found = other(there.x, there.lead_mask, keep.to(GPU))
    torch.testing.assert_close(found.tokens.cpu()[chosen.valid], chosen.tokens[chosen.valid], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.global_.cpu(), chosen.global_, rtol=1e-3, atol=1e-4)


def test_fda_in_a_run_of_bf16_stays_exact():
    """Protected bins agree to 1e-6, the limb-lead laws hold, and gradients reach the map."""
    fda = FDA(FDAParams(protect_below=2.0), LEADS, 100.0, (0.5, 40.0)).to(GPU)
    generator = torch.Generator(GPU).manual_seed(0)
    x = torch.randn(8, 12, 1000, device=GPU, generator=generator)
    x[:, 2] = x[:, 1] - x[:, 0]
    with torch.autocast("cuda", torch.bfloat16):
        y = fda(x, 0.5, generator)
    assert y.dtype == torch.float32
    before, after = (torch.fft.rfft(v.double()).abs() / 1000 for v in (x, y))
    assert (after - before)[..., :20].abs().max() < 1e-6
    assert (after - before)[..., 30:].abs().max() > 1e-2
    assert (y[:, 2] - (y[:, 1] - y[:, 0])).abs().max() < 1e-4
    y.square().mean().backward()
    assert all(bool(p.grad.isfinite().all()) and bool(p.grad.any()) for p in fda.parameters())


def test_it_learns_in_bf16(run):
    result = run(precision="auto", samples=1024, learning_rate=5e-3, options={"log_every": 64})
    assert (result.precision, result.device, result.skipped_steps) == ("bf16", "cuda", 0)
    assert all(math.isfinite(value) for row in result.history for value in row.values())
    for term in ("loss", "reconstruction", "contrastive"):
        assert result.history[-1][term] < result.history[0][term]
    assert next(result.model.parameters()).device.type == "cpu"


def test_a_stopped_run_resumes(run):
    whole = run("whole", {"log_every": 2})
    with pytest.raises(Stopped):
        run("halves", {"log_every": 2}, max_time=1e-9)
    # atomic additions depend on their order, so results are close rather than bit-identical
    while True:
        try:
            resumed = run("halves", {"log_every": 2}, max_time=1e-9)
            break
        except Stopped:
            pass
    assert_close(resumed, whole, 1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled(run, precision):
    eager = run("eager", {"log_every": 2}, precision=precision)
    compiled = run("compiled", {"log_every": 2}, precision=precision, compile=True)
    # other kernels round differently (fp32 products to TF32), and the contrastive term of four recordings amplifies
    # it
    for found, expected in zip(compiled.history, eager.history, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=0.02)
        assert found["reconstruction"] == pytest.approx(expected["reconstruction"], rel=0.01)
        assert found["contrastive"] == pytest.approx(expected["contrastive"], rel=0.02 if found["step"] == 2 else 0.2)


def test_pieces_make_the_whole_batch(run):
    assert_close(run("pieces", {"log_every": 2}, accumulate=2), run("whole", {"log_every": 2}), 1e-3)


def test_embeddings_and_fine_tuned_logits(store, make_params, tmp_path):
    params = make_params()
    torch.manual_seed(0)
    encoder = Encoder(params.model, params.signal.leads, params.signal.samples)
    rows = np.arange(len(store))
    found = embed_store(encoder, store, rows, show_progress=False)
    batch = load_batch(store, rows, torch.device("cpu"))
    with torch.no_grad():
        expected = encoder.embed(batch.x, batch.lead_mask).numpy()
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.05)

    values = store.index[["AF"]].to_numpy(dtype=np.float64)
    result = finetune_full(
        Classifier(encoder, ["AF"], "multilabel"), store, values, params.finetune.full, 0, macro_auroc, tmp_path, {},
        train=store.rows("train"), val=store.rows("val"), show_progress=False,
    )  # fmt: skip
    here = predict_logits(result.model, store, rows)
    there = predict_logits(deepcopy(result.model).to(GPU), store, rows)
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-3)
