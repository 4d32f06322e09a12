"""Stage pretrain: self-supervised pretraining of CoRe-ECG on the training split of one or more stores."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from ecgssl.config import Params
from ecgssl.errors import Diverged, InputError, Problem
from ecgssl.leakage.identities import may_be_shared
from ecgssl.leakage.selection import FILE, Selection
from ecgssl.output_lock import exclusive
from ecgssl.pretraining.diagnostics.online_probe import EpochMonitor
from ecgssl.pretraining.diagnostics.publish import WAVEFORMS, publish_pretraining
from ecgssl.pretraining.initial_weights import init_digest
from ecgssl.pretraining.loop import PretrainResult, pretrain
from ecgssl.pretraining.run_identity import run_name
from ecgssl.stages.uploads import upload_encoder, upload_waveforms
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store
from ecgssl.tracking.runs import track
from ecgssl.training.checkpoint import discard_run
from ecgssl.training.device import resolve_device
from ecgssl.training.ranks import process_group

SECTIONS = ("model", "fda", "stdm", "objective", "pretrain")


@dataclass(frozen=True)
class Pretrained:
    """Result of stage pretrain.

    Args:
        result: result of the training loop.
        metrics: metrics on the validation split, with the same content as the metrics file.
    """

    result: PretrainResult
    metrics: dict[str, float]


def pretrain_encoder(
    params: Params,
    stores: Mapping[str, Store],
    *,
    selection: Selection | None = None,
    state: Path,
    model: Path,
    metrics: Path,
    plots: Path,
) -> Pretrained | None:
    """Pretrain an encoder and evaluate it on the validation split. A stopped run resumes from its last checkpoint.

    Args:
        params: parameters, of which sections ``model``, ``fda``, ``stdm``, ``objective`` and ``pretrain`` and the seed
            are used.
        stores: store of each pretraining set, by name. The encoder is trained on the training splits.
        selection: recordings that are left out; ``None`` to use all recordings of the training splits.
        state: folder for checkpoints, with one subfolder per run. The subfolder is removed after the encoder has been
            written, or if the encoder diverged.
        model: output folder of the encoder.
        metrics: path of the JSON file with the metrics.
        plots: output folder of the training curves and figures.

    Returns:
        The result in the first or only process; ``None`` in the other processes of ``torchrun``.

    Raises:
        InputError, ContractMismatch, Stopped, Diverged: see ``ecgssl.pretraining.loop.pretrain``.

    Example:
        >>> import ecgssl
        >>> from pathlib import Path
        >>> from ecgssl.config import load_params
        >>> from ecgssl.store.store import Store
        >>> out = Path("runs/mine")
        >>> made = ecgssl.pretrain(
        ...     load_params("params.yaml"), {"mine": Store("data/mine")}, state=out, model=out / "pretrained",
        ...     metrics=out / "pretrain.json", plots=out / "plots",
        ... )
        >>> made.result.seen
        16
    """
    corpus = Corpus(stores, {} if selection is None else selection.left_out)
    with (
        process_group(resolve_device(params.pretrain.device)) as ranks,
        exclusive(model) if ranks.first else nullcontext() as lock,
        track("pretrain", params, enabled=ranks.first, lock=lock) as run,
    ):
        run.log_params({section: getattr(params, section).model_dump(mode="json") for section in SECTIONS})
        folder = state / run_name(params, corpus)
        try:
            result = pretrain(
                corpus,
                params,
                folder,
                ranks=ranks,
                on_log=lambda row: run.log_metrics(row, step=int(row["samples"])),
                on_epoch=EpochMonitor(corpus, params),
            )
            if not ranks.first:
                return None
            figures = publish_pretraining(result, corpus, params, model, metrics, plots)
        except Diverged as diverged:
            run.set_tags({"divergence": diverged})
            if ranks.first:
                # random numbers depend on seed and step only, so a resumed run would diverge again
                discard_run(folder)
            raise
        shares = {"seconds": result.seconds, "data_wait_share": result.waited, "watch_share": result.monitored}
        run.log_metrics({f"val_{name}": value for name, value in figures.items()} | shares, step=result.seen)
        run.set_tags({"collapse": result.collapse or "none", "divergence": "none"})
        upload_encoder(run, model)
        shown = [plots / name for name in WAVEFORMS]
        for path in sorted(set(plots.iterdir()) - set(shown)):
            run.log_artifact(path, plots.name)
        licences = [str(store.about.get("cohort", {}).get("licence", "")) for store in stores.values()]
        # figures show recordings of all sets, so the strictest licence applies
        licence = next((each for each in licences if not may_be_shared(each)), licences[0])
        upload_waveforms(run, shown, licence, params, plots.name)
        result.discard()
    return Pretrained(result, figures)


def read_selection(params: Params, stores: Mapping[str, Store], folder: Path) -> Selection:
    """Load the selection of the pretraining sets, and check that it fits stores and parameters.

    Args:
        params: parameters; sections ``pretrain`` and its encoder ``pretrain.init`` are compared.
        stores: store of each pretraining set, by name.
        folder: output folder of ``ecgssl.stages.select.select_sets``.

    Raises:
        InputError: the selection is missing, or was made for other stores, sets, probe targets or initial weights.
    """
    path, repeat = folder / FILE, "Make the selection again ('dvc repro select')"
    selection = Selection.read(path)
    selection.require_stores(stores, path)
    problems = []
    if selection.targets != tuple(sorted(params.pretrain.probe.targets)):
        problems.append(Problem(str(path), "targets", "differ from pretrain.probe.targets", repeat))
    if selection.init != (None if params.pretrain.init is None else init_digest(params.pretrain.init)):
        problems.append(Problem(str(path), "init", "differs from the weights in pretrain.init", repeat))
    if problems:
        raise InputError(problems)
    return selection
