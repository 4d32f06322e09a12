"""Card of a shipped model (``card.json``): data, licences, command, compute, results, check of the weights, and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ecgssl.checked_json import read_object, validated
from ecgssl.encoders.shipped import CARD

MOST_CHECKED = 2000
"""Largest number of recordings of the check of the weights."""

Text = Annotated[str, Field(max_length=4000)]
"""Text in a card or a plan."""
_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_REMEDY = "Install ecgssl again, or make the model again with 'python pipelines/ship.py NAME'"


class Entry(BaseModel):
    """Base of the entries of cards and plans: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataEntry(Entry):
    """Data set that the weights were trained on.

    Args:
        set: name of the data set.
        licence: its licence.
        attribution: reference that the licence asks to be named; empty if none is known.
        train, val, test: numbers of recordings in the splits; only those in ``train`` were used to fit weights.
        part: part of the set that was used, such as folds.
        role: what the recordings were used for.
    """

    set: Text
    licence: Text
    attribution: Text = ""
    train: _Count
    val: _Count = 0
    test: _Count = 0
    part: Text = ""
    role: Literal["pretraining", "fine-tuning"] = "pretraining"


class ResultEntry(Entry):
    """Measured result.

    Args:
        measure: metric, with the method: for example ``macro AUROC, ridge probe``.
        data: recordings on which it was measured.
        value: value of the metric.
        low, high: bounds of its 95 % interval, if known.
        note: command or remark.
    """

    measure: Text
    data: Text
    value: _Number
    low: _Number | None = None
    high: _Number | None = None
    note: Text = ""


class Compute(Entry):
    """Cost of the training.

    Args:
        cpu_minutes: processor time in minutes, over all cores.
        operations: floating-point operations of all matrix products.
        recordings_seen: recordings seen, repetitions included.
        machine: processor or accelerator, precision and number of processes.
    """

    cpu_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    operations: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    recordings_seen: _Count = 0
    machine: Text = ""


class Check(Entry):
    """Result that the shipped weights must reproduce on stated recordings.

    Args:
        set: name of the public set of the recordings.
        targets: targets of the probe.
        train, test: record ids on which a ridge probe is fitted and evaluated; together at most ``MOST_CHECKED``.
        value: macro AUROC on ``test``.
        tolerance: largest accepted absolute difference.
    """

    set: Text
    targets: Annotated[tuple[Text, ...], Field(min_length=1)]
    train: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST_CHECKED)]
    test: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST_CHECKED)]
    value: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    tolerance: Annotated[float, Field(gt=0, le=0.01)] = 0.002


class Rounding(Entry):
    """Difference between the shipped half-precision weights and the weights of the run.

    Args:
        recordings: number of recordings that were compared.
        largest: largest absolute difference of a value of an output, relative to the standard deviation of the values.
        cosine: smallest cosine similarity of two embeddings of a recording.
    """

    recordings: _Count
    largest: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    cosine: Annotated[float, Field(ge=-1, le=1.000001, allow_inf_nan=False)]


class Card(Entry):
    """Content of ``card.json``.

    Args:
        name: name of the model, equal to the name of its folder.
        kind: ``encoder`` or ``classifier``.
        summary: one sentence.
        parameters: number of weights.
        licence: licence of the weights.
        data: data sets that the weights were trained on.
        targets: outputs of a classifier.
        encoder: name of the shipped encoder that a classifier started from; empty if it is not shipped.
        profile: parameter profile that makes the weights again.
        command: commands that make the weights again.
        settings: parameters of the training.
        compute: cost of the training.
        results: measured results.
        check: result that a test of the repository reproduces; ``None`` if there is none.
        codes: number of waveform codes in the bundle, for overlap checks.
        rounding: effect of the half-precision weights.
        limits: known limits, one sentence each.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    kind: Literal["encoder", "classifier"]
    summary: Text
    parameters: _Count
    licence: Text
    data: Annotated[tuple[DataEntry, ...], Field(min_length=1)]
    targets: tuple[Text, ...] = ()
    encoder: Text = ""
    profile: Text = ""
    command: tuple[Text, ...] = ()
    settings: dict[str, Any] = {}
    compute: Compute = Compute()
    results: tuple[ResultEntry, ...] = ()
    check: Check | None = None
    codes: _Count = 0
    rounding: Rounding
    limits: tuple[Text, ...] = ()


def read_card(folder: Path) -> Card:
    """Return the card of a shipped model.

    Raises:
        InputError: the file is missing or invalid; all invalid entries are listed.
    """
    path = folder / CARD
    return validated(Card, read_object(path, _REMEDY), str(path), _REMEDY)
