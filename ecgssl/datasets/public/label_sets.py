"""A public set with several of its label sets in one cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from ecgssl.datasets.cohort import Cohort
from ecgssl.errors import InputError, Problem


def with_label_sets(cohorts: Mapping[str, Cohort]) -> Cohort:
    """Return one cohort with the targets of several label sets, named ``LABEL_SET.TARGET``.

    Label sets of one release can have targets of the same name with different unknown values. For example, a recording of
    PTB-XL without a form statement has unknown targets in ``form`` and known ones in ``all``.

    Args:
        cohorts: cohort of each label set, at least one, all of the same release.

    Raises:
        InputError: the label sets have different recordings or splits.
    """
    first, *others = cohorts.items()
    shared = ["record_id", "split"]
    differing = [name for name, found in others if not found.table[shared].equals(first[1].table[shared])]
    if differing:
        what = f"label sets {', '.join(differing)} have other recordings or splits than {first[0]}"
        raise InputError(Problem(first[1].source, "sets.NAME.labels", what, "Use one set per label set"))
    described = first[1].table.drop(columns=list(first[1].targets))
    named = [found.table[list(found.targets)].add_prefix(f"{name}.") for name, found in cohorts.items()]
    return replace(
        first[1],
        table=pd.concat([described, *named], axis=1),
        targets=tuple(f"{name}.{t}" for name, found in cohorts.items() for t in found.targets),
        kinds={f"{name}.{t}": kind for name, found in cohorts.items() for t, kind in found.kinds.items()},
        notes=tuple(dict.fromkeys(note for found in cohorts.values() for note in found.notes)),
    )
