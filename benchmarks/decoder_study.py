"""Comparison of decoder variants by validation reconstruction error, with the same number of training steps.

    python benchmarks/decoder_study.py --store data/processed/ptbxl --params ecgssl/profiles/ptbxl.yaml --out
    runs/decoder

The models are trained with the reconstruction loss only, on one view without augmentation. The script prints a
Markdown table and writes ``decoder.json``. Errors are divided by the mean square of the target, so predicting
the mean of each patch has error 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.files import write_json
from ecgssl.pretraining.diagnostics.publish import assess_pretraining
from ecgssl.pretraining.loop import pretrain
from ecgssl.store.store import Store
from ecgssl.training.optim import parameter_count

_PLAIN = ["model.decoder.mixing=1", "model.decoder.head=shared"]
VARIANTS: dict[str, list[str]] = {
    "default": [],
    "joint attention, no mixing, one last layer": ["model.decoder.scope=joint", *_PLAIN],
    "axial attention, no mixing, one last layer": _PLAIN,
    "no mixing": ["model.decoder.mixing=1"],
    "one last layer": ["model.decoder.head=shared"],
    "joint attention": ["model.decoder.scope=joint"],
    "encoder's branches start at 0.1": ["model.residual=0.1"],
}
CAUSES = ("time", "lead", "time_and_lead", "lead_limb", "lead_chest")


def main() -> None:
    """Train all variants, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args()
    store = Store(args.store)
    common = [
        "objective.kind=reconstruction", "objective.views=1", "fda.kind=none", "pretrain.precision=fp32",
        f"pretrain.batch_size={args.batch_size}", f"pretrain.samples={args.batch_size * args.steps}",
        f"pretrain.learning_rate={args.learning_rate}",
    ]  # fmt: skip
    found: dict[str, dict[str, float]] = {}
    print("| variant | decoder's weights | " + " | ".join(c.replace("_", " ") for c in CAUSES) + " |")
    print("|---" * (2 + len(CAUSES)) + "|")
    for name in args.variants:
        params = load_params(args.params, [*common, *VARIANTS[name]])
        result = pretrain(store, params, args.out / "run", show_progress=False)
        result.discard()
        found[name] = assess_pretraining(result.model, store, store.rows("val"), 1.0, seed=0)
        errors = " | ".join(f"{found[name][f'relative_{cause}']:.3f}" for cause in CAUSES)
        print(f"| {name} | {parameter_count(result.model.decoder.parameters())} | {errors} |", flush=True)
        write_json(args.out / "decoder.json", found)


if __name__ == "__main__":
    main()
