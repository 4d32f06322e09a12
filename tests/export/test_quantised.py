"""Products that are left out of the 8-bit graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from ecgssl.config import ModelParams, StemParams
from ecgssl.export.quantised import products_of_the_signal
from ecgssl.model.encoder import Encoder
from ecgssl.signal.leads import LEADS


@pytest.mark.parametrize(("filters", "expected"), [(0, ["patch"]), (12, ["patch", "stem"])])
def test_products_of_samples_are_not_quantised(filters, expected):
    """Patches have 100 samples; the filters of the stem are applied to the 45 samples that the longest one uses."""
    stem = StemParams(filters=filters, offsets=5, share_offsets=10)
    encoder = Encoder(ModelParams(width=32, depth=1, heads=2, patch=100, stem=stem), LEADS, 1000)
    rows = {"patch": 100, "stem": 45, "tokens": 60, "block": 32}
    if encoder.stem is not None:
        assert int((encoder.stem.filters.abs().amax(dim=0) > 0).sum()) == rows["stem"], "as the filters have it"
    weights = [numpy_helper.from_array(np.zeros((n, 7), np.float32), f"w_{name}") for name, n in rows.items()]
    nodes = [helper.make_node("MatMul", [f"x_{name}", f"w_{name}"], [f"y_{name}"], name=name) for name in rows]
    signal = helper.make_tensor_value_info("x_patch", TensorProto.FLOAT, None)
    proto = helper.make_model(helper.make_graph(nodes, "g", [signal], [], weights))
    assert products_of_the_signal(proto, encoder) == expected


def test_first_product_is_left_out_if_its_weight_is_stored_transposed():
    encoder = Encoder(ModelParams(width=32, depth=1, heads=2, patch=50, stem=StemParams(filters=0)), LEADS, 500)
    weights = [numpy_helper.from_array(torch.zeros(32, n).numpy(), name) for name, n in (("a", 50), ("b", 32))]
    nodes = [helper.make_node("Gemm", ["x", name], [f"y_{name}"], name=f"node_{name}", transB=1) for name in "ab"]
    proto = helper.make_model(helper.make_graph(nodes, "g", [], [], weights))
    assert products_of_the_signal(proto, encoder) == ["node_a"]
