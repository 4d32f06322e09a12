"""Uploads of a stage to MLflow, without patient hashes and without waveforms that may not be shared."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ecgssl.config import Params
from ecgssl.leakage.identities import FILE, Identities, may_be_shared
from ecgssl.tracking.runs import TrackedRun

_logger = logging.getLogger("ecgssl")


def upload_encoder(run: TrackedRun, folder: Path) -> None:
    """Upload the folder of a pretrained encoder.

    Patient hashes are not uploaded. Waveform codes are uploaded only if the licence of the data set permits sharing.

    Args:
        run: MLflow run to log to.
        folder: folder written by ``ecgssl.pretraining.diagnostics.publish.publish_pretraining``.
    """
    for path in sorted(folder.iterdir()):
        if path.name != FILE:
            run.log_artifact(path, folder.name)
    known = Identities.read(folder)
    if known is not None and (shared := known.to_pass_on()) is not None:
        with tempfile.TemporaryDirectory() as place:
            shared.write(Path(place))
            run.log_artifact(Path(place) / FILE, folder.name)


def upload_waveforms(
    run: TrackedRun, figures: Iterable[Path], licence: str, params: Params, folder: str | None
) -> None:
    """Upload figures that show waveforms, if the licence permits it or ``tracking.upload_waveforms`` is set.

    Otherwise, log the names of the figures that are not uploaded.

    Args:
        run: MLflow run to log to.
        figures: files of the figures; absent ones are ignored.
        licence: licence of the set; empty for a local cohort.
        params: parameters; section ``tracking`` is used.
        folder: destination folder in the artifacts of the run; ``None`` for the top level.
    """
    there = [path for path in figures if path.exists()]
    if may_be_shared(licence) or params.tracking.upload_waveforms:
        for path in there:
            run.log_artifact(path, folder)
    elif there:
        names = ", ".join(path.name for path in there)
        _logger.info("MLflow: %s not uploaded, because it shows waveforms (tracking.upload_waveforms)", names)
