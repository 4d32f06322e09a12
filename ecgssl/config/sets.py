"""Parameter sections ``sets`` (named sets of recordings) and ``tasks`` (targets to predict on a set)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ecgssl.config.manifest import ManifestParams
from ecgssl.config.public_sets import LOCAL_SETS, check_reader
from ecgssl.config.split import SplitParams
from ecgssl.config.synthetic import SyntheticParams
from ecgssl.params_base import Section

Reader = Annotated[str, AfterValidator(check_reader)]
"""Reader of a set: ``synthetic``, ``cohort`` (local recordings) or a name in ``ecgssl.config.public_sets``."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""Name of a set or a task, chosen by the user."""


class MerlParams(Section):
    """Parameters for the data splits of MERL (``ecgssl.datasets.public.merl``).

    Args:
        folder: ``finetune/data_split`` of a copy of the repository.
        labels: ``csv`` uses the labels in its files, ``corrected`` the labels of the release.
    """

    folder: Path
    labels: Literal["csv", "corrected"] = "corrected"


class SetParams(ManifestParams):
    """One set of recordings. The fields of ``ManifestParams`` apply only to the reader ``cohort``.

    Args:
        reader: ``synthetic`` (simulated), ``cohort`` (a table of local recordings), or the name of a public set (``data.md``).
        root: folder of the recordings; not used by the reader ``synthetic``.
        manifest: table of a ``cohort``, CSV or Parquet.
        targets_file: YAML file with any of the keys of ``ManifestParams``. The default is ``NAME.targets.yaml`` next to
            the manifest ``NAME.csv``, if it exists. A key given in the parameters overrides the same key of this file.
        labels: label set of a public set; the first one by default. A list of several names their targets
            ``LABEL_SET.TARGET``, such as ``superclass.NORM``.
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
        synthetic: size of a simulated set, and how its hospital differs from others.
    """

    reader: Reader = "synthetic"
    root: Path | None = None
    manifest: Path | None = None
    targets_file: Path | None = None
    labels: str | tuple[str, ...] | None = None
    sampling_rate: Literal[100, 500] = 500
    subsets: tuple[str, ...] = ()
    standardised_as_mv: bool = False
    split: SplitParams = SplitParams()
    merl: MerlParams | None = None
    overlap: Literal["error", "warn", "drop_train"] = "error"
    patient_key: Path | None = None
    synthetic: SyntheticParams = SyntheticParams()

    @model_validator(mode="after")
    def _complete(self) -> SetParams:
        if self.reader not in LOCAL_SETS and self.root is None:
            raise ValueError(f"reader {self.reader!r} needs root: the folder of the unpacked release")
        if self.reader == "cohort" and self.manifest is None:
            raise ValueError("reader 'cohort' needs manifest: a CSV or Parquet file with record_id and path")
        if self.merl is not None and self.reader not in ("ptbxl", "cpsc2018", "ecg_arrhythmia"):
            raise ValueError(
                f"merl has no split for reader {self.reader!r}; it has splits for ptbxl, cpsc2018 and ecg_arrhythmia"
            )
        if isinstance(self.labels, tuple) and (not self.labels or len(set(self.labels)) < len(self.labels)):
            raise ValueError("labels needs one or more different label sets")
        if self.merl is not None and isinstance(self.labels, tuple):
            raise ValueError("merl has the labels of one label set: give labels as a single name")
        if self.merl is not None and self.split.kind not in ("auto", "official"):
            raise ValueError(f"merl and split.kind {self.split.kind!r} both define a split: remove one of them")
        if self.reader != "cohort":
            given = [name for name in ("targets_file", *ManifestParams.model_fields) if getattr(self, name)]
            if given:
                raise ValueError(f"{', '.join(given)} cannot be used with reader {self.reader!r}, only with 'cohort'")
        return self


class TaskParams(Section):
    """One downstream task: targets to predict on a set.

    Args:
        set: name of the set; may be left out if ``sets`` has only one.
        targets: target columns of the set that one model predicts.
    """

    set: str = ""
    targets: Annotated[list[str], Field(min_length=1)]
