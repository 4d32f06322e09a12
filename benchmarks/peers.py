"""Processor time of ecgssl and of the public code of ST-MEM and ECG_JEPA, measured alternately with one thread.

    OMP_NUM_THREADS=1 python benchmarks/peers.py --st-mem FOLDER --ecg-jepa FOLDER --rounds 3 --out FILE

The folders are checkouts of github.com/bakqui/ST-MEM (CC BY-NC 4.0) and github.com/sehunfromdaegu/ECG_JEPA (MIT, needs
timm). Nothing of them is part of this repository. Each round starts one process per program. The input is random.

- ``step``: one optimiser step of pretraining with batch 16 in bf16. The optimiser is fused AdamW and the precision of fp32
  products is ``medium`` for all programs; the public code of ST-MEM uses neither.
- ``embed``: embedding of a whole recording by the encoder with batch 8, in fp32 and in bf16.

Programs: ``st_mem_small`` and ``st_mem_base`` (12 x 2250 samples, patch 75, mask ratio 0.75), ``ecg_jepa_small`` (width 384,
depth 12) and ``ecg_jepa_base`` (the published sizes), both 8 x 2500 samples, and of ecgssl ``small_st_mem`` and
``base_st_mem`` (the geometry of ST-MEM, one view) and ``tiny`` (the profile ``ptbxl-tiny``, two views).

The output is JSON: medians in ms per recording, ratios, and the peak rates of matrix products (1024) in the same processes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timing import cpu_ms, medians_of, peak_rates, write_result

BATCH, EMBEDDED = 16, 8
ST_MEM = {"st_mem_small": "st_mem_vit_small_dec256d4b", "st_mem_base": "st_mem_vit_base_dec256d4b"}
JEPA = {"ecg_jepa_small": (384, 12, 6, 192, 4, 6), "ecg_jepa_base": (768, 12, 16, 384, 6, 12)}
OURS = {"small_st_mem": "small", "base_st_mem": "base", "tiny": "tiny"}


def program(name: str, folders: dict[str, Path]) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    """Return the model of a program, its loss on one batch, and the embedding of one batch of whole recordings."""
    import torch

    if name in ST_MEM:
        sys.path.insert(0, str(folders["st_mem"]))
        st_mem = importlib.import_module("models.st_mem")
        model = getattr(st_mem, ST_MEM[name])(num_leads=12, seq_len=2250, patch_size=75, norm_pix_loss=True)
        x = torch.randn(BATCH, 12, 2250)
        return model, lambda: model(x, mask_ratio=0.75)["loss"], lambda: model.encoder(x[:EMBEDDED])
    if name in JEPA:
        sys.path.insert(0, str(folders["ecg_jepa"]))
        ecg_jepa = importlib.import_module("ecg_jepa").ecg_jepa
        sizes = ("encoder_embed_dim", "encoder_depth", "encoder_num_heads")
        sizes += ("predictor_embed_dim", "predictor_depth", "predictor_num_heads")
        given = dict(zip(sizes, JEPA[name], strict=True))
        model = ecg_jepa(**given, drop_path_rate=0.1, mask_scale=(0.175, 0.225), mask_type="block", c=8, p=50, t=50)
        x = torch.randn(BATCH, 8, 2500)

        def loss() -> Any:
            with torch.no_grad():  # moving average of the target encoder, a part of each step
                for ours, theirs in zip(model.encoder.parameters(), model.target_encoder.parameters(), strict=True):
                    theirs.mul_(0.996).add_(ours.detach(), alpha=0.004)
            return model(x)

        return model, loss, lambda: model.encoder.representation(x[:EMBEDDED])
    from pretrain import ST_MEM as GEOMETRY

    import ecgssl
    from ecgssl.config import load_params, parse_params
    from ecgssl.pretraining.loop import build_model

    if name == "tiny":
        params = load_params(Path(ecgssl.__file__).parent / "profiles" / "ptbxl-tiny.yaml")
    else:
        sections = json.loads(json.dumps(GEOMETRY))
        sections["model"]["preset"] = OURS[name]
        params = parse_params({"tasks": {"none": {"targets": ["af"]}}, "quality": {"beats": "none"}, **sections})
    model = build_model(params)
    x = torch.randn(BATCH, len(params.signal.leads), params.signal.samples)
    generator = torch.Generator()
    return (
        model,
        lambda: model(x, None, None, 0, 0.5, generator.manual_seed(0))["loss"],
        lambda: model.encoder.embed(x[:EMBEDDED]),
    )


def measure(name: str, folders: dict[str, Path]) -> dict[str, float]:
    """Return the times of one program, measured in this process."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("medium")
    model, loss, embed = program(name, folders)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            value = loss()
        value.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    found = {"step": cpu_ms(step, BATCH)}
    model.eval()
    with torch.inference_mode():
        # full precision, as for the results of this project
        torch.set_float32_matmul_precision("highest")
        found["embed_fp32"] = cpu_ms(embed, EMBEDDED)
        with torch.autocast("cpu", torch.bfloat16):
            found["embed_bf16"] = cpu_ms(embed, EMBEDDED)
        found |= peak_rates()
    found["parameters"] = sum(p.numel() for p in trained)
    return found


def main() -> None:
    """Measure the programs alternately, and print and write the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--st-mem", type=Path, required=True)
    parser.add_argument("--ecg-jepa", type=Path, required=True)
    parser.add_argument("--programs", nargs="+", default=[*OURS, *ST_MEM, *JEPA])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, {"st_mem": args.st_mem, "ecg_jepa": args.ecg_jepa})))
        return
    from study import described_run

    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in args.programs}
    given = ["--st-mem", str(args.st_mem.resolve()), "--ecg-jepa", str(args.ecg_jepa.resolve())]
    for _ in range(args.rounds):
        for name in args.programs:
            command = [sys.executable, __file__, "--one", name, *given]
            done = subprocess.run(
                command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(done.stderr)
            rounds[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, rounds[name][-1], file=sys.stderr, flush=True)
    medians = medians_of(rounds)
    pairs = [("small_st_mem", "st_mem_small"), ("base_st_mem", "st_mem_base"), ("tiny", "st_mem_small")]
    pairs += [("tiny", "ecg_jepa_small"), ("tiny", "st_mem_base"), ("tiny", "ecg_jepa_base")]
    ratios = {
        f"{theirs} / {ours}": {part: medians[theirs][part] / medians[ours][part] for part in ("step", "embed_fp32")}
        for ours, theirs in pairs
        if ours in medians and theirs in medians
    }
    result = {"medians": medians, "ratios": ratios, "rounds": rounds, **described_run()}
    write_result(result, args.out)


if __name__ == "__main__":
    main()
