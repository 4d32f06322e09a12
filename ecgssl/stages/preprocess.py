"""Stage preprocess: preprocessing of a cohort to a store, with counts and an overview figure."""

from __future__ import annotations

from pathlib import Path

from ecgssl.config import Params
from ecgssl.datasets.load import load
from ecgssl.files import write_json
from ecgssl.inspection.worst_figure import write_worst
from ecgssl.output_lock import exclusive
from ecgssl.preprocessing.preprocess import PreprocessReport, preprocess
from ecgssl.signal.drawing import figure_suffix
from ecgssl.stages.uploads import upload_waveforms
from ecgssl.store.choose_key import choose_key
from ecgssl.tracking.runs import track


def preprocess_set(
    params: Params,
    out: Path | str,
    *,
    synthetic: Path | str = "data/raw",
    metrics: Path | str | None = None,
    figure: Path | str | None = None,
) -> PreprocessReport:
    """Preprocess the data set that is selected in section ``data`` of the parameters.

    Args:
        params: parameters, of which sections ``data``, ``signal``, ``quality`` and ``store`` and the seed are used.
        out: output folder of the store. An existing store is replaced.
        synthetic: folder of the synthetic data set.
        metrics: JSON file for the numbers of stored and rejected recordings; not written by default.
        figure: PNG, PDF or SVG file for a figure with the worst recordings of each reason code; not drawn by default.

    Raises:
        InputError: see ``ecgssl.datasets.load.load`` and ``ecgssl.preprocessing.preprocess.preprocess``. It is also raised
            if ``figure`` has another suffix.
    """
    if figure is not None:
        figure_suffix(figure)
    with exclusive(out) as lock, track("preprocess", params, lock=lock) as run:
        run.log_params({s: getattr(params, s).model_dump(mode="json") for s in ("signal", "quality", "store")})
        cohort = load(params.data, synthetic, params.seed)
        report = preprocess(cohort, params, out, choose_key(params.data, params.seed, out))
        counts = {"recordings": report.counted, "stored": report.stored, "rejected": report.rejected}
        run.log_metrics({**counts, "seconds": report.seconds})
        if metrics is not None:
            found = {"rejected_for": report.reasons, "flagged_for": report.flags, "overlap": report.overlap}
            write_json(metrics, {**counts, **found})
            run.log_artifact(metrics)
        if figure is not None:
            upload_waveforms(run, [write_worst(figure, cohort, out, params)], cohort.licence, params, None)
    return report
