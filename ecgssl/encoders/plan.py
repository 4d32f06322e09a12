"""Plan of a shipped model (``pipelines/shipped/NAME.yaml``): its run, and the entries of its card that a person writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field

from ecgssl.checked_json import validated
from ecgssl.encoders.card import MOST_CHECKED, Compute, Entry, ResultEntry, Text
from ecgssl.errors import InputError, Problem

_REMEDY = "Correct the file; ecgssl.encoders.plan describes its entries"


class PlannedSet(Entry):
    """Licence of a data set that the model was trained on.

    Args:
        licence: licence of the set, which must permit sharing of derived data.
        attribution: reference that the licence asks to be named.
        part: part of the set that was used, such as folds.
    """

    licence: Text
    attribution: Text
    part: Text = ""


class PlannedCheck(Entry):
    """Recordings of the check of the weights: the first ones from ``start`` on, in the order of their ids.

    Args:
        set: name of the public set.
        targets: targets of the ridge probe.
        start: first record id.
        train: number of recordings from the training split, on which the probe is fitted.
        test: number of recordings from the validation split, on which it is evaluated. The test split is not used.
        tolerance: largest accepted difference from the stated macro AUROC.
    """

    set: Text = "ptbxl"
    targets: Annotated[tuple[Text, ...], Field(min_length=1)]
    start: Text = ""
    train: Annotated[int, Field(ge=2, lt=MOST_CHECKED)]
    test: Annotated[int, Field(ge=2, lt=MOST_CHECKED)]
    tolerance: Annotated[float, Field(gt=0, le=0.01)] = 0.002


class Plan(Entry):
    """Plan of a shipped model.

    Args:
        kind: ``encoder`` or ``classifier``, which must be the kind of the model.
        summary: one sentence for the list and the card.
        model: folder of the encoder or classifier of a finished run.
        store: store whose validation recordings check the graph and are the reference of ``ecgssl monitor``.
        licence: licence of the weights.
        sets: licences of all sets that the model, and the encoder that it started from, were trained on, by their names.
        encoder: name of the shipped encoder that a classifier started from.
        profile: parameter profile that makes the weights again.
        command: commands that make the weights again.
        compute: cost of the training.
        results: measured results.
        check: recordings of the check of an encoder's weights; null for none.
        limits: known limits, one sentence each.
    """

    kind: Literal["encoder", "classifier"]
    summary: Text
    model: Text
    store: Text
    licence: Text
    sets: Annotated[dict[str, PlannedSet], Field(min_length=1)]
    encoder: Text = ""
    profile: Text = ""
    command: tuple[Text, ...] = ()
    compute: Compute = Compute()
    results: tuple[ResultEntry, ...] = ()
    check: PlannedCheck | None = None
    limits: Annotated[tuple[Text, ...], Field(min_length=1)]


def read_plan(path: Path) -> Plan:
    """Return the plan in a YAML file.

    Raises:
        InputError: the file is missing or invalid; all invalid entries are listed.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", "Write it; see docs/encoders.md")) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise InputError(Problem(str(path), "content", "is not readable YAML", _REMEDY)) from None
    return validated(Plan, content, str(path), _REMEDY)
