"""Parameter section ``sets.NAME.split``: assignment of recordings to train, validation and test."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ecgssl.params_base import Section

Share = Annotated[float, Field(gt=0, lt=1, multiple_of=0.05)]


class SplitParams(Section):
    """Parameters of the train, val and test split. All recordings of a patient are in the same split.

    Args:
        kind: ``auto`` keeps the split of the set, or makes a ``grouped`` split if it has none; ``official`` keeps the split
            of the set, which must exist; ``grouped`` splits by patient, stratified by target; ``temporal`` splits by
            recording time; ``site`` uses the given sites as test; ``external`` uses all recordings as test; ``kfold`` is
            one fold of a repeated k-fold by patient.
        val, test: shares of the patients; multiples of 0.05. Not used by ``official``, ``external`` and ``kfold``.
        val_from, test_from: first day of validation and of test for ``temporal``, instead of shares.
        sites: sites used as test for ``site``.
        folds, repeat, fold: number of folds, number of the repetition and index of the test fold (from 0) for ``kfold``.
            The following fold is used for validation.
    """

    kind: Literal["auto", "official", "grouped", "temporal", "site", "external", "kfold"] = "auto"
    val: Share = 0.1
    test: Share = 0.2
    val_from: date | None = None
    test_from: date | None = None
    sites: tuple[str, ...] = ()
    folds: Annotated[int, Field(ge=3, le=100)] = 5
    repeat: Annotated[int, Field(ge=0)] = 0
    fold: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _complete(self) -> SplitParams:
        if self.val + self.test > 0.95:
            raise ValueError(f"val {self.val} and test {self.test} leave no recordings for training")
        if (self.kind == "site") != bool(self.sites):
            raise ValueError("kind 'site' and sites must be set together: set both, or remove both")
        if (self.val_from is None) != (self.test_from is None):
            raise ValueError("val_from and test_from must be set together")
        if self.val_from is not None and self.test_from is not None:
            if self.kind != "temporal":
                raise ValueError("val_from and test_from can only be used with kind 'temporal'")
            if not self.val_from < self.test_from:
                raise ValueError(f"val_from {self.val_from} is not before test_from {self.test_from}")
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} does not exist: folds are counted from 0")
        return self
