"""Errors: all problems in one message, and the same error after transfer between processes."""

from __future__ import annotations

import pickle

import pytest

from ecgssl.errors import ContractMismatch, InputError, Problem, RecordingError

ONE = Problem("params.yaml", "seed", "is -1", "Use 0 or more")
TWO = Problem("cohort.csv", "row 7", "has no path", "Add it")


def test_a_problem_reads_place_field_fault_remedy():
    assert str(ONE) == "params.yaml: seed: is -1. Use 0 or more"


def test_all_problems_are_told_in_order():
    error = InputError(p for p in (ONE, TWO))
    assert error.problems == (ONE, TWO)
    assert str(error).splitlines() == [str(ONE), str(TWO)]
    assert InputError(ONE).problems == (ONE,)
    with pytest.raises(ValueError, match="at least one"):
        InputError([])


@pytest.mark.parametrize("error", [InputError([ONE, TWO]), ContractMismatch(ONE), RecordingError("flat", TWO)])
def test_errors_survive_worker_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert copy.problems == error.problems
    assert str(copy) == str(error)
    assert getattr(copy, "reason", None) == getattr(error, "reason", None)


def test_every_kind_is_bad_input():
    assert all(kind.exit_code == 2 and issubclass(kind, InputError) for kind in (ContractMismatch, RecordingError))
