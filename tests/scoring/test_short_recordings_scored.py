"""Scoring of recordings that are shorter than the model's window: from the shortest accepted duration, with its length."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from deploy_models import SPEC, beats
from wfdb_files import write_record

import ecgssl
from ecgssl.errors import RecordingError
from ecgssl.export.bundle import load_bundle
from ecgssl.export.checksums import write_sums
from ecgssl.model.encoder import Encoder
from ecgssl.scoring.dataframe import score_frame
from ecgssl.scoring.files import predict
from ecgssl.signal.cleaning import clean
from ecgssl.signal.leads import LEADS

OLD = Path(__file__).parents[1] / "data/0.1.0/bundle"
SECONDS = {"full": 10, "seven": 7.3, "five": 5, "less": 4.9, "long": 12}


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("records")
    for number, (name, seconds) in enumerate(SECONDS.items()):
        write_record(folder, name, beats(number, 250, seconds), rate=250)
    return [folder / f"{name}.hea" for name in SECONDS]


@pytest.fixture(scope="module")
def scored(exported, records, tmp_path_factory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("scores") / "s.parquet"
    predict(exported.path, records, out, show_progress=False)
    return pd.read_parquet(out).set_index("record_id")


def test_score_file_states_the_recorded_seconds(scored):
    assert scored["status"].tolist() == ["ok", "ok", "ok", "rejected", "ok"]
    assert scored["recorded_seconds"].tolist()[:3] == [10, 7.3, 5]
    assert scored["recorded_seconds"]["long"] == 10
    assert np.isnan(scored["recorded_seconds"]["less"])
    assert scored["reasons"]["less"] == "too_short"
    assert "quality.min_duration" in scored["detail"]["less"]
    assert scored["logit__MI"].notna().tolist() == [True, True, True, False, True]


def test_score_is_that_of_an_encoder_for_the_recorded_columns(exported, scored):
    model = load_bundle(exported.path).model
    signal = np.round(clean(beats(1, 250, 7.3).astype(np.float32) / 1000, 250, SPEC) / np.float32(0.001)) * np.float32(
        0.001
    )
    columns = signal.shape[1] // model.encoder.patch
    short = Encoder(model.encoder.params, LEADS, columns * model.encoder.patch).eval()
    short.load_state_dict(model.encoder.state_dict())
    import torch

    with torch.inference_mode():
        x = torch.from_numpy(signal / np.float32(0.2))[None]
        expected = model.from_features(short.embed(x[..., : columns * model.encoder.patch]))[0].numpy()
    found = scored.loc["seven", ["logit__MI", "logit__NORM"]].to_numpy(dtype=float)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_all_interfaces_give_the_same_score(exported, scored):
    signal = beats(1, 250, 7.3) / 1000
    model = ecgssl.load(exported.path)
    assert model.predict(signal, 250, LEADS).scores["MI"] == pytest.approx(scored["prob__MI"]["seven"], abs=1e-6)
    signals = [signal.tolist(), (beats(3, 250, 4.9) / 1000).tolist()]
    frame = pd.DataFrame({"signal": signals, "sampling_rate": 250.0, "leads": [list(LEADS)] * 2})
    for engine in ("torch", "onnxruntime"):
        table = score_frame(load_bundle(exported.path, engine), frame)
        assert table["prob__MI"][0] == pytest.approx(scored["prob__MI"]["seven"], abs=1e-5)
        assert table["recorded_seconds"].tolist() == [7.3, None]
        assert table["reasons"].tolist() == [None, "too_short"]


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_bundle_of_an_earlier_release_rejects_short_recordings(exported, tmp_path, engine):
    path = tmp_path / "bundle"
    shutil.copytree(exported.path, path)
    config = json.loads((path / "config.json").read_text())
    del config["quality"]["min_duration"]
    (path / "config.json").write_text(json.dumps(config))
    (path / "SHA256SUMS").unlink()
    # the signals of an earlier release are complete
    with np.load(path / "reference.npz") as stored:
        rows = {name: stored[name][:-1] for name in stored.files}
    np.savez(path / "reference.npz", **rows)
    write_sums(path)
    bundle = load_bundle(path, engine)
    assert bundle.quality.min_duration == SPEC.duration
    signals = [(beats(1, 250, seconds) / 1000).tolist() for seconds in (9.9, 10)]
    table = score_frame(bundle, pd.DataFrame({"signal": signals, "sampling_rate": 250.0, "leads": [list(LEADS)] * 2}))
    assert table["reasons"].tolist() == ["too_short", None]


def test_bundle_of_version_0_1_0_rejects_short_recordings():
    model = ecgssl.load(OLD)
    with pytest.raises(RecordingError, match="signal\\.duration") as caught:
        model.predict(beats(0, 250, model.spec.duration - 0.1) / 1000, 250, LEADS)
    assert caught.value.reason == "too_short"
