"""Device and precision that ``auto`` selects on other machines."""

from __future__ import annotations

import pytest
import torch

from ecgssl.errors import InputError
from ecgssl.training.device import autocast, resolve_device, resolve_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PROBES = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")


@pytest.mark.parametrize("there", [False, True])
def test_device(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert resolve_device("auto").type == ("cuda" if there else "cpu")
    assert resolve_device("cpu") == CPU
    if there:
        assert resolve_device("cuda").type == "cuda"
    else:
        with pytest.raises(InputError, match="device: cuda: is not available"):
            resolve_device("cuda")


@pytest.mark.parametrize(("amx", "avx"), [(False, False), (True, False), (False, True), (True, True)])
def test_precision_on_a_cpu(monkeypatch, amx, avx):
    for probe, there in zip(PROBES, (amx, avx), strict=True):
        monkeypatch.setattr(torch.cpu, probe, lambda there=there: there, raising=False)
    assert resolve_precision("auto", CPU) == ("bf16" if amx or avx else "fp32")
    assert resolve_precision("bf16", CPU) == "bf16"
    assert resolve_precision("fp32", CPU) == "fp32"


def test_precision_where_torch_has_no_probe(monkeypatch):
    for probe in PROBES:
        monkeypatch.delattr(torch.cpu, probe, raising=False)
    assert resolve_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize("hardware", [False, True])
def test_precision_on_a_gpu(monkeypatch, hardware):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: hardware or including_emulation
    )
    assert resolve_precision("auto", CUDA) == ("bf16" if hardware else "fp32")


def test_autocast():
    x = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert (x @ x).dtype == torch.float32
