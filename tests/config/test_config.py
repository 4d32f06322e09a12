"""Parameter files: all errors in one message with hints, detected before a run starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ecgssl.config import ModelParams, Params, load_params, parse_params
from ecgssl.errors import InputError
from ecgssl.model.core_ecg import CoReECG
from ecgssl.signal.spec import SignalSpec

REPOSITORY = Path(__file__).parents[2]
TASKS = {"tasks": {"rhythm": {"targets": ["AF"]}}}


def write(tmp_path: Path, data) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return path


def problems(data) -> dict[str, str]:
    """Return error and remedy by field."""
    with pytest.raises(InputError) as caught:
        parse_params({**TASKS, **data})
    return {p.field: f"{p.what}. {p.remedy}" for p in caught.value.problems}


def test_defaults_and_given_values(tmp_path):
    params = load_params(write(tmp_path, {**TASKS, "seed": 7, "signal": {"leads": ["ii", "MDC_ECG_LEAD_V1"]}}))
    assert (params.seed, params.signal.leads) == (7, ("II", "V1"))
    assert params.pretrain == Params(**TASKS).pretrain
    assert params.signal.sampling_rate == SignalSpec().sampling_rate


def test_all_problems_are_listed_at_once(tmp_path):
    path = write(
        tmp_path,
        {
            "seed": -1,
            "pretrian": {},
            "pretrain": {"batch_size": 1, "learning_rte": 1e-3, "device": "gpu"},
            "signal": {"clean": {"bnad": [1, 40]}, "leads": ["I", "X9"]},
            "fda": {"kind": "magic"},
        },
    )
    with pytest.raises(InputError) as caught:
        load_params(path)
    found = {p.field: (p.what, p.remedy) for p in caught.value.problems}
    assert set(found) == {
        "seed", "pretrian", "pretrain.batch_size", "pretrain.learning_rte", "pretrain.device",
        "signal.clean.bnad", "signal.leads", "fda.kind", "tasks",
    }  # fmt: skip
    assert found["pretrian"] == ("unknown key", "Did you mean 'pretrain'?")
    assert found["pretrain.learning_rte"][1] == "Did you mean 'learning_rate'?"
    assert found["signal.clean.bnad"][1] == "Did you mean 'band'?"
    assert found["tasks"][0] == "is missing"
    assert "X9" in found["signal.leads"][0]
    assert "-1" in found["seed"][0]
    assert {p.where for p in caught.value.problems} == {str(path)}


def test_a_key_like_no_other_is_to_be_removed():
    assert problems({"model": {"qqqq": 1}}) == {"model.qqqq": "unknown key. Remove it"}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"stdm": {"time_ratio": 1.0}}, "stdm.time_ratio"),
        ({"stdm": {"lead_ratio": -0.1}}, "stdm.lead_ratio"),
        ({"pretrain": {"learning_rate": 0}}, "pretrain.learning_rate"),
        ({"pretrain": {"learning_rate": float("inf")}}, "pretrain.learning_rate"),
        ({"pretrain": {"weight_decay": float("nan")}}, "pretrain.weight_decay"),
        ({"pretrain": {"max_time": 0}}, "pretrain.max_time"),
        ({"objective": {"temperature": 0}}, "objective.temperature"),
        ({"fda": {"temperature": [1.0, 0.0]}}, "fda.temperature.1"),
        ({"fda": {"temperature": [-1.0, 0.1]}}, "fda.temperature.0"),
        ({"fda": {"knots": 2}}, "fda.knots"),
        ({"model": {"width": 100, "heads": 3}}, "model"),
        ({"model": {"decoder": {"width": 33, "heads": 4}}}, "model"),
        ({"model": {"decoder": {"width": 33, "heads": 3}}}, "model"),
        ({"model": {"patch": 33}}, "parameters"),
        ({"signal": {"duration": 10.003}}, "signal"),
        ({"signal": {"sampling_rate": 80}}, "signal"),
        ({"signal": {"clean": {"band": [40, 0.5]}}}, "signal.clean"),
        ({"quality": {"policy": {"noisy": "mask"}}}, "quality"),
        ({"quality": {"policy": {"nan": "flag"}}}, "quality"),
        ({"quality": {"policy": {"ugly": "flag"}}}, "quality.policy.ugly.[key]"),
        ({"sets": {"a": {"reader": "ptbxl"}}}, "sets.a"),
        ({"sets": {"a": {"reader": "cohort"}}}, "sets.a"),
        ({"tasks": {"Bad Name": {"targets": ["AF"]}}}, "tasks.Bad Name.[key]"),
        ({"tasks": {"empty": {"targets": []}}}, "tasks.empty.targets"),
        ({"objective": {"kind": "reconstruction"}, "stdm": {"kind": "none"}}, "parameters"),
        (
            {"objective": {"kind": "reconstruction"}, "stdm": {"time_ratio": 0, "lead_ratio": 0}},
            "parameters",
        ),
        ({"fda": None}, "fda"),
        ({"seed": "seven"}, "seed"),
    ],
)
def test_out_of_range(data, field):
    assert list(problems(data)) == [field]


def test_every_size_that_is_accepted_can_be_built():
    for decoder in ({"width": 6, "heads": 3}, {"width": 8, "heads": 8}):
        params = parse_params({**TASKS, "model": {"width": 12, "heads": 3, "depth": 1, "decoder": decoder}})
        spec = params.signal
        CoReECG(
            params.model, params.fda, params.stdm, params.objective,
            spec.leads, spec.samples, spec.sampling_rate, spec.clean.band,
        )  # fmt: skip


def test_presets_and_overrides_of_sizes():
    assert ModelParams(preset="base").shape == (768, 12, 12)
    assert ModelParams(preset="small", depth=2).shape == (384, 2, 6)


def test_codes_left_out_keep_their_policy():
    params = parse_params({**TASKS, "quality": {"policy": {"flat": "reject"}}})
    assert params.quality.policy["flat"] == "reject"
    assert params.quality.policy["amplitude"] == "reject"
    assert params.quality.policy["heart_rate"] == "flag"


def test_set_overrides_before_the_check(tmp_path):
    path = write(tmp_path, {**TASKS, "pretrain": {"samples": 5}})
    given = ["pretrain.samples=1000", "stdm.kind=einthoven", "signal.clean.band=[1, 30]", "pretrain.max_time=null"]
    params = load_params(path, given)
    assert (params.pretrain.samples, params.stdm.kind) == (1000, "einthoven")
    assert params.signal.clean.band == (1, 30)
    assert params.pretrain.max_time is None
    with pytest.raises(InputError, match=r"pretrain\.smaples: unknown key\. Did you mean 'samples'"):
        load_params(path, ["pretrain.smaples=3"])


@pytest.mark.parametrize("item", ["pretrain.samples", "=3", "seed.deep=3", "fda.kind=[", "pretrain.samples=: :"])
def test_malformed_overrides(tmp_path, item):
    with pytest.raises(InputError, match="--set"):
        load_params(write(tmp_path, {**TASKS, "seed": 1}), [item])


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\t- x"])
def test_yaml_errors_name_the_file(tmp_path, text):
    with pytest.raises(InputError, match=r"params\.yaml: YAML: .*line 1"):
        load_params(write(tmp_path, text))


@pytest.mark.parametrize("text", ["", "- 1", "just text", "3"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="not a mapping"):
        load_params(write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: file: does not exist"):
        load_params(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=str(tmp_path)):
        load_params(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("seed: 1 # für".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml"):
        load_params(tmp_path / "latin.yaml")


def test_keys_that_are_no_text(tmp_path):
    with pytest.raises(InputError, match=r"params\.yaml: 1: "):
        load_params(write(tmp_path, "1: x\ntasks: {t: {targets: [AF]}}\n"))
    with pytest.raises(InputError, match=r"params\.yaml: fda\.2: "):
        load_params(write(tmp_path, "fda: {2: x}\ntasks: {t: {targets: [AF]}}\n"))


PROFILES = sorted(path for pattern in ("params.yaml", "ecgssl/profiles/*.yaml") for path in REPOSITORY.glob(pattern))


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_profiles_are_valid(path):
    assert load_params(path).tasks


def _values(section: dict, prefix: str = "") -> dict[str, object]:
    """Return the values of nested sections by dotted key."""
    found: dict[str, object] = {}
    for key, value in section.items():
        nested = isinstance(value, dict) and value
        found |= _values(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return found


OF_THE_DATA_SETS = {
    "export.mode", "export.task", "pretrain.sets", "tasks", "tasks.findings.set", "tasks.findings.targets",
}  # fmt: skip


def test_class_defaults_equal_the_shipped_parameters():
    shipped = _values(load_params(REPOSITORY / "ecgssl/profiles/quickstart.yaml").model_dump())
    defaults = _values(Params(tasks={}).model_dump())
    different = {key for key in shipped.keys() | defaults.keys() if shipped.get(key) != defaults.get(key)}
    assert {key for key in different if not key.startswith("sets.")} == OF_THE_DATA_SETS


@pytest.mark.parametrize("path", sorted((REPOSITORY / "ecgssl/profiles").glob("*.yaml")), ids=lambda path: path.stem)
def test_profiles_use_the_measured_quality_limits(path):
    assert load_params(path).quality == Params(tasks={}).quality
