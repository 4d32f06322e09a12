"""Sections ``data`` and ``store``: which recordings, and how they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ecgssl.config.manifest import ManifestParams
from ecgssl.config.split import SplitParams
from ecgssl.params_base import Positive, Section, Workers


class SyntheticParams(Section):
    """The embedded set: how many patients and recordings the vectorcardiogram model makes."""

    patients: Positive = 400
    recordings_per_patient: tuple[Positive, Positive] = (1, 3)
    sampling_rate: Annotated[float, Field(ge=100, le=1000)] = 500.0
    duration: Annotated[float, Field(ge=5, le=60)] = 10.0


SetName = Literal[
    "synthetic",
    "cohort",
    "cinc2020",
    "cinc2021",
    "code15",
    "cpsc2018",
    "ecg_arrhythmia",
    "echonext",
    "georgia",
    "incart",
    "ludb",
    "mimic_iv_ecg",
    "ningbo",
    "ptb",
    "ptbxl",
    "sph",
]
"""``synthetic``, ``cohort`` (a manifest), or a public set in its official layout (``ecgssl.datasets.public.registry``)."""


class MerlParams(Section):
    """The splits of MERL's repository (``ecgssl.datasets.public.merl``).

    Args:
        folder: ``finetune/data_split`` of a copy of it.
        labels: ``csv``, as they stand in its files, or ``corrected``, those of the release.
    """

    folder: Path
    labels: Literal["csv", "corrected"] = "corrected"


class DataParams(ManifestParams):
    """Which recordings: a registered set and where it lies; of a ``cohort`` also how its table is to be read.

    Args:
        set: which set.
        root: folder that holds the recordings; unused by ``synthetic``.
        manifest: the table of a ``cohort``, CSV or Parquet.
        targets_file: YAML with any of the keys of ``ManifestParams``; by default ``NAME.targets.yaml`` beside the
            manifest ``NAME.csv``, where there is one. What the parameters say wins over it.
        labels: label set of a public set; none for its first.
        sampling_rate: Hz; which copy of a recording, where a set has two.
        subsets: parts of a public set that is made of parts (cinc2020, cinc2021, code15); all where empty.
        standardised_as_mv: use a set whose samples were published as z-scores (echonext) as if one were 1 mV; voltages
            then mean nothing.
        split: which recordings train, validate and test.
        merl: split a public set as MERL does, instead.
        overlap: what follows where recordings of different splits share a patient or a waveform (``ecgssl.leakage.overlap``):
            an ``error``; ``warn``, they are counted; or ``drop_train``, those nearer to training are left out.
        patient_key: file with the key that turns patient ids into hashes; made when absent.
    """

    set: SetName = "synthetic"
    root: Path | None = None
    manifest: Path | None = None
    targets_file: Path | None = None
    labels: str | None = None
    sampling_rate: Literal[100, 500] = 500
    subsets: tuple[str, ...] = ()
    standardised_as_mv: bool = False
    split: SplitParams = SplitParams()
    merl: MerlParams | None = None
    overlap: Literal["error", "warn", "drop_train"] = "error"
    patient_key: Path = Path("data/patient.key")
    synthetic: SyntheticParams = SyntheticParams()

    @model_validator(mode="after")
    def _complete(self) -> DataParams:
        if self.set not in ("synthetic", "cohort") and self.root is None:
            raise ValueError(f"set {self.set!r} needs root: the folder of the unpacked release")
        if self.set == "cohort" and self.manifest is None:
            raise ValueError("set 'cohort' needs manifest: a CSV or Parquet file with record_id and path")
        if self.merl is not None and self.set not in ("ptbxl", "cpsc2018", "ecg_arrhythmia"):
            raise ValueError(f"merl has no split of set {self.set!r}, only of ptbxl, cpsc2018 and ecg_arrhythmia")
        if self.merl is not None and self.split.kind not in ("auto", "official"):
            raise ValueError(f"merl and split.kind {self.split.kind!r} are two splits, name one")
        if self.set != "cohort":
            given = [name for name in ("targets_file", *ManifestParams.model_fields) if getattr(self, name)]
            if given:
                raise ValueError(f"{', '.join(given)} means nothing for set {self.set!r}, only for 'cohort'")
        return self


class StoreParams(Section):
    """How preprocessed recordings lie on disk, and what makes them.

    Args:
        shard_recordings: most recordings that a shard is made from; also what a worker takes at a time, holds in memory
            and loses where it is killed.
        lsb: mV of one int16 step.
        workers: processes of this machine; -1 for one per core. Unused with ``scheduler``.
        backend: ``loky``, or with an extra installed ``dask`` or ``ray``.
        scheduler: address of a running Dask scheduler or Ray cluster whose machines all see the same folders; by
            default one of ``workers`` processes is started on this machine.
        max_rejected_fraction: a run stops as soon as more than this share of the cohort cannot be used.
    """

    shard_recordings: Positive = 256
    lsb: Annotated[float, Field(gt=0, le=0.01)] = 0.001
    workers: Workers = -1
    backend: Literal["loky", "dask", "ray"] = "loky"
    scheduler: Annotated[str, Field(min_length=1)] | None = None
    max_rejected_fraction: Annotated[float, Field(ge=0, le=1)] = 0.2

    @model_validator(mode="after")
    def _loky_has_no_scheduler(self) -> StoreParams:
        if self.scheduler is not None and self.backend == "loky":
            raise ValueError("a scheduler needs backend 'dask' or 'ray'; loky starts processes of this machine")
        return self
