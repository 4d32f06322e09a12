"""Tables of a release, read once and checked for the columns that are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ecgssl.errors import InputError, Problem


def read_table(path: Path, needed: Sequence[str], url: str, **options: Any) -> pd.DataFrame:
    """Read a CSV of a release.

    Args:
        path: of the file, in UTF-8 with or without a byte order mark.
        needed: columns without which it is of no use.
        url: where the release is published, for the remedy.
        options: of ``pandas.read_csv``.

    Raises:
        InputError: where the file is absent, is no CSV, lacks a column or has no rows.
    """
    remedy = f"Name the unpacked release ({url}), or fetch the file again"
    try:
        table: pd.DataFrame = pd.read_csv(path, encoding="utf-8-sig", **options)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", remedy)) from None
    except (ValueError, OSError) as error:
        raise InputError(Problem(str(path), "file", f"cannot be read ({type(error).__name__})", remedy)) from error
    absent = [column for column in needed if column not in table]
    if absent or table.empty:
        what = f"lacks the columns {absent}" if absent else "has no rows"
        raise InputError(Problem(str(path), "columns", what, remedy))
    return table
