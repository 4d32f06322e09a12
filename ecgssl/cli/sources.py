"""Where a fine-tuning takes its recordings and its encoder from, as the options say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ecgssl.cli.cohorts import tell_findings
from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    from ecgssl.config import Params
    from ecgssl.store.store import Store


def one_source(
    store: Path | None, manifest: Path | None, encoder: Path | None, bundle: Path | None, reading: Sequence[object]
) -> None:
    """Refuse options that leave open, or name twice, what is fine-tuned on what.

    Args:
        store, manifest, encoder, bundle: the options.
        reading: options that say how a table is read.

    Raises:
        InputError: with everything that is wrong with them.
    """
    problems = []
    if (store is None) == (manifest is None):
        what = "one of the two is needed" if store is None else "both are given"
        remedy = "Name a store, or a table and a bundle"
        problems.append(Problem("finetune", "--store, --manifest", what, remedy))
    if (encoder is None) == (bundle is None):
        what = "one of the two is needed" if encoder is None else "both are given"
        problems.append(Problem("finetune", "--encoder, --bundle", what, "Name the one to fine-tune"))
    if manifest is not None and encoder is not None:
        what = "says nothing of the limits of quality that its recordings were accepted under"
        problems.append(Problem("finetune", "--encoder", what, "Name a bundle, or preprocess the table first"))
    if manifest is None and any(option is not None for option in reading):
        what = "options on how a table is read belong to --manifest"
        problems.append(Problem("finetune", "--root, --column, ...", what, "Name the table, or leave them out"))
    if problems:
        raise InputError(problems)


def data_and_encoder(
    params: Params, store: Path | None, encoder: Path | None, bundle: Path | None, targets: Sequence[str], out: Path
) -> tuple[Store, Path]:
    """The store to fine-tune on, made under the bundle's contract where there is only a table, and the encoder's folder."""
    from ecgssl.store.store import Store

    source = encoder or bundle
    assert source is not None
    if store is not None:
        if bundle is not None:
            from ecgssl.export.checksums import verify_sums

            verify_sums(bundle)
        return Store(store), source
    from ecgssl.scoring.cohort_store import cohort_store

    made = cohort_store(params, source, targets, out)
    if made.report is None:
        typer.echo(f"{len(made.store)} recordings, preprocessed before")
    else:
        report = made.report
        typer.echo(f"{report.counted} recordings = {report.stored} stored + {report.rejected} rejected")
        tell_findings(report)
    return made.store, source
