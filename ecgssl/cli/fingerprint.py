"""Command ``ecgssl fingerprint``, which writes the fingerprints of the raw data."""

from __future__ import annotations

from pathlib import Path

from ecgssl.cli.app import ParamsFile, app


@app.command()
def fingerprint(params: ParamsFile = Path("params.yaml")) -> None:
    """Write data/fingerprints/SET.json for each set, which DVC uses to detect changes of the raw data."""
    from ecgssl.config import load_params
    from ecgssl.config.public_sets import SYNTHETIC
    from ecgssl.datasets.fingerprint import fingerprint as describe
    from ecgssl.datasets.load import load_set
    from ecgssl.errors import InputError, Problem
    from ecgssl.files import canonical_json, write_atomic

    p = load_params(params)
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for name, data in p.sets.items():
        chosen = p.one_set(name)
        try:
            with chosen.messages():
                paths = [] if data.reader == SYNTHETIC else load_set(chosen).table["path"].tolist()
                texts[name] = canonical_json(describe(data, p.seed, paths))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    for name, text in texts.items():
        target = Path("data/fingerprints") / f"{name}.json"
        if not target.exists() or target.read_text() != text:
            write_atomic(target, text)
