"""Pretraining on several sets: metrics per set, exact resume after SIGKILL, and a start from given weights."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from bare_store import SPEC, bare_store

from ecgssl.config import Params
from ecgssl.errors import InputError
from ecgssl.leakage.identities import Identities
from ecgssl.leakage.overlap import between
from ecgssl.leakage.select_recordings import select_recordings
from ecgssl.leakage.selection import Selection
from ecgssl.pretraining.diagnostics.online_probe import EpochMonitor
from ecgssl.pretraining.loop import build_model, pretrain
from ecgssl.stages.pretrain import pretrain_encoder
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store

WEIGHTS = {"a": 0.5, "b": 0.3, "c": 0.2}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Return three stores with 6, 5 and 4 training recordings; b has a copy of a recording of a."""
    folder = tmp_path_factory.mktemp("three")
    return {
        "a": bare_store(folder / "a", range(8), ["train"] * 6 + ["val", "test"], labels={"AF": [0, 1] * 4}),
        "b": bare_store(folder / "b", [10, 11, 12, 13, 0, 14], ["train"] * 5 + ["val"], numbering="other", shard=2),
        "c": bare_store(folder / "c", range(20, 24), "train", labels={"AF": [1, 0, 1, 0]}, licence="CC BY 4.0"),
    }


def small(make_params, **pretraining) -> Params:
    return make_params(
        signal=SPEC.model_dump(mode="json"),
        tracking={"backend": "none"},
        sets={name: {} for name in WEIGHTS},
        tasks={"t": {"set": "a", "targets": ["AF"]}},
        pretrain={"sets": list(WEIGHTS), "samples": 32, "checkpoint_every": 8, "sampling": WEIGHTS, **pretraining},
    )


def killed_at_step(step: int, corpus: Corpus, params: Params, folder: Path) -> int:
    """Pretrain in a copy of this process that kills itself at a step, and return its exit status."""

    def on_log(row: dict[str, float]) -> None:
        if row["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            pretrain(corpus, params, folder, show_progress=False, log_every=1, on_log=on_log)
        os._exit(1)
    return os.waitpid(child, 0)[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_killed_run_on_three_stores_resumes_to_the_same_losses(stores, make_params, tmp_path):
    """The resumed run reads stores and selection again."""
    selection = select_recordings(stores, list(stores), {})
    assert selection.sets["b"].left_out["duplicate of a"].tolist() == [4]
    selection.write(tmp_path / "s.json")
    params = small(make_params)

    def corpus() -> Corpus:
        again = {name: Store(store.path) for name, store in stores.items()}
        return Corpus(again, Selection.read(tmp_path / "s.json").left_out)

    before = torch.get_num_threads()
    # the pool of threads of the parent does not exist in a forked process
    torch.set_num_threads(1)
    try:
        # the first run imports what all runs need
        whole = pretrain(corpus(), params, tmp_path / "whole", show_progress=False, log_every=1)
        status = killed_at_step(5, corpus(), params, tmp_path / "killed")
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert [p.name for p in sorted((tmp_path / "killed").glob("step-*"))][-1] == "step-000000004.pt"
        resumed = pretrain(corpus(), params, tmp_path / "killed", show_progress=False, log_every=1)
    finally:
        torch.set_num_threads(before)
    assert len(whole.history) == 8
    assert resumed.history == whole.history
    assert all(torch.equal(v, resumed.model.state_dict()[name]) for name, v in whole.model.state_dict().items())


@pytest.fixture(scope="module")
def published(stores, make_params, tmp_path_factory):
    """Return parameters, result and output folder of a run of the stage on three stores."""
    folder = tmp_path_factory.mktemp("stage")
    params = small(make_params, samples=8, probe={"every_epochs": 1})
    selection = select_recordings(stores, list(stores), {})
    given = {"state": folder, "model": folder / "encoder", "metrics": folder / "m.json", "plots": folder / "plots"}
    return params, pretrain_encoder(params, stores, selection=selection, **given), folder


def test_metrics_are_also_given_per_set(published):
    _, result, folder = published
    written = json.loads((folder / "m.json").read_text())
    # c has no validation recordings
    assert {name.split("/")[0] for name in written if "/" in name} == {"a", "b"}
    for name in ("loss", "reconstruction", "contrastive", "relative_limb", "effective_rank"):
        assert {name, f"a/{name}"} <= written.keys() or name == "effective_rank"
    # a and b have one validation recording each
    assert written["reconstruction"] == pytest.approx((written["a/reconstruction"] + written["b/reconstruction"]) / 2)
    assert "a/effective_rank" in result.result.epochs[-1]


def test_the_encoder_describes_all_its_recordings(published, stores):
    _, _, folder = published
    data = json.loads((folder / "encoder/config.json").read_text())["data"]
    assert (data["set"], data["train"], data["sets"]["b"]["train"]) == ("a, b, c", 6 + 4 + 4, 4)
    known = Identities.read(folder / "encoder")
    assert (len(known), known.licence) == (14, "")
    assert known.numberings == {"of-a", "other", "of-c"}
    for name, patients in (("a", 6), ("b", 4), ("c", 4)):
        found = between(known, Identities.of_store(stores[name], np.arange(len(stores[name]))))
        assert len(found.patient) == patients
    again = bare_store(folder / "again", [99, 98], patients=[0, 1], numbering="unknown")
    assert between(known, Identities.of_store(again, np.arange(2))).patient is None


def test_pretraining_can_start_from_an_encoder(published, stores, make_params, tmp_path, caplog):
    """The first loss is that of the given weights, and recordings of both corpora are known afterwards."""
    _, _, folder = published
    more = small(make_params, samples=4, init=folder / "encoder", sampling="proportional")
    own = {"c": bare_store(tmp_path / "own", [*range(30, 36)], ["train"] * 5 + ["val"])}
    given = {"state": tmp_path, "model": tmp_path / "new", "metrics": tmp_path / "m.json", "plots": tmp_path / "plots"}
    result = pretrain_encoder(more, own, selection=None, **given)
    assert result.result.init["new_parts"] == []
    config = json.loads((tmp_path / "new/config.json").read_text())
    assert config["pretraining"]["init"]["data"]["set"] == "a, b, c"
    assert config["pretraining"]["init"]["recordings_known"] is True
    known = Identities.read(tmp_path / "new")
    assert len(known) == 5 + 14
    assert known.numberings == {"of-own", "of-a", "other", "of-c"}
    # without the pretraining weights, decoder and projector are new, which is logged
    (folder / "encoder/pretraining.safetensors").rename(tmp_path / "away")
    bare = pretrain(Corpus(own), more, tmp_path / "run", show_progress=False, log_every=1)
    assert bare.init["new_parts"] == ["decoder", "fda", "projector"]
    assert "new weights of decoder, fda, projector" in caplog.text
    assert bare.history[0]["loss"] != result.result.history[0]["loss"]
    (tmp_path / "away").rename(folder / "encoder/pretraining.safetensors")


def test_another_start_is_another_run(published, make_params, stores):
    from ecgssl.pretraining.run_identity import run_config

    _, _, folder = published
    plain, started = (small(make_params, init=init) for init in (None, folder / "encoder"))
    one, other = (run_config(params, Corpus(stores)) for params in (plain, started))
    assert [key for key in one if one[key] != other[key]] == ["init"]
    less = run_config(plain, Corpus(stores, {"a": np.array([0])}))
    assert [key for key in one if one[key] != less[key]] == ["left_out"]


def test_an_encoder_of_other_size_or_settings_is_refused(published, stores, make_params, tmp_path):
    _, _, folder = published
    model = {"width": 48, "depth": 2, "heads": 2, "patch": 100, "decoder": {"width": 16, "depth": 1, "heads": 2}}
    params = small(make_params, init=folder / "encoder").model_dump(mode="json") | {"model": model}
    params["signal"]["clean"]["mains"] = 50
    from ecgssl.config import parse_params
    from ecgssl.pretraining.initial_weights import InitialWeights

    with pytest.raises(InputError) as caught:
        InitialWeights.of(parse_params(params))
    assert {p.field for p in caught.value.problems} == {"signal contract: clean.mains", "model.width", "model.patch"}
    with pytest.raises(InputError, match=r"pretrain\.init: has no model\.safetensors"):
        pretrain(Corpus(stores), small(make_params, init=tmp_path), tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()


def test_a_single_store_has_the_losses_of_a_corpus_with_it(store, make_params, tmp_path):
    """Also in a corpus whose other set is left out completely."""
    params = make_params(pretrain={"samples": 16, "batch_size": 4})
    other = bare_store(tmp_path / "other", range(3), spec=store.spec)
    alone = pretrain(store, params, tmp_path / "one", show_progress=False, log_every=1)
    corpus = Corpus({"set": store, "other": other}, {"other": np.arange(3)})
    both = pretrain(corpus, params, tmp_path / "two", show_progress=False, log_every=1)
    assert alone.history == both.history
    assert all(torch.equal(v, both.model.state_dict()[name]) for name, v in alone.model.state_dict().items())


def test_the_online_probe_uses_the_sets_with_the_targets(tmp_path, make_params):
    labels = {"AF": [0.0, 1.0] * 4}
    splits = ["train"] * 4 + ["val"] * 4
    stores: dict[str, Store] = {
        "with": bare_store(tmp_path / "with", range(8), splits, labels=labels),
        "without": bare_store(tmp_path / "without", range(50, 58), splits),
    }
    params = small(make_params, probe={"targets": ["AF"], "every_epochs": 1}, sampling="balanced")
    monitor = EpochMonitor(Corpus(stores), params)
    assert (sorted(monitor._train), sorted(monitor._val)) == ([0, 1, 2, 3], [4, 5, 6, 7])
    figures = monitor(build_model(params).eval(), 1)
    assert {"probe_auroc", "with/effective_rank", "without/relative_limb"} <= figures.keys()
    with pytest.raises(InputError, match="'MI' is not a target"):
        EpochMonitor(Corpus(stores), small(make_params, probe={"targets": ["MI"]}))
