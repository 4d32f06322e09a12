"""Writes a model of a finished run to ``ecgssl/encoders/NAME``, as planned in ``pipelines/shipped/NAME.yaml``.

Run it in the project folder after ``ecgssl profile use NAME`` and ``dvc repro``: ``python pipelines/ship.py NAME``. After a
change of the code of the model, ``python pipelines/ship.py NAME --graph`` writes only the graph again, with the same weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.encoders.plan import read_plan
from ecgssl.encoders.shipped import shipped_model
from ecgssl.errors import exit_with


def main() -> None:
    """Write the bundle and print its size, check figure and checksum."""
    # import inside main, so that exit_with can report a missing optional dependency
    from ecgssl.stages.ship import renew_graph, ship_model

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the model, for example ptbxl-tiny")
    parser.add_argument("--plan", type=Path, help="plan; by default pipelines/shipped/NAME.yaml")
    parser.add_argument("--graph", action="store_true", help="write only the graph again")
    given = parser.parse_args()
    if given.graph:
        renew_graph(given.name)
        made = shipped_model(given.name)
        print(f"wrote the graph of {made.path}: {made.size:,} bytes, sha256 {made.checksum}")
        return
    plan = read_plan(given.plan or Path("pipelines/shipped") / f"{given.name}.yaml")
    card = ship_model(given.name, plan, load_params())
    made = shipped_model(given.name)
    print(f"wrote {made.path}: {card.parameters:,} parameters, {made.size:,} bytes, sha256 {made.checksum}")
    print(f"largest difference by half precision: {card.rounding.largest:g} standard deviations of the embeddings")
    if card.check is not None:
        print(f"check of the weights: macro AUROC {card.check.value:.5f}")


if __name__ == "__main__":
    exit_with(main)
