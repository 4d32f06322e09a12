"""Preprocessing of a cohort with the settings of a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgssl.config import OneSet, Params
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.fingerprint import fingerprint
from ecgssl.datasets.load import load_set
from ecgssl.errors import InputError, Problem
from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.files import canonical_json
from ecgssl.preprocessing.preprocess import PreprocessReport, preprocess
from ecgssl.store import layout
from ecgssl.store.choose_key import choose_key
from ecgssl.store.settings import model_settings, require_settings
from ecgssl.store.store import Store
from ecgssl.version import __version__

_PLAIN = ("age",)
"""Columns of the store index that a model can predict although they are not declared as targets."""


@dataclass(frozen=True)
class CohortStore:
    """Store of a cohort and report of its preprocessing; ``report`` is ``None`` if an existing store is reused."""

    store: Store
    report: PreprocessReport | None


def rejected_count(store: Store) -> int:
    """Return the number of recordings that were rejected when the store was made; 0 if it is not recorded."""
    return int(store.about.get("counts", {}).get("rejected", 0))


def cohort_store(
    chosen: OneSet,
    bundle_path: Path | str,
    targets: Sequence[str],
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    show_progress: bool = True,
    require_signature: Path | str | None = None,
) -> CohortStore:
    """Preprocess a set with the settings of a bundle and return the store.

    Preprocessing settings, quality limits and the rounding step are those of the bundle; those in ``chosen.params`` are
    ignored. The folder name of the store contains a hash of its inputs. An existing store is reused if the recordings,
    the table, the section of the set, the seed, these settings and the version of ecgssl are the same.

    Args:
        chosen: set and parameters, of which section ``store`` and the seed are used.
        bundle_path: bundle of an encoder.
        targets: target columns that the table must contain.
        folder: parent folder of the store.
        overrides: ``section.key=value`` strings that were applied to the parameters. An override that differs from the
            settings of the bundle is an error.
        show_progress: show a progress bar on a terminal.
        require_signature: public key that must have signed the bundle; ``None`` to check no signature.

    Raises:
        InputError: the bundle is altered or contains a classifier, a target is missing or invalid, or the cohort
            cannot be preprocessed (see ``ecgssl.preprocessing.preprocess``).
        ContractMismatch: the bundle was made with another version of the cleaning code.
    """
    params = chosen.params
    bundle = load_bundle(bundle_path, require_signature=require_signature)
    if bundle.targets:
        what = f"contains a classifier of {', '.join(bundle.targets)}"
        raise InputError(Problem(str(bundle_path), "bundle", what, "Use the bundle of an encoder"))
    settings = model_settings(bundle.spec, bundle.quality, bundle.lsb)
    require_settings(overrides, params, settings, str(bundle_path), "use a bundle with this setting")
    with chosen.messages():
        cohort = load_set(chosen)
        _require_targets(cohort, targets)
    own = _under_contract(params, bundle)
    described = fingerprint(chosen.data, params.seed, cohort.table["path"].tolist())
    about = {
        "ecgssl": __version__,
        "recordings": described,
        "data": chosen.data.model_dump(mode="json"),
        "seed": params.seed,
        "signal": own.signal.fingerprint,
        "quality": own.quality.model_dump(mode="json"),
        "lsb": own.store.lsb,
    }
    digest = hashlib.sha256(canonical_json(about).encode()).hexdigest()[:12]
    path = folder / f"store-{digest}"
    if (path / layout.SPEC).exists():
        return CohortStore(Store(path), None)
    with chosen.messages():
        key = choose_key(chosen.data, params.seed, path)
        report = preprocess(cohort, own, path, key, overlap=chosen.data.overlap, progress=show_progress)
    return CohortStore(Store(path), report)


def _under_contract(params: Params, bundle: Bundle) -> Params:
    kept = params.store.model_copy(update={"lsb": bundle.lsb})
    return params.model_copy(update={"signal": bundle.spec, "quality": bundle.quality, "store": kept})


def _require_targets(cohort: Cohort, targets: Sequence[str]) -> None:
    where = cohort.source or cohort.name
    problems = []
    for target in targets:
        if target in cohort.not_binary:
            remedy = "Use 1, 0, U (uncertain) or an empty cell (unknown); declare other cells in sets.NAME.targets"
            problems.append(Problem(where, target, cohort.not_binary[target], remedy))
        elif target not in cohort.targets and not (target in _PLAIN and target in cohort.table):
            known = ", ".join(cohort.targets) or "none"
            problems.append(
                Problem(where, target, "is not a target column", f"Use one of these target columns: {known}")
            )
    if problems:
        raise InputError(problems)
