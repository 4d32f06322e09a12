"""The inspect command and its function, with recordings of several formats."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import contents, ecgssl, refused
from dicom_files import dicom, group
from heartbeats import heartbeats
from hospital_checks import leaked
from hospital_xml import EIGHT, aecg, muse
from store_cohort import beats
from wfdb_files import write_record

from ecgssl.config import QualityParams, SyntheticParams
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.errors import InputError
from ecgssl.inspection.inspect import LSB, Inspection, find, inspect, inspect_one
from ecgssl.inspection.inspect_table import MAX_LISTED, as_text
from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.preprocessing.prepare import Rejected, examine, prepare, prepare_request, quality_figures
from ecgssl.preprocessing.request import RecordingRequest
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.leads import LEADS, arrange, measured
from ecgssl.signal.quality import assess_cleaned, assess_raw
from ecgssl.signal.spec import SignalSpec

SPEC, QUALITY = SignalSpec(), QualityParams()
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write one recording in three formats, and recordings with a flat lead, short duration, a change, and a note."""
    base = tmp_path_factory.mktemp("hospital")
    simulate(base.with_name("invented"), SyntheticParams(patients=1, recordings_per_patient=(1, 1)), 0, 1)
    (made,) = find([base.with_name("invented") / "records"]).recordings
    signal = read(made).signal
    digital = {name: np.rint(row / 0.005).astype(np.int16) for name, row in zip(LEADS, signal, strict=True)}
    eight = {name: digital[name] for name in EIGHT}
    flat = digital | {"V3": np.zeros_like(digital["V3"])}
    short = {name: row[:2000] for name, row in digital.items()}
    (base / "deep").mkdir()
    (base / "a.xml").write_text(muse(eight, per_bit="5"), encoding="latin-1")
    (base / "b.dcm").write_bytes(dicom(group(digital, sensitivity="5")))
    write_record(base / "deep", "a", np.stack(list(digital.values())), gain="200/mV")
    (base / "flat.xml").write_text(aecg(flat))
    (base / "short.xml").write_text(muse(short), encoding="latin-1")
    altered = muse(eight).replace("<LeadDataCRC32>", "<LeadDataCRC32>1")
    (base / "altered.xml").write_text(altered, encoding="latin-1")
    (base / "note.txt").write_text("no recording")
    return base


def by_name(inspection):
    return {recording.path.rpartition("/")[2]: recording for recording in inspection.recordings}


def test_every_recording_of_a_folder_is_told_of(folder):
    counted = []
    result = inspect(find([folder]), SPEC, QUALITY, advance=lambda count=1, **figures: counted.append(count))
    found = by_name(result)
    assert sum(counted) == len(result.recordings) == 6
    assert [name.rpartition("/")[2] for name in result.unknown] == ["note.txt"]
    assert {name: (one.format, one.verdict) for name, one in found.items()} == {
        "a.hea": ("wfdb", "ok"),
        "a.xml": ("muse", "ok"),
        "b.dcm": ("dicom", "ok"),
        "flat.xml": ("aecg", "flagged"),
        "short.xml": ("muse", "rejected"),
        "altered.xml": ("muse", "unreadable"),
    }
    assert (found["a.xml"].leads, found["a.xml"].derived) == (EIGHT, ("III", "aVR", "aVL", "aVF"))
    assert (found["a.hea"].leads, found["a.hea"].derived) == (LEADS, ())
    assert {(one.sampling_rate, one.duration) for one in found.values()} == {(500, 10), (500, 4), (None, None)}
    assert found["flat.xml"].reasons == ("flat",)
    assert "V3" in found["flat.xml"].detail
    assert found["short.xml"].reasons[0] == "too_short"
    assert found["altered.xml"].reasons == ("checksum",)
    assert result.count("ok") == 3


def test_figures_are_those_of_preprocessing(folder):
    path = folder / "b.dcm"
    recording = read(path)
    raw, present = arrange(recording.signal, recording.leads)
    quality, usable = assess_raw(raw, 500.0, present, measured(recording.leads), QUALITY, SPEC)
    quality = assess_cleaned(crop(clean(usable, 500.0, SPEC), SPEC), quality, QUALITY, SPEC)
    found = inspect_one(str(path), SPEC, QUALITY)
    assert set(found.figures) == set(quality.figures)
    for name, value in quality.figures.items():
        assert found.figures[name] == (None if np.isnan(value) else value), name
    assert found.figures["heart_rate"] == pytest.approx(
        by_name(inspect(find([folder]), SPEC, QUALITY))["a.xml"].figures["heart_rate"]
    )


def test_workers_change_nothing(folder):
    found = find([folder / "a.xml", folder / "short.xml", folder / "altered.xml"])
    one, two = (inspect(found, SPEC, QUALITY, workers=workers) for workers in (1, 2))
    assert one.to_dict() == two.to_dict()


def test_members_files_and_what_is_stated(folder, tmp_path):
    strip = muse({name: np.arange(-500, 500, dtype=np.int16) for name in EIGHT}).replace(">Median<", ">Rhythm<")
    path = tmp_path / "two.xml"
    path.write_text(strip, encoding="latin-1")
    found = find([str(path), f"{path}#1", str(folder / "deep" / "a")])
    assert found.recordings == (str(path), f"{path}#1", str(folder / "deep" / "a"))
    result = inspect(found, SPEC, QUALITY, overrides=MetadataOverrides(sampling_rate=250.0))
    assert [one.sampling_rate for one in result.recordings] == [250.0] * 3
    assert result.recordings[0].meta["overridden"] == ("sampling_rate",)
    assert [one.duration for one in result.recordings] == [4.0, 60 / 250, 20.0]


def test_a_file_of_many_recordings_stands_for_all(tmp_path):
    signal = heartbeats(3, seconds=10.0, rate=500.0)
    path = tmp_path / "many.npy"
    np.save(path, signal)
    found = find([path])
    assert len(found.recordings) == 3
    result = inspect(found, SPEC, QUALITY, overrides=MetadataOverrides(500.0, "mV", LEADS))
    assert [one.verdict for one in result.recordings] != ["unreadable"] * 3
    assert all(one.leads == LEADS for one in result.recordings)


def test_no_leads_left_is_rejected_not_a_crash(tmp_path):
    path = write_record(tmp_path, "silent", np.zeros((12, 5000), dtype=np.int16))
    found = inspect_one(str(path), SPEC, QUALITY)
    assert found.verdict == "rejected"
    assert {"min_leads", "flat"} <= set(found.reasons)


def test_channels_left_out_are_named_in_json_text_meta_and_rejections(tmp_path):
    names = ("V1", "V2", "V3R", "Quetzalcoatlus")
    signal = np.random.default_rng(0).integers(-900, 900, (4, 5000)).astype(np.int16)
    path = str(write_record(tmp_path, "right", signal, names))
    found = inspect_one(path, SPEC, QUALITY)
    expected = ("V3R", "channel 4")
    assert found.left_out == found.meta["left_out"] == expected
    assert json.loads(json.dumps(found.to_dict()))["left_out"] == list(expected)
    assert "channels left out: V3R, channel 4" in as_text(Inspection((found,), ()))
    needs_more = QUALITY.model_copy(update={"min_leads": 6})
    with pytest.raises(Rejected) as rejected:
        prepare(read(path), SPEC, needs_more, LSB, np.empty((12, SPEC.samples), np.int16))
    assert rejected.value.detail.endswith("channels left out: V3R, channel 4")


def test_pages_have_names_of_their_own(folder, tmp_path):
    plain = inspect(find([folder]), SPEC, QUALITY, plot=tmp_path / "pages")
    pages = contents(tmp_path / "pages")
    assert set(pages) == {"a.png", "a-2.png", "b.png", "flat.png", "short.png"}
    assert all(page.startswith(PNG) for page in pages.values())
    assert plain.count("unreadable") == 1
    single = tmp_path / "one" / "page.png"
    inspect(find([folder / "b.dcm"]), SPEC, QUALITY, plot=single)
    assert single.read_bytes() == pages["b.png"]
    with pytest.raises(InputError):
        inspect(find([folder]), SPEC, QUALITY, plot=tmp_path / "all.png")


def test_offsets_of_electrodes_do_not_leave_the_page(tmp_path):
    signal = np.rint(heartbeats(1, seconds=10.0, rate=500.0)[0] * 1000).astype(np.int16)
    for name, offset in (("level", 0), ("high", 9000)):
        path = write_record(tmp_path, name, signal + np.int16(offset))
        inspect_one(str(path), SPEC, QUALITY, page=tmp_path / "x" / f"{name}.png")
    level, high = ((tmp_path / "x" / f"{name}.png").read_bytes() for name in ("level", "high"))
    assert abs(len(level) - len(high)) < 0.05 * len(level), "traces must be equal apart from the title"


def test_table_fits_its_width_and_spells_out_some(folder):
    result = inspect(find([folder]), SPEC, QUALITY)
    table, _, below = as_text(result, 100).partition(f"{folder}/altered.xml: ")
    assert max(map(len, table.splitlines())) <= 100
    assert "8+4" in table
    assert "unreadable: checksum" in table
    assert "CRC-32" in below
    assert below.splitlines()[-1].startswith(
        "6 recordings = 3 ok + 1 flagged + 1 rejected + 1 unreadable; besides 1 file"
    )
    many = SimpleNamespace(recordings=result.recordings * 30, unknown=(), count=result.count)
    assert f"and {90 - MAX_LISTED} more" in as_text(many)


def test_a_path_may_hold_what_rich_takes_for_markup(folder, tmp_path):
    path = tmp_path / "[red]x[b].xml"
    path.write_bytes((folder / "a.xml").read_bytes())
    assert path.name in as_text(inspect(find([path]), SPEC, QUALITY), 200)


def test_verb(folder, tmp_path):
    done = ecgssl("inspect", folder, "--plot", tmp_path / "p")
    assert (done.code, done.err) == (3, "")
    assert leaked(done.out) == []
    done = ecgssl("inspect", folder / "a.xml", folder / "b.dcm", "--json")
    assert done.code == 0
    first, second = json.loads(done.out)["recordings"]
    assert (first["format"], first["leads"], first["unit"], first["verdict"]) == ("muse", list(EIGHT), "mV", "ok")
    assert first["figures"]["heart_rate"] == pytest.approx(second["figures"]["heart_rate"])
    assert leaked(done.out) == []
    done = ecgssl(
        "inspect", folder / "a.xml", "--json", "--sampling-rate", 1000, "--units", "mV", "--leads", ",".join(EIGHT)
    )
    (only,) = json.loads(done.out)["recordings"]
    assert (only["sampling_rate"], only["meta"]["overridden"]) == (1000, ["sampling_rate", "unit"])


@pytest.mark.parametrize(("name", "start"), [("a.pdf", b"%PDF-"), ("b.SVG", b"<?xml"), ("c.png", b"\x89PNG")])
def test_the_suffix_of_a_single_plot_selects_its_format(folder, tmp_path, name, start):
    assert ecgssl("inspect", folder / "a.xml", "--plot", tmp_path / name).code == 0
    assert (tmp_path / name).read_bytes().startswith(start)


def test_verb_with_other_limits(folder, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("tasks: {x: {targets: [AF]}}\nquality: {amplitude: 0.1}\n")
    done = ecgssl("inspect", folder / "b.dcm", "--params", params)
    assert "1 rejected + 0 unreadable" in done.out
    assert "amplitude" in done.out
    assert done.code == 3, "rejected recordings"
    assert ecgssl("inspect", folder / "flat.xml").code == 0, "flagged recordings are usable"


def test_usage_is_refused_before_anything_is_written(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    done = ecgssl("inspect", tmp_path / "absent.xml", tmp_path / "empty", folder, "--plot", tmp_path / "p")
    refused(done, "absent.xml", "empty")
    assert not (tmp_path / "p").exists()
    refused(ecgssl("inspect", folder / "a.xml", "--units", "furlong"), "--units")
    refused(ecgssl("inspect", folder, "--plot", tmp_path / "x.png"), "Use a folder")
    assert ecgssl("inspect").code == 2


@pytest.mark.parametrize(
    ("name", "text", "messages"),
    [
        ("cohort.csv", "record_id,path,age\na,b,70\n", ("is a table of recordings", "'ecgssl check TABLE'")),
        ("kohorte.csv", "EKG-Nr;Datei\n1;a.xml\n", ("is a table, but not of samples", "'ecgssl check TABLE'")),
        ("samples.txt", "0.1\t0.2\n0.3\t0.4\n", ("is a table, but not of samples", "Add the row of lead names")),
        ("cohort.parquet", "PAR1", ("is a Parquet table", "'ecgssl check TABLE'")),
    ],
)
def test_a_table_of_recordings_is_no_unreadable_recording(tmp_path, name, text, messages):
    (tmp_path / name).write_text(text)
    for command in (("inspect", tmp_path / name), ("draw", tmp_path / name, "--out", tmp_path / "a.png")):
        done = ecgssl(*command)
        refused(done, name, *messages)
        assert "Convert the file" not in done.err


def test_other_text_is_not_called_a_table(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear colleague, thank you\nfor your letter.\n")
    (tmp_path / "export.xml").write_text("<a,b>\n<c,d>\n")
    result = inspect(find([tmp_path / "letter.txt", tmp_path / "export.xml"]), SPEC, QUALITY)
    assert [recording.verdict for recording in result.recordings] == ["unreadable", "unreadable"]
    assert "Convert the file" in result.recordings[0].detail


QUALITIES = {
    "default": {},
    "amplitude above the range of int16": {"amplitude": 100.0},
    "amplitude flagged": {"amplitude": 100.0, "policy": {"amplitude": "flag"}},
    "everything rejected": {"policy": dict.fromkeys(QUALITY.policy, "reject")},
    "strict": {"hf_noise": 0.0001, "span": [0.1, 0.2], "policy": {"hf_noise": "mask", "unit_suspect": "reject"}},
    "strict, flagged": {"hf_noise": 0.0001, "min_leads": 12, "policy": {"hf_noise": "flag", "unit_suspect": "flag"}},
}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Write a WFDB record with waves of 45 mV, which int16 steps of 1 uV cannot represent."""
    signal = 45 / 1.5 * heartbeats(1, seconds=10.0, rate=500.0)[0]
    return write_record(
        tmp_path_factory.mktemp("large"), "large", np.rint(signal * 200).astype(np.int16), gain="200/mV"
    )


@pytest.mark.parametrize("limits", QUALITIES.values(), ids=QUALITIES)
def test_inspect_agrees_with_preprocessing(folder, large, limits):
    """Verdicts and reasons equal those of ``prepare_request``, which preprocessing and the cohort check use."""
    quality = QualityParams.model_validate(limits)
    for path in (*find([folder]).recordings, str(large)):
        found = inspect_one(path, SPEC, quality)
        out = np.empty((12, SPEC.samples), dtype=np.int16)
        rejection = None
        try:
            stored = prepare_request(RecordingRequest(path), SPEC, quality, LSB, out)
        except Rejected as raised:
            rejection = raised
        if rejection is not None:
            assert found.verdict == ("unreadable" if rejection.stage == "read" else "rejected"), path
            assert set(rejection.reason.split(";")) <= set(found.reasons), path
        else:
            assert found.verdict == ("flagged" if stored["reasons"] else "ok"), path
            assert ";".join(found.reasons) == stored["reasons"], path
            assert found.figures.items() <= stored.items(), path


def test_voltages_beyond_the_range_of_a_store_are_rejected(large):
    quality = QualityParams(amplitude=100.0, span=(0.0, 200.0))
    found = inspect_one(str(large), SPEC, quality)
    assert (found.verdict, found.reasons[0]) == ("rejected", "amplitude")
    assert "the largest storable value" in found.detail


@pytest.mark.parametrize("crop", ["start", "center"])
@pytest.mark.parametrize("rate", [100.0, 250.0, 257.0])
def test_long_recordings_are_judged_as_preprocess_stores_them(tmp_path, monkeypatch, crop, rate):
    """Only the stored part and a margin are cleaned; the figures are those of cleaning the whole recording."""
    spec = SPEC.model_copy(update={"crop": crop})
    signal = np.rint(heartbeats(1, seconds=400.0, rate=rate)[0] * 1000).astype(np.int16)
    path = write_record(tmp_path, "long", signal, rate=rate)
    lengths = []
    monkeypatch.setattr("ecgssl.inspection.inspect.examine", lambda r, *a: lengths.append(r.duration) or examine(r, *a))
    found = inspect_one(str(path), spec, QUALITY)
    (length,) = lengths
    assert length < 135
    start = 0.0 if crop == "start" else (found.duration - 10) / 2
    assert found.judged == (start, start + 10)
    assert found.detail.endswith(f"judged: {start:g} to {start + 10:g} s of {found.duration:g} s")
    expected = quality_figures(examine(read(path), spec, QUALITY, LSB).quality)
    # two detectors disagree about one of these simulated signals
    assert {name for name, value in found.figures.items() if value is None} <= {"mains", "heart_rate"}
    expected = expected if found.figures["heart_rate"] else expected | {"heart_rate": None}
    found_values, expected_values = (
        {name: -1.0 if value is None else value for name, value in figures.items()}
        for figures in (found.figures, expected)
    )
    assert found_values == pytest.approx(expected_values, rel=1e-3, abs=1e-5)


def test_short_recordings_are_judged_whole(folder):
    found = inspect_one(str(folder / "a.xml"), SPEC, QUALITY)
    assert found.judged == (0.0, 10.0)
    assert "judged" not in found.detail
    assert json.loads(json.dumps(found.to_dict()))["judged"] == [0, 10]


def test_short_recordings_are_usable_and_counted(tmp_path):
    """6 s are usable by default, and not if complete recordings are required."""
    write_record(tmp_path, "six", beats(1, seconds=6), rate=250)
    found = inspect_one(str(tmp_path / "six.hea"), SPEC, QUALITY)
    assert (found.verdict, found.short, found.judged) == ("ok", True, (0.0, 6.0))
    assert found.detail == "short: 6 s of the 10 s of a window are recorded"
    assert as_text(Inspection((found,), ())).rstrip().endswith("0 unreadable; 1 shorter than a window")
    found = inspect_one(str(tmp_path / "six.hea"), SPEC, QualityParams(min_duration=10))
    assert (found.reasons, found.short) == (("too_short",), False)
