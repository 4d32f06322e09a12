"""Stage select: recordings of the pretraining sets that are left out, and the state of the set of each task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ecgssl.config import Params
from ecgssl.errors import InputError, Problem
from ecgssl.files import atomic_directory, sha256_of, write_json
from ecgssl.finetuning.pretraining_overlap import require_no_overlap
from ecgssl.finetuning.task import has_target
from ecgssl.leakage.select_recordings import select_recordings
from ecgssl.leakage.selection import FILE, Selection, preprocessing_counts
from ecgssl.output_lock import exclusive
from ecgssl.store import layout
from ecgssl.store.content_digest import task_digest
from ecgssl.store.corpus import has_labels
from ecgssl.store.store import Store
from ecgssl.tracking.runs import track

if TYPE_CHECKING:
    from ecgssl.pretraining.initial_weights import InitialWeights

ENCODER = "encoder.json"
_WHERE = "params.yaml"


def select_sets(params: Params, stores: Mapping[str, Store], out: Path, *, metrics: Path) -> list[str]:
    """Select the recordings of pretraining, and write one small file for each stage that depends on the stores.

    ``pretrain.json`` lists the recordings that are left out of pretraining, and changes only if pretraining reads other
    data. ``tasks/TASK.json`` changes only if the set of the task or its targets change. ``exports/TASK.json`` also
    changes if other recordings of the set are rejected, because a bundle counts them. ``encoder.json`` is the same for
    the bundle of the encoder, which describes the first pretraining set.

    Args:
        params: parameters, of which sections ``sets``, ``pretrain`` and ``tasks`` and ``finetune.overlap`` are used.
        stores: store of every set of the parameters, by name.
        out: output folder; the selection of an earlier run is replaced.
        metrics: JSON file for the numbers of recordings of each set.

    Returns:
        One sentence for every pretraining set for which the selection differs from that in ``out``, and one for each
        that is new.

    Raises:
        InputError: targets are not in their set, ``pretrain.init`` cannot be used or was pretrained on held-out
            recordings of a task (unless ``finetune.overlap`` is ``warn``), or no selection is possible
            (``ecgssl.leakage.select_recordings.select_recordings``). Nothing is written.
        ContractMismatch: the preprocessing settings of the stores differ.
    """
    pretraining = params.pretrain
    with exclusive(out) as lock, track("select", params, lock=lock) as run:
        if problems := _absent_targets(params, stores):
            raise InputError(problems)
        init = _initial_weights(params)
        selection = select_recordings(
            stores,
            pretraining.sets,
            {name: task.set for name, task in params.tasks.items()},
            pretraining.overlap,
            pretraining.probe.targets,
            None if init is None else init.digest,
        )
        if init is not None:
            for name in dict.fromkeys(task.set for task in params.tasks.values()):
                require_no_overlap(stores[name], init.path, params.finetune.overlap)
        changes = selection.changes(_previous(out / FILE))
        figures = {name: preprocessing_counts(store) for name, store in stores.items()} | selection.counts(stores)
        with atomic_directory(out, marker=FILE) as folder:
            selection.write(folder / FILE)
            for name, task in params.tasks.items():
                digest = task_digest(stores[task.set], task.targets)
                about = {"set": task.set, "targets": task.targets, "digest": digest}
                write_json(folder / f"tasks/{name}.json", about)
                write_json(folder / f"exports/{name}.json", {**about, **_rejected(stores[task.set])})
            first = pretraining.sets[0]
            about = {"set": first, "digest": task_digest(stores[first], [])}
            write_json(folder / ENCODER, {**about, **_rejected(stores[first])})
        write_json(metrics, figures)
        run.log_metrics({f"{name}/{key}": value for name, row in figures.items() for key, value in row.items()})
    return changes


def _initial_weights(params: Params) -> InitialWeights | None:
    if params.pretrain.init is None:
        return None
    # import torch, which takes seconds, only to read the weights of an encoder
    from ecgssl.pretraining.initial_weights import InitialWeights

    return InitialWeights.of(params)


def _absent_targets(params: Params, stores: Mapping[str, Store]) -> list[Problem]:
    """Return a problem for each target that its set lacks."""
    problems = []
    for name, task in params.tasks.items():
        store = stores[task.set]
        absent = [t for t in task.targets if not has_target(store, t)]
        if absent:
            what = f"{', '.join(absent)} not in set {task.set} ({store.path})"
            problems.append(Problem(_WHERE, f"tasks.{name}.targets", what, _known(store.targets)))
    used = [stores[name] for name in params.pretrain.sets]
    known = list(dict.fromkeys(target for store in used for target in store.targets))
    # pretraining without labels switches the probe off, unless the probe selects the weights
    needed = any(map(has_labels, used)) or params.pretrain.select == "best"
    absent = [target for target in params.pretrain.probe.targets if target not in known]
    if absent and needed:
        what = f"{', '.join(absent)} not in the pretraining sets ({', '.join(params.pretrain.sets)})"
        problems.append(Problem(_WHERE, "pretrain.probe.targets", what, _known(known)))
    return problems


def _rejected(store: Store) -> dict[str, str]:
    return {"rejected": sha256_of(store.path / layout.REJECTED)}


def _known(targets: tuple[str, ...] | list[str]) -> str:
    return f"Use some of: {', '.join(targets)}" if targets else "Use a set with labels"


def _previous(path: Path) -> Selection | None:
    try:
        return Selection.read(path)
    except InputError:
        return None
