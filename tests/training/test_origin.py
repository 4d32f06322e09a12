"""Origin of a model: the encoders that it started from, and whether their recordings are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecgssl.leakage.identities import FILE
from ecgssl.leakage.overlap import in_words
from ecgssl.training.model_folder import CONFIG
from ecgssl.training.origin import (
    SYNTHETIC_ONLY,
    data_text,
    describe_origin,
    encoder_text,
    is_synthetic_only,
    origins,
    warn_of_synthetic,
)

DATA = {"set": "mimic", "train": 8, "val": 1, "test": 1}


def folder(place: Path, config: dict, known: bool = True) -> Path:
    """Write the files of a model folder that its origin is read from."""
    place.mkdir()
    (place / CONFIG).write_text(json.dumps(config))
    if known:
        (place / FILE).write_bytes(b"")
    return place


def test_a_chain_of_encoders_is_described(tmp_path):
    first = describe_origin(folder(tmp_path / "a", {"kind": "encoder", "data": DATA}))
    assert first == {"data": DATA, "started_from": None, "recordings_known": True}
    own = {"kind": "encoder", "data": {"set": "clinic"}, "pretraining": {"init": {"digest": "f" * 64, **first}}}
    second = describe_origin(folder(tmp_path / "b", own))
    assert second["started_from"]["data"] == DATA
    assert second["recordings_known"] is True
    tuned = {"kind": "classifier", "data": {"set": "labelled"}, "encoder": second}
    assert list(origins(tuned)) == [
        ("Encoder", "an encoder, pretrained on set clinic"),
        (
            "Encoder, before that",
            "an encoder with the weights ffffffffffff, pretrained on set mimic, train 8, val 1, test 1",
        ),
    ]
    assert next(iter(origins(own)))[0] == "Started from"
    assert list(origins({"data": DATA})) == []


@pytest.mark.parametrize("first", [True, False])
def test_unknown_recordings_stay_unknown(tmp_path, first):
    """A bundle of a closed set does not list its recordings, and neither does an encoder that started from it."""
    before = describe_origin(folder(tmp_path / "a", {"kind": "encoder", "data": DATA}, known=first))
    own = {"kind": "encoder", "data": {"set": "clinic"}, "pretraining": {"init": before}}
    after = describe_origin(folder(tmp_path / "b", own))
    assert before["recordings_known"] is after["recordings_known"] is first
    (row,) = origins(own)
    assert row[1].endswith("(recordings not listed, so not compared)") is not first


def test_the_result_of_an_incomplete_check_says_so():
    outcome = {"pretrained_on": 8, "compared": 4, "by_waveform": 0, "by_patient": 0, "found": 0}
    assert "not compared with" not in in_words(outcome)
    said = in_words({**outcome, "incomplete": True})
    assert said.endswith("not compared with the recordings of the encoder that pretraining started from (not listed)")


def test_several_sets_are_described_one_by_one():
    assert data_text(DATA) == "set mimic, train 8, val 1, test 1"
    both = {"set": "mimic, code15", "train": 9, "sets": {"m": DATA, "c": {"set": "code15", "train": 1}}}
    assert data_text(both) == "m (set mimic, train 8, val 1, test 1); c (set code15, train 1)"


def test_the_encoder_is_named_with_its_pretraining_data(tmp_path):
    config = {"kind": "encoder", "name": "ptbxl-tiny", "data": {"set": "ptbxl", "train": 17418, "val": 2183}}
    origin = describe_origin(folder(tmp_path / "a", config))
    assert encoder_text(config) == "ptbxl-tiny, pretrained on ptbxl (17,418 recordings)"
    tuned = {"kind": "classifier", "mode": "linear", "data": {"set": "clinic", "train": 5}, "encoder": origin}
    assert encoder_text(tuned) == encoder_text(config)
    assert next(iter(origins(tuned)))[1].startswith("the shipped encoder ptbxl-tiny, pretrained on set ptbxl")
    more = {"kind": "encoder", "data": {"set": "m", "sets": {"m": DATA, "c": {"set": "c15", "train": 1}}}}
    more["pretraining"] = {"init": origin}
    assert encoder_text(more) == (
        "encoder, pretrained on mimic (8 recordings) and c15 (1 recordings); "
        "started from ptbxl-tiny, pretrained on ptbxl (17,418 recordings)"
    )
    assert encoder_text({"kind": "classifier", "mode": "scratch"}) == "random weights"
    assert encoder_text({"kind": "classifier", "mode": "linear"}) == "not recorded"
    assert encoder_text({"kind": "encoder"}) == "encoder, pretrained on unknown data"


def test_synthetic_pretraining_is_recognised_and_warned_of(caplog):
    real, made = ({"data": {"set": name, "train": 9}, "started_from": None} for name in ("ptbxl", "synthetic"))
    both = {"data": {"set": "a", "sets": {"s": made["data"], "p": real["data"]}}}
    assert is_synthetic_only(made)
    assert is_synthetic_only({**made, "started_from": made})
    assert not any(map(is_synthetic_only, (None, {}, {"data": None}, real, both, {**made, "started_from": real})))
    warn_of_synthetic(real)
    assert caplog.messages == []
    warn_of_synthetic(made)
    assert caplog.messages == [f"{SYNTHETIC_ONLY}."]
