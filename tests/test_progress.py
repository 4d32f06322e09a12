"""Progress bar: silent without a terminal, visible on one."""

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


def test_silent_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
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
