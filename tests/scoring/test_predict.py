"""Scores of files: equal to the steps of the pipeline, one row per failure, independent of batch, order and workers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import ecgssl as run_command
from command_line import refused
from deploy_models import SPEC, beats, classifier
from plain_bundle import plain_bundle
from wfdb_files import write_record

import ecgssl
from ecgssl.config import QualityParams
from ecgssl.errors import InputError, RecordingError
from ecgssl.export.bundle import load_bundle
from ecgssl.io import read
from ecgssl.preprocessing.inputs import list_recordings
from ecgssl.scoring.files import embed, predict
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.leads import LEADS, arrange
from ecgssl.signal.normalise import normalise

SCORES = ["prob__MI", "logit__MI", "prob__NORM", "logit__NORM"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> SimpleNamespace:
    return SimpleNamespace(path=plain_bundle(tmp_path_factory.mktemp("plain"), decided=False))


@pytest.fixture(scope="module")
def encoder_bundle(tmp_path_factory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("encoder"), "encoder")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Return valid recordings of two sampling rates and lead sets, and one of each failure."""
    folder = tmp_path_factory.mktemp("files")
    for i in range(4):
        write_record(folder, f"good{i}", beats(i), rate=250)
    write_record(folder, "long", beats(4, 500, 12), rate=500)
    write_record(folder, "limb", beats(5)[:2], ("I", "II"), rate=250)
    gap = beats(6)
    gap[8, 100:200] = -32768
    write_record(folder, "nanlead", gap, rate=250)
    write_record(folder, "short", beats(7, seconds=4), rate=250)
    write_record(folder, "cut", beats(8), rate=250)
    data = (folder / "cut.dat").read_bytes()
    (folder / "cut.dat").write_bytes(data[: len(data) // 2])
    (folder / "notes.txt").write_text("not an ECG")
    return folder


ORDER = ["good3", "cut.dat", "nanlead.hea", "short", "good0.dat", "notes.txt", "limb", "absent", "long", "good1"]


@pytest.fixture(scope="module")
def scored(exported, files, tmp_path_factory):
    out = tmp_path_factory.mktemp("scored") / "scores.csv"
    report = predict(exported.path, [files / name for name in ORDER], out, batch_size=3, show_progress=False)
    return report, read_scores(out), out


def read_scores(path):
    """Read a table in which ``nan`` is a flag rather than a missing number."""
    return pd.read_csv(path, dtype={"record_id": str}, keep_default_na=False, na_values=[""])


def by_hand(path, model):
    """Return the scores from separate steps: read, arrange, clean, crop, round, normalise, run alone."""
    recording = read(path)
    raw, mask = arrange(recording.signal, recording.leads, LEADS)
    mask &= np.isfinite(raw).all(axis=1)
    signal = crop(clean(np.where(mask[:, None], raw, 0), recording.sampling_rate, SPEC), SPEC)
    present = torch.from_numpy(mask)[None]
    x = normalise(torch.from_numpy(np.rint(signal * 1000) / 1000)[None].float(), present, SPEC.normalise)
    with torch.no_grad():
        return model(x, present)[0].numpy()


def test_every_input_has_its_row_in_order(scored):
    report, table, _ = scored
    names = ["good3", "cut", "nanlead", "short", "good0", "notes", "limb", "absent", "long", "good1"]
    assert table["record_id"].tolist() == names
    rejected = {"cut": "truncated", "short": "too_short", "notes": "format", "absent": "missing_file"}
    table = table.set_index("record_id")
    assert {n: table["reasons"][n] for n in names if table["status"][n] == "rejected"} == rejected
    assert (report.counted, report.scored, report.rejected) == (10, 6, 4)
    assert report.reasons == dict.fromkeys(rejected.values(), 1)
    assert table.loc[list(rejected), SCORES].isna().all(axis=None)
    assert table.loc[list(rejected), "detail"].notna().all()
    assert table.loc[[n for n in names if n not in rejected], SCORES].notna().all(axis=None)


def test_rows_say_what_was_seen(scored, exported):
    table = scored[1].set_index("record_id")
    assert table["leads"]["good3"].split() == list(LEADS)
    assert table["leads"]["limb"].split() == list(LEADS[:6])
    assert table["leads"]["nanlead"].split() == [lead for lead in LEADS if lead != "V3"]
    assert table["flags"]["nanlead"] == "nan"
    assert (table["sampling_rate"]["long"], table["duration"]["long"], table["duration"]["short"]) == (500, 12, 4)
    assert table["sampling_rate"].isna().tolist() == [n in ("cut", "notes", "absent") for n in table.index]
    period = np.random.default_rng(3).uniform(0.7, 1.1)
    assert table["heart_rate"]["good3"] == pytest.approx(60 / period, abs=1)
    assert set(table["model"]) == {load_bundle(exported.path).version}
    assert set(table["fingerprint"]) == {SPEC.fingerprint}
    assert set(table["encoder"]) == {"not recorded"}


def test_names_no_place(scored, files):
    text = scored[2].read_text()
    assert str(files) not in text
    assert files.name not in text


@pytest.mark.parametrize("name", ["good3", "good0", "good1", "limb", "nanlead", "long"])
def test_scores_as_by_hand(scored, files, name):
    row = scored[1].set_index("record_id").loc[name]
    want = by_hand(files / name, classifier())
    np.testing.assert_allclose([row["logit__MI"], row["logit__NORM"]], want, atol=1e-5)
    np.testing.assert_allclose([row["prob__MI"], row["prob__NORM"]], 1 / (1 + np.exp(-want)), atol=1e-5)


def test_recordings_differ_in_their_scores(scored):
    assert scored[1]["logit__MI"].dropna().nunique() == 6
    assert scored[1]["logit__MI"].std() > 1e-3


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (32, 1), (2, 2)])
def test_batch_and_workers_change_nothing(scored, exported, files, tmp_path, batch_size, workers):
    out = tmp_path / "scores.csv"
    predict(exported.path, [files / n for n in ORDER], out, batch_size=batch_size, workers=workers, show_progress=False)
    table = read_scores(out)
    np.testing.assert_allclose(table[SCORES], scored[1][SCORES], atol=1e-5)
    rest = [name for name in table if name not in SCORES]
    pd.testing.assert_frame_equal(table[rest], scored[1][rest])


def test_parquet_holds_the_same(scored, exported, files, tmp_path):
    predict(exported.path, [files / n for n in ORDER], tmp_path / "s.parquet", batch_size=3, show_progress=False)
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert table[SCORES].dtypes.eq(np.float32).all()
    np.testing.assert_allclose(table[SCORES], scored[1][SCORES].astype(np.float32), atol=1e-6)
    assert table["status"].tolist() == scored[1]["status"].tolist()


def test_all_rejected_is_a_table_too(exported, files, tmp_path):
    report = predict(exported.path, [files / "absent"], tmp_path / "s.parquet", show_progress=False)
    assert (report.counted, report.rejected) == (1, 1)
    assert pd.read_parquet(tmp_path / "s.parquet")["reasons"].tolist() == ["missing_file"]


def test_embed(encoder_bundle, exported, files, tmp_path):
    report = embed(encoder_bundle, [files / "good1", files / "cut"], tmp_path / "e.csv", show_progress=False)
    table = pd.read_csv(tmp_path / "e.csv")
    names = [name for name in table if name.startswith("emb_")]  # type: ignore[attr-defined]
    assert (names[0], names[-1], len(names)) == ("emb_0000", "emb_0641", 642)
    assert table[names].notna().all(axis=1).tolist() == [True, False]
    assert report.rejected == 1
    recording = read(files / "good1")
    alone = ecgssl.load(encoder_bundle).embed(recording.signal, recording.sampling_rate, recording.leads)
    np.testing.assert_allclose(table[names].iloc[0].astype(float), alone, atol=1e-5)
    embed(exported.path, [files / "good1"], tmp_path / "c.csv", show_progress=False)
    assert "emb_0095" in pd.read_csv(tmp_path / "c.csv")


def test_encoder_has_nothing_to_predict(encoder_bundle, files, tmp_path):
    with pytest.raises(InputError, match="is an encoder"):
        predict(encoder_bundle, [files / "good1"], tmp_path / "s.csv", show_progress=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="is an encoder"):
        ecgssl.load(encoder_bundle).predict(np.zeros((12, 5000)), 500, LEADS)


@pytest.mark.parametrize("out", ["scores", "scores.xlsx", "folder.csv"])
def test_output_that_cannot_be(exported, files, tmp_path, out):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"is not .csv, .jsonl, .parquet"):
        predict(exported.path, [files / "good1"], tmp_path / out, show_progress=False)


def test_damaged_bundle_writes_nothing(exported, files, tmp_path):
    copy = shutil.copytree(exported.path, tmp_path / "bundle")
    (copy / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        predict(copy, [files / "good1"], tmp_path / "s.csv", show_progress=False)
    assert not (tmp_path / "s.csv").exists()


def test_signal_in_memory_as_from_its_file(scored, exported, files):
    model = ecgssl.load(exported.path)
    assert (model.spec, model.targets) == (SPEC, ("MI", "NORM"))
    recording = read(files / "nanlead")
    # names as MDC codes, rows in another order
    order = np.random.default_rng(0).permutation(12)
    names = [f"MDC_ECG_LEAD_{recording.leads[i]}" for i in order]
    found = model.predict(recording.signal[order], recording.sampling_rate, names)
    row = scored[1].set_index("record_id").loc["nanlead"]
    assert found.scores == pytest.approx({"MI": row["prob__MI"], "NORM": row["prob__NORM"]}, abs=1e-5)


@pytest.mark.parametrize(
    ("signal", "leads", "reason"),
    [
        (np.zeros((12, 2500)), LEADS, "min_leads"),
        (beats(0)[:, :1000] / 1000, LEADS, "too_short"),
        (np.zeros((12, 0)), LEADS, "too_short"),
        (beats(0) / 1.0, LEADS, "unit_suspect"),
        (beats(0) / 100, LEADS, "amplitude"),
        (beats(0) / 1000, [f"X{i}" for i in range(12)], "leads"),
    ],
)
def test_signal_in_memory_that_breaks_the_contract(exported, signal, leads, reason):
    with pytest.raises(RecordingError) as caught:
        ecgssl.load(exported.path).predict(signal, 250, leads)
    assert caught.value.reason == reason


def test_signal_in_memory_without_its_leads(exported):
    with pytest.raises(RecordingError, match="has 2 names for 12 rows of the signal"):
        ecgssl.load(exported.path).embed(np.zeros((12, 5000)), 500, ["I", "II"])


def test_import_is_fast():
    start = time.perf_counter()
    code = "import sys, ecgssl; ecgssl.load; print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.perf_counter() - start < 5


def test_folders_and_manifests_expand_in_order(files, tmp_path):
    for ward in ("north", "south"):
        write_record(tmp_path / "in" / ward, "0001", beats(1), rate=250)
    (tmp_path / "in" / "list.csv").write_text(f"record_id;path;patient_id\nanna;{files}/good1;7\nbert;north/none;8\n")
    listed = list_recordings([tmp_path / "in", files / "good2.dat", tmp_path / "in/list.csv", files / "good2"])
    ids = [item.record_id for item in listed.items]
    assert ids[:2] == [f"{tmp_path.relative_to(shared(tmp_path, files))}/in/{ward}/0001" for ward in ("north", "south")]
    assert ids[3:5] == ["anna", "bert"]
    assert ids[5] == ids[2] + "#2"
    alone = list_recordings([tmp_path / "in"])
    assert [item.record_id for item in alone.items] == ["north/0001", "south/0001"]
    assert (len(listed.unknown), len(alone.unknown)) == (1, 1), "the manifest in the folder"


def test_a_folder_of_any_formats_is_scored(scored, exported, files, tmp_path):
    """The same signal as WFDB, text table and list member is scored; unknown files are counted and have no row."""
    signal = read(files / "good1").signal
    for suffix in ("dat", "hea"):
        shutil.copy(files / f"good1.{suffix}", tmp_path)
    rows = "\n".join(f"{i / 250};{';'.join(f'{v:.4f}' for v in column)}" for i, column in enumerate(signal.T))
    (tmp_path / "table.csv").write_text(f"time_s;{';'.join(f'{lead} (mV)' for lead in LEADS)}\n{rows}\n")
    np.save(tmp_path / "list.npy", np.stack([signal, signal]))
    (tmp_path / "notes.txt").write_text("not an ECG")
    report = predict(exported.path, [tmp_path], tmp_path / "out.csv", show_progress=False)
    table = read_scores(tmp_path / "out.csv").set_index("record_id")
    assert table.index.tolist() == ["good1", "0", "1", "table"]
    assert (report.scored, report.unknown, report.reasons) == (2, 1, {"no_leads": 2})
    assert table["sampling_rate"]["table"] == 250
    np.testing.assert_allclose(
        table[SCORES].loc["table"].astype(float), table[SCORES].loc["good1"].astype(float), atol=1e-5
    )
    alone = predict(exported.path, [tmp_path / "table.csv"], tmp_path / "one.csv", show_progress=False)
    assert alone.scored == 1, "a table of samples is not a manifest"
    members = list_recordings([tmp_path / "list.npy", tmp_path / "list.npy#1"]).items
    assert [item.record_id for item in members] == ["0", "list.npy#1", "list.npy#1#2"]


def shared(a: Path, b: Path) -> Path:
    return next(parent for parent in a.parents if parent in b.parents)


def test_what_a_manifest_states_of_a_file_wins(scored, exported, tmp_path):
    """Headers with mV instead of uV, and with half the sampling rate, are rejected or flagged."""
    write_record(tmp_path, "unit", beats(0), gain="1.0(0)/mV", rate=250)
    write_record(tmp_path, "rate", beats(0), rate=125)
    (tmp_path / "m.csv").write_text("record_id,path,units,sampling_rate\na,unit,uV,\nb,rate,,250 Hz\nc,unit,,\n")
    predict(exported.path, [tmp_path / "m.csv"], tmp_path / "s.csv", show_progress=False)
    scores = read_scores(tmp_path / "s.csv")
    sound = scored[1].loc[scored[1]["record_id"] == "good0", SCORES].to_numpy()
    np.testing.assert_allclose(scores[SCORES].to_numpy()[:2], np.repeat(sound, 2, axis=0), atol=1e-5)
    assert list(scores["status"]) == ["ok", "ok", "rejected"]
    (tmp_path / "m.csv").write_text("record_id,path,units\na,unit,bpm\n")
    with pytest.raises(InputError, match="units: row 2: 'bpm': invalid value"):
        list_recordings([tmp_path / "m.csv"])


def test_inputs_without_recordings_are_all_told(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("record_id,file\na,b\n")
    with pytest.raises(InputError) as caught:
        list_recordings([tmp_path / "empty", tmp_path / "bad.csv", tmp_path / "none.csv"])
    assert [problem.field for problem in caught.value.problems] == ["folder", "path", "file"]
    assert "0 other files" in str(caught.value)
    with pytest.raises(InputError, match="there are none"):
        list_recordings([])


def test_limits_of_the_bundle_apply(exported, files, tmp_path):
    """Scoring rejects recordings by the quality limits of training, which the bundle stores."""
    assert load_bundle(exported.path).quality == QualityParams(flat_sd=0.004)
    low = beats(0)
    low[:8] = np.where(np.arange(low.shape[1]) % 2, 3, -3)
    write_record(tmp_path, "low", low, rate=250)
    report = predict(exported.path, [tmp_path / "low"], tmp_path / "s.csv", show_progress=False)
    assert report.reasons == {"min_leads": 1}


@pytest.mark.real
def test_real_recording(exported, real_data, tmp_path):
    path = real_data / "ptbxl_500/records500/00000/00001_hr"
    predict(exported.path, [path], tmp_path / "s.csv", show_progress=False)
    row = pd.read_csv(tmp_path / "s.csv").iloc[0]
    assert (row["record_id"], row["status"], row["sampling_rate"], row["duration"]) == ("00001_hr", "ok", 500, 10)
    assert 40 < row["heart_rate"] < 120
    np.testing.assert_allclose([row["logit__MI"], row["logit__NORM"]], by_hand(path, classifier()), atol=1e-5)
    config = json.loads((exported.path / "config.json").read_text())
    assert config["lsb"] == 0.001


def test_damaged_files_in_a_folder_have_rows_and_others_are_named(exported, files, tmp_path):
    for suffix in ("dat", "hea"):
        shutil.copy(files / f"good1.{suffix}", tmp_path)
    (tmp_path / "empty.xml").touch()
    (tmp_path / "bad.xml").write_text("<a><b>")
    (tmp_path / "rand.DCM").write_bytes(bytes(range(256)) * 4)
    for number in range(11):
        (tmp_path / f"notes{number:02}.txt").write_text("not an ECG")
    done = run_command("predict", "--bundle", exported.path, tmp_path, "--out", tmp_path / "out.csv")
    assert done.code == 3
    table = read_scores(tmp_path / "out.csv").set_index("record_id")
    assert table["status"].to_dict() == {"bad": "rejected", "empty": "rejected", "good1": "ok", "rand": "rejected"}
    assert table["reasons"].notna().sum() == 3
    assert "11 files" in done.out
    assert all(str(tmp_path / f"notes{number:02}.txt") in done.out for number in range(10))
    assert "notes10" not in done.out
    assert "and 1 more" in done.out


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_scores_of_other_recordings_are_not_replaced(exported, encoder_bundle, files, tmp_path, suffix):
    out = tmp_path / f"scores.{suffix}"
    command = ["predict", "--bundle", exported.path, files / "good0.hea", "--out", out]
    assert run_command(*command).code == 0
    first = out.read_bytes()
    assert run_command(*command).code == 0, "the same command"
    assert out.read_bytes() == first
    for other in (
        ["predict", "--bundle", exported.path, files / "good1.hea", "--out", out],
        ["embed", "--bundle", encoder_bundle, files / "good0.hea", "--out", out],
    ):
        refused(run_command(*other), f"{out}: output", "--overwrite")
        assert out.read_bytes() == first
    assert run_command("predict", "--bundle", exported.path, files / "good1.hea", "--out", out, "--overwrite").code == 0
    assert out.read_bytes() != first


def test_a_run_stopped_before_its_first_part_leaves_nothing(exported, files, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("ecgssl.scoring.files.run_ordered", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(exported.path, [files / "good0"], tmp_path / "scores.csv", show_progress=False)
    assert list(tmp_path.iterdir()) == []
