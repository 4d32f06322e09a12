"""Text that the command export prints."""

from __future__ import annotations

from pathlib import Path

from ecgssl.cli.export import export_summary

FIGURES = {
    "max_difference": {
        "classifier.onnx": {"random": {"logits": 2.5e-6, "probability": 1e-7}, "examples": {"logits": 4e-6}},
        "classifier.raw-500.onnx": {"random": {"signal": 0.002, "pipeline": 0.01, "logits": 3e-6}},
        "model.pt2": 1e-6,
    },
    "tolerance": 1e-4,
    "parameters": 812345,
    "bytes": {"classifier.onnx": 3_400_000, "classifier.raw-500.onnx": 3_500_000, "model.pt2": 3_600_000},
    "version": "0.1.0+0123456789abcdef",
    "fingerprint": "00",
}


def test_summary_names_each_file_with_its_largest_difference():
    lines = export_summary(FIGURES, Path("exports/af")).splitlines()
    assert lines[0] == "wrote exports/af: 812,345 parameters, version 0.1.0+0123456789abcdef"
    assert lines[1] == "  classifier.onnx: 3.4 MB, differs from the Python pipeline by at most 4e-06"
    assert lines[2] == "  classifier.raw-500.onnx: 3.5 MB, differs from the Python pipeline by at most 3e-06"
    assert lines[3] == "  model.pt2: 3.6 MB, differs from the Python pipeline by at most 1e-06"
    assert lines[4] == "largest accepted difference from the Python pipeline: 0.0001"
    assert len(lines) == 5


def test_summary_states_the_loss_of_the_8_bit_graph():
    loss = {"metric": "auroc", "float": 0.9, "int8": 0.895, "recordings": 171}
    text = export_summary(FIGURES | {"int8": loss}, Path("exports/af"))
    assert text.endswith("8-bit graph: auroc 0.8950 instead of 0.9000 on 171 validation recordings")
