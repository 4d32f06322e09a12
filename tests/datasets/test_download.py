"""Downloads from a local server with planned failures."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import threading
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import ecgssl, refused
from hypothesis import given
from hypothesis import strategies as st
from release_server import Release

from ecgssl.config.public_sets import PUBLIC_SETS
from ecgssl.datasets.download.download import JOURNAL, download
from ecgssl.datasets.download.fetch import unpack
from ecgssl.datasets.download.release_files import is_inside, parse_sums
from ecgssl.datasets.download.session import Refused, ReleaseSession
from ecgssl.datasets.public.public_set import public_set
from ecgssl.errors import InputError


def content(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


FILES = {
    "ptbxl_database.csv": b"ecg_id\n1\n",
    "LICENSE.txt": b"CC BY 4.0\n",
    "records100/00000/00001_lr.dat": content(1, 24_000),
    "records100/00000/00001_lr.hea": b"00001_lr 12 100 1000\n",
    "records500/00000/00001_hr.dat": content(2, 3_000_000),
    "records500/00000/00001_hr.hea": b"00001_hr 12 500 5000\n",
}
BIG = "records500/00000/00001_hr.dat"


@pytest.fixture
def release():
    with Release(dict(FILES)).running() as running:
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Seconds of each wait between attempts, none of which takes time."""
    waited: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time", SimpleNamespace(sleep=waited.append, time=time.time))
    return waited


def fetch_all(release, root, **options):
    session = ReleaseSession(release.url, attempts=4)
    return download("ptbxl", root, base_url=release.url, session=session, show_progress=False, **options)


def assert_whole(root, paths=FILES):
    assert {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()} == {*paths, JOURNAL}
    for path in paths:
        assert (root / path).read_bytes() == FILES[path]


def test_everything_arrives_and_a_second_run_asks_for_nothing(release, tmp_path):
    plans = []
    report = fetch_all(release, tmp_path, on_plan=plans.append)
    assert (report.files, report.present, report.fetched, report.failed) == (6, 0, 6, ())
    assert report.received == sum(map(len, FILES.values()))
    assert plans[0].exact
    assert plans[0].size == report.received
    assert_whole(tmp_path)
    before = release.asked.total()
    again = fetch_all(release, tmp_path)
    assert (again.present, again.fetched, again.received) == (6, 0, 0)
    assert release.asked.total() - before == 1  # the list of files
    assert all("ecgssl/" in agent for agent in release.agents)


def test_a_subset_brings_the_tables_along(release, tmp_path):
    report = fetch_all(release, tmp_path, subsets=["100"])
    assert report.fetched == 4
    assert_whole(tmp_path, [path for path in FILES if "500" not in path])
    fetch_all(release, tmp_path, subsets=["records500/*/*.hea"])
    assert not (tmp_path / BIG).exists()
    with pytest.raises(InputError, match="records50: matches no file of the release") as refusal:
        fetch_all(release, tmp_path, subsets=["records50", "x/*"])
    assert len(refusal.value.problems) == 2


def test_drops_are_resumed_where_they_broke_off(release, tmp_path):
    release.faults[BIG] = ["drop:1000000", "drop:1000000", "drop:500000"]
    report = fetch_all(release, tmp_path)
    assert report.failed == ()
    starts = [int(r.removeprefix("bytes=").rstrip("-")) for path, r in release.ranges if path == BIG]
    assert len(starts) == 3
    assert starts == sorted(starts)
    assert starts[0] > 0
    assert report.received == sum(map(len, FILES.values()))  # no byte counted twice
    assert_whole(tmp_path)


def test_more_drops_than_attempts_are_fine_as_long_as_each_gets_further(release, tmp_path):
    release.faults[BIG] = ["drop:200000"] * 10
    assert fetch_all(release, tmp_path).failed == ()
    assert_whole(tmp_path)


def test_a_later_run_continues_what_an_earlier_one_left(release, tmp_path):
    part = tmp_path / (BIG + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(FILES[BIG][:2_000_000])
    report = fetch_all(release, tmp_path)
    assert (BIG, "bytes=2000000-") in release.ranges
    assert report.received == sum(map(len, FILES.values())) - 2_000_000
    assert_whole(tmp_path)


@pytest.mark.parametrize("part", [b"something else entirely", FILES[BIG] + b"and more"])
def test_a_part_of_another_file_is_thrown_away(release, tmp_path, part):
    path = tmp_path / (BIG + ".part")
    path.parent.mkdir(parents=True)
    path.write_bytes(part)
    assert fetch_all(release, tmp_path).failed == ()
    assert_whole(tmp_path)


def test_a_server_that_ignores_ranges_is_served_from_the_start(release, tmp_path):
    release.faults[BIG] = ["drop:1000000", "whole"]
    assert fetch_all(release, tmp_path).failed == ()
    assert_whole(tmp_path)


def test_it_waits_as_long_as_the_server_requests(release, tmp_path, waits):
    release.faults[BIG] = ["status:429:7", "status:503"]
    release.faults["SHA256SUMS.txt"] = ["status:503:11"]
    assert fetch_all(release, tmp_path).failed == ()
    assert waits[0] == 11
    assert waits[1] == 7
    assert 1 <= waits[2] <= 4  # without Retry-After: increasing and with a random part
    assert_whole(tmp_path)


def test_permanent_failures_are_reported_and_other_files_arrive(release, tmp_path):
    release.faults[BIG] = ["alter"] * 9
    release.faults["records500/00000/00001_hr.hea"] = ["status:503"] * 9
    release.faults["records100/00000/00001_lr.dat"] = ["short", "short", "short", "short", "short"]
    release.faults["LICENSE.txt"] = ["html"] * 9
    report = fetch_all(release, tmp_path)
    why = dict(report.failed)
    assert set(why) == {BIG, "records500/00000/00001_hr.hea", "records100/00000/00001_lr.dat", "LICENSE.txt"}
    assert "does not match" in why[BIG]
    assert "503, 4 times" in why["records500/00000/00001_hr.hea"]
    assert "does not match" in why["LICENSE.txt"]
    assert report.fetched == 2
    assert not (tmp_path / BIG).exists()
    assert release.asked[BIG] == 2  # an altered file is requested once more only
    release.faults.clear()
    assert fetch_all(release, tmp_path).failed == ()
    assert_whole(tmp_path)


def test_a_file_altered_once_is_fetched_again(release, tmp_path):
    release.faults[BIG] = ["alter"]
    assert fetch_all(release, tmp_path).failed == ()
    assert_whole(tmp_path)


def test_redirects_stay_on_the_host(release, tmp_path):
    release.faults[BIG] = ["redirect:http://elsewhere.invalid/x"]
    release.faults["LICENSE.txt"] = [f"redirect:{release.url}ptbxl_database.csv"] * 2
    release.faults["ptbxl_database.csv"] = ["redirect:/ptbxl_database.csv"]
    report = fetch_all(release, tmp_path)
    why = dict(report.failed)
    assert "the server redirects to http://elsewhere.invalid" in why[BIG]
    assert set(why) == {BIG, "LICENSE.txt"}  # the latter led to another file of the same host
    release.faults["ptbxl_database.csv"] = ["redirect:/ptbxl_database.csv"] * 50
    (tmp_path / "ptbxl_database.csv").unlink()
    assert "redirects" in dict(fetch_all(release, tmp_path).failed)["ptbxl_database.csv"]


def test_files_changed_on_disk_are_found(release, tmp_path):
    fetch_all(release, tmp_path)
    path = tmp_path / "LICENSE.txt"
    path.write_bytes(b"another licence\n")
    assert fetch_all(release, tmp_path).fetched == 1
    assert_whole(tmp_path)
    stat = path.stat()
    path.write_bytes(b"CC BY 4.1\n")
    shutil.os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # type: ignore[attr-defined]
    assert fetch_all(release, tmp_path).fetched == 0  # same size and time: believed
    assert fetch_all(release, tmp_path, recheck=True).fetched == 1
    assert_whole(tmp_path)


def test_files_that_came_another_way_are_verified_not_fetched(release, tmp_path):
    for path, data in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    report = fetch_all(release, tmp_path)
    assert (report.present, report.fetched, report.received) == (6, 0, 0)
    (tmp_path / JOURNAL).write_text("nonsense\n" + (tmp_path / JOURNAL).read_text()[:-40])
    assert fetch_all(release, tmp_path).present == 6


def test_no_more_connections_than_asked_for(tmp_path):
    files = {f"records100/{i:05d}.dat": content(i, 40_000) for i in range(60)}
    with Release(files).running() as release:
        report = fetch_all(release, tmp_path, connections=3)
    assert report.fetched == 60
    assert release.most_open <= 3


def test_too_little_disk_space_is_an_error_before_the_download(release, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(InputError, match=r"disk: the download has 0\.00302 GB"):
        fetch_all(release, tmp_path)
    assert set(release.asked) == {"SHA256SUMS.txt"}


def test_a_stop_keeps_the_part(release, tmp_path, monkeypatch):
    import ecgssl.datasets.download.download as module

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_note", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_all(release, tmp_path, connections=1)
    monkeypatch.undo()
    assert threading.active_count() < 20
    assert fetch_all(release, tmp_path).failed == ()
    assert_whole(tmp_path)


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        ("", "the list is empty"),
        ("<html>\n", r"inside the release\): 1"),
        (f"{'a' * 64} ../../etc/passwd\n{'b' * 64} ok\n", r"inside the release\): 1"),
        (f"{'a' * 64} /etc/passwd\n", r"inside the release\): 1"),
        (f"{'a' * 64} c:\\x\n{'a' * 64} b\\..\\x\n", r"inside the release\): 1, 2"),
    ],
)
def test_a_list_that_names_no_files_inside_is_refused(tmp_path, sums, message):
    with Release(dict(FILES), sums).running() as release, pytest.raises(InputError, match=message):
        fetch_all(release, tmp_path / "root")
    assert not (tmp_path / "root").exists()


@given(st.lists(st.sampled_from(["..", ".", "a", "b c", "", "é"]), min_size=1, max_size=6))
def test_paths_inside_stay_inside(parts):
    import posixpath

    path = "/".join(parts)
    escapes = posixpath.isabs(path) or ".." in parts
    assert is_inside(path) == (not escapes)


def test_sums_take_the_usual_spellings():
    digest = "0" * 64
    files = parse_sums(f"{digest} a.csv\n{digest}  b c.csv\n{digest} *./d.csv\n\n", "https://x/y/", "list")
    assert [f.path for f in files] == ["a.csv", "b c.csv", "d.csv"]
    assert files[1].url == "https://x/y/b%20c.csv"


def zipped(members: dict[str, bytes], mode: int = 0o100644) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def test_zenodo_records_with_archives(tmp_path):
    table, part = b"exam_id\n1\n", content(3, 50_000)
    files = {"exams.csv": table, "exams_part0.zip": zipped({"exams_part0.hdf5": part}), "exams_part1.zip": b"no zip"}
    with Release(dict(files)).running() as release:
        entries = [
            {
                "key": key,
                "size": len(data),
                "checksum": f"md5:{hashlib.md5(data).hexdigest()}",
                "links": {"self": f"{release.url}{key}"},
            }
            for key, data in files.items()
        ]
        release.served["record"] = json.dumps({"files": entries}).encode()

        def run():
            session = ReleaseSession(release.url, attempts=2)
            base = release.url + "record"
            return download("code15", tmp_path, base_url=base, session=session, show_progress=False)

        report = run()
        assert dict(report.failed) == {"exams_part1.zip": "exams_part1.zip: is not a valid zip file (BadZipFile)"}
        assert (tmp_path / "exams_part0.hdf5").read_bytes() == part
        (tmp_path / "exams_part0.zip").unlink()  # to save room: not fetched again
        before = release.asked["exams_part0.zip"]
        run()
        assert release.asked["exams_part0.zip"] == before
        release.served["record"] = b'{"files": [{"key": "../x"}]}'
        with pytest.raises(InputError, match="is not a Zenodo record with checksums"):
            run()


@pytest.mark.parametrize(
    ("members", "mode", "message"),
    [
        ({"../x": b"1"}, 0o100644, "not a plain file inside"),
        ({"/x": b"1"}, 0o100644, "not a plain file inside"),
        ({"good": b"1", "link": b"/etc/passwd"}, 0o120777, "not a plain file inside"),
        ({"bomb": bytes(10_000_000)}, 0o100644, "expands"),
    ],
)
def test_archives_that_reach_out_are_refused(tmp_path, members, mode, message):
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    path.write_bytes(zipped(members, mode))
    with pytest.raises(Refused, match=message):
        unpack(path)
    assert list(tmp_path.rglob("*")) == [path.parent, path]


def test_every_public_set_has_a_source():
    for name in PUBLIC_SETS:
        source = public_set(name).source
        assert source.base_url.startswith("https://"), name
        assert source.manual or source.listing == "zenodo" or source.base_url.endswith("/"), name


@pytest.mark.parametrize("name", [name for name in PUBLIC_SETS if public_set(name).source.manual])
def test_sets_that_need_an_account_state_the_steps(tmp_path, name):
    with pytest.raises(InputError) as refusal:
        download(name, tmp_path / "root")
    (problem,) = refusal.value.problems
    assert problem.where == public_set(name).source.base_url
    assert problem.remedy == public_set(name).source.manual
    assert not (tmp_path / "root").exists()


def test_the_verb(release, tmp_path):
    done = ecgssl("download", "ptbxl", "--root", tmp_path / "r", "--base-url", release.url, "--dry-run")
    assert done.code == 0
    assert "6 files, 0.00302 GB" in done.out
    assert not list((tmp_path / "r").rglob("*.csv"))
    done = ecgssl("download", "ptbxl", "--root", tmp_path / "r", "--base-url", release.url)
    assert done.code == 0
    assert "6 files = 0 already present + 6 downloaded + 0 failed" in done.out
    release.faults[BIG] = ["status:404"]
    (tmp_path / "r" / BIG).unlink()
    done = ecgssl("download", "ptbxl", "--root", tmp_path / "r", "--base-url", release.url)
    assert done.code == 3
    assert f"failed: {BIG}: does not exist (status 404)" in done.err
    refused(
        ecgssl("download", "echonext", "--root", tmp_path), "cannot be downloaded automatically", "Sign in to PhysioNet"
    )
    refused(
        ecgssl("download", "ptbx", "--root", tmp_path, "--connections", 99), "is not a public dataset", "out of range"
    )
