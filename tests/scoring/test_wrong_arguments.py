"""Wrong arguments of the Python interface: an InputError that states what to give, never a guess or another exception."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from deploy_models import beats
from plain_bundle import plain_bundle

import ecgssl
from ecgssl.errors import InputError, RecordingError
from ecgssl.signal.leads import LEADS

SIGNAL = (beats(0, 250, 10) / 1000).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return plain_bundle(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def model(bundle):
    return ecgssl.load(bundle)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            pd.DataFrame(SIGNAL.T, columns=LEADS),
            r"DataFrame, .*names of its columns. .*table\['path'\].*to_numpy\(\).T",
        ),
        ({"a": 1}, r"is of type dict, .* its keys. Use a list of its values"),
        ([{"a": 1}], "is of type dict"),
        (b"ecg.hea", "is of type bytes, which is no recording. Use a text"),
        (SIGNAL + 0j, "has complex numbers"),
        (np.ma.masked_greater(SIGNAL, 0.5), "is a masked array, whose mask would be lost"),
        (list(np.ma.masked_greater(SIGNAL, 0.5)), "is a masked array, whose mask would be lost"),
        (SIGNAL.astype(str), "has text instead of numbers"),
        (SIGNAL.astype(str).tolist(), "has text instead of numbers"),
        (SIGNAL.astype(object), "has the type object"),
        ([[Decimal(1)] * 2500] * 12, "has the type object"),
        ([[0.1] * 2500] * 11 + [[0.1]], "has rows of different lengths"),
        ([[0.1, 0.2], [0.1, [0.2]]], "has a row that cannot be converted"),
        ("", "is an empty text. Use '.' for the current folder"),
        (["", "ecg.hea"], "is an empty text"),
    ],
)
def test_inputs(model, source, message):
    with pytest.raises(InputError, match=message):
        model.predict(source, 250, LEADS)


def test_missing_values_in_lists_and_arrays_of_paths_are_accepted(model, tmp_path):
    gap = SIGNAL.tolist()
    gap[3][100] = None
    assert model.predict(gap, 250, LEADS).missing_leads == ("aVR",)
    for array in (np.array(["no-file"]), np.array(["no-file"], dtype=object), pd.Series(["no-file"])):
        assert model.predict(array).rejected == {"no-file": "missing_file"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"leads": LEADS[:11]}, "leads: has 11 names for 12 rows of the signal. Give one name per row"),
        ({"leads": ",".join(LEADS)}, r"leads: is one text, not a list of names. Use leads.split\(','\)"),
        ({"leads": "I"}, "leads: is one text, not a list of names. Use a list, such as"),
        ({"leads": range(12)}, "leads: has names that are no text, but of type int"),
        ({"leads": 7}, "leads: is of type int"),
        ({"sampling_rate": "abc"}, "sampling_rate: is of type str, not a number"),
        ({"sampling_rate": "500"}, "sampling_rate: is of type str, not a number"),
        ({"sampling_rate": [500]}, "sampling_rate: is of type list, not a number"),
        ({"sampling_rate": True}, "sampling_rate: is of type bool, not a number"),
        ({"sampling_rate": 0}, "sampling_rate: is 0, not between 1 and 100000"),
        ({"windows": "median"}, "windows: policy: is 'median'"),
        ({"batch_size": "2"}, "batch_size: value: is '2'"),
    ],
)
def test_arguments(model, changed, message):
    for call in (model.predict, model.embed):
        with pytest.raises(InputError, match=message):
            call(SIGNAL, **{"sampling_rate": 250, "leads": LEADS} | changed)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (None, {}, "name: is of type NoneType, not a name or path. Use one of: ptbxl"),
        (5, {}, "name: is of type int"),
        ("ptbxl-tiny", {"engine": "tf"}, "engine: is 'tf', which is not known. Use one of: auto, torch, onnxruntime"),
        ("ptbxl-tiny", {"device": "cuda:7"}, "device: is 'cuda:7', which is not known. Use one of: auto, cpu, cuda"),
    ],
)
def test_loading(name, options, message):
    with pytest.raises(InputError, match=message):
        ecgssl.load(name, **options)


def test_messages_about_an_array_speak_of_no_file(model):
    with pytest.raises(RecordingError) as caught:
        model.predict(SIGNAL * 1000, 250, LEADS)
    assert str(caught.value).endswith("Correct the signal, or use another recording")


def test_a_share_of_samples_is_stated_as_such(model):
    with pytest.raises(RecordingError, match=r"nan 1 in I, .* \(share of samples without a value; allowed: up to 0, "):
        model.predict(SIGNAL * np.float32(np.nan), 250, LEADS)


@pytest.mark.parametrize("samples", [1, 100])
def test_one_second_is_too_short_not_flat(model, samples):
    with pytest.raises(RecordingError, match=r"s, shorter than the required 5 s \(quality.min_duration\)") as caught:
        model.predict(SIGNAL[:, :samples], 250, LEADS)
    assert caught.value.reason == "too_short"
