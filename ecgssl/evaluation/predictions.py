"""Prediction files: targets and model outputs per recording. Patients are stored as keyed hashes.

The table has one row per model and recording, with the columns ``record_id, patient, split, model, kind``. Each label
has the columns ``target__NAME`` (1, 0 or empty = unknown), ``logit__NAME`` and ``prob__NAME``. The kinds differ as
follows:

- ``multilabel``: independent labels; the probability is the logistic function of the logit. Files without a column
  ``kind`` have this kind.
- ``multiclass``: one label per class, named ``target:class``. Targets are one-hot, or unknown in all classes. The
  probability is the softmax of the logits.
- ``regression``: the columns are ``target__NAME`` and ``pred__NAME``, numbers in the unit of the target.

The file format is CSV or Parquet, depending on the suffix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgssl.config.manifest import OutputKind
from ecgssl.csv_cells import original_frame, safe_csv
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.target_kinds import TARGET_KINDS
from ecgssl.files import require_regular, write_atomic

KEYS = ("record_id", "patient", "split", "model")
_REMEDY = "Correct the table, or make it again with 'ecgssl finetune'"
BASELINE = "random"
"""Model name of the probe on the randomly initialised encoder."""
CLINICAL = "clinical features"
"""Model name of the probe on classical ECG measurements; followed by "with age and sex" if these are inputs."""


def prediction_table(
    record_ids: Sequence[str],
    patients: Sequence[str],
    splits: Sequence[str],
    model: str,
    names: Sequence[str],
    targets: ArrayLike,
    logits: ArrayLike,
    kind: OutputKind = "multilabel",
) -> pd.DataFrame:
    """Return a prediction table for one model.

    Args:
        record_ids, patients, splits: record id, patient (as a keyed hash) and split of each recording, (N,).
        model: name of the model, for example ``linear`` or ``random``.
        names: names of the K labels, classes or regression targets.
        targets: targets (N, K): 1, 0 or NaN; values or NaN for a regression.
        logits: outputs (N, K) of the model; predicted values for a regression.
        kind: kind of the targets.

    Raises:
        InputError: the table is invalid (see ``check_predictions``).
    """
    y, z = np.asarray(targets, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    columns: dict[str, object] = {
        "record_id": list(record_ids),
        "patient": list(patients),
        "split": list(splits),
        "model": model,
        "kind": kind,
    }
    stored, activation = TARGET_KINDS[kind].prediction_columns, TARGET_KINDS[kind].activation
    parts = dict(zip(stored, (z, z if activation is None else activation(z)), strict=False))
    for k, name in enumerate(names):
        columns[f"target__{name}"] = y[:, k]
        columns |= {f"{part}__{name}": values[:, k] for part, values in parts.items()}
    return check_predictions(pd.DataFrame(columns), f"predictions of {model}")


def labels_of(predictions: pd.DataFrame) -> list[str]:
    """Return the labels of a prediction table, in the order of its columns."""
    return [c.removeprefix("target__") for c in predictions.columns if str(c).startswith("target__")]


def kind_of(predictions: pd.DataFrame) -> OutputKind:
    """Return the kind of target of a prediction table; ``multilabel`` if it has no rows or no column ``kind``.

    Raises:
        InputError: the table has several kinds, or an unknown kind.
    """
    if "kind" not in predictions.columns or not len(predictions):
        return "multilabel"
    found = predictions["kind"].drop_duplicates().tolist()
    if len(found) > 1 or found[0] not in get_args(OutputKind):
        what = (
            f"has values {', '.join(sorted(map(str, found)))}; all rows need one of {', '.join(get_args(OutputKind))}"
        )
        raise InputError(Problem("predictions", "kind", what, "Use one file per task"))
    kind: OutputKind = found[0]
    return kind


def clinical_of(models: Iterable[str]) -> str | None:
    """Return the name of the clinical baseline among the names of models; ``None`` if there is none."""
    return next((model for model in models if model.startswith(CLINICAL)), None)


def baselines_of(predictions: pd.DataFrame) -> list[str]:
    """Return the names of the baselines in a prediction table: the random encoder and, if present, the clinical baseline."""
    clinical = clinical_of(predictions["model"].drop_duplicates())
    return [BASELINE] if clinical is None else [BASELINE, clinical]


def outputs_of(part: pd.DataFrame, names: Sequence[str], kind: OutputKind) -> NDArray[np.float64]:
    """Return logits (N, K), or predicted values of a regression, in the order of ``names``."""
    column = TARGET_KINDS[kind].prediction_columns[0]
    return part[[f"{column}__{n}" for n in names]].to_numpy(dtype=float)


def targets_of(part: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the targets (N, K), NaN where unknown."""
    return part[[f"target__{n}" for n in names]].to_numpy(dtype=float)


def probabilities_of(part: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the uncalibrated probabilities (N, K)."""
    return part[[f"prob__{n}" for n in names]].to_numpy(dtype=float)


def patients_of(part: pd.DataFrame) -> NDArray[np.int64]:
    """Return the number (N,) of the patient of each row, an integer from 0.

    Patients are numbered in the order of their first ``record_id``. The order of the hashes depends on the secret key of
    the store, and random draws of patients would differ between machines.
    """
    order = np.argsort(part["record_id"].to_numpy().astype(str), kind="stable")
    numbers = np.empty(len(part), dtype=np.int64)
    numbers[order] = pd.factorize(part["patient"].to_numpy()[order])[0]
    return numbers


def recordings_digest(part: pd.DataFrame, names: Sequence[str]) -> str:
    """Return a short digest of the recordings of a table and their targets.

    Two tables have the same digest if they have the same recordings with the same targets, in any order.

    Args:
        part: rows of one model.
        names: labels.

    Returns:
        16 hexadecimal digits of a SHA-256.
    """
    ordered = part.sort_values("record_id")
    lines = ["\t".join(names)]
    for record, values in zip(ordered["record_id"], targets_of(ordered, names), strict=True):
        lines.append("\t".join([str(record), *(f"{value:.6g}" for value in values)]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def first_of_each_patient(predictions: pd.DataFrame) -> pd.DataFrame:
    """Keep only the first recording (by ``record_id``) of each patient, for each model and split."""
    ordered = predictions.sort_values("record_id", kind="stable")
    kept = ordered.drop_duplicates(["model", "split", "patient"]).index
    return predictions.loc[predictions.index.isin(kept)]


def write_predictions(predictions: pd.DataFrame, path: Path | str) -> None:
    """Check a prediction table and write it atomically and in full precision to ``path`` (.csv or .parquet).

    Raises:
        InputError: the table is not a valid prediction table, or the suffix is unknown.
    """
    path = Path(path)
    check_predictions(predictions, str(path))
    kind = _kind(path)
    if kind == ".csv":
        write_atomic(path, safe_csv(predictions))
    else:
        write_atomic(path, predictions.to_parquet(index=False))


def read_predictions(path: Path | str) -> pd.DataFrame:
    """Read and check a prediction file.

    Raises:
        InputError: the suffix is unknown; the file is missing, is a pipe or a device, or cannot be read; or the table is
            not valid (see ``check_predictions``).
    """
    path = Path(path)
    kind = _kind(path)
    require_regular(path)
    try:
        if kind == ".csv":
            text: dict[Hashable, type[str]] = dict.fromkeys(KEYS, str)
            table = original_frame(
                pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""], float_precision="round_trip")
            )
        else:
            table = pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", _REMEDY)) from None
    except (ValueError, OSError) as error:
        what = f"cannot be read: {' '.join(str(error).split())}"
        raise InputError(Problem(str(path), "content", what, _REMEDY)) from None
    return check_predictions(table, str(path))


def check_predictions(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Check a prediction table. Return it with float columns and a column ``kind``.

    Raises:
        InputError: columns or rows are missing, keys are empty, a model has a recording twice, a patient is in two splits,
            or values are invalid. Targets must be 1, 0 or empty (regression: finite or empty), outputs finite, and
            probabilities in 0..1. For multiclass, a recording must have exactly one class or none known, and its
            probabilities must sum to 1. Missing columns are reported first; otherwise the error lists all problems.
    """
    names, kind = labels_of(table), kind_of(table)
    parts = TARGET_KINDS[kind].prediction_columns
    wanted = [*KEYS, *(f"{part}__{n}" for n in names for part in parts)]
    problems = [Problem(where, c, "column is missing", _REMEDY) for c in wanted if c not in table.columns]
    if not names:
        problems.append(Problem(where, "target__*", "no label has a target column", _REMEDY))
    if problems:
        raise InputError(problems)
    numeric = [f"{part}__{n}" for n in names for part in ("target", *parts)]
    table = table.copy()
    if "kind" not in table.columns:
        table.insert(len(KEYS), "kind", kind)
    for column in numeric:
        values = pd.to_numeric(table[column], errors="coerce").astype(np.float64)
        if (text := int((values.isna() & table[column].notna()).sum())) > 0:
            problems.append(
                Problem(where, column, f"{text} cells are not numbers", "Use numbers; only targets may be empty")
            )
        table[column] = values
    problems += [p for n in names for p in _values(table, n, kind, where)]
    if kind == "multiclass":
        problems += _classes(table, names, where)
    for key in KEYS:
        if (empty := int((table[key].isna() | (table[key] == "")).sum())) > 0:
            problems.append(Problem(where, key, f"{empty} cells are empty", "Fill in these cells"))
    if not len(table):
        problems.append(Problem(where, "rows", "the table is empty", "Check the splits of the cohort"))
    double = table[table.duplicated(["model", "record_id"])]
    if len(double):
        what = f"{len(double)} records appear twice for a model, first {double.iloc[0]['record_id']!r}"
        problems.append(Problem(where, "record_id", what, "Keep one row per model and record"))
    spread = table.groupby("patient")["split"].nunique()
    if (crossing := int((spread > 1).sum())) > 0:
        what = f"{crossing} patients are in more than one split"
        problems.append(Problem(where, "patient", what, "Split the cohort by patient"))
    if problems:
        raise InputError(problems)
    return table


def _values(table: pd.DataFrame, name: str, kind: OutputKind, where: str) -> list[Problem]:
    y = table[f"target__{name}"].to_numpy()
    if kind == "regression":
        rules = [
            (f"target__{name}", np.isinf(y), "are not finite"),
            (f"pred__{name}", ~np.isfinite(table[f"pred__{name}"].to_numpy()), "are not finite"),
        ]
    else:
        z, p = (table[f"{part}__{name}"].to_numpy() for part in ("logit", "prob"))
        rules = [
            (f"target__{name}", ~(np.isnan(y) | (y == 0) | (y == 1)), "are not 0, 1 or empty"),
            (f"logit__{name}", ~np.isfinite(z), "are not finite"),
            (f"prob__{name}", ~((p >= 0) & (p <= 1)), "are outside 0..1"),
        ]
    return [Problem(where, c, f"{int(bad.sum())} values {what}", _REMEDY) for c, bad, what in rules if bad.any()]


def _classes(table: pd.DataFrame, names: Sequence[str], where: str) -> list[Problem]:
    y = table[[f"target__{n}" for n in names]].to_numpy()
    p = table[[f"prob__{n}" for n in names]].to_numpy()
    known: NDArray[np.bool_] = np.any(~np.isnan(y), axis=1)
    rules = (
        (
            "target__*",
            known & ~((np.isnan(y).sum(1) == 0) & (np.nansum(y, axis=1) == 1)),
            "do not have exactly one class",
        ),
        ("prob__*", np.abs(p.sum(1) - 1) > 1e-6, "have probabilities that do not add up to 1"),
    )
    return [Problem(where, c, f"{int(bad.sum())} records {what}", _REMEDY) for c, bad, what in rules if bad.any()]


def _kind(path: Path) -> str:
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(Problem(str(path), "suffix", f"{path.suffix!r} is unknown", "Use .csv or .parquet"))
    return path.suffix
