"""Detection of patient hashes that were made with the published key of simulated patients."""

from __future__ import annotations

import logging
from functools import lru_cache

from ecgssl.config.public_sets import SYNTHETIC
from ecgssl.datasets.synthetic.published_key import patient_key
from ecgssl.store.patient_key import numbering_check

_logger = logging.getLogger("ecgssl")
_MOST_SEEDS = 10_000


def warn_of_published_key(where: str, numbering: str, name: str, licence: str) -> None:
    """Log a warning, once for each ``where``, if the hashes of real patients were made with a published key.

    The published keys of seeds 0 to 9,999 are checked.

    Args:
        where: store or model with the hashes.
        numbering: value of ``ecgssl.store.patient_key.numbering_check`` recorded with the hashes; empty if unknown.
        name, licence: name and licence of the set; a local cohort has no licence.
    """
    if numbering and name != SYNTHETIC:
        seed = _seed_of(numbering, name if licence else "")
        if seed is not None:
            _warn(where, seed)


@lru_cache(maxsize=1024)
def _seed_of(numbering: str, name: str) -> int | None:
    return next((seed for seed in range(_MOST_SEEDS) if numbering_check(patient_key(seed), name) == numbering), None)


@lru_cache(maxsize=1024)
def _warn(where: str, seed: int) -> None:
    _logger.warning(
        "%s: patient hashes were made with the published key of simulated patients (seed %d), so patient ids can be "
        "guessed from them. Do not share it. Make it again with the default of sets.NAME.patient_key.",
        where,
        seed,
    )
