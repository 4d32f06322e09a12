"""Joint objective: gradients by part of the model, and information that each part must not access."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from ecgssl.config import FDAParams, ObjectiveParams, STDMParams
from ecgssl.model.core_ecg import CoReECG, circular_shift
from ecgssl.signal.leads import LEADS, LIMB_MATRIX


def core(small, objective="core", stdm="paper", fda="fda", shift=True, views="two_sided", **terms) -> CoReECG:
    torch.manual_seed(0)
    return CoReECG(
        small, FDAParams(kind=fda, knots=16, views=views), STDMParams(kind=stdm),
        ObjectiveParams(kind=objective, projector=8, **terms), LEADS, 500, 100.0, (0.5, 40.0), shift,
    )  # fmt: skip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def terms_of(model, x, lead_mask=None, patients=None, step=3, seed=0):
    return model(x, lead_mask, patients, step, 0.5, seeded(seed))


def gradients(module: torch.nn.Module) -> list[torch.Tensor | None]:
    return [p.grad for p in module.parameters()]


@pytest.mark.parametrize("objective", ["core", "contrastive", "reconstruction"])
@pytest.mark.parametrize("stdm", ["paper", "einthoven", "random", "none"])
@pytest.mark.parametrize("fda", ["fda", "jitter_scale", "none"])
def test_every_ablation_runs(small, recordings, objective, stdm, fda):
    model = core(small, objective, stdm, fda, contrastive_weight=0.3, budget_weight=2.0)
    if fda == "fda":
        torch.nn.init.constant_(model.fda.importance, 1.0)
    mask = torch.rand(4, 12, generator=seeded(1)) < 0.8
    x = torch.where(mask[..., None], recordings[:4], 0)
    for lead_mask in (None, mask):
        terms = terms_of(model, x, lead_mask, torch.tensor([0, 0, 1, 2]))
        total = terms["reconstruction"] + 0.3 * terms["contrastive"] + 2 * terms["budget"]
        assert terms["loss"].item() == pytest.approx(total.item(), rel=1e-6)
        terms["loss"].backward()
    assert all(g is None or bool(g.isfinite().all()) for g in gradients(model))
    assert (terms["contrastive"] > 0) == (objective != "reconstruction")
    assert (terms["reconstruction"] > 0) == (objective != "contrastive" and stdm != "none")
    assert (terms["budget"] > 0) == (fda == "fda")
    used = {name for name, child in model.named_children() if any(g is not None for g in gradients(child))}
    learns = {"encoder": objective != "reconstruction" or stdm != "none", "projector": objective != "reconstruction"}
    learns |= {"decoder": objective != "contrastive" and stdm != "none", "fda": fda == "fda"}
    moved = {n for n in used if any(g is not None and bool(g.any()) for g in gradients(model.get_submodule(n)))}
    assert moved == {name for name, does in learns.items() if does}


@pytest.mark.parametrize("scope", ["joint", "leadwise"])
@pytest.mark.parametrize("stdm", ["paper", "einthoven", "random"])
@torch.inference_mode()
def test_nothing_hidden_enters(small, recordings, stdm, scope):
    small = small.model_copy(update={"decoder": small.decoder.model_copy(update={"scope": scope})})
    model = core(small, stdm=stdm, fda="none", shift=False).eval()
    view = model.views(recordings, None, 4, 1.0, seeded(), (True,))[0]
    hidden = view.mask.hidden.repeat_interleave(50, dim=2)
    for other in (torch.zeros_like(recordings), 100 * torch.randn(8, 12, 500, generator=seeded(9))):
        again = model.views(torch.where(hidden, other, recordings), None, 4, 1.0, seeded(), (True,))[0]
        assert torch.equal(again.mask.hidden, view.mask.hidden)
        assert torch.equal(again.predicted, view.predicted)
        assert torch.equal(again.encoded.global_, view.encoded.global_)
    visible = model.views(torch.where(hidden, recordings, 0), None, 4, 1.0, seeded(), (True,))[0]
    assert not torch.equal(visible.predicted, view.predicted)


@torch.inference_mode()
def test_target_is_the_recording_before_augmentation(small, recordings):
    model = core(small, target="plain", stdm="paper").eval()
    view = model.views(recordings, None, 1, 0.5, seeded(), (True,))[0]
    assert not torch.equal(view.x, view.original)
    loss = model.reconstruction(view, None).item()
    rolled = view.original.view(8, 12, 10, 50)
    error = (view.predicted.view(8, 12, 10, 50) - rolled).square().mean(dim=-1)
    assert loss == pytest.approx(error[view.mask.hidden].mean().item(), rel=1e-5)
    mask = torch.ones(8, 12, dtype=torch.bool)
    mask[:, 5] = False
    scored = view.mask.hidden & mask[..., None]
    assert model.reconstruction(view, mask).item() == pytest.approx(error[scored].mean().item(), rel=1e-5)


def test_deterministic_under_a_generator(small, recordings):
    first, again, other = (terms_of(core(small), recordings, seed=seed)["loss"] for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_views_differ_in_shift_mask_and_augmentation(small, recordings):
    model = core(small)
    generator = seeded()
    one, two = (model.views(recordings, None, 0, 0.5, generator, (augment,))[0] for augment in (True, False))
    assert not torch.equal(one.mask.hidden, two.mask.hidden)
    assert not torch.equal(one.original, two.original)
    assert not torch.equal(one.x, one.original)
    assert torch.equal(two.x, two.original)


def test_one_sided_augments_one_view(small, recordings, monkeypatch):
    calls = []
    for views in ("one_sided", "two_sided"):
        model = core(small, views=views)
        monkeypatch.setattr(model.fda, "forward", lambda x, *rest: calls.append(1) or x)
        terms_of(model, recordings)
        calls.append(views)
    assert calls == [1, "one_sided", 1, 1, "two_sided"]


def test_shift_is_one_rotation_for_all_leads(recordings):
    x = recordings.double()
    out = circular_shift(x, seeded())
    offsets = set()
    for before, after in zip(x, out, strict=True):
        matches = [k for k in range(500) if torch.equal(before.roll(-k, dims=1), after)]
        assert len(matches) == 1
        offsets.update(matches)
    assert len(offsets) > 5, "each recording has a different shift"
    limb = out[:, :6]
    lawful = torch.from_numpy(LIMB_MATRIX) @ limb[:, :2]
    torch.testing.assert_close(limb, lawful, atol=1e-5, rtol=0)


def test_recordings_of_one_patient_are_no_negatives(small, recordings):
    model = core(small, "contrastive", fda="none")
    strangers = terms_of(model, recordings[:2])["contrastive"]
    kin = terms_of(model, recordings[:2], patients=torch.tensor([7, 7]))["contrastive"]
    assert strangers > 0.1
    assert kin.item() == pytest.approx(0, abs=1e-6)
    model = core(small, "contrastive", fda="none", same_patient="negative")
    assert terms_of(model, recordings[:2], patients=torch.tensor([7, 7]))["contrastive"] == strangers


@torch.inference_mode()
def test_decoder_without_the_global_representation(small, recordings):
    """Without this input of the decoder, the contrastive term affects reconstruction through the encoder only."""
    for switch in (True, False):
        decoder = small.decoder.model_copy(update={"global_representation": switch})
        model = core(small.model_copy(update={"decoder": decoder}), fda="none").eval()
        view = model.views(recordings, None, 1, 0.5, seeded(), (False,))[0]
        out = view.encoded
        other = model.decoder(type(out)(out.tokens, out.global_ + 1, out.valid), view.mask.keep)
        assert torch.equal(other, view.predicted) != switch


def test_a_step_that_hides_nothing_can_be_learnt_from(small, recordings):
    model = core(small, "reconstruction", fda="none")
    # 12 leads x 0.05 drops a lead in every second step only
    model.stdm = STDMParams(time_ratio=0.0, lead_ratio=0.05)
    for step in range(3):
        terms = terms_of(model, recordings, step=step)
        terms["loss"].backward()
    assert math.isfinite(terms["loss"].item())


def test_overfits_eight_recordings(small, recordings):
    model = core(small, shift=False, target="plain").train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for step in range(90):
        terms = terms_of(model, recordings, step=step, seed=step)
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        history.append([terms["reconstruction"].item(), terms["contrastive"].item()])
    start, end = (torch.tensor(part).mean(dim=0) for part in (history[:5], history[-10:]))
    assert bool((end < 0.85 * start).all()), f"from {start} to {end}"


def test_two_threads_give_the_same_gradients_every_time(small):
    # gradient accumulation by index is not deterministic on two threads, which shows for large tensors
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model, x = core(small), torch.randn(64, 12, 500, generator=seeded(5))
        runs = []
        for _ in range(4):
            model.zero_grad()
            terms_of(model, x)["loss"].backward()
            runs.append(torch.cat([g.flatten() for g in gradients(model) if g is not None]))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(runs[0], other) for other in runs[1:])


def test_reconstruction_can_do_with_one_view(small, recordings):
    """The loss equals that of the first of two views; the contrastive term needs both views."""
    model = core(small, "reconstruction")
    both = terms_of(model, recordings)
    view = model.views(recordings, None, 3, 0.5, seeded(), (True,))[0]
    model.objective = ObjectiveParams(kind="reconstruction", projector=8, views=1)
    one = terms_of(model, recordings)
    torch.testing.assert_close(one["reconstruction"], model.reconstruction(view, None))
    assert one["reconstruction"].item() != both["reconstruction"].item()
    with pytest.raises(ValidationError, match="compares two views"):
        ObjectiveParams(views=1)


@torch.inference_mode()
def test_complementary_views_share_the_shift_and_no_visible_patch(small, recordings):
    model = core(small, pairs="complementary")
    one, two = model.views(recordings, None, 2, 0.5, seeded(), (True, True))
    assert torch.equal(one.original, two.original)
    assert not (~one.mask.hidden & ~two.mask.hidden).any()
    assert float((one.x - two.x).abs().max()) > 0.01, "each view has its own draw of FDA"
    separate = core(small).views(recordings, None, 2, 0.5, seeded(), (True, True))
    assert float((separate[0].original - separate[1].original).abs().max()) > 0.1
    assert (~separate[0].mask.hidden & ~separate[1].mask.hidden).any()


@pytest.mark.parametrize(("decoded_from", "from_other"), [("own", False), ("other", True)])
def test_reconstruction_of_a_view_uses_the_global_representation_of(small, recordings, decoded_from, from_other):
    model = core(small, decoded_from=decoded_from)
    views = model.views(recordings, None, 2, 0.5, seeded(), (True, False))
    for view in views:
        view.encoded.global_.retain_grad()
    views[0].predicted.square().sum().backward()
    own, other = (view.encoded.global_.grad for view in views)
    assert (other is not None and bool(other.any())) == from_other
    # the own representation is an input only if it is decoded from
    assert (own is not None and bool(own.any())) != from_other
