"""Online probe during training: planted labels and collapses are detected, and training is not affected."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from heartbeats import heartbeats

from ecgssl.config import Params, parse_params
from ecgssl.errors import InputError
from ecgssl.pretraining.diagnostics.geometry import detect_collapse
from ecgssl.pretraining.diagnostics.online_probe import EpochMonitor
from ecgssl.pretraining.loop import build_model

COUNT = 120


class Recordings(SimpleNamespace):
    """Attributes of a store that pretraining reads."""

    def __len__(self) -> int:
        return len(self.index)


def make_params(targets=(), recordings=64, **sections) -> Params:
    return parse_params(
        {
            "seed": 5,
            "tasks": {"t": {"targets": ["slow"]}},
            "signal": {"duration": 5.0},
            "model": {
                "width": 32,
                "depth": 2,
                "heads": 2,
                "patch": 50,
                "decoder": {"width": 16, "depth": 1, "heads": 2},
            },
            "fda": {"knots": 8},
            "pretrain": {"probe": {"targets": list(targets), "recordings": recordings}},
            **sections,
        }
    )


@pytest.fixture(scope="module")
def store():
    """Write recordings in which the positive ones are stretched to half the speed; ``noise`` has random labels."""
    rng = np.random.default_rng(0)
    slow = np.arange(COUNT) % 3 == 0
    signals = np.stack(list(heartbeats(COUNT, rate=100.0)))[..., :500].astype(np.float32)
    signals[slow] = np.repeat(signals[slow][..., :250], 2, axis=-1)
    index = pd.DataFrame(
        {
            "split": np.where(np.arange(COUNT) % 2, "train", "val"),
            "slow": np.where(np.arange(COUNT) < 100, slow, np.nan),
            "noise": rng.integers(0, 2, COUNT).astype(float),
            "always": 1.0,
            "age": rng.uniform(20, 80, COUNT),
        }
    )
    lengths = np.where(np.arange(COUNT) % 5 == 4, 300, make_params().signal.samples)
    return Recordings(
        about={},
        path=Path("recordings"),
        parts=1,
        spec=make_params().signal,
        index=index,
        column=index.__getitem__,
        targets=("slow", "noise", "always", "age"),
        patients=np.arange(COUNT) // 2,
        rows=lambda split: np.flatnonzero(index["split"] == split),
        signals=lambda rows: signals[rows],
        lead_mask=lambda rows: np.ones((len(rows), 12), dtype=bool),
        recorded=lambda rows: lengths[rows],
    )


def test_a_label_that_shows_is_found_and_one_that_does_not_is_not(store):
    params = make_params(["slow", "noise"])
    figures = EpochMonitor(store, params)(build_model(params).eval(), 3)
    assert figures["probe_auroc_slow"] > 0.9
    assert 0.2 < figures["probe_auroc_noise"] < 0.8
    assert figures["probe_auroc"] == pytest.approx((figures["probe_auroc_slow"] + figures["probe_auroc_noise"]) / 2)


def test_only_as_many_recordings_as_asked_for_and_never_the_test_split(store):
    seen = []
    read = store.signals
    counted = Recordings(**{**vars(store), "signals": lambda rows: seen.extend(rows.tolist()) or read(rows)})
    params = make_params(["slow"], recordings=32, fda={"kind": "none"}, objective={"kind": "contrastive"})
    EpochMonitor(counted, params)(build_model(params).eval(), 3)
    labelled = set(np.flatnonzero(store.index["slow"].notna()))
    probed = seen[len(store.rows("val")) :]
    assert len(probed) == len(set(probed)) == 64
    assert set(probed) <= labelled


def test_looking_draws_no_random_numbers_and_repeats(store):
    params = make_params(["slow"])
    model = build_model(params).eval()
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    watch = EpochMonitor(store, params)
    assert watch(model, 3) == watch(model, 4)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_a_planted_collapse_is_seen(store):
    params = make_params()
    model, watch, limits = build_model(params).eval(), EpochMonitor(store, params), params.pretrain.collapse
    with torch.no_grad():
        model.projector[-1].weight.zero_()
        model.projector[-1].bias.fill_(1)
        figures = watch(model, 3)
        assert figures["uniformity"] == pytest.approx(0, abs=1e-6)
        assert detect_collapse(figures, limits).startswith("complete collapse")
        model.encoder.norm.weight.zero_()
        model.encoder.norm.bias.fill_(1)
        figures = watch(model, 3)
    assert figures["effective_rank"] == 0
    assert "dimensional collapse: effective rank 0" in detect_collapse(figures, limits)


def test_the_augmentation_is_looked_at_where_it_learns(store):
    params = make_params()
    found = EpochMonitor(store, params)(build_model(params).eval(), 3)
    assert 0 < found["fda_correlation"] < 1
    assert found["fda_kept_5_15hz"] == pytest.approx(0.5, abs=0.01), "the map starts at one half"


def test_without_a_contrastive_term_the_projector_is_not_judged(store):
    params = make_params(objective={"kind": "reconstruction"})
    found = EpochMonitor(store, params)(build_model(params).eval(), 3)
    assert "effective_rank" in found
    assert not {"alignment", "uniformity"} & found.keys()


def test_reconstruction_is_looked_at_by_cause(store):
    params = make_params()
    found = EpochMonitor(store, params)(build_model(params).eval(), 3)
    for cause in ("time", "lead", "time_and_lead", "limb", "chest", "lead_limb", "lead_chest"):
        assert found[f"relative_{cause}"] == pytest.approx(1, abs=0.05), "an untrained decoder predicts the mean"
        assert abs(found[f"correlation_{cause}"]) < 0.5
    contrastive = make_params(objective={"kind": "contrastive"})
    assert not any("relative" in name for name in EpochMonitor(store, contrastive)(build_model(contrastive).eval(), 3))


def test_every_unusable_target_is_named(store):
    with pytest.raises(InputError) as caught:
        EpochMonitor(store, make_params(["slow", "lvef", "unknown"]))
    assert [p.what.split(" is not a target")[0] for p in caught.value.problems] == ["'lvef'", "'unknown'"]
    with pytest.raises(InputError) as caught:
        EpochMonitor(store, make_params(["slow", "always", "age"]))
    assert [p.what.split("'")[1] for p in caught.value.problems] == ["always", "always", "age", "age"]


def empty_columns(index: pd.DataFrame) -> pd.DataFrame:
    return index.assign(slow=np.nan, fast=np.nan)


def labels_in_test_only(index: pd.DataFrame) -> pd.DataFrame:
    known = pd.DataFrame({"split": ["test", "test"], "slow": [0.0, 1.0], "fast": [1.0, 0.0]})
    return pd.concat([empty_columns(index), known], ignore_index=True)


@pytest.mark.parametrize(
    ("targets", "change"),
    [
        ((), lambda index: index),
        (("slow", "fast"), empty_columns),
        (("other",), lambda index: index.assign(other=np.nan)),
        (("slow", "fast"), labels_in_test_only),
    ],
    ids=["no columns", "empty columns", "an empty column of another name", "labels in test only"],
)
def test_without_labels_the_probe_is_off_with_one_warning(store, caplog, targets, change):
    params = make_params(["slow", "fast"])
    index = change(store.index)
    own = Recordings(**{**vars(store), "targets": targets, "index": index, "column": index.__getitem__})
    own.rows = lambda split: np.flatnonzero(index["split"] == split)
    figures = EpochMonitor(own, params)(build_model(params).eval(), 3)
    assert not any("probe" in name for name in figures)
    assert [record.getMessage().count("the online probe is off") for record in caplog.records] == [1]
    best = params.pretrain.model_copy(update={"select": "best"})
    with pytest.raises(InputError, match=r"pretrain\.probe\.targets"):
        EpochMonitor(own, params.model_copy(update={"pretrain": best}))


def test_without_labels_the_other_figures_are_the_same(store, monkeypatch):
    monkeypatch.setattr(store, "targets", ())
    params = make_params(["slow", "fast"])
    figures = EpochMonitor(store, params)(build_model(params).eval(), 3)
    assert figures == EpochMonitor(store, make_params())(build_model(params).eval(), 3)


def test_one_known_label_keeps_the_probe_on(store):
    index = store.index.assign(slow=np.nan)
    index.loc[0, "slow"] = 1.0
    own = Recordings(**{**vars(store), "targets": ("slow",), "index": index, "column": index.__getitem__})
    with pytest.raises(InputError, match="needs values 0 and 1 only"):
        EpochMonitor(own, make_params(["slow"]))
