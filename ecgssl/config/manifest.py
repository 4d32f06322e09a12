"""How the table of a local cohort is to be read: its columns, its words, its targets (part of section ``data``)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ecgssl.params_base import Section

Kind = Literal["binary", "multilabel", "multiclass", "regression"]
"""How the cells of a column are to be read."""
OutputKind = Literal["multilabel", "multiclass", "regression"]
"""What a model puts out: labels that are each true or not; classes of which one is true; numbers."""


def as_cell(value: Any) -> str:
    """A YAML scalar as the text that a cell of the table holds.

    Raises:
        ValueError: for what YAML has turned into a truth value, and for anything but text and numbers.
    """
    if isinstance(value, bool):
        raise ValueError("YAML takes yes, no, on, off, true and false for truth values: put quotes around the word")
    if not isinstance(value, str | int | float):
        raise ValueError("must be text or a number, as in the cells of the table")
    return str(value).strip()


def _cells(value: Any) -> Any:
    if value is None:
        return value
    return [as_cell(cell) for cell in (value if isinstance(value, list | tuple) else [value])]


def _classes(value: Any) -> Any:
    if value is None:
        return value
    named = value if isinstance(value, dict) else {as_cell(cell): [] for cell in _listed(value)}
    classes: dict[str, list[str]] = {}
    for key, cells in named.items():
        name = as_cell(key)
        classes[name] = [name, *(cell for cell in _cells([] if cells is None else cells) if cell != name)]
    return classes


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of class names, or class: [cells that mean it]")
    doubles = {repr(str(v)) for v in value if [str(w) for w in value].count(str(v)) > 1}
    if doubles:
        raise ValueError(f"class named twice: {', '.join(sorted(doubles))}")
    return list(value)


Cell = Annotated[str, BeforeValidator(as_cell)]
Cells = Annotated[tuple[str, ...] | None, BeforeValidator(_cells)]
Classes = Annotated[dict[str, tuple[str, ...]] | None, BeforeValidator(_classes)]

_ALLOWED: dict[Kind, set[str]] = {
    "binary": {"positive", "negative", "uncertain"},
    "multilabel": {"classes", "negative", "separator", "uncertain"},
    "multiclass": {"classes"},
    "regression": {"unit", "range", "decimal"},
}
_ALWAYS = {"kind", "column", "unknown", "missing"}
_POSITIVE, _NEGATIVE, _NOTHING_FOUND = ("1", "1.0", "true"), ("0", "0.0", "false"), ("0", "none")


class Target(Section):
    """What the cells of a column mean. Words are compared without regard to case.

    An empty cell is unknown, whatever the kind, and never 0. Cells ``U`` and ``-1`` are uncertain (``-1`` not in a
    regression), and so is a label of a multilabel cell that ends in ``?``.

    Args:
        kind: ``binary``; ``multilabel``, a cell that lists what was found, such as ``AF;LBBB``, which gives a binary
            target ``name:AF`` per class; ``multiclass``, one of several classes, whose codes 0, 1, ... follow the
            order of ``classes``; ``regression``, a number.
        column: of the table; by default the target's name.
        positive, negative: cells that mean 1 and 0; of a multilabel, ``negative`` are cells that mean "none of them".
        classes: names, or a mapping from a name to the other cells that mean it.
        separator: between the labels of a multilabel cell.
        unit: of a regression, for people.
        range: lowest and highest plausible value of a regression; a value beyond them is a problem.
        decimal: mark of a regression's decimals; by default found from the column, which must leave no doubt.
        unknown: further cells that mean "not known".
        uncertain: what an uncertain cell counts as.
        missing: what an empty cell counts as; there is no choice.
    """

    kind: Kind = "binary"
    column: Cell | None = None
    positive: Cells = None
    negative: Cells = None
    classes: Classes = None
    separator: Annotated[str, Field(min_length=1)] = ";"
    unit: Cell | None = None
    range: tuple[float, float] | None = None
    decimal: Literal[".", ","] | None = None
    unknown: Cells = None
    uncertain: Literal["unknown", "negative", "positive"] = "unknown"
    missing: Literal["unknown"] = "unknown"

    @field_validator("missing", mode="before")
    @classmethod
    def _never_negative(cls, value: Any) -> Any:
        if value != "unknown":
            raise ValueError("an empty cell is always unknown; write 0 where something is known to be absent")
        return value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Target:
        foreign = sorted(self.model_fields_set - _ALLOWED[self.kind] - _ALWAYS)
        if foreign:
            raise ValueError(f"{', '.join(foreign)} means nothing for kind {self.kind!r}")
        if self.kind in ("multiclass", "multilabel") and len(self.classes or ()) < (1 + (self.kind == "multiclass")):
            raise ValueError(f"kind {self.kind!r} needs classes, such as classes: [AF, SR, other]")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {self.range[0]:g} to {self.range[1]:g} is empty")
        meanings = [*(self.classes or {}).values(), self.positives, self.negatives, self.unknown or ()]
        words = [word.casefold() for meaning in meanings for word in {cell.casefold() for cell in meaning}]
        doubles = sorted({repr(word) for word in words if words.count(word) > 1})
        if doubles:
            raise ValueError(f"{', '.join(doubles)} has two meanings")
        return self

    @property
    def positives(self) -> tuple[str, ...]:
        """Cells that mean 1."""
        return () if self.kind != "binary" else _POSITIVE if self.positive is None else self.positive

    @property
    def negatives(self) -> tuple[str, ...]:
        """Cells that mean 0, or "none of the classes"."""
        if self.kind not in ("binary", "multilabel"):
            return ()
        return (_NEGATIVE if self.kind == "binary" else _NOTHING_FOUND) if self.negative is None else self.negative

    def published(self) -> dict[str, Any]:
        """What a store or a model may say of the target: kind, class names, unit and range, not the cells of a table."""
        kept = self.model_dump(mode="json", include={"kind", "unit", "range"}, exclude_none=True)
        return kept | ({"classes": list(self.classes)} if self.classes else {})


def targets_file_of(manifest: Path, given: Path | None) -> Path | None:
    """The YAML that says more of a table: as given, or ``NAME.targets.yaml`` beside ``NAME.csv`` where there is one."""
    beside = manifest.with_suffix(".targets.yaml")
    return given if given is not None else beside if beside.is_file() else None


class ManifestParams(Section):
    """How the table of a cohort is to be read. Nothing here is guessed: what is not said stays as the table has it.

    Args:
        columns: our name of a column: its name in the table, such as ``patient_id: MRN``.
        values: our name of a column: what its cells mean, such as ``sex: {"1": male, "2": female}``.
        path_prefix: removed from the start of every path, such as the drive of the machine that exported them.
        dates: which comes first in dates like 03/04/2021, where no date of the column settles it.
        encoding: of the text, such as ``cp850``; by default UTF-8, or what the file gives away.
        targets: what the cells of a column mean, by the name of the target. Columns that are not declared are binary
            targets where they hold 1, 0, U or nothing.
    """

    columns: dict[str, Cell] = {}
    values: dict[str, dict[Cell, Cell]] = {}
    path_prefix: str = ""
    dates: Literal["day_first", "month_first"] | None = None
    encoding: str | None = None
    targets: dict[Cell, Target] = {}

    @field_validator("values")
    @classmethod
    def _empty_means_nothing(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        if any("" in cells for cells in value.values()):
            raise ValueError("an empty cell means unknown; write into the table what is known")
        return value

    def over(self, other: ManifestParams) -> ManifestParams:
        """This with what only ``other`` says; where both say something, this wins, key by key."""
        fields = ManifestParams.model_fields
        mine = {name: getattr(self, name) for name in self.model_fields_set & fields.keys()}
        theirs = {name: getattr(other, name) for name in other.model_fields_set}
        merged = theirs | mine
        for name in ("columns", "targets", "values"):
            merged[name] = getattr(other, name) | getattr(self, name)
        return ManifestParams(**merged)

    def declared_cells(self, column: str) -> Iterable[str]:
        """Cells of a column to which a declared target gives a meaning."""
        for name, target in self.targets.items():
            if (target.column or name) == column:
                yield from (*target.positives, *target.negatives, *(target.unknown or ()))
                for cells in (target.classes or {}).values():
                    yield from cells
