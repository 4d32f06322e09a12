"""Stage ship: conversion of a finished run into a shipped model, with half-precision weights and a card."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import ExportParams, Params
from ecgssl.encoders.card import Card, Check, DataEntry
from ecgssl.encoders.plan import Plan
from ecgssl.encoders.shipped import CARD, FOLDER
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import FILE as DECISION
from ecgssl.export.bundle import CARD as README
from ecgssl.export.bundle import export_bundle, load_bundle
from ecgssl.export.bundle_files import check_files
from ecgssl.export.checksums import write_sums
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.detached_weights import detach_weights
from ecgssl.export.half_precision import half_bytes, rounded, rounding_effect
from ecgssl.export.onnx_export import onnx_bytes
from ecgssl.export.onnx_graph import OnnxGraph
from ecgssl.export.self_test import verify_self_test
from ecgssl.export.ship_card import card_text
from ecgssl.export.validation_recordings import ValidationRecordings, read_validation_recordings
from ecgssl.export.write_graphs import graph_name
from ecgssl.files import atomic_directory, write_atomic, write_json
from ecgssl.leakage.identities import FILE as IDENTITIES
from ecgssl.leakage.identities import Identities, may_be_shared
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.monitoring.reference import write_reference
from ecgssl.probes.weights_check import check_figure, choose_recordings
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import load_classifier, load_encoder, write_model
from ecgssl.training.model_folder import CONFIG, WEIGHTS, read_json
from ecgssl.training.optim import parameter_count
from ecgssl.training.origin import named_sets, started_from

MOST_BYTES = 15_000_000
"""Largest size of the weights and graphs of all shipped models together; they are kept in git and in the wheel."""
_SETTINGS = ("seed", "signal", "quality", "model", "fda", "stdm", "objective", "pretrain", "finetune")
_OWN_KEYS = {"ecgssl", "kind", "targets", "task_kind", "queries", "crops", "hidden", "model"}


def ship_model(name: str, plan: Plan, params: Params, folder: Path = FOLDER) -> Card:
    """Write the model of a finished run as a shipped model. An existing model of this name is replaced.

    The bundle has the weights once, with matrices in half precision. Its graph and its self-test are made with the rounded
    weights, so torch and onnxruntime agree as in any other bundle.

    Args:
        name: name of the model and of its folder.
        plan: the run, and entries of the card.
        params: parameters of the run; sections ``quality``, ``store`` and ``export`` (tolerance, opset) are used.
        folder: folder of all shipped models.

    Raises:
        InputError: the plan does not fit the run, a licence does not permit sharing, rounding changes the embeddings too
            much, weights and graphs of all models exceed ``MOST_BYTES``, or the bundle fails a check.
        ContractMismatch: store and model have different preprocessing settings.
    """
    source = Path(plan.model)
    config = read_json(source / CONFIG)
    data = tuple(_data(config))
    _require_plan(plan, config, data)
    original, spec = (load_classifier if plan.kind == "classifier" else load_encoder)(source)
    store = Store(plan.store)
    store.require_contract(spec, str(source))
    model = rounded(original)
    validation = read_validation_recordings(store, source, measure=False)
    known = Identities.read(source)
    shared = None if known is None else known.to_pass_on()
    card = Card(
        name=name,
        kind=plan.kind,
        summary=plan.summary,
        parameters=parameter_count(model.parameters()),
        licence=plan.licence,
        data=tuple(entry.model_copy(update=plan.sets[entry.set].model_dump()) for entry in data),
        targets=tuple(config.get("targets", ())),
        encoder=plan.encoder,
        profile=plan.profile,
        command=plan.command,
        settings=_settings(source, params),
        compute=plan.compute.model_copy(update={"recordings_seen": config.get("pretraining", {}).get("seen", 0)}),
        results=plan.results,
        check=_check(plan, store, model),
        codes=0 if shared is None else len(shared),
        rounding=rounding_effect(ContractModule(original, spec), ContractModule(model, spec), _signals(validation)),
        limits=plan.limits,
    )
    with TemporaryDirectory() as temporary:
        prepared = Path(temporary) / "model"
        prepared.mkdir()
        about = {key: value for key, value in config.items() if key not in _OWN_KEYS} | {"name": name}
        write_model(prepared, model, spec, about)
        for file in (IDENTITIES, DECISION):
            if (source / file).is_file():
                shutil.copyfile(source / file, prepared / file)
        export = ExportParams(raw_rates=[], pt2=False, tolerance=params.export.tolerance, opset=params.export.opset)
        export_bundle(
            prepared,
            folder / name,
            export,
            quality=params.quality,
            validation=validation,
            lsb=params.store.lsb,
            add=partial(_shrink, source=source, card=card, store=store, others=folder, tolerance=export.tolerance),
        )
    return card


def renew_graph(name: str, folder: Path = FOLDER) -> None:
    """Write the graph of a shipped model again, with the same weights, after a change of the code of the model.

    The new graph must give the outputs that are stored in the self-test of the bundle.

    Args:
        name: name of the model.
        folder: folder of all shipped models.

    Raises:
        InputError: the bundle is not intact, or the new graph gives other outputs.
    """
    path = folder / name
    graph = load_bundle(path, "torch").graph
    assert isinstance(graph, ContractModule)
    export = check_files(path).config.export
    with atomic_directory(path, marker=CONFIG) as made:
        for file in sorted(path.iterdir()):
            shutil.copyfile(file, made / file.name)
        write_atomic(made / graph_name(graph), onnx_bytes(graph, export))
        _detach(made / graph_name(graph), graph, export.tolerance)
        write_sums(made)


def _shrink(
    folder: Path, graph: ContractModule, *, source: Path, card: Card, store: Store, others: Path, tolerance: float
) -> None:
    """Store the weights of a bundle once, in half precision, add the card, and check the graph and the total size."""
    write_atomic(folder / WEIGHTS, half_bytes(graph.model))
    _detach(folder / f"{card.kind}.onnx", graph, tolerance)
    write_reference(folder, graph, store)
    if isinstance(graph.model, Classifier):
        # 'ecgssl evaluate --run NAME' reads these files of a run
        for name in (DECISION, "choices.json"):
            shutil.copyfile(source / name, folder / name)
    write_json(folder / CARD, card.model_dump(mode="json"), digits=None)
    write_atomic(folder / README, card_text((folder / README).read_text(), card))
    require_space(folder, card.name, others)


def require_space(folder: Path, name: str, others: Path) -> None:
    """Check that the shipped models are small enough together.

    Args:
        folder: finished files of the model.
        name: name of the model; an existing model of this name is replaced.
        others: folder of all shipped models.

    Raises:
        InputError: weights and graphs of the models have more than ``MOST_BYTES`` bytes in total.
    """
    sizes = {path.parent.name: _size(path.parent) for path in sorted(others.glob(f"[!.]*/{CARD}"))}
    sizes |= {name: _size(folder)}
    if sum(sizes.values()) > MOST_BYTES:
        listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        what = f"have weights and graphs of {sum(sizes.values()):,} bytes in total, more than {MOST_BYTES:,} ({listed})"
        raise InputError(Problem(str(others), "shipped models", what, "Ship a smaller model or fewer models"))


def _detach(onnx: Path, graph: ContractModule, tolerance: float) -> None:
    """Remove the weights from the graph of a bundle, and check that onnxruntime still gives the stored outputs."""
    tensors = {name: value.detach().cpu().numpy() for name, value in graph.model.state_dict().items()}
    tensors = {name: value for name, value in tensors.items() if value.dtype == np.float32}
    write_atomic(onnx, detach_weights(onnx.read_bytes(), tensors, WEIGHTS))
    verify_self_test(onnx.parent, OnnxGraph(onnx, graph.spec, graph.decision), graph.decision, tolerance)


def _require_plan(plan: Plan, config: Mapping[str, Any], data: tuple[DataEntry, ...]) -> None:
    """Check that the plan names the kind and all data sets of the run, with licences that permit sharing."""
    problems = []
    if config.get("kind") != plan.kind:
        what = f"is {plan.kind}, but {plan.model} has kind {config.get('kind')}"
        problems.append(Problem("plan", "kind", what, "Correct kind or model"))
    named = {entry.set for entry in data}
    for name in sorted(named - plan.sets.keys()):
        problems.append(Problem("plan", f"sets.{name}", "is missing", "Add its licence and attribution"))
    for name in sorted(plan.sets.keys() - named):
        what = f"is not a data set of the run ({', '.join(sorted(named))})"
        problems.append(Problem("plan", f"sets.{name}", what, "Remove it, or correct the name"))
    for name, entry in plan.sets.items():
        if not may_be_shared(entry.licence):
            what = f"is {entry.licence}, which does not permit sharing of derived data"
            problems.append(Problem("plan", f"sets.{name}.licence", what, "Train on open data only"))
    if plan.kind == "classifier" and plan.check is not None:
        problems.append(Problem("plan", "check", "applies to encoders only", "Remove check"))
    if problems:
        raise InputError(problems)


def _data(config: Mapping[str, Any]) -> Iterator[DataEntry]:
    """Yield the data sets in the configuration of a model and of the encoders that it started from, without licences."""
    role = "fine-tuning" if config.get("kind") == "classifier" else "pretraining"
    for _, entry in named_sets(config.get("data") or {}):
        counts = {split: int(entry.get(split, 0)) for split in ("train", "val", "test")}
        yield DataEntry.model_validate({"set": entry.get("set", "unknown"), "licence": "", "role": role, **counts})
    if before := started_from(config):
        yield from _data({"kind": "encoder", "data": before.get("data"), "encoder": before.get("started_from")})


def _check(plan: Plan, store: Store, model: Encoder | Classifier) -> Check | None:
    if plan.check is None or isinstance(model, Classifier):
        return None
    wanted = plan.check
    train, test = choose_recordings(store, wanted.targets, wanted.start, wanted.train, wanted.test)
    value = check_figure(model, store, wanted.targets, train, test)
    return Check(
        set=wanted.set,
        targets=wanted.targets,
        train=train,
        test=test,
        value=round(value, 5),
        tolerance=wanted.tolerance,
    )


def _settings(source: Path, params: Params) -> dict[str, Any]:
    """Return the parameters of the run: those saved with an encoder, or sections of ``params`` for a classifier."""
    saved = source / "params.json"
    everything = read_json(saved) if saved.is_file() else params.model_dump(mode="json", include={"seed", "finetune"})
    return {key: everything[key] for key in _SETTINGS if key in everything}


def _signals(validation: ValidationRecordings) -> NDArray[np.float32]:
    if validation.examples is None or not len(validation.examples):
        raise InputError(
            Problem("plan", "store", "has no validation recordings", "Use a store with a validation split")
        )
    return validation.examples


def _size(folder: Path) -> int:
    """Return the bytes of weights and graphs of a model."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.name == WEIGHTS or path.suffix == ".onnx")
