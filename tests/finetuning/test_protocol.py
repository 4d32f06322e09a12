"""Comparison protocol: matrix of settings, draws of label fractions, and lead subsets."""

from __future__ import annotations

import numpy as np
import pytest
from small_cohort import small_encoder, small_params, small_store

from ecgssl.config import parse_params
from ecgssl.errors import InputError
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.leaderboard import Entry, entry, leaderboard, leaderboard_rows
from ecgssl.evaluation.predictions import check_predictions
from ecgssl.evaluation.protocol_plots import draw_fractions, draw_leads
from ecgssl.finetuning.draws import finetune_draws
from ecgssl.finetuning.fewer_leads import predict_with_leads
from ecgssl.finetuning.publish import publish_finetuning
from ecgssl.finetuning.settings import reference, settings
from ecgssl.signal.lead_sets import LEAD_SETS, shown_leads
from ecgssl.store.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return small_store(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, store):
    return small_encoder(tmp_path_factory.mktemp("encoder") / "e", store)


def run(store, encoder, work, share=1.0, leads="12lead", **changed):
    params = small_params(**changed).finetune
    shown = LEAD_SETS[leads]
    return finetune_draws(
        store, encoder, ["HIGH"], "linear", params, 3, work, share=share,
        leads=shown_leads(shown, store.spec.leads), show_progress=False,
    )  # fmt: skip


def test_settings_are_the_cells_of_the_matrix():
    finetune = {"modes": ["linear", "full"], "fractions": [1, 0.1], "lead_sets": ["12lead", "1lead"]}
    params = parse_params({"tasks": {"a": {"targets": ["x"]}, "b": {"targets": ["y"]}}, "finetune": finetune})
    keys = [s.key for s in settings(params)]
    assert len(set(keys)) == 16
    # numbers are written as in the parameter file, because DVC uses them in stage names
    assert keys[:4] == ["a-linear-1-12lead", "a-linear-1-1lead", "a-linear-0.1-12lead", "a-linear-0.1-1lead"]
    assert reference(params, "b", "full").key == "b-full-1-12lead"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fractions": [0.1, 1.0]}, "the first is the reference of the comparisons"),
        ({"fractions": [1.0, 1.0]}, "has duplicates"),
        ({"lead_sets": ["12lead", "12lead"]}, "has duplicates"),
        ({"fractions": [1.5]}, "less than or equal to 1"),
        ({"lead_sets": ["5lead"]}, "lead_sets"),
        ({"select": "test"}, "unknown key"),
    ],
)
def test_a_matrix_that_cannot_be(changed, message):
    with pytest.raises(InputError, match=message):
        parse_params({"tasks": {"a": {"targets": ["x"]}}, "finetune": changed})


def test_draws_differ_in_their_patients_alone(store, encoder, tmp_path):
    drawn = run(store, encoder, tmp_path, share=0.6, draws=3)
    tables = [drawn.result.predictions, *drawn.others]
    assert len(tables) == 3
    logits = [t[t["model"] == "linear"].set_index("record_id")["logit__HIGH"] for t in tables]
    assert all(t.index.equals(logits[0].index) for t in logits)
    assert not np.allclose(logits[0], logits[1])
    assert not np.allclose(logits[1], logits[2])
    again = run(store, encoder, tmp_path, share=0.6, draws=3)
    for first, second in zip(tables, [again.result.predictions, *again.others], strict=True):
        assert first.equals(second)
    assert run(store, encoder, tmp_path, draws=3).others == []


@pytest.mark.parametrize("leads", ["8lead", "3lead", "2lead", "1lead"])
def test_fewer_leads_are_what_a_recording_with_only_them_gives(store, encoder, tmp_path, leads):
    """Recordings written with only these leads give the same logits after preprocessing and scoring."""
    result = run(store, encoder, tmp_path / "work").result
    publish_finetuning(result, store, tmp_path / "model", "t", "linear")
    tables = []
    for given, sets in ((store, leads), (small_store(tmp_path / "few", leads=LEAD_SETS[leads]), "12lead")):
        table = predict_with_leads(tmp_path / "model", given, ["HIGH"], "linear", sets)
        tables.append(check_predictions(table, "x").set_index("record_id"))
    assert tables[0].index.equals(tables[1].index)
    np.testing.assert_allclose(tables[0]["logit__HIGH"], tables[1]["logit__HIGH"], atol=0.02)
    whole = predict_with_leads(tmp_path / "model", store, ["HIGH"], "linear", "12lead").set_index("record_id")
    np.testing.assert_allclose(
        whole["logit__HIGH"], result.predictions.query("model == 'linear'")["logit__HIGH"], atol=1e-4
    )
    assert (np.abs(whole["logit__HIGH"] - tables[0]["logit__HIGH"]).max() > 0.05) == (leads != "8lead")


def test_trained_on_the_subset_sees_nothing_else(store, encoder, tmp_path):
    few = small_store(tmp_path / "few", leads=("I", "II"))
    shown = run(store, encoder, tmp_path / "a", leads="2lead").result.predictions
    alone = run(few, encoder, tmp_path / "b").result.predictions
    # rounding of the two stores moves single beats of the clinical features, and with them their probe of 16 recordings
    for model, bound in (("random", 0.05), ("linear", 0.05), ("clinical", 0.3)):
        first, second = (table[table["model"].str.startswith(model)]["logit__HIGH"] for table in (shown, alone))
        assert len(first) > 0
        np.testing.assert_allclose(first, second, atol=bound)


def test_a_model_of_another_task_is_refused(store, encoder, tmp_path):
    result = run(store, encoder, tmp_path / "work").result
    publish_finetuning(result, store, tmp_path / "model", "t", "linear")
    with pytest.raises(InputError, match="predicts HIGH, but the task has VOLTS"):
        predict_with_leads(tmp_path / "model", store, ["VOLTS"], "linear", "1lead")


def test_the_leaderboard_tells_settings_apart(store, encoder, tmp_path):
    params = small_params()
    figures = evaluate(run(store, encoder, tmp_path).result.predictions, params.evaluate, 0, main="linear")
    whole = entry(figures, "t", "linear", 1.0, "12lead")
    assert whole.value == figures["models"]["linear"]["test"]["macro"]["auroc"]["value"]
    assert whole.metrics()["random_auroc"] == figures["models"]["random"]["test"]["macro"]["auroc"]["value"]
    few = Entry("t", "linear", 1.0, "12lead", "1lead", "auroc", 10, 0.7, 0.6, 0.8)
    least = Entry("t", "linear", 0.1, "12lead", "12lead", "auroc", 10, None, None, None, repetitions=3)
    rows = leaderboard_rows([least, few, whole])
    assert [(r["share"], r["tested_on"]) for r in rows] == [(1.0, "12lead"), (1.0, "1lead"), (0.1, "12lead")]
    table = leaderboard([least, few, whole]).splitlines()
    assert len(table) == 5
    assert len({line.count("|") for line in table}) == 1
    assert "12lead, tested on 1lead | 10 | macro AUROC | 0.700 (0.600 to 0.800) | - | - | - |" in table[3]
    assert "10 %, mean of 3" in table[4]
    assert "undefined (undefined to undefined)" in table[4]
    for figure, ticks in ((draw_fractions([whole, few, least]), 2), (draw_leads([whole, few, least]), 2)):
        assert len(figure.axes) == 1
        assert len(figure.axes[0].get_xticks()) == ticks
