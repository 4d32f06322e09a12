"""File of the clinical baseline: complete for each kind of task, and checked when it is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecgssl.config import LinearParams
from ecgssl.config.manifest import OutputKind
from ecgssl.errors import InputError
from ecgssl.finetuning.clinical_baseline import ClinicalBaseline, model_name
from ecgssl.finetuning.clinical_file import FILE, read_baseline, write_baseline
from ecgssl.model.classifier import Network
from ecgssl.probes.by_kind import probe_for
from ecgssl.probes.feature_columns import fit_columns
from ecgssl.signal.clinical_features import NAMES, VERSION

OUTPUTS: dict[OutputKind, tuple[str, ...]] = {
    "multilabel": ("a", "b"),
    "multiclass": ("rhythm:x", "rhythm:y"),
    "regression": ("age",),
}


def fitted(kind: OutputKind, people: list[str], **params: Any) -> tuple[ClinicalBaseline, np.ndarray]:
    """Return a baseline that was fitted to random inputs, and other inputs; each has missing values."""
    rng = np.random.default_rng(0)
    inputs = (*NAMES, *people)
    values = rng.normal(size=(80, len(inputs)))
    values[rng.random(values.shape) < 0.05] = np.nan
    values[:, 4] = np.nan
    first = np.nan_to_num(values[:, 0]) > 0
    targets = {
        "multilabel": np.column_stack([first, rng.random(80) > 0.5]),
        "multiclass": np.column_stack([first, ~first]),
        "regression": 50 + 10 * rng.normal(size=(80, 1)),
    }[kind].astype(float)
    columns = fit_columns(values[:40], inputs)
    learned, held_out = columns.columns(values[:40]), columns.columns(values[40:])
    probe = probe_for(kind, linear := LinearParams(C=[0.1], **params), (0, 0))(
        learned, targets[:40], held_out, targets[40:], linear, names=OUTPUTS[kind], groups=np.arange(40)
    )
    return ClinicalBaseline(model_name(people), inputs, columns, probe), values[40:]


def with_weights(baseline: ClinicalBaseline) -> ClinicalBaseline:
    """Return a nonlinear baseline with random weights."""
    torch.manual_seed(0)
    network = Network(len(baseline.probe.mean), 5, len(baseline.probe.names))
    with torch.no_grad():
        network.norm.weight.uniform_(0.5, 2)
    return replace(baseline, network=network.eval())


@pytest.mark.parametrize("nonlinear", [False, True])
@pytest.mark.parametrize(
    ("kind", "people", "params"),
    [
        ("multilabel", ["age", "sex"], {}),
        ("multilabel", ["sex"], {"solver": "ridge"}),
        ("multiclass", [], {}),
        ("regression", ["sex"], {}),
    ],
)
def test_a_stored_baseline_has_the_same_outputs_and_choices(
    tmp_path: Path, kind: OutputKind, people: list[str], params: dict[str, Any], nonlinear: bool
) -> None:
    baseline, inputs = fitted(kind, people, **params)
    if nonlinear:
        linear = baseline.outputs(inputs)
        baseline = with_weights(baseline)
        assert not np.allclose(linear, baseline.outputs(inputs))
    write_baseline(baseline, tmp_path)
    found, reason = read_baseline(tmp_path, OUTPUTS[kind], kind)
    assert found is not None
    assert reason == ""
    np.testing.assert_array_equal(found.outputs(inputs), baseline.outputs(inputs))
    assert found.about() == baseline.about()
    assert found.about()["without_known_value"] == [NAMES[4]]
    assert (found.model, found.inputs) == (baseline.model, baseline.inputs)


def test_a_baseline_without_known_measurements_is_stored(tmp_path: Path) -> None:
    """Its only column is 0, so it predicts the prevalence."""
    columns = fit_columns(np.full((40, len(NAMES)), np.nan), NAMES)
    y = np.arange(40)[:, None] % 4 == 0
    probe = probe_for("multilabel", linear := LinearParams(C=[0.1]), (0, 0))(
        np.zeros((40, 1)), y, np.zeros((0, 1)), np.zeros((0, 1)), linear, names=["a"], groups=np.arange(40)
    )
    write_baseline(ClinicalBaseline(model_name([]), NAMES, columns, probe), tmp_path)
    found, _ = read_baseline(tmp_path, ["a"], "multilabel")
    assert found is not None
    assert found.outputs(np.zeros((1, len(NAMES))))[0, 0] == pytest.approx(np.log(1 / 3), abs=1e-3)


CHANGES = (
    ({"format": "other"}, "format"),
    ({"version": 2}, "version"),
    ({"measurements": "1"}, "measurements"),
    ({"C": None}, "C: "),
    ({"extra": 1}, "extra: is not a key"),
    ({"median": lambda v: v[1:]}, "median has"),
    ({"kept": lambda v: [*v[:-1], v[-2]]}, "kept is not an ascending list"),
    ({"kept": lambda v: [*v[:-1], 10_000]}, "kept is not an ascending list"),
    ({"marked": lambda v: [4, *v[1:]]}, "marked contains places that are not in kept"),
    ({"low": lambda v: [x + 1e6 for x in v]}, "low is above high"),
    ({"weight": lambda v: [row[1:] for row in v]}, "a row of weight has"),
    ({"bias": lambda v: v[1:]}, "bias has 1 values instead of 2"),
    ({"bias": [1.0, "x"]}, "bias.1"),
    ({"scale": lambda v: [0.0, *v[1:]]}, "scale.0"),
    ({"spread": [1.0, 1.0]}, "offset and spread are required for a regression"),
    ({"kind": "regression"}, "offset and spread are required for a regression"),
    ({"inputs": lambda v: [*v, "name"]}, "inputs are not measurements followed by age and sex"),
    ({"inputs": None}, "inputs"),
    ({"model": "<b>"}, "model is not 'clinical features with age and sex'"),
    ({"names": ["a", "c"]}, "has multilabel outputs a, c; the classifier has multilabel a, b"),
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("stored")
    write_baseline(fitted("multilabel", ["age", "sex"])[0], folder)
    content: dict[str, Any] = json.loads((folder / FILE).read_text())
    assert set(range(len(NAMES))) - set(content["kept"]) == {4}
    return content


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("norm_weight", [1.0], "network.norm_weight has 1 values instead of 5"),
        ("to_outputs_weight", [[1.0], [1.0]], "a row of network.to_outputs_weight has 1 values instead of 5"),
        ("to_hidden_weight", [[1.0]] * 5, "a row of network.to_hidden_weight has 1 values instead of"),
        ("other", [], "other"),
        ("norm_bias", [1e38] * 5, "network.norm_bias"),
    ],
)
def test_a_changed_network_is_refused(tmp_path: Path, key: str, value: Any, message: str) -> None:
    write_baseline(with_weights(fitted("multilabel", ["sex"])[0]), tmp_path)
    content = json.loads((tmp_path / FILE).read_text())
    content["network"][key] = value
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        read_baseline(tmp_path, OUTPUTS["multilabel"], "multilabel")
    assert message in str(error.value)


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[message for _, message in CHANGES])
def test_a_changed_file_is_refused(tmp_path: Path, stored: dict[str, Any], change: Any, message: str) -> None:
    ((key, value),) = change.items()
    content = stored | {key: value(stored[key]) if callable(value) else value}
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        read_baseline(tmp_path, OUTPUTS["multilabel"], "multilabel")
    assert message in str(error.value)
    assert FILE in str(error.value)


def test_a_baseline_that_cannot_be_computed_is_left_out_with_its_reason(tmp_path: Path, stored: dict[str, Any]) -> None:
    def reason() -> str:
        found, why = read_baseline(tmp_path, OUTPUTS["multilabel"], "multilabel")
        assert found is None
        return why

    assert reason() == "the model has no clinical_baseline.json"
    (tmp_path / FILE).write_text(json.dumps(stored | {"measurements": VERSION + 1}))
    assert f"measurements of version {VERSION + 1}; this release has version {VERSION}" in reason()
    (tmp_path / FILE).write_text(json.dumps(stored | {"inputs": ["other", *stored["inputs"][1:]]}))
    assert "are not those of this release" in reason()
    (tmp_path / FILE).write_text("{")
    with pytest.raises(InputError, match="is not readable JSON"):
        reason()
