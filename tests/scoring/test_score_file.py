"""Score files: bit-identical for any batch, workers and interruption; three formats; windows of long recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import ecgssl, refused
from deploy_models import SPEC, beats
from plain_bundle import plain_bundle
from wfdb_files import write_record

import ecgssl as package
import ecgssl.scoring.files as scoring
from ecgssl.errors import InputError, Stopped
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.io import read
from ecgssl.preprocessing.inputs import list_recordings
from ecgssl.scoring.files import embed, predict


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Return nine recordings of several lead sets, including a rejected one and one of 35 s."""
    folder = tmp_path_factory.mktemp("files")
    for i in range(6):
        write_record(folder, f"r{i}", beats(i), rate=250)
    write_record(folder, "r6", beats(6)[:2], ("I", "II"), rate=250)
    write_record(folder, "r7", beats(7, seconds=4), rate=250)
    write_record(folder, "r8", beats(8, 500, 35), rate=500)
    return folder


@pytest.fixture
def small_parts(monkeypatch) -> None:
    for module in ("files", "score_file"):
        monkeypatch.setattr(f"ecgssl.scoring.{module}.PART", 2)


def run(bundle: Path, files: Path, out: Path, verb=predict, **given) -> bytes:
    verb(bundle, [files], out, show_progress=False, **given)
    return out.read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.usefixtures("small_parts")
def test_batch_and_workers_change_no_bit(bundle, files, tmp_path, suffix):
    alone = run(bundle, files, tmp_path / f"a{suffix}", batch_size=1)
    assert run(bundle, files, tmp_path / f"b{suffix}", batch_size=32) == alone
    if suffix == ".parquet":
        assert run(bundle, files, tmp_path / f"c{suffix}", batch_size=3, workers=2) == alone


def test_a_recording_scores_the_same_bits_alone_and_in_memory(bundle, files, tmp_path):
    run(bundle, files, tmp_path / "all.parquet", embed)
    row = pd.read_parquet(tmp_path / "all.parquet").set_index("record_id").loc["r3"]
    embed(bundle, [files / "r3"], tmp_path / "one.parquet", show_progress=False)
    one = pd.read_parquet(tmp_path / "one.parquet").set_index("record_id").loc["r3"]
    pd.testing.assert_series_equal(one, row, check_exact=True)
    recording = read(files / "r3")
    alone = package.load(bundle).embed(recording.signal, recording.sampling_rate, recording.leads)
    assert np.array_equal(alone, row[[name for name in row.index if name.startswith("emb_")]].to_numpy(np.float32))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.usefixtures("small_parts")
def test_a_stopped_run_goes_on_to_the_same_bytes(bundle, files, tmp_path, monkeypatch, suffix):
    whole = run(bundle, files, tmp_path / f"whole{suffix}")
    out, seen = tmp_path / f"scores{suffix}", []

    class StopAfterFive:
        requested = property(lambda self: len(seen) >= 5)
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda *_: None  # noqa: E731

    real = scoring.prepare_files
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "StopRequest", StopAfterFive)
        patch.setattr(scoring, "prepare_files", lambda items, *rest: seen.extend(items) or real(items, *rest))
        with pytest.raises(Stopped, match="stopped with 4 of 9 recordings saved"):
            run(bundle, files, out, batch_size=1)
    assert not out.exists()
    # killed while writing a part: the part exists, its record of completion does not
    (partial,) = tmp_path.glob(".scores*.partial-*")
    (partial / f"000002{suffix}").write_bytes(b"half")
    again: list = []
    monkeypatch.setattr(scoring, "prepare_files", lambda items, *rest: again.extend(items) or real(items, *rest))
    report = predict(bundle, [files], out, show_progress=False)
    assert [item.record_id for item in again] == ["r4", "r5", "r6", "r7", "r8"]
    assert (report.resumed, report.counted, report.rejected, report.reasons) == (4, 9, 1, {"too_short": 1})
    assert out.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.usefixtures("small_parts")
def test_parts_of_another_run_are_not_used(bundle, files, tmp_path, monkeypatch):
    out = tmp_path / "s.csv"
    with monkeypatch.context() as patch:
        patch.setattr(
            "ecgssl.scoring.score_file.ScoreFile.finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            run(bundle, files, out)
    assert predict(bundle, [files], out, windows="mean", show_progress=False).resumed == 0
    assert predict(bundle, [files / "r1", files / "r2"], out, show_progress=False).resumed == 0


def test_formats_hold_the_same(bundle, files, tmp_path):
    for suffix in ("csv", "jsonl", "parquet"):
        run(bundle, files, tmp_path / f"s.{suffix}")
    table = pd.read_parquet(tmp_path / "s.parquet")
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [list(table)] * 9
    text = pd.read_csv(tmp_path / "s.csv", keep_default_na=False, na_values=[""])
    for name in ("logit__MI", "prob__NORM"):
        values = table[name].to_numpy()
        assert values.dtype == np.float32
        assert np.array_equal(np.array([line[name] for line in lines], dtype=np.float32), values, equal_nan=True)
        assert np.array_equal(text[name].to_numpy(np.float32), values, equal_nan=True)
    assert lines[7]["status"] == "rejected"
    assert lines[7]["prob__MI"] is None
    assert set(table["window_policy"]) == {"contract"}
    assert list(table["windows"].fillna(0)) == [1] * 7 + [0, 1]


def test_calls_are_those_of_the_decision(bundle, files, tmp_path):
    run(bundle, files, tmp_path / "s.parquet")
    table = pd.read_parquet(tmp_path / "s.parquet").dropna(subset="logit__MI")
    decision = Decision.load(bundle.parent / "model")
    logits = table[["logit__MI", "logit__NORM"]].to_numpy()
    np.testing.assert_allclose(table[["prob__MI", "prob__NORM"]], decision.probabilities(logits), atol=1e-7)
    for cut in ("youden", "sensitivity_0.90", "specificity_0.90"):
        found = table[[f"call__{name}__{cut}" for name in ("MI", "NORM")]].to_numpy()
        np.testing.assert_array_equal(found, decision.calls(logits, cut))
        threshold = decision.labels[0].thresholds[cut].value
        np.testing.assert_array_equal(found[:, 0], table["prob__MI"] >= threshold)


def test_classes_and_numbers(files, tmp_path):
    classes = plain_bundle(tmp_path / "classes", "multiclass")
    run(classes, files, tmp_path / "c.csv")
    table = pd.read_csv(tmp_path / "c.csv")
    scores = table[["prob__A", "prob__B", "prob__C"]]
    np.testing.assert_allclose(scores.sum(axis=1)[:7], 1, atol=1e-6)
    assert list(table["predicted"][:7]) == [name[-1] for name in scores[:7].idxmax(axis=1)]
    numbers = plain_bundle(tmp_path / "numbers", "regression")
    run(numbers, files, tmp_path / "n.csv")
    table = pd.read_csv(tmp_path / "n.csv")
    np.testing.assert_allclose(table["raw__B"], table["value__B"], atol=1e-6)
    for path in (classes, numbers):
        with pytest.raises(InputError, match="independent labels only"):
            run(path, files, tmp_path / "x.csv", windows="max")


@pytest.mark.parametrize("policy", ["mean", "max"])
def test_windows_of_a_long_recording(bundle, files, tmp_path, policy):
    """The scores equal those of three separate recordings cut from the middle."""
    recording = read(files / "r8")
    first = 2500 if SPEC.crop == "center" else 0
    for i in range(3):
        piece = np.rint(recording.signal[:, first + i * 5000 : first + (i + 1) * 5000] * 1000).astype(np.int16)
        write_record(tmp_path / "pieces", f"p{i}", piece, rate=500)
    run(bundle, tmp_path / "pieces", tmp_path / "pieces.parquet")
    pieces = pd.read_parquet(tmp_path / "pieces.parquet")[["logit__MI", "logit__NORM"]].to_numpy()
    predict(bundle, [files / "r8", files / "r0"], tmp_path / "s.parquet", windows=policy, show_progress=False)
    table = pd.read_parquet(tmp_path / "s.parquet")
    want = getattr(pieces.astype(float), policy)(axis=0)
    np.testing.assert_allclose(table[["logit__MI", "logit__NORM"]].to_numpy()[0], want, atol=1e-6)
    assert list(table["windows"]) == [3, 1]
    assert set(table["window_policy"]) == {policy}
    run(bundle, files, tmp_path / "contract.parquet")
    short = pd.read_parquet(tmp_path / "contract.parquet").set_index("record_id")["logit__MI"]
    assert table["logit__MI"][1] == short["r0"], "a recording of one duration gives one window"


def test_windows_that_cannot_be_used_are_counted(bundle, tmp_path):
    signal = beats(3, 250, 30)
    signal[:, 2500:5000] = 7
    write_record(tmp_path, "half", signal, rate=250)
    predict(bundle, [tmp_path / "half"], tmp_path / "s.csv", windows="mean", show_progress=False)
    row = pd.read_csv(tmp_path / "s.csv").iloc[0]
    assert (row["status"], row["windows"], row["windows_rejected"]) == ("ok", 2, 1)
    embed(bundle, [tmp_path / "half"], tmp_path / "e.csv", windows="mean", show_progress=False)
    with pytest.raises(InputError, match="independent labels only"):
        embed(bundle, [tmp_path / "half"], tmp_path / "e.csv", windows="max", show_progress=False)


def test_patterns(bundle, files, tmp_path):
    both = list_recordings([f"{files}/r[12].*", f"{files}/**/r3.hea"]).items
    assert [item.record_id for item in both] == ["r1", "r2", "r3"]
    np.savetxt(tmp_path / "odd[1].csv", np.zeros((3, 2)), delimiter=",", header="I,II", comments="")
    assert len(list_recordings([tmp_path / "odd[1].csv"]).items) == 1, (
        "an existing file name takes precedence over a pattern"
    )
    with pytest.raises(InputError, match="matches no file"):
        list_recordings([f"{files}/none*.hea"])


def test_command_line(bundle, files, tmp_path):
    given = ("predict", files, "--bundle", bundle, "--out", tmp_path / "s.jsonl", "--windows", "max", "--device", "cpu")
    done = ecgssl(*given, "--json")
    assert done.code == 3
    assert json.loads(done.out)["reasons"] == {"too_short": 1}
    assert ecgssl(*given[:-3], "sum").code == 2


def test_a_device_that_is_not_there(bundle, files, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    given = ("--bundle", bundle, "--out", tmp_path / "s.csv", "--device", "cuda")
    refused(ecgssl("predict", files, *given), "device: cuda: is not available")
    assert list(tmp_path.iterdir()) == []
