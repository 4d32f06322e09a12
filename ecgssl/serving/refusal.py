"""What a client is told when its request is not answered, as data: problems with place, field, cause and remedy."""

from __future__ import annotations

from ecgssl.errors import InputError, Problem


class Refused(InputError):
    """A request that is not answered.

    Args:
        status: of HTTP, 400 or more.
        problems: what is wrong; free of names of files and people.
        reasons: reason codes of a recording that breaks the contract.
    """

    def __init__(self, status: int, problems: Problem | list[Problem], reasons: tuple[str, ...] = ()) -> None:
        super().__init__(problems)
        self.status, self.reasons = status, reasons
