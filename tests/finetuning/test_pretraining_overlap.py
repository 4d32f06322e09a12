"""Overlap of validation and test with the pretraining data: storage, errors and report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from command_line import contents, ecgssl, refused
from deploy_models import LEAN, SPEC, beats, classifier
from safetensors.numpy import load_file
from wfdb_files import write_record

from ecgssl.config import FinetuneParams, QualityParams, parse_params
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError
from ecgssl.export.bundle import export_bundle
from ecgssl.export.write_graphs import WrittenGraphs
from ecgssl.files import atomic_directory
from ecgssl.finetuning.finetune import finetune
from ecgssl.finetuning.pretraining_overlap import require_no_overlap, training_identities
from ecgssl.finetuning.publish import publish_finetuning
from ecgssl.leakage.identities import FILE, Identities
from ecgssl.leakage.overlap import between, in_words
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.signal.waveform_hash import CODE_BYTES
from ecgssl.store.patient_key import numbering_check
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import write_model
from ecgssl.training.model_folder import CONFIG

pytestmark = pytest.mark.long

PROFILE = Path(__file__).parents[2] / "ecgssl/profiles/quickstart.yaml"
KEY, OTHER_KEY = bytes(32), b"k" * 32


def make_store(folder: Path, seeds, *, patients=None, gain=1.0, key=KEY, licence="", name=None, prefix="rec") -> Store:
    """Write a store of one recording per seed, with the splits train, train, val and test in turn."""
    rows = ["record_id,path,patient_id,split,AF"]
    for number, seed in enumerate(seeds):
        digital = np.rint(beats(seed) * gain).astype(np.int16)
        write_record(folder / "records", f"r{number}", digital, rate=250)
        split = ("train", "train", "val", "test")[number // 2 % 4]
        patient = f"{prefix}-patient{seed}" if patients is None else patients[number]
        rows.append(f"{prefix}{number},records/r{number},{patient},{split},{number % 2}")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    params = parse_params({"tasks": {"t": {"targets": ["AF"]}}, "store": {"workers": 1, "max_rejected_fraction": 0}})
    cohort = load_manifest(folder / "m.csv", licence=licence, name=name)
    preprocess(cohort, params, folder / "store", key, progress=False)
    return Store(folder / "store")


def make_encoder(folder: Path, store: Store) -> Path:
    """Write the output of pretraining on the train split of a store, with random weights."""
    with atomic_directory(folder, marker=CONFIG) as building:
        write_model(building, classifier().encoder, SPEC, {"data": store.described})
        Identities.of_store(store, store.rows("train")).write(building)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """Return a store of 16 recordings, an encoder pretrained on its train split, and other stores."""
    base = tmp_path_factory.mktemp("unseen")
    store = make_store(base / "own", range(16))
    encoder = make_encoder(base / "encoder", store)
    # recordings 0 and 1 of train are now in val and test, with another scale and other names
    leaky = make_store(base / "leaky", [*range(20, 24), 0, 24, 1, *range(25, 34)], gain=0.7, prefix="new")
    return SimpleNamespace(base=base, store=store, encoder=encoder, leaky=leaky)


def test_the_honest_case_just_works(made):
    outcome = require_no_overlap(made.store, made.encoder, "error")
    assert outcome == {"pretrained_on": 8, "compared": 8, "by_waveform": 0, "by_patient": 0, "found": 0}
    messages = in_words(outcome)
    assert (
        messages
        == "0 of 8 held-out recordings are among the 8 pretraining recordings, compared by waveform and patient"
    )


def test_a_recording_of_pretraining_and_fine_tuning_counts_once(made, tmp_path):
    def counted(store, encoder=made.encoder):
        rows = np.concatenate([store.rows("train"), store.rows("val")])
        return len(rows), len(training_identities(store, encoder, rows))

    assert counted(made.store) == (12, 12), "pretraining had 8 of them"
    assert counted(make_store(tmp_path / "new", range(60, 76))) == (12, 20)
    # recording 0 is again in val, but with the hash of another patient, so both hashes are kept
    assert counted(made.leaky) == (12, 20)
    # a shipped encoder has no patient hashes: recording 0 counts once
    shipped = make_encoder(tmp_path / "shipped", made.store)
    known = Identities.read(shipped)
    assert known is not None
    replace(known, patients=np.zeros(0, np.uint64), numbering="").write(shipped)
    assert counted(made.leaky, shipped) == (12, 19)


def test_recordings_of_pretraining_in_validation_and_test_are_refused(made):
    with pytest.raises(InputError) as caught:
        require_no_overlap(made.leaky, made.encoder, "error")
    messages = [str(problem) for problem in caught.value.problems]
    assert len(messages) == 2
    assert f"overlap: new4 (val) of {made.leaky.path} was pretrained on" in messages[0]
    assert "new6 (test)" in messages[1]
    # the keys differ, so nothing is said about patients, and their names are not known
    assert all("from a patient" not in text and "-patient" not in text for text in messages)
    outcome = require_no_overlap(made.leaky, made.encoder, "warn")
    assert (outcome["found"], outcome["by_waveform"], outcome["by_patient"]) == (2, 2, 0)


def test_patients_are_compared_under_one_key_and_numbering_only(made, tmp_path):
    patients = [f"rec-patient{number}" for number in range(40, 56)]
    # the patient of recording 0 of pretraining has other recordings in validation
    patients[4] = "rec-patient0"
    same = make_store(tmp_path / "same", range(40, 56), patients=patients)
    with pytest.raises(InputError, match=r"rec4 \(val\) of .* is from a patient the model was pretrained on"):
        require_no_overlap(same, made.encoder, "error")
    for number, changed in enumerate(({"key": OTHER_KEY}, {"licence": "CC BY 4.0", "name": "ptbxl"})):
        other = make_store(tmp_path / str(number), range(40, 56), patients=patients, **changed)
        outcome = require_no_overlap(other, made.encoder, "error")
        assert (outcome["by_patient"], outcome["found"]) == (None, 0)
        assert "waveform (not by patient, because the keys or the numbering of the patients differ)" in in_words(
            outcome
        )
    # patient hashes with different keys are never treated as equal
    forged = Identities(np.zeros((0, CODE_BYTES), np.uint8), np.array([7], np.uint64), "", "s", "")
    assert between(forged, forged).patient is None
    assert numbering_check(KEY, "") != numbering_check(OTHER_KEY, "") != numbering_check(OTHER_KEY, "ptbxl")


def test_recordings_without_a_patient_are_no_namesakes(tmp_path):
    """Equal record names in the tables of two hospitals without patients do not count as overlap."""
    stores = [make_store(tmp_path / str(n), range(n, n + 16), patients=[""] * 16) for n in (0, 50)]
    one, other = (Identities.of_store(store, np.arange(16)) for store in stores)
    assert one.numbering == other.numbering
    found = between(one, other)
    assert found.patient is not None
    assert (len(found.patient), len(found.waveform)) == (0, 0)
    assert len(between(one, one).patient) == 16


@pytest.fixture
def without_graphs(monkeypatch):
    """Skip the export of graphs, which takes long and is not under test."""
    monkeypatch.setattr("ecgssl.export.write_graphs.write_graphs", lambda *_: WrittenGraphs())


@pytest.mark.usefixtures("without_graphs")
def test_the_outcome_reaches_classifier_and_card(made, tmp_path):
    params = FinetuneParams(linear={"C": [0.1]}, overlap="warn")
    for store, found in ((made.store, 0), (made.leaky, 2)):
        out = tmp_path / str(found)
        result = finetune(store, made.encoder, ["AF"], "linear", params, 0, out / "work", show_progress=False)
        publish_finetuning(result, store, out / "classifier", "rhythm", "linear")
        export_bundle(out / "classifier", out / "bundle", LEAN, quality=QualityParams())
        card = (out / "bundle/README.md").read_text()
        assert (
            f"- Overlap with pretraining: {found} of 8 held-out recordings are among the 8 pretraining recordings"
            in card
        )
        assert not (out / "bundle" / FILE).exists()
    result = finetune(made.leaky, made.encoder, ["AF"], "scratch", FinetuneParams(
        linear={"C": [0.1]}, full={"epochs": 1, "batch_size": 8}), 0, tmp_path / "w", show_progress=False)  # fmt: skip
    assert in_words(result.overlap) == "not checked, because nothing was pretrained"


@pytest.mark.usefixtures("without_graphs")
def test_bundles_hold_codes_of_open_sets_only(made, tmp_path):
    """The bundle of a local cohort holds no data that identify its recordings."""
    private = tmp_path / "private"
    export_bundle(made.encoder, private, LEAN, quality=QualityParams())
    assert not (private / FILE).exists()
    codes = Identities.read(made.encoder).waveforms
    # the first bytes of the hashes of different recordings can be equal
    marks = [row.tobytes()[3:35] for row in codes]
    assert not any(mark in data or mark.hex().encode() in data for data in contents(private).values() for mark in marks)
    for licence, named in (("CC BY 4.0", True), ("PhysioNet Restricted Health Data License 1.5.0", False)):
        folder = tmp_path / licence[:5]
        store = make_store(folder, range(16), licence=licence, name="someset")
        make_encoder(folder / "encoder", store)
        export_bundle(folder / "encoder", folder / "bundle", LEAN, quality=QualityParams())
        assert (folder / "bundle" / FILE).exists() == named
        assert (f"`{FILE}` contains waveform codes of 8" in (folder / "bundle/README.md").read_text()) == named
        if named:
            known = Identities.read(folder / "bundle")
            assert (len(known), len(known.patients), known.numbering) == (8, 0, "")
            # fine-tuning rejects a bundle for the same reason as its encoder
            with pytest.raises(InputError, match=r"new4 \(val\) of .* was pretrained on"):
                require_no_overlap(made.leaky, folder / "bundle", "error")
    outcome = require_no_overlap(made.leaky, private, "error")
    assert in_words(outcome) == "not checked, because the encoder does not record its training recordings"


def test_what_is_written_is_read_and_little(made, tmp_path):
    known = Identities.of_store(made.store, made.store.rows("train"))
    back = Identities.read(made.encoder)
    np.testing.assert_array_equal(back.waveforms, known.waveforms)
    np.testing.assert_array_equal(back.patients, known.patients)
    assert (back.numbering, back.set, back.licence, back.names) == (numbering_check(KEY, ""), "m", "", ())
    assert (made.encoder / FILE).stat().st_size < 8 * (CODE_BYTES + 8) + 400
    raw = load_file(made.encoder / FILE)
    assert {name: (a.shape, a.dtype.name) for name, a in raw.items()} == {
        "waveforms": ((8, CODE_BYTES), "uint8"), "patients": ((8,), "uint64"),
    }  # fmt: skip
    known.write(tmp_path)
    assert (tmp_path / FILE).read_bytes() == (made.encoder / FILE).read_bytes()
    assert b"rec" not in (tmp_path / FILE).read_bytes().replace(b"ecgssl-recordings", b"")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data.replace(b"ecgssl-recordings", b"ecgssl-recordingz"),
        lambda data: data.replace(b"numbering", b"numberinG"),
        lambda data: data.replace(b'"U8"', b'"I8"'),
        lambda data: data[: -8 * (CODE_BYTES + 8)] + bytes(8 * (CODE_BYTES + 8)),
    ],
)
def test_damaged_files_are_refused_by_name(made, tmp_path, change):
    original = (made.encoder / FILE).read_bytes()
    assert change(original) != original
    (tmp_path / FILE).write_bytes(change(original))
    with pytest.raises(InputError, match=FILE):
        Identities.read(tmp_path)


def test_a_store_of_an_earlier_release_is_refused_before_pretraining(made, tmp_path):
    from ecgssl.pretraining.loop import pretrain

    old = shutil.copytree(made.store.path, tmp_path / "old")
    index = pd.read_parquet(old / "index.parquet")
    index.assign(waveform_hash="00" * 16).to_parquet(old / "index.parquet")
    with pytest.raises(InputError, match="no waveform codes of version"):
        pretrain(Store(old), parse_params({"tasks": {"t": {"targets": ["AF"]}}}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_verb(made, tmp_path):
    store, leaky = made.store.path, made.leaky.path
    done = ecgssl("overlap", made.encoder, leaky, "--splits", "val,test")
    assert (done.code, done.err) == (3, "")
    lines = done.out.splitlines()
    assert lines[0] == f"A: {made.encoder}, 8 recordings; B: {leaky}, 8 recordings"
    assert lines[1] == "shared recordings by waveform: 2 of A, 2 of B"
    assert lines[2:] == [
        "  pretraining recording 0 = new4 (val)",
        "  pretraining recording 1 = new6 (test)",
        "shared recordings by patient: 0 of A, 0 of B",
    ]
    done = ecgssl("overlap", made.encoder, store, "--splits", "val,test")
    assert (done.code, done.out.count("0 of A, 0 of B")) == (0, 2)
    reported = json.loads(ecgssl("overlap", store, made.encoder, "--json").out)
    assert (reported["recordings"], reported["found"]) == ([16, 8], 8)
    trained = made.store.index["record_id"].iloc[made.store.rows("train")]
    expected = [[f"{name} (train)", f"pretraining recording {number}"] for number, name in enumerate(trained)]
    assert reported["waveform"] == reported["patient"] == {"a": 8, "b": 8, "pairs": expected}
    done = ecgssl("overlap", store, leaky, "--most", "1")
    assert done.code == 3
    assert "  rec0 (train) = new4 (val)\n  and 1 more" in done.out
    assert "rec-patient" not in done.out
    other = make_store(tmp_path / "other", range(60, 76), key=OTHER_KEY)
    done = ecgssl("overlap", store, other.path)
    assert done.code == 0
    assert "by patient: cannot be compared, because the patient keys" in done.out
    refused(
        ecgssl("overlap", tmp_path, tmp_path / "none"), f"{tmp_path}: folder: is neither", "none: folder: is neither"
    )
    refused(
        ecgssl("overlap", store, leaky, "--splits", "dev"),
        "splits: there are no recordings in dev. Splits here: test, train, val",
    )


def test_finetune_refuses_on_the_command_line(made, tmp_path):
    given = ("--encoder", made.encoder, "--targets", "AF", "--params", PROFILE, "--out", tmp_path / "out")
    done = ecgssl("finetune", "--store", made.leaky.path, *given)
    refused(done, f"{made.encoder}: overlap: new4 (val)", "finetune.overlap=warn")
    assert "Remove the recording from the table or put its patient into train" in done.err
    assert contents(tmp_path) == {}
    quick = ("--set", "evaluate.bootstrap=100", "--set", "finetune.overlap=warn")
    done = ecgssl("finetune", "--store", made.leaky.path, *given, *quick)
    assert (done.code, done.err) == (0, "")
    assert "overlap with pretraining: 2 of 8 held-out recordings" in done.out
    assert json.loads((tmp_path / "out/classifier/config.json").read_text())["overlap"]["found"] == 2


@pytest.mark.real
def test_the_challenge_is_found_in_an_encoder_that_saw_ptbxl(real_data, tmp_path):
    params = parse_params({"tasks": {"t": {"targets": ["AF"]}}, "store": {"workers": 1}})
    rows = [f"p{i},ptbxl_500/records500/00000/{i:05d}_hr,train" for i in range(1, 31)]
    (tmp_path / "p.csv").write_text("\n".join(["record_id,path,split", *rows]))
    rows = [f"HR{i},cinc2021/PTB_PTBXL/HR{i:05d},test" for i in range(1, 11)]
    (tmp_path / "c.csv").write_text("\n".join(["record_id,path,split", *rows]))
    for name in "pc":
        preprocess(load_manifest(tmp_path / f"{name}.csv", real_data), params, tmp_path / name, KEY, progress=False)
    encoder = make_encoder(tmp_path / "encoder", Store(tmp_path / "p"))
    with pytest.raises(InputError) as caught:
        require_no_overlap(Store(tmp_path / "c"), encoder, "error")
    assert [p.what.split(" of ")[0] for p in caught.value.problems] == [f"HR{i} (test)" for i in range(1, 11)]
    done = ecgssl("overlap", tmp_path / "p", tmp_path / "c", "--json")
    pairs = json.loads(done.out)["waveform"]["pairs"]
    assert pairs == [[f"p{i} (train)", f"HR{i} (test)"] for i in range(1, 11)]
