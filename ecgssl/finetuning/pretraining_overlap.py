"""Leakage check: validation, test or external recordings that were used in pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecgssl.datasets.cohort import EXTERNAL
from ecgssl.errors import InputError, Problem
from ecgssl.leakage.identities import Identities
from ecgssl.leakage.overlap import between, limit_problems
from ecgssl.signal.waveform_match import find_copies
from ecgssl.store.store import Store
from ecgssl.training.origin import describe_origin

_REMEDIES = {
    "pretrained": "Remove the recording from the table or put its patient into train, pretrain without it, or set"
    " finetune.overlap=warn to continue with a note in the model card",
    "trained": "Use other recordings, or --overlap warn to continue with a note in the results",
}


def require_no_overlap(
    store: Store,
    encoder_path: Path | str,
    policy: Literal["error", "warn"],
    rows: Mapping[str, NDArray[np.int64]] | None = None,
    learned: Literal["pretrained", "trained"] = "pretrained",
) -> dict[str, Any]:
    """Check that an encoder was not pretrained on the validation, test or external recordings of a store, or on other
    recordings of their patients.

    Args:
        store: store used for fine-tuning and evaluation.
        encoder_path: folder of an encoder, or a bundle. For a classifier, the recordings it was fine-tuned on are also
            checked.
        policy: ``error`` to raise an error for shared recordings; ``warn`` to only return the result.
        rows: rows of the store by split; by default the splits of the store. Split ``train`` is not checked.
        learned: how the model used the known recordings, ``pretrained`` or ``trained``, for messages and the result.

    Returns:
        Result of the check for configuration and model card; ``ecgssl.leakage.overlap.in_words`` converts it to text.
        The entry ``not_checked`` is set if the model folder does not list its training recordings, and ``incomplete`` if
        it started from an encoder that does not list them.

    Raises:
        InputError: the policy is ``error`` and recordings or patients are shared (the first 50 are listed), or the store
            has no waveform codes for the comparison.
    """
    own = store.about.get("overlap", {})
    across = {"across_splits": own["by_patient"] + own["by_waveform"]} if own.get("policy") == "warn" else {}
    known = Identities.read(encoder_path)
    if known is None:
        owner = "encoder" if learned == "pretrained" else "classifier"
        return {"not_checked": f"the {owner} does not record its training recordings"} | across
    by_split = {split: store.rows(split) for split in ("val", "test", EXTERNAL)} if rows is None else rows
    held_out = Identities.of_store(store, np.concatenate([r for split, r in by_split.items() if split != "train"]))
    found = between(known, held_out)
    origin = describe_origin(encoder_path)
    partly = {} if origin["recordings_known"] else {"incomplete": True}
    if policy == "error" and len(found.rows):
        by_waveform = set(found.waveform.rows.tolist())
        raise InputError(
            limit_problems(
                [
                    Problem(
                        str(encoder_path),
                        "overlap",
                        f"{held_out.label(row)} of {store.path} "
                        + (
                            f"was {learned} on"
                            if row in by_waveform
                            else f"is from a patient the model was {learned} on"
                        ),
                        _REMEDIES[learned],
                    )
                    for row in found.rows.tolist()
                ],
                f"; 'ecgssl overlap {encoder_path} {store.path}' lists all",
            )
        )
    return found.outcome() | partly | across | ({"learned": "trained"} if learned == "trained" else {})


def training_identities(store: Store, encoder_path: Path | str | None, rows: NDArray[np.int64]) -> Identities | None:
    """Return the identities of the recordings used to fine-tune a classifier and to pretrain its encoder.

    Pretraining recordings are included only if the encoder folder lists them. One that is also a recording of the
    fine-tuning is included once, unless it has another patient hash, which is still needed.

    Args:
        store: store used for fine-tuning.
        encoder_path: folder of the pretrained encoder; ``None`` without pretraining.
        rows: rows of the training and validation splits.

    Returns:
        Identities of the recordings; ``None`` if the store has no waveform codes.
    """
    if "waveform_hash" not in store.index:
        return None
    own = Identities.of_store(store, rows)
    before = None if encoder_path is None else Identities.read(encoder_path)
    if before is None:
        return own
    if not len(before.patients) or (before.numbering == own.numbering and not before.sources):
        again = find_copies(own.codes, before.codes)[1]
        copies = again.rows
        if len(before.patients):
            copies = copies[before.patients[copies] == own.patients[again.closest]]
        kept = np.setdiff1d(np.arange(len(before)), copies)
        patients = before.patients[kept] if len(before.patients) else before.patients
        before = replace(before, waveforms=before.waveforms[kept], patients=patients)
    return own.with_others(before) if len(before) else own
