"""Cohort check: agreement with preprocessing, complete reports, no changes to files, no identifiers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from command_line import contents, ecgssl
from store_cohort import KEY, RATE, beats, make_cohort, params
from wfdb_files import write_record

from ecgssl.config import OneSet
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.errors import InputError
from ecgssl.inspection.check import Checked, check
from ecgssl.inspection.check_page import draw_examples, render_check, rows_text
from ecgssl.inspection.check_summary import SHARED_BY, summarise, warnings_of
from ecgssl.inspection.withheld_counts import for_page
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.store.store import Store

PROFILE = Path(__file__).parents[2] / "ecgssl/profiles/quickstart.yaml"
SECRETS = ("QZX-17", "Zebulon", "1961-07-04", "ward7", "serial-99")


def of(manifest: Path, **data) -> OneSet:
    workers = data.pop("workers", 1)
    store = {"shard_recordings": 8, "workers": workers, "max_rejected_fraction": 0.5}
    return params(sets={"mine": {"reader": "cohort", "manifest": str(manifest), **data}}, store=store).one_set()


def run(manifest: Path, **data) -> Checked:
    return check(of(manifest, **data), progress=False)


@pytest.fixture(scope="module")
def checked(manifest) -> Checked:
    return run(manifest)


def test_it_leaves_out_what_preprocessing_leaves_out(checked, manifest, made):
    """Rows and texts agree exactly."""
    rejected = pd.read_csv(made[0] / "rejected.csv", keep_default_na=False)
    names = checked.cohort.table["record_id"].to_numpy()
    ours = checked.rejected
    assert list(names[ours["place"]]) == list(rejected["record_id"])
    assert (
        ours[["stage", "reason", "detail"]].to_numpy().tolist()
        == rejected[["stage", "reason", "detail"]].to_numpy().tolist()
    )
    index = Store(made[0]).index
    assert list(names[checked.kept["place"]]) == list(index["record_id"])
    for column in ("reasons", "waveform_hash", "heart_rate", "lead_mask"):
        np.testing.assert_array_equal(checked.kept[column], index[column])
    assert checked.exit_code == 3
    assert [int(row) for row in checked.rows[ours["place"]]] == [5, 7, 11, 19]


def test_two_workers_find_the_same(checked, manifest, monkeypatch):
    monkeypatch.setattr("ecgssl.inspection.check._CHUNK", 3)
    pd.testing.assert_frame_equal(run(manifest, workers=2).recordings.fillna(""), checked.recordings.fillna(""))


def test_a_wrong_table_does_not_keep_recordings_from_being_read(tmp_path):
    """One run reports problems of table and recordings; a row with a missing file is counted, not read."""
    manifest = make_cohort(tmp_path)
    lines = manifest.read_text().splitlines()
    lines[1] = lines[1].replace("r0", "gone")
    lines[9] = lines[9].replace("train", "dev")
    manifest.write_text("\n".join([*lines, "rec99,r1,patient0,train,1"]) + "\n")
    before = contents(tmp_path)
    found = check(of(manifest), ["AF", "LBBB"], progress=False)
    assert contents(tmp_path) == before
    assert [(i.column, i.rows) for i in found.issues] == [
        ("path", (2,)),
        ("path", (3, 22)),
        ("split", (10,)),
        ("LBBB", ()),
    ]
    assert found.exit_code == 2
    counts = summarise(found)["counts"]
    assert (counts["rows"], counts["without_file"], counts["read"], counts["rejected"]) == (21, 1, 20, 4)
    assert list(found.rejected["reason"]) == ["too_short", "checksum", "amplitude", "truncated"]


def test_without_a_split_an_error_in_the_table_hides_no_target(tmp_path):
    """The split is made after the errors are fixed, so no target can lack values in a split yet."""
    manifest = make_cohort(tmp_path)
    table = pd.read_csv(manifest, dtype=str).drop(columns="split").assign(sex="female")
    table.loc[0, "sex"] = "7"
    table.to_csv(manifest, index=False)
    found = check(of(manifest), ["AF"], progress=False)
    assert [issue.column for issue in found.issues] == ["sex"]


def test_targets_of_a_task_are_checked_and_a_reserved_name_is_told(tmp_path):
    manifest = make_cohort(tmp_path, 4)
    manifest.write_text(manifest.read_text().replace(",AF", ",heart_rate"))
    found = check(of(manifest), ["heart_rate"], progress=False)
    reported = {issue.column: issue.what for issue in found.issues}
    assert set(reported) == {"heart_rate"}
    assert len(found.issues) == 2 + 1, "reserved, and without both classes in two splits"
    summarise(found)


def test_tables_without_recordings(tmp_path):
    (tmp_path / "m.csv").write_text("record_id,path\n")
    found = run(tmp_path / "m.csv")
    assert [issue.column for issue in found.issues] == ["rows"]
    assert render_check(summarise(found), draw_examples(found))
    with pytest.raises(InputError, match="does not exist"):
        run(tmp_path / "none.csv")
    with pytest.raises(InputError, match="no manifest is set"):
        check(params().one_set(), progress=False)


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> SimpleNamespace:
    """Write a cohort with identifiers in the table, in paths, and in words that few recordings share."""
    folder = tmp_path_factory.mktemp("Zebulon")
    rows = ["record_id,path,patient_id,split,acq_time,age,sex,site,device,AF,rhythm,EF,Name,comment"]
    shorter = {4: 500, 5: 2400}
    for number in range(24):
        name = f"{SECRETS[0]}-{number}"
        rate = RATE if number != 5 else 500
        signal = beats(number)
        if number == 20:
            signal[8] = 0
        write_record(folder / SECRETS[0], name, signal[:, : shorter.get(number)], rate=rate, checksum=number != 6)
        split = ("train", "train", "val", "test")[number // 2 % 4]
        site = "Main <b>&" if number < 12 else "North" if number < 22 else SECRETS[3]
        rhythm, ef = ("SR", "AF", "")[number % 3], f"{50 + number}"
        rows.append(
            f"{SECRETS[0]}-{number},{SECRETS[0]}/{name},{SECRETS[0]}{number // 2},{split},{SECRETS[2]},{30 + 3 * number},"
            f"{'mf'[number % 2]},{site},{SECRETS[4]}-{number},{number % 2},{rhythm},{ef},{SECRETS[1]},{SECRETS[1]} called"
        )
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    targets = "rhythm: {kind: multiclass, classes: [SR, AF]}, EF: {kind: regression, unit: '%', range: [5, 90]}"
    (folder / "m.targets.yaml").write_text(f"targets: {{{targets}}}\n")
    return SimpleNamespace(folder=folder, manifest=folder / "m.csv", checked=run(folder / "m.csv"))


def test_the_page_and_the_json_name_nobody(planted):
    """Planted names, ids, paths, dates and serial numbers are in no output, even if the table is invalid."""
    spoiled = planted.folder / "spoiled.csv"
    lines = planted.manifest.read_text().splitlines()
    lines[4] = lines[4].replace("/", "/no/").replace("train", SECRETS[1]).replace("SR", SECRETS[1])
    lines[5] = lines[5].replace("val", SECRETS[3]).replace(SECRETS[2], "04.07.61")
    spoiled.write_text("\n".join([*lines, lines[7]]) + "\n")
    (planted.folder / "spoiled.targets.yaml").write_bytes((planted.folder / "m.targets.yaml").read_bytes())
    wrong = run(spoiled)
    assert {issue.column for issue in wrong.issues} == {"path", "split", "acq_time", "rhythm", "rows"}
    for found in (planted.checked, wrong):
        summary = summarise(found)
        page = render_check(for_page(summary, found), draw_examples(found))
        page = re.sub(r'src="data:image/png;base64,[^"]*"', "", page)
        for text in (json.dumps(summary), page):
            for secret in (*SECRETS, "called", str(planted.folder), planted.folder.name, "m.csv"):
                assert secret not in text
        # sites of five and six patients have names, but their counts cannot be protected on the page
        assert {"North", "Main <b>&"} < {site["value"] for site in summary["sites"]}
        assert "North" not in page
        assert "withheld" in page
        everything = render_check(summary, [])
        assert "Main &lt;b&gt;&amp;" in everything
        assert "North" in everything, f"a word that {SHARED_BY} patients share is shown"


class Tags(HTMLParser):
    """Parser that records elements, their resources, and whether each is closed."""

    VOID = ("meta", "img", "line", "rect", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(planted):
    page = render_check(summarise(planted.checked), draw_examples(planted.checked))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not {"script", "link", "iframe", "object", "b>"} & set(tags.seen)
    assert tags.loaded
    assert all(value.startswith("data:image/png;base64,") for value in tags.loaded)
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert "default-src 'none'" in page
    assert len(page) < 3_000_000
    assert page == render_check(summarise(planted.checked), draw_examples(planted.checked)), "both pages must be equal"


def test_hostile_names_of_columns_stay_text(tmp_path):
    manifest = make_cohort(tmp_path, 4)
    name = "<script>alert(1)</script>${x}"
    manifest.write_text(manifest.read_text().replace(",AF", f",{name}"))
    page = render_check(summarise(run(manifest)), [])
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;${x}" in page


def test_the_summary_counts_what_is_there(planted):
    summary = summarise(planted.checked)
    assert summary["verdict"] == "rejected"
    assert {reported["reason"]: reported["rows"] for reported in summary["rejected"]} == {
        "too_short": [6, 7],
        "checksum": [8],
    }
    assert {reported["reason"]: reported["rows"] for reported in summary["flags"]}["flat"] == [22]
    table = planted.checked.cohort.table.drop(index=[4, 5, 6])
    about = {target["name"]: target for target in summary["targets"]}
    for group, where in (("train", table["split"] == "train"), ("female", table["sex"] == "female")):
        cells = table.loc[where, "AF"]
        assert about["AF"]["groups"][group] == {"known": int(cells.notna().sum()), "positive": int((cells == 1).sum())}
        assert about["rhythm"]["groups"][group] == {
            "SR": int((table.loc[where, "rhythm"] == 0).sum()),
            "AF": int((table.loc[where, "rhythm"] == 1).sum()),
        }
        assert about["EF"]["groups"][group]["median"] == table.loc[where, "EF"].median()
    assert about["rhythm"]["unknown"] == int(table["rhythm"].isna().sum()) > 0
    ages = summary["ages"]
    by_hand = table.groupby("sex")["age"].apply(lambda age: np.histogram(age, [*range(0, 91, 10), 200])[0].tolist())
    assert ages["counts"] == {"female": by_hand["female"], "male": by_hand["male"]}
    assert summary["sites"] == [
        {"value": "North", "count": 10},
        {"value": "Main <b>&", "count": 9},
        {"value": f"1 others with fewer than {SHARED_BY} patients each", "count": 2},
    ]
    assert summary["devices"] == [{"value": f"21 others with fewer than {SHARED_BY} patients each", "count": 21}]
    assert summary["sampling_rates"] == [{"value": "250 Hz", "count": 22}, {"value": "500 Hz", "count": 1}]
    assert {split["split"]: split["kept"] for split in summary["splits"]} == {"train": 12, "val": 4, "test": 5}


def test_what_the_files_say_stands_in_where_the_table_is_silent(tmp_path):
    comments = ("# Age: 63\n# Sex: Female\n", "# Age: 40\n# Sex: Male\n")
    for number, comment in enumerate(comments):
        write_record(tmp_path, f"r{number}", beats(number), rate=RATE, comments=comment)
    (tmp_path / "m.csv").write_text("record_id,path,split\na,r0,train\nb,r1,test\n")
    summary = summarise(run(tmp_path / "m.csv"))
    assert summary["people_from"].startswith("recorded in the files")
    assert summary["ages"]["counts"] == {"female": [0] * 6 + [1] + [0] * 3, "male": [0] * 4 + [1] + [0] * 5}
    (tmp_path / "m.csv").write_text(
        "record_id,path,split,age,sex,sampling_rate\na,r0,train,40,m,\nb,r1,test,41,m,200\n"
    )
    reported = {w.what: w.rows for w in warnings_of(run(tmp_path / "m.csv"))}
    assert reported["1 file and the table differ in sex: they may belong to another patient"] == (2,)
    assert reported["1 file and the table differ in age by more than 2 years"] == (2,)
    assert reported["1 file and the table differ in sampling_rate; the table is used"] == (3,)


def test_warnings_by_row(tmp_path):
    for number in range(4):
        write_record(tmp_path, f"r{number}", beats(number if number != 3 else 0), rate=RATE)
    rows = ["a,r0,p0,train", "b,r1,p1,train", "c,r2,p2,val", "d,r3,p3,test"]
    (tmp_path / "m.csv").write_text("\n".join(["record_id,path,patient_id,split", *rows]) + "\n")
    found = run(tmp_path / "m.csv", overlap="warn")
    reported = {warned.what.split(":")[0]: warned.rows for warned in warnings_of(found)}
    assert (found.issues, found.exit_code) == ((), 0)
    assert reported["2 recordings have the waveform of a recording in another split"] == (2, 5)
    assert reported["2 recordings have the waveform of a recording of another patient"] == (2, 5)
    assert reported["split val has 1 usable recordings"] == ()
    (tmp_path / "m.csv").write_text(
        "\n".join(["record_id,path,patient_id,split", *rows]).replace("p3,test", "p0,train")
    )
    reported = {warned.what: warned.rows for warned in warnings_of(run(tmp_path / "m.csv"))}
    assert reported["2 recordings occur more than once under different names"] == (2, 5)


def test_it_says_where_preprocessing_would_stop(checked, cohort, tmp_path):
    chosen = of(Path(cohort.source))
    store = chosen.params.store.model_copy(update={"max_rejected_fraction": 0.1})
    strict = chosen.params.model_copy(update={"store": store})
    with pytest.raises(InputError, match="max_rejected_fraction"):
        preprocess(cohort, strict, tmp_path / "out", KEY, progress=False)
    stopped = replace(checked, chosen=replace(chosen, params=strict))
    assert (checked.would_stop, stopped.would_stop) == (False, True)
    assert warnings_of(stopped)[0].what.startswith("preprocessing would stop: 4 of 20")


def test_rows_are_told_in_runs():
    assert rows_text([2, 3, 4, 9, 11, 12]) == "2-4, 9, 11-12"
    assert rows_text(range(2, 400, 2)).endswith("78, 80 and 159 more")
    assert rows_text([]) == ""
    assert rows_text(range(110, 120), 8) == "110-119"
    assert rows_text([1, 3, 5, 7, 8, 9], 2) == "1, 3 and 4 more"


def test_the_verb(planted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ("check", planted.manifest, "--params", PROFILE, "--workers", "1")
    before = contents(planted.folder)
    done = ecgssl(*given, "--out", tmp_path / "page.html")
    assert (done.code, done.err) == (3, "")
    assert "24 rows of 12 patients = 21 usable + 3 rejected + 0 without a file" in done.out
    assert "rejected too_short: 2 (rows 6-7): the recording" in done.out
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    done = ecgssl(*given, "--json")
    assert json.loads(done.out)["verdict"] == "rejected"
    done = ecgssl(*given, "--targets", "EF,AFF", "--json")
    assert done.code == 2
    assert json.loads(done.out)["verdict"] == "table"
    assert "m.csv: AFF: there is no such column" in done.err
    assert contents(planted.folder) == before
    assert contents(tmp_path).keys() == {"page.html"}
    for secret in SECRETS:
        assert secret not in done.out
    done = ecgssl(*given, "--column", "MRN", "--value", "sex", "--value", "sex:1")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("does not have the form") == 3


def test_check_and_preprocess_read_one_table_alike(tmp_path):
    """A mapped table gives the same result for both commands."""
    manifest = make_cohort(tmp_path / "files", 8)
    table = pd.read_csv(manifest).rename(
        columns={"record_id": "ECG No", "path": "File", "patient_id": "MRN", "split": "Set"}
    )
    table["Set"] = table["Set"].replace({"train": "Training"})
    table["File"] = "Z:\\exp\\" + table["File"]
    table["AF"] = table["AF"].map({0: "no", 1: "yes"})
    table["Day"] = "03/04/2021"
    table.to_csv(tmp_path / "own.csv", index=False, sep=";")
    (tmp_path / "params.yaml").write_text("tasks: {t: {targets: [AF]}}\n")
    (tmp_path / "t.yaml").write_text("targets: {AF: {positive: 'yes', negative: 'no'}}\n")
    given = [
        *(
            "--root",
            tmp_path / "files",
            "--params",
            tmp_path / "params.yaml",
            "--targets-file",
            tmp_path / "t.yaml",
            "--workers",
            1,
        ),
        *(
            "--column",
            "record_id=ECG No",
            "--column",
            "path=File",
            "--column",
            "patient_id=MRN",
            "--column",
            "split=Set",
        ),
        *("--column", "acq_time=Day", "--value", "split:Training=train", "--path-prefix", "Z:\\exp"),
        *("--set", f"sets.cohort.patient_key={tmp_path / 'key'}", "--set", "store.max_rejected_fraction=0.5"),
    ]
    done = ecgssl("check", tmp_path / "own.csv", *given)
    assert done.code == 2
    assert "day and month are ambiguous. Set the order with --dates day_first" in done.err
    given += ["--dates", "day_first"]
    done = ecgssl("check", tmp_path / "own.csv", *given)
    assert (done.code, done.err) == (3, "")
    done = ecgssl("preprocess", "--manifest", tmp_path / "own.csv", "--out", tmp_path / "store", *given)
    assert (done.code, done.err) == (3, "")
    store = Store(tmp_path / "store")
    assert store.targets == ("AF",)
    assert list(store.index["split"].unique()) == ["train", "val", "test"]
    np.testing.assert_array_equal(store.index["AF"], [int(name[3:]) % 2 for name in store.index["record_id"]])


@pytest.mark.real
def test_real_cohort(real_data):
    """Preprocessing rejects two of these 1,732 recordings (README), for voltages beyond 10 mV."""
    found = run(real_data / "ptbxl_cohort.csv", workers=2)
    summary = summarise(found)
    assert summary["issues"] == []
    assert summary["rejected"] == [{"reason": "amplitude", "count": 2, "rows": [359, 1572]}]
    assert {s["split"]: s["recordings"] for s in summary["splits"]} == {"train": 1319, "val": 171, "test": 242}
    assert load_manifest(real_data / "ptbxl_cohort.csv").table.equals(found.cohort.table)
