"""Atomic files and directories, and canonical JSON compared with the standard library."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.errors import InputError
from ecgssl.files import atomic_directory, canonical_json, make_folder, write_atomic, write_json

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


@pytest.mark.parametrize("data", [b"\x00\r\n\xff", "mV \u00b5V\r\n"])
def test_a_file_holds_exactly_what_was_written(tmp_path: Path, data: bytes | str) -> None:
    path = write_atomic(tmp_path / "new" / "file", data)
    assert path.read_bytes() == (data if isinstance(data, bytes) else data.encode())
    assert _names(path.parent) == {"file"}


def test_a_file_has_the_permissions_of_an_ordinary_one(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("x")
    assert write_atomic(tmp_path / "ours", "x").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_atomic(tmp_path / "file", "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        InputError, match=r"file: output: cannot be written \(No space left on device; .* GB free\). Free disk"
    ):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert _names(tmp_path) == {"file"}


def test_a_read_only_cached_file_behind_a_link_is_not_altered(tmp_path: Path) -> None:
    cached = tmp_path / "cached"
    cached.write_text("old")
    cached.chmod(stat.S_IRUSR)
    (tmp_path / "link").symlink_to(cached)
    write_atomic(tmp_path / "link", "new")
    assert cached.read_text() == "old"
    assert (tmp_path / "link").read_text() == "new"


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "store"
    with atomic_directory(out) as building:
        (building / "sub").mkdir()
        (building / "sub" / "a").write_text("1")
        assert not out.exists()
        assert building.parent == out.parent
    assert (out / "sub" / "a").read_text() == "1"
    assert _names(out.parent) == {"store"}


def test_a_directory_is_replaced_wholly_and_readable_meanwhile(tmp_path: Path) -> None:
    out = tmp_path / "store"
    for content in ("old", "new"):
        with atomic_directory(out) as building:
            (building / content).write_text(content)
            assert content == "old" or (out / "old").read_text() == "old"
    assert _names(out) == {"new"}
    assert _names(tmp_path) == {"store"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_directory(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "store"
    out.mkdir()
    (out / "old").write_text("old")

    def interrupted() -> None:
        with atomic_directory(out) as building:
            (building / "half").write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert _names(out) == {"old"}
    assert _names(tmp_path) == {"store"}


def test_a_directory_under_way_survives_an_exception_and_is_taken_up_again(tmp_path: Path) -> None:
    out, under_way = tmp_path / "store", tmp_path / ".partial/store"

    def interrupted() -> None:
        with atomic_directory(out, building=under_way) as building:
            (building / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not out.exists()
    with atomic_directory(out, building=under_way) as building:
        assert building == under_way
        assert _names(building) == {"half"}
        (building / "rest").write_text("rest")
    assert _names(out) == {"half", "rest"}
    assert not under_way.exists()


def test_a_swap_that_fails_halfway_puts_the_old_directory_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "store"
    out.mkdir()
    (out / "old").write_text("old")
    rename = Path.rename

    def fail_second(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError("device busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_second)
    with pytest.raises(OSError, match="busy"), atomic_directory(out) as building:
        (building / "new").write_text("new")
    assert _names(out) == {"old"}
    assert _names(tmp_path) == {"store"}


def test_what_a_killed_replacement_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    out, cut = tmp_path / "out", tmp_path / ("n" * 41)
    left = tmp_path / ".out.123-0123abcd.old"
    others = [
        ".outer.123-0123abcd.old",
        ".out.x.123-0123abcd.old",
        f".{'n' * 40}.1-0123abcd.old",
    ]
    for folder in [left, *(tmp_path / name for name in others)]:
        (folder / "inner").mkdir(parents=True)
    # killed between its two steps, a replacement leaves no directory; killed later, it leaves the new one
    for _ in range(2):
        left.mkdir(exist_ok=True)
        with atomic_directory(out):
            pass
        assert not left.exists()
    with atomic_directory(cut):
        pass
    assert _names(tmp_path) == {"out", cut.name, *others}


def test_a_link_to_a_directory_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    target = tmp_path / "cache"
    target.mkdir()
    (target / "old").write_text("old")
    (tmp_path / "store").symlink_to(target)
    with atomic_directory(tmp_path / "store") as building:
        (building / "new").write_text("new")
    assert _names(target) == {"old"}
    assert _names(tmp_path / "store") == {"new"}
    assert not (tmp_path / "store").is_symlink()


def test_a_directory_of_another_kind_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"spec\.json"), atomic_directory(tmp_path, marker="spec.json"):
        pytest.fail("the block must not run")
    (tmp_path / "spec.json").write_text("{}")
    with atomic_directory(tmp_path, marker="spec.json") as building:
        (building / "spec.json").write_text("{}")
    assert _names(tmp_path) == {"spec.json"}


@pytest.mark.parametrize("place", [".", "..", "/", "~", "file"])
def test_places_that_must_not_be_replaced_are_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "file").write_text("x")
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(InputError, match="output directory"), atomic_directory(Path(place).expanduser()):
        pytest.fail("the block must not run")
    assert (tmp_path / "work" / "file").read_text() == "x"


@given(_json)
def test_json_without_rounding_reads_back_equal(data: object) -> None:
    assert json.loads(canonical_json(data, digits=None)) == data


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False), max_size=6))
def test_json_is_one_text_whatever_the_order_and_rounding_is_stable(data: dict[str, float]) -> None:
    text = canonical_json(data)
    assert canonical_json(dict(reversed(data.items()))) == text
    again = json.loads(text)
    assert canonical_json(again) == text
    for name, value in data.items():
        assert math.isclose(again[name], value, rel_tol=1e-5, abs_tol=1e-300)


def test_json_of_numpy_paths_and_negative_zero() -> None:
    data = {"b": np.float32(0.1), "a": np.arange(2), "n": np.int64(3), "z": -0.0, "p": Path("x/y"), "t": (True, None)}
    assert canonical_json(data, indent=None) == '{"a":[0,1],"b":0.1,"n":3,"p":"x/y","t":[true,null],"z":0.0}\n'


@pytest.mark.parametrize("number", [math.nan, math.inf, np.float32("nan"), np.array([1.0, np.nan])])
def test_numbers_json_cannot_hold_are_refused_with_their_key(tmp_path: Path, number: object) -> None:
    with pytest.raises(ValueError, match=r"labels\.AF\.auroc"):
        write_json(tmp_path / "metrics.json", {"labels": {"AF": {"auroc": number}}})
    assert _names(tmp_path) == set()


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1, 2}}, object()])
def test_what_has_no_plain_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for write in (
        lambda: write_atomic(tmp_path / "file" / "a" / "b.json", "x"),
        lambda: make_folder(tmp_path / "file" / "a"),
        lambda: atomic_directory(tmp_path / "file" / "a").__enter__(),
    ):
        with pytest.raises(InputError, match=r"file.*: output folder: cannot be created"):
            write()
    with pytest.raises(InputError, match="output file: is a folder"):
        write_atomic(tmp_path / "folder", "x")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]
