"""Command ``ecgssl fingerprint``, which writes the fingerprint of the raw data."""

from __future__ import annotations

from pathlib import Path

from ecgssl.cli.app import ParamsFile, app


@app.command()
def fingerprint(params: ParamsFile = Path("params.yaml")) -> None:
    """Write data/fingerprint.json, which DVC uses to detect changes of the raw data."""
    from ecgssl.config import load_params
    from ecgssl.datasets.fingerprint import fingerprint as describe
    from ecgssl.datasets.load import load
    from ecgssl.files import canonical_json, write_atomic

    p = load_params(params)
    paths = [] if p.data.set == "synthetic" else load(p.data, "data/raw", p.seed).table["path"].tolist()
    text = canonical_json(describe(p.data, p.seed, paths))
    target = Path("data/fingerprint.json")
    if not target.exists() or target.read_text() != text:
        write_atomic(target, text)
