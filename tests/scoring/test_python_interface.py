"""Python interface: one recording and many give the same results as score files; no heavy import before first use."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from api_workplace import make_workplace
from command_line import ecgssl as command
from command_line import refused
from deploy_models import TINY
from plain_bundle import plain_bundle
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader

import ecgssl
from ecgssl.config import QualityParams, parse_params
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import ContractMismatch, InputError, RecordingError
from ecgssl.model.encoder import Encoder
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.scoring.files import embed, predict
from ecgssl.signal.leads import LIMB_MATRIX
from ecgssl.training.batches import load_batch
from ecgssl.training.checkpoint import save_model


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    make_workplace(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def encoder_path(tmp_path_factory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("encoder"), "encoder")


@pytest.fixture(scope="module")
def model(bundle) -> ecgssl.Predictor:
    return ecgssl.load(bundle)


def test_import_and_reading_load_neither_torch_nor_pandas(place):
    script = (
        "import sys, ecgssl; r = ecgssl.read(sys.argv[1]); assert len(r.leads) == 12\n"
        "print([m for m in ('torch', 'pandas', 'sklearn', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, place / "ecg.hea"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_is_there_and_an_unknown_one_is_an_attribute_error():
    assert [name for name in ecgssl.__all__ if not hasattr(ecgssl, name)] == []
    assert set(ecgssl.__all__) <= set(dir(ecgssl))
    with pytest.raises(AttributeError, match="no attribute 'redd'"):
        ecgssl.redd  # noqa: B018


class TestRecording:
    """Methods of a recording."""

    def test_short_text(self, place):
        recording = ecgssl.read(place / "ecg.hea", record_id="<x>")
        assert repr(recording) == "<Recording <x>: 12 leads, 250 Hz, 10 s>"
        page = recording._repr_html_()
        assert "&lt;x&gt;" in page
        assert "<x>" not in page
        assert 'src="data:image/png;base64,iVBOR' in page

    def test_a_drawing_is_centred(self, place):
        # steps that float32 represents exactly, also after the shift
        signal = np.round(ecgssl.read(place / "ecg.hea").signal * 1024) / np.float32(1024)
        pages = [ecgssl.Recording(signal + np.float32(x), 250, ecgssl.LEADS, "x")._repr_html_() for x in (0, 4)]
        assert pages[0] == pages[1]

    def test_cleaning_keeps_the_pass_band_removes_offset_and_leaves_out_flat_leads(self):
        time = np.arange(5000) / 500
        wave = np.sin(2 * np.pi * 8 * time) + 3 + np.sin(2 * np.pi * 100 * time)
        rows = np.concatenate([LIMB_MATRIX @ np.array([[1.0], [0.4]]) * wave, np.outer(np.arange(1, 7), wave)])
        rows[9] = 0
        recording = ecgssl.Recording(rows.astype(np.float32), 500, ecgssl.LEADS, "wave")
        cleaned = recording.clean()
        assert cleaned.leads == tuple(lead for lead in ecgssl.LEADS if lead != "V4")
        assert (cleaned.sampling_rate, cleaned.signal.shape) == (100, (11, 1000))
        inner = slice(200, 800)
        expected = np.sin(2 * np.pi * 8 * time[::5])
        np.testing.assert_allclose(cleaned.signal[6, inner], expected[inner], atol=0.02)

    def test_filters_of_the_device_in_a_file_are_not_those_of_cleaning(self, place):
        read = ecgssl.read(place / "ecg.hea")
        recording = replace(read, meta={**read.meta, "filters": {"low_pass": 150.0}})
        for shown, text in ((recording, "unfiltered"), (recording.clean(), "filter 0.5 to 40 Hz")):
            assert any(text in found.get_text() for found in shown.plot().axes[0].texts)

    def test_quality_is_that_of_preprocessing(self, place):
        recording = ecgssl.read(place / "ecg.hea")
        noisy = ecgssl.Recording(recording.signal * 1000, 250, recording.leads, "loud")
        assert recording.quality().rejected is None
        assert 50 < recording.quality().figures["heart_rate"] < 70
        found = noisy.quality()
        assert "unit_suspect" in found.reasons
        assert found.rejected is not None
        assert noisy.quality(QualityParams(span=(0, 1e4), amplitude=1e4)).rejected is None

    def test_without_a_usable_lead(self):
        flat = ecgssl.Recording(np.zeros((2, 5000), np.float32), 500, ("I", "II"), "flat")
        with pytest.raises(RecordingError, match="none is usable; reason codes: flat") as caught:
            flat.clean()
        assert caught.value.reason == "min_leads"
        with pytest.raises(RecordingError, match="no samples"):
            ecgssl.Recording(np.ones((1, 0), np.float32), 500, ("I",), "x").quality()


class TestPredictor:
    """One model, all kinds of input."""

    def test_every_form_of_a_recording_gives_the_same(self, model, place):
        recording = ecgssl.read(place / "ecg.hea")
        array = recording.signal, 250, recording.leads
        first = model.predict(recording)
        for source in (str(place / "ecg.hea"), place / "ecg", place / "ecg.dat"):
            assert model.predict(source) == first
        assert model.predict(*array) == first
        assert model.predict(recording.signal.tolist(), 250, recording.leads) == first
        np.testing.assert_array_equal(model.embed(*array), model.embed(place / "ecg.hea"))
        several = model.predict(recording.signal[None], 250, recording.leads)
        assert several.values.shape == (1, 2)
        np.testing.assert_array_equal(several.values[0], np.float32([first.scores[name] for name in several.names]))

    def test_many_are_as_in_a_score_file(self, model, bundle, place, tmp_path):
        inputs = [place / "folder", place / "no-ecg.txt", place / "ecg.hea"]
        predict(bundle, inputs, tmp_path / "scores.parquet", show_progress=False)
        written = pd.read_parquet(tmp_path / "scores.parquet").set_index("record_id")
        found = model.predict(
            [str(place / "folder"), place / "no-ecg.txt", ecgssl.read(place / "ecg.hea")], batch_size=2
        )
        assert list(found.table.index) == list(written.index) == ["a", "b", "no-ecg", "ecg"]
        assert set(written.columns) - set(found.table.columns) == {"window_policy", "model", "fingerprint", "encoder"}
        for name in found.table.columns:
            mine, theirs = found.table[name], written[name]
            if theirs.dtype.kind == "f":
                np.testing.assert_array_equal(mine.to_numpy(dtype=np.float64), theirs.to_numpy(dtype=np.float64))
            else:
                assert mine.astype(object).where(mine.notna(), None).tolist() == [
                    None if value is None or value != value else value for value in theirs.tolist()
                ]
        np.testing.assert_array_equal(np.asarray(found), written[[f"prob__{name}" for name in found.names]].to_numpy())
        assert found.rejected == {"no-ecg": "format"}
        assert repr(found) == "<Results of 4 recordings, 1 rejected, 2 with flags: MI, NORM>"
        assert len(found) == 4

    def test_embeddings_of_many(self, model, bundle, place, tmp_path):
        embed(bundle, [place / "folder"], tmp_path / "e.parquet", show_progress=False)
        written = pd.read_parquet(tmp_path / "e.parquet").filter(like="emb_").to_numpy()
        found = model.embed(place / "folder")
        np.testing.assert_array_equal(np.asarray(found), written)
        np.testing.assert_array_equal(found.table.filter(like="emb_").to_numpy(), written)
        for size in (1, 7):
            np.testing.assert_array_equal(model.embed(place / "folder", batch_size=size).values, written)

    def test_a_single_rejected_file_is_an_error(self, model, place):
        with pytest.raises(RecordingError) as caught:
            model.predict(place / "no-ecg.txt")
        assert caught.value.reason == "format"
        assert "no-ecg.txt" in str(caught.value)
        assert np.isnan(model.predict([place / "no-ecg.txt"]).values).all()

    @pytest.mark.parametrize("shape", [(2500, 12), (5000, 12)])
    def test_a_transposed_array(self, model, shape):
        for source in (np.zeros(shape), [np.zeros(shape)], np.zeros((2, *shape))):
            with pytest.raises(
                RecordingError, match=r"12 leads, but \(leads, samples\) is required: transpose\?"
            ) as caught:
                model.predict(source, 500, ecgssl.LEADS)
            assert caught.value.reason == "malformed"

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ([], "there are none"),
            (np.zeros(3), "has 1 dimensions"),
            ([1.0, 2.0], "is a list of numbers"),
            (7, "is of type int"),
        ],
    )
    def test_what_is_no_recording(self, model, source, message):
        with pytest.raises(InputError, match=message):
            model.predict(source, 500, ecgssl.LEADS)

    def test_an_array_needs_its_rate_and_leads_and_a_file_has_them(self, model, place):
        with pytest.raises(InputError, match="sampling_rate, leads: is missing for an array"):
            model.embed(np.zeros((12, 5000)))
        with pytest.raises(InputError, match="leads: is missing for an array"):
            model.embed(np.zeros((12, 5000)), 500)
        with pytest.raises(InputError, match="files state their own"):
            model.embed(place / "ecg.hea", 500)

    def test_equal_names_become_distinct(self, model, place):
        recording = ecgssl.read(place / "ecg.hea")
        assert list(model.embed([recording, recording]).table.index) == ["ecg", "ecg#2"]

    def test_no_torch_is_imported_for_onnxruntime(self, place):
        script = (
            "import sys, ecgssl; model = ecgssl.load('ptbxl-superclass', engine='onnxruntime')\n"
            "print(sorted(model.predict(sys.argv[1]).scores), 'torch' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, place / "ecg.hea"], capture_output=True, text=True, check=True
        )
        assert done.stdout == "['CD', 'HYP', 'MI', 'NORM', 'STTC'] False\n"


class TestEmbedder:
    """The transformer of scikit-learn."""

    def test_in_a_pipeline(self, encoder_path, place):
        labels = pd.read_csv(place / "cohort.csv")["af"].to_numpy()
        paths = [str(place / "records" / f"r{number}") for number in range(len(labels))]
        pipeline = make_pipeline(ecgssl.Embedder(str(encoder_path)), LogisticRegression())
        found = cross_val_score(pipeline, paths, labels, cv=2)
        values = ecgssl.load(encoder_path).embed(paths).values
        np.testing.assert_array_equal(found, cross_val_score(LogisticRegression(), values, labels, cv=2))

    def test_clone_and_pickle_carry_no_weights(self, encoder_path, place):
        embedder = ecgssl.Embedder(encoder_path).fit(None)
        expected = embedder.transform(place / "folder")
        data = pickle.dumps(embedder)
        assert len(data) < 1000
        for copy in (clone(embedder), pickle.loads(data)):
            assert "_loaded" not in vars(copy)
            np.testing.assert_array_equal(copy.transform(place / "folder"), expected)

    def test_names_of_columns_and_tables(self, encoder_path, place):
        embedder = ecgssl.Embedder(encoder_path).set_output(transform="pandas")
        table = embedder.fit_transform(place / "folder")
        assert list(table.columns) == list(embedder.get_feature_names_out())
        assert table.columns[0] == "emb_0000"
        assert embedder.transform(ecgssl.read(place / "ecg.hea")).shape == (1, table.shape[1])

    def test_rejected_recordings(self, encoder_path, place):
        inputs = [place / "no-ecg.txt", place / "ecg.hea"]
        with pytest.raises(InputError, match="no-ecg: recording: is rejected for format"):
            ecgssl.Embedder(encoder_path).transform(inputs)
        found = ecgssl.Embedder(encoder_path, rejected="nan").transform(inputs)
        assert np.isnan(found).all(axis=1).tolist() == [True, False]
        with pytest.raises(InputError, match=r"is 'skip'\. Use 'error' or 'nan'"):
            ecgssl.Embedder(encoder_path, rejected="skip").fit(None)

    def test_arrays(self, encoder_path, place):
        recordings = [ecgssl.read(place / "folder" / name) for name in ("a", "b")]
        arrays = np.stack([recording.signal for recording in recordings])
        embedder = ecgssl.Embedder(encoder_path, sampling_rate=250, leads=ecgssl.LEADS)
        np.testing.assert_array_equal(embedder.transform(arrays), ecgssl.Embedder(encoder_path).transform(recordings))


@pytest.fixture(scope="module")
def store(place) -> Path:
    params = parse_params({"tasks": {"t": {"targets": ["af"]}}, "store": {"workers": 1}})
    preprocess(load_manifest(place / "cohort.csv"), params, place / "store", bytes(32), progress=False)
    return place / "store"


class TestTorch:
    """Dataset and encoder for training code of the user."""

    def test_files_and_their_store_give_the_same_items(self, store, place):
        stored = ecgssl.RecordingDataset(store, ecgssl.SignalSpec())
        files = ecgssl.RecordingDataset(place / "cohort.csv")
        assert len(stored) == len(files) == 20
        by_name = {item["record_id"]: item for item in map(stored.__getitem__, range(20))}
        for item in map(files.__getitem__, range(20)):
            for name in ("ecg", "lead_mask", "recorded"):
                torch.testing.assert_close(item[name], by_name[item["record_id"]][name], rtol=0, atol=0)

    def test_batches_are_those_of_training(self, store):
        data = ecgssl.RecordingDataset(store, split="train", targets=["af"])
        assert data.store is not None
        batch = next(iter(DataLoader(data, batch_size=len(data))))
        rows = data.store.rows("train")
        torch.testing.assert_close(batch["ecg"], load_batch(data.store, rows, torch.device("cpu")).x, rtol=0, atol=0)
        np.testing.assert_array_equal(batch["targets"][:, 0], data.store.index["af"].to_numpy()[rows])
        torch.testing.assert_close(data[-1]["ecg"], batch["ecg"][-1], rtol=0, atol=0)
        with pytest.raises(IndexError):
            data[len(data)]

    def test_wrong_requests(self, store, place):
        with pytest.raises(ContractMismatch, match="sampling_rate"):
            ecgssl.RecordingDataset(store, ecgssl.SignalSpec(sampling_rate=250))
        with pytest.raises(InputError) as caught:
            ecgssl.RecordingDataset(store, split="dev", targets=["AF"])
        assert len(caught.value.problems) == 2
        with pytest.raises(InputError, match="the input is no store"):
            ecgssl.RecordingDataset(place / "folder", split="train")
        with pytest.raises(RecordingError, match="no-ecg"):
            ecgssl.RecordingDataset([place / "no-ecg.txt"])[0]

    def test_an_encoder_embeds_as_the_predictor(self, encoder_path, bundle, model, place, tmp_path):
        for path in (encoder_path, bundle):
            encoder = ecgssl.encoder(path)
            assert encoder.settings == ecgssl.load(path).spec
            data = ecgssl.RecordingDataset(place / "folder", encoder.settings, limits=model.bundle.quality)
            items = [data[0], data[1]]
            with torch.inference_mode():
                found = [
                    encoder.embed(i["ecg"][None], i["lead_mask"][None], i["recorded"][None])[0].numpy() for i in items
                ]
            np.testing.assert_allclose(np.stack(found), ecgssl.load(path).embed(place / "folder").values, atol=1e-5)
        spec = ecgssl.SignalSpec()
        save_model(tmp_path / "pretrained", Encoder(TINY, spec.leads, spec.samples), spec)
        assert ecgssl.encoder(tmp_path / "pretrained").settings == spec


def test_predict_reads_a_table_with_the_options_of_check(bundle, place, tmp_path):
    (tmp_path / "Kohorte.csv").write_text("Nr;EKG-Datei;Befund AF\n1;E:\\export\\folder\\a.hea;ja\n", encoding="utf-8")
    options = ["--root", place, "--column", "record_id=Nr", "--column", "path=EKG-Datei", "--column", "af=Befund AF"]
    options += ["--path-prefix", "E:\\export"]
    for name, kind in (("predict", "prob__MI"), ("embed", "emb_0000")):
        out = tmp_path / f"{name}.csv"
        done = command(name, tmp_path / "Kohorte.csv", "--bundle", bundle, "--out", out, *options)
        assert done.code == 0, done
        assert pd.read_csv(out)[["record_id", "status"]].to_numpy().tolist() == [[1, "ok"]]
        assert pd.read_csv(out)[kind].notna().all()
    without = command(
        "predict", place / "folder", "--bundle", bundle, "--out", tmp_path / "x.csv", "--column", "path=a"
    )
    refused(without, "describe a table, but the inputs contain none")
    refused(command("embed", place, "--bundle", bundle, "--out", tmp_path / "x.csv", "--column", "path"), "NAME=COLUMN")
