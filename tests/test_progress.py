"""Progress: a bar on a terminal, and lines of long work elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from ecgssl.progress import progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _terminal(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    # not a fixture, because pytest replaces standard error between set-up and test
    stream = _Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_short_work_is_silent_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with progress("Preprocessing", 3) as advance:
        advance(2, loss=0.1)
    assert capfd.readouterr() == ("", "")


def test_shows_count_rate_and_figures_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    with progress("Pretraining", 200, "samples", done=50) as advance:
        advance(100)
        advance(50, loss=0.1234567)
    shown = terminal.getvalue()
    for part in ("Pretraining", "200/200", "samples/s", "loss 0.1235"):
        assert part in shown


def test_can_be_switched_off_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    with progress("Preprocessing", enabled=False) as advance:
        advance()
    assert terminal.getvalue() == ""


def test_long_work_writes_lines_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("ecgssl.progress.time.perf_counter", lambda: clock[0])
    with progress("Preprocessing", 1000, done=100) as advance:
        for _ in range(9):
            clock[0] += 20
            advance(50, loss=0.25)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "Preprocessing: 200 of 1,000 recordings, 2.50 recordings/s, 5.3 min left, loss 0.25"
    assert len(lines) == 4, "one line every 40 s, the second step after 30 s"
