"""Monitoring of a deployed model: comparison of score files with the reference statistics in its bundle."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ecgssl.encoders.shipped import model_folder
from ecgssl.errors import InputError, Problem
from ecgssl.export.bundle_files import check_files
from ecgssl.export.checksums import verify_sums
from ecgssl.export.statistics_file import STATISTICS, read_statistics
from ecgssl.files import write_atomic, write_json
from ecgssl.monitoring.compare import compare
from ecgssl.monitoring.features import SCORES
from ecgssl.monitoring.page import render_drift
from ecgssl.monitoring.read_scores import read_batch
from ecgssl.output_lock import exclusive
from ecgssl.version import __version__

FEWEST = 50
"""Smallest number of scored recordings in a batch."""


def monitor(
    bundle: Path | str,
    scores: Sequence[Path | str],
    out: Path | str,
    embedded: Sequence[Path | str] = (),
    *,
    require_signature: Path | str | None = None,
) -> dict[str, Any]:
    """Compare score files with the reference statistics of their bundle, and write an HTML page and a JSON file.

    Args:
        bundle: bundle that scored the files, as a folder or as the name of a shipped model. It must contain
            ``reference_statistics.json``, which ``ecgssl export --store`` writes. The model is not loaded.
        scores: output files of ``ecgssl predict`` or ``ecgssl embed``. They are combined into one batch.
        out: path of the HTML page (``.html``). The JSON file has the same name with the suffix ``.json``.
        embedded: output files of ``ecgssl embed`` with the same bundle, used to compare the embeddings.
        require_signature: public key that must have signed the bundle; ``None`` to check no signature.

    Returns:
        Content of the JSON file: ``verdict`` (``steady``, ``watch`` or ``drift``), counts, and the results of all
        comparisons.

    Raises:
        InputError: ``out`` is not an HTML file name, the bundle is altered or has no reference statistics, a score file
            cannot be read or was made with another bundle, the files have different columns, a cell is invalid, or
            fewer than ``FEWEST`` recordings were scored or embedded, or another process uses ``out``.
    """
    bundle, out = model_folder(bundle, "bundle"), Path(out)
    if out.suffix.lower() != ".html":
        raise InputError(Problem(str(out), "suffix", "is not .html", "Use a file name ending in .html"))
    with exclusive(out):
        return _monitor(bundle, scores, out, embedded, require_signature)


def _monitor(
    bundle: Path,
    scores: Sequence[Path | str],
    out: Path,
    embedded: Sequence[Path | str],
    require_signature: Path | str | None,
) -> dict[str, Any]:
    digest = verify_sums(bundle, require_signature)[:16]
    if not (bundle / STATISTICS).exists():
        remedy = (
            "Make the bundle again with 'ecgssl export' and --store, from a store with 30 validation patients or more"
        )
        raise InputError(
            Problem(str(bundle), STATISTICS, "is missing from the bundle, so the batch cannot be compared", remedy)
        )
    files = check_files(bundle)
    reference = read_statistics(bundle, files.embed_dim)
    read = partial(read_batch, digest=digest, leads=files.spec.leads, duration=files.spec.duration)
    batch, more = read(scores), read(embedded) if embedded else None
    _require_scores(batch.columns, reference)
    found = batch.features
    vectors = batch.embeddings if more is None else more.embeddings
    few = [("scores", found.recordings)] + ([("embeddings", len(vectors))] if more is not None else [])
    width = vectors.shape[1]
    if width and reference["embedding"] is not None and width != files.embed_dim:
        what = f"have {width} columns, but embeddings of the model have {files.embed_dim} values"
        raise InputError(Problem("embeddings", "columns", what, "Use the unchanged files of 'ecgssl embed'"))
    problems = [
        Problem(name, "recordings", f"{n} were not rejected, but a batch needs {FEWEST}", "Add more score files")
        for name, n in few
        if n < FEWEST
    ]
    if problems:
        raise InputError(problems)
    summary = compare(reference, found, vectors if vectors.shape[1] else None)
    policies = batch.policies - {"contract"}
    notes = []
    if policies:
        notes.append(
            f"Window policy of the batch: {', '.join(sorted(policies))}; the reference has one window per recording."
        )
    summary |= {"ecgssl": __version__, "bundle": digest, "smallest_batch": FEWEST, "notes": notes}
    write_json(out.with_suffix(".json"), summary)
    write_atomic(out, render_drift(summary))
    return summary


def _require_scores(columns: frozenset[str], reference: dict[str, Any]) -> None:
    """Check that score files with score columns have all score columns of the reference.

    Files of 'ecgssl embed' have no score columns and are accepted.

    Raises:
        InputError: score columns are missing.
    """
    needed = [name.replace(" of ", "__", 1) for name in reference["numbers"] if name != "heart rate"]
    lacking = [name for name in needed if name not in columns]
    if lacking and any(name.startswith(SCORES) for name in columns):
        what = f"do not include {', '.join(lacking)}"
        raise InputError(Problem("scores", "columns", what, "Use the unchanged files of 'ecgssl predict'"))
