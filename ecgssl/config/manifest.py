"""Parameters for reading the table of a local cohort: columns, cells and targets (part of section ``data``)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal
from unicodedata import normalize

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ecgssl.params_base import Section

Kind = Literal["binary", "multilabel", "multiclass", "regression"]
"""Kind of a target column, described in ``Target``."""
OutputKind = Literal["multilabel", "multiclass", "regression"]
"""Kind of a model output: independent labels, mutually exclusive classes, or numbers."""


def as_cell(value: Any) -> str:
    """Convert a YAML value to the text of a table cell, in composed Unicode (NFC).

    Raises:
        ValueError: the value is not text or a number. Unquoted words such as ``yes`` are booleans in YAML.
    """
    if isinstance(value, bool):
        raise ValueError("YAML reads yes, no, on, off, true and false as booleans: put quotes around the word")
    if not isinstance(value, str | int | float):
        raise ValueError("must be text or a number, as in the cells of the table")
    return normalize("NFC", str(value).strip())


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
        raise ValueError("must be a list of class names, or a mapping of each class to its cells")
    doubles = {repr(str(v)) for v in value if [str(w) for w in value].count(str(v)) > 1}
    if doubles:
        raise ValueError(f"duplicate class: {', '.join(sorted(doubles))}")
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
    """Declaration of a target: the meaning of the cells of a column. Cells are compared without regard to case.

    An empty cell is always unknown, never 0. The cells ``U`` and ``-1`` are uncertain, except that ``-1`` is a number in a
    regression. In a multilabel cell, a label that ends in ``?`` is uncertain.

    Args:
        kind: ``binary``; ``multilabel``: a cell lists findings such as ``AF;LBBB``, and each class is a binary target
            ``name:AF``; ``multiclass``: one of several classes, with codes 0, 1, ... in the order of ``classes``;
            ``regression``: a number.
        column: column of the table; by default the name of the target.
        positive, negative: cells for 1 and 0; in a multilabel column, ``negative`` lists cells for "none of the classes".
        classes: class names, or a mapping from each name to other cells with the same meaning.
        separator: separator of the labels of a multilabel cell.
        unit: unit of a regression, used for display.
        range: lowest and highest plausible value of a regression; other values are errors.
        decimal: decimal mark of a regression; detected from the cells of the column by default.
        unknown: additional cells for "unknown".
        uncertain: value used for uncertain cells.
        missing: value used for empty cells; only ``unknown`` is accepted.
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
            raise ValueError("an empty cell is always unknown; write 0 for a finding that is known to be absent")
        return value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Target:
        faults = []
        foreign = sorted(self.model_fields_set - _ALLOWED[self.kind] - _ALWAYS)
        if foreign:
            faults.append(f"{', '.join(foreign)} cannot be used with kind {self.kind!r}")
        if self.kind in ("multiclass", "multilabel") and len(self.classes or ()) < (1 + (self.kind == "multiclass")):
            faults.append(f"kind {self.kind!r} needs classes, such as classes: [AF, SR, other]")
        if self.range is not None and not self.range[0] < self.range[1]:
            faults.append(f"range {self.range[0]:g} to {self.range[1]:g} is empty")
        meanings = [*(self.classes or {}).values(), self.positives, self.negatives, self.unknown or ()]
        words = [word.casefold() for meaning in meanings for word in {cell.casefold() for cell in meaning}]
        doubles = sorted({repr(word) for word in words if words.count(word) > 1})
        if doubles:
            faults.append(f"{', '.join(doubles)} has two meanings; remove one of them")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def positives(self) -> tuple[str, ...]:
        """Cells of a binary target that mean 1 (positive); empty for other kinds."""
        return () if self.kind != "binary" else _POSITIVE if self.positive is None else self.positive

    @property
    def negatives(self) -> tuple[str, ...]:
        """Cells that mean 0 (binary) or "none of the classes" (multilabel); empty for other kinds."""
        if self.kind not in ("binary", "multilabel"):
            return ()
        return (_NEGATIVE if self.kind == "binary" else _NOTHING_FOUND) if self.negative is None else self.negative

    def published(self) -> dict[str, Any]:
        """Return kind, class names, unit and range, if set, which are saved in stores and models. Cells are not included."""
        kept = self.model_dump(mode="json", include={"kind", "unit", "range"}, exclude_none=True)
        return kept | ({"classes": list(self.classes)} if self.classes else {})


def targets_file_of(manifest: Path, given: Path | None) -> Path | None:
    """Return the path of the targets file of a manifest.

    This is ``given`` if set, otherwise ``NAME.targets.yaml`` next to ``NAME.csv`` if it exists, otherwise ``None``.
    """
    default = manifest.with_suffix(".targets.yaml")
    return given if given is not None else default if default.is_file() else None


class ManifestParams(Section):
    """Parameters for reading the table of a local cohort. Columns and cells without a declaration are used unchanged.

    Args:
        columns: mapping from ecgssl's column name, or the name of a target, to the column of the table, such as
            ``patient_id: MRN`` or ``af: Befund AF``.
        values: meaning of cells by ecgssl's column name, such as ``sex: {"1": male, "2": female}``.
        path_prefix: text removed from the start of every path, such as the drive of the machine that exported the table.
        dates: order of day and month in dates such as 03/04/2021, needed if every date of the column is ambiguous.
        encoding: text encoding, such as ``cp850``; by default detected, normally UTF-8.
        targets: declarations by name of the target. A column without a declaration is a binary target if all its cells are
            1, 0, U or empty.
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
            raise ValueError("an empty cell means unknown and cannot be given a value: write the value into the table")
        return value

    def over(self, other: ManifestParams) -> ManifestParams:
        """Return these parameters merged with ``other``. If both define a key, the value of ``self`` is used.

        ``columns``, ``values`` and ``targets`` are merged by entry.
        """
        fields = ManifestParams.model_fields
        mine = {name: getattr(self, name) for name in self.model_fields_set & fields.keys()}
        theirs = {name: getattr(other, name) for name in other.model_fields_set}
        merged = theirs | mine
        for name in ("columns", "targets", "values"):
            merged[name] = getattr(other, name) | getattr(self, name)
        return ManifestParams(**merged)

    def declared_cells(self, column: str) -> Iterable[str]:
        """Yield the cells whose meaning is declared by the targets that are read from a column."""
        for name, target in self.targets.items():
            if (target.column or name) == column:
                yield from (*target.positives, *target.negatives, *(target.unknown or ()))
                for cells in (target.classes or {}).values():
                    yield from cells
