"""Bundles: loading returns the exported model, or an error lists the faulty file."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from copy import deepcopy
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from deploy_models import LEAN, SPEC, TINY, classifier, decision

from ecgssl.config import ExportParams, ModelParams, QualityParams
from ecgssl.errors import ContractMismatch, InputError
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export import write_graphs as graphs
from ecgssl.export.bundle import export_bundle, load_bundle, verify_bundle
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.onnx_check import TIES, compare_with_pipeline
from ecgssl.export.onnx_export import onnx_bytes
from ecgssl.export.test_signals import make_test_signals
from ecgssl.export.validation_recordings import ValidationRecordings
from ecgssl.model.encoder import Encoder
from ecgssl.signal.leads import LEADS, LIMB_LEADS
from ecgssl.training.checkpoint import save_model

pytestmark = pytest.mark.long

FILES = [
    "README.md",
    "classifier.onnx",
    "classifier.raw-500.onnx",
    "config.json",
    "labels.json",
    "lead_names.json",
    "model.pt2",
    "model.safetensors",
    "reference.npz",
    "signal.json",
]


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported.path, tmp_path / "bundle")


def sign(folder):
    """Write SHA256SUMS for the current content of a folder."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def by_hand(model, ecg, present):
    """Return logits, probability and embedding, normalised in NumPy."""
    rows = []
    for signal, mask in zip(ecg, present, strict=True):
        x = np.where(mask[:, None], signal, 0).astype(np.float64)
        rows.append(x / 0.2)
    with torch.no_grad():
        embedding = model.encoder.embed(torch.tensor(np.array(rows), dtype=torch.float32), torch.tensor(present))
        logits = model.head(embedding)
    return logits.numpy(), decision().probabilities(logits.numpy()), embedding.numpy()


def test_holds_what_scoring_needs_and_nothing_else(exported):
    assert sorted(path.name for path in exported.path.iterdir()) == sorted([*FILES, "SHA256SUMS"])
    assert subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=exported.path, check=False).returncode == 0
    labels = json.loads((exported.path / "labels.json").read_text())
    assert (labels["kind"], labels["targets"]) == ("multilabel", ["MI", "NORM"])
    assert Decision.from_dict(labels["decision"]) == decision()
    card = (exported.path / "README.md").read_text()
    for text in ("research only", SPEC.fingerprint, "set synthetic, train 300", "`MI`, `NORM`", "0.5 to 40 Hz"):
        assert text in card
    assert "| `MI` | youden | 0.4000 | 0.900 | 0.700 |" in card
    assert "at 500 Hz, of 5 s or more, raw" in card
    assert (
        "Recordings shorter than 5 s are rejected. In recordings shorter than 10 s, the missing end is marked" in card
    )
    assert card.startswith("---\nlibrary_name: ecgssl\n")


def test_round_trip(exported):
    bundle = load_bundle(exported.path)
    assert (bundle.spec, bundle.targets, bundle.quality.flat_sd) == (SPEC, ("MI", "NORM"), 0.004)
    assert (bundle.lsb, bundle.decision) == (0.001, decision())
    assert bundle.fingerprint == SPEC.fingerprint
    assert bundle.version.endswith(hashlib.sha256((exported.path / "SHA256SUMS").read_bytes()).hexdigest()[:16])
    want = classifier().state_dict()
    assert all(torch.equal(value, want[name]) for name, value in bundle.model.state_dict().items())


def test_runs_as_by_hand(exported):
    bundle = load_bundle(exported.path, "torch")
    generator = np.random.default_rng(3)
    ecg = generator.normal(0, 0.4, (4, 12, 1000)).astype(np.float32)
    present = generator.random((4, 12)) < 0.6
    found = bundle.graph.run(ecg, present)
    for name, want in zip(("logits", "probability", "embedding"), by_hand(classifier(), ecg, present), strict=True):
        np.testing.assert_allclose(found[name], want, atol=2e-5)


def test_same_model_same_bytes_and_not_a_word(encoder_bundle, tmp_path, capfd):
    export_bundle(encoder_bundle.parent / "model", tmp_path / "again", LEAN, quality=QualityParams())
    assert (tmp_path / "again/SHA256SUMS").read_bytes() == (encoder_bundle / "SHA256SUMS").read_bytes()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("leads", [LEADS, LIMB_LEADS, ("I", "II"), ("V5",)])
@pytest.mark.parametrize("batch", [1, 5])
def test_onnx_file_alone_agrees_with_hand(exported, leads, batch):
    session = onnxruntime.InferenceSession(exported.path / "classifier.onnx")
    present = np.tile([lead in leads for lead in LEADS], (batch, 1))
    ecg = np.random.default_rng(batch).normal(0, 0.4, (batch, 12, 1000)).astype(np.float32)
    ecg[~present] = np.nan
    found = session.run(["logits", "probability", "embedding"], {"ecg": ecg, "lead_mask": present})
    for value, want in zip(found, by_hand(classifier(), ecg, present), strict=True):
        np.testing.assert_allclose(value, want, atol=2e-5)


def test_onnx_file_is_one_file_and_names_no_place(exported):
    content = (exported.path / "classifier.onnx").read_bytes()
    assert not any(
        place in content for place in (b"site-packages", b"/home", b"stack_trace", str(exported.path).encode())
    )
    model = onnx.load_model_from_string(content)
    assert [item.version for item in model.opset_import] == [20]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert {item.key: item.value for item in model.metadata_props}["ecgssl.fingerprint"] == SPEC.fingerprint


def test_reports_differences(exported):
    worst = deepcopy(exported.result["max_difference"])
    assert set(worst) == {"classifier.onnx", "classifier.raw-500.onnx", "model.pt2"}
    assert worst.pop("model.pt2") <= 1e-4
    assert set(worst["classifier.onnx"]) == {"random", "examples", "random, shorter"}
    assert set(worst["classifier.raw-500.onnx"]) == {"random", "examples", "random, longer", "random, shorter"}
    for sources in worst.values():
        for outputs in sources.values():
            # rounding ties occur in the raw graph only, which is exempt from the tolerance
            assert outputs.pop("signal", 0.0) <= TIES
            assert outputs.pop("pipeline", 0.0) < 0.01
            assert set(outputs) == {"logits", "probability", "embedding"}
            assert 0 < max(outputs.values()) <= 1e-4
    assert exported.result["parameters"] == sum(p.numel() for p in classifier().parameters())


def test_encoder(encoder_bundle):
    assert sorted(path.name for path in encoder_bundle.iterdir()) == [
        "README.md",
        "SHA256SUMS",
        "config.json",
        "encoder.onnx",
        "lead_names.json",
        "model.safetensors",
        "reference.npz",
        "signal.json",
    ]
    bundle = load_bundle(encoder_bundle)
    assert (bundle.graph.outputs, bundle.targets, bundle.embed_dim) == (("embedding",), (), TINY.embed_dim(12))


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (ExportParams(tolerance=1e-12), r"bundle/classifier.onnx: logits: differs from the Python pipeline by .*batch"),
        (ExportParams(opset=99), "export.opset: 99"),
    ],
)
def test_failed_export_leaves_nothing(exported, tmp_path, params, text, monkeypatch):
    if params.opset == 20:
        # equals the result of export_bundle for the same model at a later time
        content = (exported.path / "classifier.onnx").read_bytes()
        monkeypatch.setattr(graphs, "onnx_bytes", lambda *_: content)
    with pytest.raises(InputError, match=text):
        export_bundle(exported.model_dir, tmp_path / "bundle", params, quality=QualityParams())
    assert list(tmp_path.iterdir()) == []


def test_failed_export_leaves_the_bundle_that_was_there(exported, copy):
    with pytest.raises(InputError):
        export_bundle(exported.model_dir, copy, ExportParams(opset=99), quality=QualityParams())
    assert load_bundle(copy).version == load_bundle(exported.path).version


def test_model_of_not_finite_weights_is_not_exported(tmp_path):
    model = classifier()
    model.head.linear.bias.data[1] = torch.nan
    save_model(tmp_path / "model", model, SPEC)
    with pytest.raises(InputError, match="logits: is not finite"):
        export_bundle(tmp_path / "model", tmp_path / "bundle", LEAN, quality=QualityParams())
    assert not (tmp_path / "bundle").exists()


def compared(content, graph, examples=None):
    return compare_with_pipeline(
        content, graph, ExportParams(), make_test_signals(graph, examples, (), QualityParams()), "file.onnx"
    )


def test_onnx_of_another_model_is_refused(exported):
    other = classifier()
    other.encoder.blocks[1].attention.out.weight.data[0, 0] += 0.1
    content = (exported.path / "classifier.onnx").read_bytes()
    with pytest.raises(InputError, match="embedding: differs from the Python pipeline"):
        compared(content, ContractModule(other, SPEC), exported.examples)


def test_file_that_onnxruntime_cannot_run_is_refused(exported):
    model = onnx.load_model_from_string((exported.path / "classifier.onnx").read_bytes())
    # an operator that no runtime implements
    next(node for node in model.graph.node if node.op_type == "Gelu").domain = "nowhere"
    for content in (b"no graph", model.SerializeToString()):
        with pytest.raises(InputError, match=r"file.onnx: graph: onnxruntime cannot run it"):
            compared(content, ContractModule(classifier(), SPEC))


def test_examples_of_another_shape(exported, tmp_path):
    with pytest.raises(InputError, match=r"shape: is \(1, 12, 500\)"):
        export_bundle(
            exported.model_dir,
            tmp_path / "bundle",
            ExportParams(),
            validation=ValidationRecordings(np.zeros((1, 12, 500), np.float32)),
            quality=QualityParams(),
        )


def test_does_not_replace_what_is_no_bundle(exported, tmp_path):
    (tmp_path / "thesis").write_text("years of work")
    with pytest.raises(InputError, match="has no SHA256SUMS"):
        export_bundle(exported.model_dir, tmp_path, ExportParams(), quality=QualityParams())
    assert (tmp_path / "thesis").exists()


@pytest.mark.parametrize("name", FILES)
def test_altered_cut_or_absent_file_is_named(copy, name):
    path = copy / name
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(InputError, match=f"{name}: content: does not match SHA256SUMS"):
        load_bundle(copy)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=f"{name}: content: does not match SHA256SUMS"):
        load_bundle(copy)
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: file: is missing"):
        load_bundle(copy)


def test_all_problems_at_once(copy):
    (copy / "model.pt").write_bytes(b"pickle?")
    (copy / "labels.json").unlink()
    with pytest.raises(InputError) as caught:
        load_bundle(copy)
    text = str(caught.value)
    assert "model.pt: file: is not listed in SHA256SUMS" in text
    assert "labels.json: file: is missing" in text


@pytest.mark.parametrize("content", [b"", b"no digest  README.md\n", b"\xff\xfe"])
def test_broken_list(copy, content):
    (copy / "SHA256SUMS").write_bytes(content)
    with pytest.raises(InputError):
        load_bundle(copy)


def test_no_bundle(tmp_path):
    with pytest.raises(InputError, match="SHA256SUMS: file: does not exist, so the folder is not a bundle"):
        load_bundle(tmp_path)
    with pytest.raises(InputError, match="nowhere: file: does not exist"):
        load_bundle(tmp_path / "nowhere")


def signed_with(folder, name, change):
    data = json.loads((folder / name).read_text())
    change(data)
    (folder / name).write_text(json.dumps(data))
    sign(folder)


def test_other_cleaning_version(copy):
    signed_with(copy, "signal.json", lambda data: data.update(cleaning_version=0))
    with pytest.raises(ContractMismatch, match=r"signal.json: cleaning_version: written by version 0"):
        load_bundle(copy)


def test_other_contract_than_the_fingerprint(copy):
    signed_with(copy, "signal.json", lambda data: data.update(crop="center"))
    with pytest.raises(InputError, match=r"signal.json: fingerprint"):
        load_bundle(copy)


def test_other_labels(copy):
    signed_with(copy, "labels.json", lambda data: data.update(targets=["NORM", "MI"]))
    with pytest.raises(InputError, match=r"labels.json: targets"):
        load_bundle(copy)


def test_quality_is_needed(copy):
    signed_with(copy, "config.json", lambda data: data.pop("quality"))
    with pytest.raises(InputError, match=r"config.json: quality"):
        load_bundle(copy)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", None])
def test_unusable_reference(copy, content):
    if content is None:
        # an object array, as a malicious file needs it
        np.savez(copy / "reference.npz", ecg=np.array([{}], dtype=object), allow_pickle=True)
    else:
        (copy / "reference.npz").write_bytes(content)
    sign(copy)
    with pytest.raises(InputError, match=r"reference.npz: content: does not fit this model"):
        load_bundle(copy)


def test_weights_that_compute_something_else(copy):
    state = classifier()
    state.head.linear.weight.data[0, 0] += 0.1
    other = copy.parent / "other"
    save_model(other, state, SPEC)
    shutil.copy(other / "model.safetensors", copy)
    sign(copy)
    for load in (partial(load_bundle, engine="torch"), verify_bundle):
        with pytest.raises(InputError, match=r"reference.npz: logits: differs from the output of the model"):
            load(copy)
    # the complete ONNX graph does not use these weights, so the scores are those of the exported model
    assert load_bundle(copy).device == "onnxruntime"


def test_graph_of_a_full_size_encoder_names_every_value_once():
    # large lead embeddings are not folded into constants; their operator must not take the name of an output
    encoder = Encoder(ModelParams(preset="base", depth=1, patch=50), SPEC.leads, SPEC.samples).eval()
    graph = onnx.load_model_from_string(onnx_bytes(ContractModule(encoder, SPEC), ExportParams())).graph
    names = [name for node in graph.node for name in node.output if name]
    assert len(names) == len(set(names))
    assert [o.name for o in graph.output] == ["embedding"]
