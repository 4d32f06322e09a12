"""Reconstruction error by cause compared with a loop over patches, and the count of absent leads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgssl.config import STDMParams
from ecgssl.model.reconstruction_error import ErrorByCause, hidden_by
from ecgssl.model.stdm import draw_mask
from ecgssl.signal.leads import LEADS, LIMB_LEADS

COLUMNS, PATCH = 8, 10


def mask_of(kind: str, batch: int = 4, leads=LEADS, seed: int = 0):
    return draw_mask(STDMParams(kind=kind), batch, leads, COLUMNS, 2, torch.Generator().manual_seed(seed))


def slow(mask, leads, lead_mask, predicted, target, millivolts) -> dict[str, float]:
    """Return the errors from a loop over patches."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for b in range(len(predicted)):
        for k, lead in enumerate(leads):
            if lead_mask is not None and not lead_mask[b, k]:
                continue
            for n in range(COLUMNS):
                if not mask.hidden[b, k, n]:
                    continue
                p, t = (v[b, k * COLUMNS + n].double().numpy() for v in (predicted, target))
                error = float(np.mean((p - t) ** 2))
                r = float(np.corrcoef(p, t)[0, 1])
                row = (error, float(np.mean(t**2)), r, error * float(millivolts[b, k * COLUMNS + n]) ** 2)
                limb = "limb" if lead in LIMB_LEADS else "chest"
                names = [limb]
                if mask.hidden_time[b, n] and mask.hidden_lead[b, k]:
                    names.append("time_and_lead")
                elif mask.hidden_time[b, n]:
                    names.append("time")
                elif mask.hidden_lead[b, k]:
                    names += ["lead", f"lead_{limb}"]
                for name in names:
                    found.setdefault(name, []).append(row)
    out = {}
    for name, rows in found.items():
        error, power, r, volts = np.mean(rows, axis=0)
        out |= {f"reconstruction_{name}": error, f"relative_{name}": error / power, f"correlation_{name}": r}
        out |= {f"millivolts_{name}": np.sqrt(volts)}
    return out


@pytest.mark.parametrize("kind", ["paper", "einthoven", "random", "none"])
@pytest.mark.parametrize("leads", [LEADS, ("V3", "II", "aVF", "I")])
@pytest.mark.parametrize("some_absent", [False, True])
def test_against_a_loop(kind, leads, some_absent):
    generator = torch.Generator().manual_seed(1)
    shape = (4, len(leads) * COLUMNS, PATCH)
    lead_mask = torch.rand(4, len(leads), generator=generator) < 0.6 if some_absent else None
    errors, expected = ErrorByCause(), []
    parts = []
    for seed in range(2):
        mask = mask_of(kind, 4, leads, seed)
        predicted, target = (torch.randn(shape, generator=generator) for _ in range(2))
        volts = torch.rand(shape[:2], generator=generator)
        errors.add(predicted, target, hidden_by(mask, leads, lead_mask), volts)
        parts.append((mask, predicted, target, volts))
    both = type(parts[0][0])(*(torch.cat([getattr(p[0], f) for p in parts]) for f in
                               ("hidden_time", "hidden_lead", "hidden", "keep")))  # fmt: skip
    twice = None if lead_mask is None else torch.cat([lead_mask, lead_mask])
    expected = slow(both, leads, twice, *(torch.cat([p[i] for p in parts]) for i in (1, 2, 3)))
    assert errors.figures() == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert bool(expected) == (kind != "none")


def test_causes_share_hidden_patches_out():
    for kind in ("paper", "einthoven"):
        mask = mask_of(kind)
        lead_mask = torch.rand(4, 12, generator=torch.Generator().manual_seed(3)) < 0.5
        causes = hidden_by(mask, LEADS, lead_mask)
        hidden = (mask.hidden & lead_mask[..., None]).flatten(1)
        for names in (("time", "lead", "time_and_lead"), ("limb", "chest")):
            total = torch.stack([causes[name].int() for name in names]).sum(dim=0)
            assert torch.equal(total, hidden.int()), "counts exactly the hidden patches of recorded leads"


def test_an_absent_lead_is_never_counted():
    mask = mask_of("paper", 1)
    lead_mask = torch.zeros(1, 12, dtype=torch.bool)
    errors = ErrorByCause()
    values = torch.full((1, 12 * COLUMNS, PATCH), float("inf"))
    errors.add(values, values, hidden_by(mask, LEADS, lead_mask), torch.ones(1, 12 * COLUMNS))
    assert errors.figures() == {}


def test_predicting_nothing_has_a_relative_error_of_one():
    mask = mask_of("paper")
    target = torch.randn(4, 12 * COLUMNS, PATCH, generator=torch.Generator().manual_seed(0))
    errors = ErrorByCause()
    errors.add(torch.zeros_like(target), target, hidden_by(mask, LEADS), torch.full((4, 12 * COLUMNS), 0.5))
    figures = errors.figures()
    assert figures["relative_time"] == figures["relative_lead"] == pytest.approx(1)
    assert figures["correlation_time"] == 0
    assert figures["millivolts_time"] == pytest.approx(0.5 * figures["reconstruction_time"] ** 0.5)
