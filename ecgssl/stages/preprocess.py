"""Stage preprocess: preprocessing of a cohort to a store, with counts and an overview figure."""

from __future__ import annotations

from pathlib import Path

from ecgssl.config import OneSet
from ecgssl.datasets.load import load_set
from ecgssl.files import write_json
from ecgssl.inspection.worst_figure import write_worst
from ecgssl.output_lock import exclusive
from ecgssl.preprocessing.preprocess import PreprocessReport, preprocess
from ecgssl.signal.figure_file import figure_suffix
from ecgssl.stages.uploads import upload_waveforms
from ecgssl.store.choose_key import choose_key
from ecgssl.tracking.runs import track


def preprocess_set(
    chosen: OneSet,
    out: Path | str,
    *,
    metrics: Path | str | None = None,
    figure: Path | str | None = None,
) -> PreprocessReport:
    """Preprocess a set of the parameters.

    Args:
        chosen: set and parameters, of which sections ``signal``, ``quality`` and ``store`` and the seed are used. A
            simulated set is read from ``ecgssl.datasets.load.raw_folder``.
        out: output folder of the store. An existing store is replaced.
        metrics: JSON file for the numbers of stored and rejected recordings; not written by default.
        figure: PNG, PDF or SVG file for a figure with the worst recordings of each reason code; not drawn by default.

    Raises:
        InputError: see ``ecgssl.datasets.load.load_set`` and ``ecgssl.preprocessing.preprocess.preprocess``. It is also
            raised if ``figure`` has another suffix.

    Example:
        >>> import ecgssl
        >>> from ecgssl.config import load_one_set
        >>> chosen = load_one_set("params.yaml", reader="cohort", given=["manifest=cohort.csv"])
        >>> report = ecgssl.preprocess(chosen, "data/mine")
        >>> report.stored, report.rejected
        (20, 0)
    """
    if figure is not None:
        figure_suffix(figure)
    params = chosen.params
    tags = {"set": chosen.name}
    with (
        exclusive(out) as lock,
        track(f"preprocess@{chosen.name}", params, tags=tags, lock=lock) as run,
        chosen.messages(),
    ):
        run.log_params({s: getattr(params, s).model_dump(mode="json") for s in ("signal", "quality", "store")})
        run.log_params({"set": chosen.name})
        cohort = load_set(chosen)
        key = choose_key(chosen.data, params.seed, out)
        report = preprocess(cohort, params, out, key, overlap=chosen.data.overlap)
        counts = {"recordings": report.counted, "stored": report.stored, "rejected": report.rejected}
        counts |= {"short": report.short, "windows": report.windows}
        run.log_metrics({**counts, "seconds": report.seconds})
        if metrics is not None:
            found = {"rejected_for": report.reasons, "flagged_for": report.flags, "overlap": report.overlap}
            write_json(metrics, {**counts, **found})
            run.log_artifact(metrics)
        if figure is not None:
            upload_waveforms(run, [write_worst(figure, cohort, out, params)], cohort.licence, params, None)
    return report
