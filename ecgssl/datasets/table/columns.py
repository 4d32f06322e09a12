"""Columns of a hospital's own table: renamed where the user says so, suggested where the user does not."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ecgssl.datasets.table.issues import Issue

OURS = (
    *("record_id", "path", "patient_id", "split", "fold", "acq_time", "age", "sex", "site", "device"),
    *("sampling_rate", "units", "leads"),
)
"""Columns that can be mapped."""

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "record_id": (
        *(
            "record_id",
            "id",
            "ecg_id",
            "exam_id",
            "study_id",
            "test_id",
            "recording",
            "recording_id",
            "accession_number",
        ),
        *("uid", "ekg_id", "befundnummer", "auftragsnummer", "untersuchungs_id"),
    ),
    "path": (
        *("path", "file", "filename", "file_path", "ecg_file", "ecg_path", "xml_file", "dicom_file", "waveform_path"),
        *("filename_hr", "datei", "dateiname", "dateipfad", "pfad", "ekg_datei"),
    ),
    "patient_id": (
        *(
            "patient_id",
            "patient",
            "patid",
            "pid",
            "mrn",
            "medical_record_number",
            "subject_id",
            "subject",
            "person_id",
        ),
        *("pseudonym", "patienten_id", "patientennummer", "patnr"),
    ),
    "split": ("split", "set", "subset", "partition"),
    "fold": ("fold", "strat_fold", "cv_fold"),
    "acq_time": (
        *(
            "acq_time",
            "acquisition_time",
            "acquisition_date",
            "acquisition_datetime",
            "ecg_date",
            "ecg_time",
            "test_date",
        ),
        *("recording_date", "recorded_at", "datetime", "timestamp", "date", "aufnahmezeit", "aufnahmedatum"),
        *("untersuchungsdatum", "zeitpunkt", "datum"),
    ),
    "age": ("age", "patient_age", "age_years", "age_at_ecg", "alter", "patientenalter"),
    "sex": ("sex", "gender", "patient_sex", "geschlecht"),
    "site": ("site", "hospital", "clinic", "center", "centre", "institution", "location", "klinik", "standort"),
    "device": ("device", "device_model", "cart", "machine", "manufacturer", "model", "geraet"),
    "sampling_rate": ("sampling_rate", "sample_rate", "sampling_frequency", "fs", "hz", "abtastrate"),
    "units": ("units", "unit", "amplitude_unit", "einheit"),
    "leads": ("leads", "lead_names", "lead_order", "channels", "ableitungen"),
}
_NEAR = 0.85


def rename(table: pd.DataFrame, columns: Mapping[str, str]) -> tuple[pd.DataFrame, list[Issue], list[str]]:
    """The table under our names.

    Args:
        table: as the file has it.
        columns: our name to the file's. Two of ours may be one of the file's; one of ours that is not a column of the
            file, such as ``path``, stands for what that is mapped to.

    Returns:
        The table, with a column of the file that bears one of our names and is not meant removed; what is wrong; what
        was removed.
    """
    issues, notes = [], []
    chosen: dict[str, str] = {}
    for ours, theirs in columns.items():
        if ours not in OURS:
            close = difflib.get_close_matches(ours, OURS, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Ours are {', '.join(OURS)}"
            issues.append(Issue(f"data.columns.{ours}", "is not a column that we know", hint))
            continue
        source = theirs if theirs in table or theirs == ours else columns.get(theirs, theirs)
        if source not in table:
            # as the file spells it: a name, which holds nothing of a patient
            close = difflib.get_close_matches(theirs, [str(c) for c in table.columns], n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]!r}?" if close else f"Columns found: {named(table.columns)}"
            issues.append(Issue(ours, f"the column {theirs!r}, which stands for it, is absent", hint))
            continue
        chosen[ours] = source
    meant = {name: table[source] for name, source in chosen.items()}
    spent = set(chosen.values())
    replaced = [name for name in table.columns if name in meant and chosen[name] != name and name not in spent]
    notes += [f"the file's own column {n} is not used: {n} is taken from {chosen[n]!r}" for n in replaced]
    rest = {name: table[name] for name in table.columns if name not in meant and name not in spent}
    return pd.DataFrame(meant | rest, dtype=object), issues, notes


def likely(ours: str, columns: Iterable[str]) -> list[str]:
    """Columns of a file that may be what we call ``ours``, the likeliest first; for messages, never to be applied."""
    known = [_plain(synonym) for synonym in _SYNONYMS[ours]]
    scores: dict[str, float] = {}
    for column in columns:
        name = _plain(column)
        if name in known:
            scores[column] = 2.0 - known.index(name) / 100
        elif len(name) > 3 and (close := difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)):
            scores[column] = difflib.SequenceMatcher(None, name, close[0]).ratio()
    return sorted(scores, key=lambda column: -scores[column])


def option(ours: str, theirs: str) -> str:
    """How a user maps a column on the command line."""
    return f"--column {ours}={theirs}" if re.fullmatch(r"[\w.-]+", theirs) else f'--column {ours}="{theirs}"'


def named(columns: Sequence[str] | pd.Index) -> str:
    """Names of columns for a message."""
    names = [str(name) for name in columns]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "none"


def _plain(name: str) -> str:
    german = name.casefold().translate({ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue"})
    ascii_only = unicodedata.normalize("NFKD", german).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", ascii_only)
