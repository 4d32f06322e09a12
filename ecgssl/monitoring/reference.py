"""Reference statistics of a bundle (``reference_statistics.json``), computed from the validation split of a store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.export.statistics_file import FORMAT, STATISTICS, VERSION
from ecgssl.files import write_json
from ecgssl.monitoring.cells import SMALLEST, category_histogram, number_histogram, protected_count
from ecgssl.monitoring.embedding import embedding_reference
from ecgssl.monitoring.features import RECORDED, Features, features, table_of
from ecgssl.scoring.scores import score_cells
from ecgssl.store import layout
from ecgssl.store.store import Store

if TYPE_CHECKING:
    from ecgssl.export.contract_module import ContractModule

FEWEST = 3 * SMALLEST
"""Smallest number of recordings, one per patient, from which reference statistics are computed."""
_MOST = 2000
_AT_A_TIME = 16


def write_reference(folder: Path, graph: ContractModule, store: Store) -> bool:
    """Compute reference statistics and write them into the folder of a bundle.

    Args:
        folder: folder of the bundle.
        graph: deployed model.
        store: store with the model's preprocessing settings; at most 2,000 patients of its validation split are used.

    Returns:
        ``True`` if the file was written; ``False`` if there are fewer than ``FEWEST`` patients.
    """
    rows = one_per_patient(store)
    if len(rows) < FEWEST:
        return False
    outputs = _run(graph, store, rows)
    found = features(_table(store, rows, graph, outputs), store.spec.leads, store.spec.duration)
    rejections = _rejections(store)
    write_json(folder / STATISTICS, reference_statistics(found, outputs["embedding"], rejections), digits=None)
    return True


def reference_statistics(
    found: Features, embeddings: NDArray[np.floating], rejections: tuple[int, dict[str, int]]
) -> dict[str, Any]:
    """Return reference statistics. They contain no count of 1 to 9 recordings, see ``ecgssl.monitoring.cells``.

    Args:
        found: features of the recordings, one recording per patient.
        embeddings: (n, E) embeddings of the same recordings.
        rejections: number of recordings in the cohort of the store, and the numbers of rejected recordings by reason
            code; the key ``""`` contains their total.
    """
    tried, rejected = rejections
    n = found.recordings
    return {
        "format": FORMAT,
        "version": VERSION,
        "recordings": n,
        "smallest_cell": SMALLEST,
        "rejected": {
            "recordings": tried,
            "counts": {code: protected_count(count, tried) for code, count in rejected.items()},
        },
        "shares": {name: protected_count(int(values.sum()), n) for name, values in found.shares.items()},
        "categories": {name: category_histogram(values) for name, values in found.categories.items()},
        "numbers": {name: number_histogram(values) for name, values in found.numbers.items()},
        "embedding": embedding_reference(np.asarray(embeddings, dtype=np.float64)),
    }


def one_per_patient(store: Store) -> NDArray[np.int64]:
    """Return the rows of the first validation recording of each patient, evenly subsampled to at most 2,000 rows.

    Only one recording per patient is used, because the statistical tests assume independent recordings.
    """
    rows = store.rows("val")
    first = np.sort(np.unique(store.patients[rows], return_index=True)[1])
    rows = rows[first]
    return rows[:: math.ceil(len(rows) / _MOST) or 1]


def _run(graph: ContractModule, store: Store, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    chunks = [rows[i : i + _AT_A_TIME] for i in range(0, len(rows), _AT_A_TIME)]
    parts = [graph.run(store.signals(chunk), store.lead_mask(chunk), store.recorded(chunk)) for chunk in chunks]
    return {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}


def _table(
    store: Store, rows: NDArray[np.int64], graph: ContractModule, outputs: dict[str, NDArray[np.float32]]
) -> pd.DataFrame:
    index = store.index.iloc[rows]
    leads = [" ".join(np.array(store.spec.leads)[mask]) for mask in store.lead_mask(rows)]
    scores = {} if graph.decision is None else score_cells(graph.decision, outputs["logits"])
    known: dict[str, Sequence[Any]] = {
        "reasons": [""] * len(rows),
        "flags": index["reasons"].tolist(),
        "sampling_rate": index["source_rate"].tolist(),
        "leads": leads,
        "heart_rate": index["heart_rate"].tolist(),
        RECORDED: (store.recorded(rows) / store.spec.sampling_rate).tolist(),
    }
    return table_of(known, scores)


def _rejections(store: Store) -> tuple[int, dict[str, int]]:
    """Return the number of recordings in the cohort, and the numbers of rejected recordings by reason code.

    Recordings on a list of known defects are excluded, because quality checks do not detect these defects in new data.
    """
    rejected = pd.read_csv(store.path / layout.REJECTED, dtype=str, keep_default_na=False, usecols=["stage", "reason"])
    rejected = rejected[rejected["stage"] != "known_defect"]
    counts = {"": len(rejected)}
    for cell in rejected["reason"]:
        for code in filter(None, cell.split(";")):
            counts[code] = counts.get(code, 0) + 1
    return len(store) + len(rejected), counts
