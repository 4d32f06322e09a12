"""Parameter sections ``data`` (recordings to use) and ``store`` (storage of preprocessed recordings)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ecgssl.config.manifest import ManifestParams
from ecgssl.config.public_sets import LOCAL_SETS, check_set_name
from ecgssl.config.split import SplitParams
from ecgssl.config.synthetic import SyntheticParams
from ecgssl.params_base import Positive, Section, Workers

SetName = Annotated[str, AfterValidator(check_set_name)]
"""Name of a dataset: ``synthetic``, ``cohort`` (local recordings) or a name in ``ecgssl.config.public_sets``."""


class MerlParams(Section):
    """Parameters for the data splits of MERL (``ecgssl.datasets.public.merl``).

    Args:
        folder: ``finetune/data_split`` of a copy of the repository.
        labels: ``csv`` uses the labels in its files, ``corrected`` the labels of the release.
    """

    folder: Path
    labels: Literal["csv", "corrected"] = "corrected"


class DataParams(ManifestParams):
    """Dataset to use. The fields of ``ManifestParams`` apply only to the set ``cohort``.

    Args:
        set: ``synthetic`` (simulated), ``cohort`` (a table of local recordings), or the name of a public set (``data.md``).
        root: folder of the recordings; not used by ``synthetic``.
        manifest: table of a ``cohort``, CSV or Parquet.
        targets_file: YAML file with any of the keys of ``ManifestParams``. The default is ``NAME.targets.yaml`` next to
            the manifest ``NAME.csv``, if it exists. A key given in the parameters overrides the same key of this file.
        labels: label set of a public set; the first one by default.
        sampling_rate: sampling rate in Hz; selects the copy of a recording if the set has copies at 100 and 500 Hz.
        subsets: parts of a set that consists of parts (cinc2020, cinc2021, code15); all parts if empty.
        standardised_as_mv: read the z-scores of a set published as z-scores (echonext) as mV. The amplitudes of such
            recordings have no physical meaning.
        split: assignment of recordings to train, validation and test.
        merl: use the splits of the MERL repository instead.
        overlap: action if recordings of different splits share a patient or a waveform (``ecgssl.leakage.overlap``):
            ``error``; ``warn`` counts them; ``drop_train`` removes them from the training data.
        patient_key: file with the key that turns patient ids into hashes; created if absent. It must be outside of folders
            that the pipeline replaces or shares. The default is ``~/.config/ecgssl/patient.key``; simulated patients have a
            published key.
        synthetic: size of the set ``synthetic``, and how its hospital differs from others.
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
    patient_key: Path | None = None
    synthetic: SyntheticParams = SyntheticParams()

    @model_validator(mode="after")
    def _complete(self) -> DataParams:
        if self.set not in LOCAL_SETS and self.root is None:
            raise ValueError(f"set {self.set!r} needs root: the folder of the unpacked release")
        if self.set == "cohort" and self.manifest is None:
            raise ValueError("set 'cohort' needs manifest: a CSV or Parquet file with record_id and path")
        if self.merl is not None and self.set not in ("ptbxl", "cpsc2018", "ecg_arrhythmia"):
            raise ValueError(
                f"merl has no split for set {self.set!r}; it has splits for ptbxl, cpsc2018 and ecg_arrhythmia"
            )
        if self.merl is not None and self.split.kind not in ("auto", "official"):
            raise ValueError(f"merl and split.kind {self.split.kind!r} both define a split: remove one of them")
        if self.set != "cohort":
            given = [name for name in ("targets_file", *ManifestParams.model_fields) if getattr(self, name)]
            if given:
                raise ValueError(f"{', '.join(given)} cannot be used with set {self.set!r}, only with 'cohort'")
        return self


class StoreParams(Section):
    """Storage of preprocessed recordings and the processes that write them.

    Args:
        shard_recordings: maximum number of recordings per shard. A worker keeps this many in memory; if it is killed,
            they are processed again.
        lsb: size of one int16 step in mV.
        workers: processes on this machine; -1 for one per core. Not used with ``scheduler``.
        backend: ``loky``; or ``dask`` or ``ray``, if that extra is installed.
        scheduler: address of a running Dask scheduler or Ray cluster, whose machines must all see the same folders. By
            default ``workers`` processes start on this machine.
        max_rejected_fraction: largest fraction of rejected recordings; a run with more of them stops.
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
            raise ValueError("a scheduler needs backend 'dask' or 'ray': loky starts processes on this machine only")
        return self
