"""Published results, which are quoted next to the results of a run and marked as quoted.

A CSV file has one line per result, with the columns of ``Quoted``. A result is shown only if the run has a task of the same
name, with the same number of targets, on the same public set.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from ecgssl.errors import InputError, Problem
from ecgssl.params_base import Positive, Section

_REMEDY = "Correct the line; the columns are described in ecgssl.evaluation.quoted"


class Quoted(Section):
    """A published result.

    Args:
        method: name of the method, with the way of fine-tuning.
        reader: name of the public set (``ecgssl.config.public_sets``).
        task: name of the task.
        targets: number of targets that the result is the mean of.
        metric: name of the metric.
        value: value of the metric, as published.
        split: recordings that the result was computed on.
        source: publication or web page.
    """

    method: Annotated[str, Field(min_length=1)]
    reader: Annotated[str, Field(min_length=1)]
    task: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    targets: Positive
    metric: Literal["auroc"] = "auroc"
    value: Annotated[float, Field(ge=0, le=1)]
    split: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]


def read_quoted(path: Path | str) -> list[Quoted]:
    """Read published results from a CSV file.

    Raises:
        InputError: the file is missing or is not UTF-8 text, or a line is invalid or occurs twice. All problems are listed.
    """
    try:
        lines = list(csv.DictReader(Path(path).read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read as UTF-8 text ({type(error).__name__})"
        raise InputError(Problem(str(path), "file", what, "Use a CSV file with the published results")) from None
    results: list[Quoted] = []
    problems: list[Problem] = []
    first: dict[tuple[str, str, str, int], int] = {}
    for number, line in enumerate(lines, 2):
        where = f"line {number}"
        try:
            result = Quoted.model_validate(line)
        except ValidationError as error:
            # a line with too many cells has the key None
            names = ", ".join(dict.fromkeys(str(e["loc"][0]) for e in error.errors() if e["loc"]))
            problems.append(
                Problem(str(path), where, f"missing, unknown or invalid: {names or 'number of cells'}", _REMEDY)
            )
            continue
        key = (result.method, result.reader, result.task, result.targets)
        if key in first:
            problems.append(Problem(str(path), where, f"repeats line {first[key]}", "Remove one of the lines"))
        first.setdefault(key, number)
        results.append(result)
    if problems:
        raise InputError(problems)
    return results
