"""Drift monitoring: simulated changes, false alarms, small counts, agreement with scipy."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from deploy_models import SPEC, classifier
from scipy import linalg, stats

from ecgssl.config import ExportParams, ModelParams, QualityParams
from ecgssl.errors import InputError
from ecgssl.export.checksums import verify_sums, write_sums
from ecgssl.files import write_json
from ecgssl.model.encoder import Encoder
from ecgssl.monitoring import drift_tests as monitor_tests
from ecgssl.monitoring.cells import (
    category_counts,
    category_histogram,
    merged,
    nearest,
    number_counts,
    number_histogram,
    protected_count,
)
from ecgssl.monitoring.compare import compare
from ecgssl.monitoring.embedding import embedding_reference, frechet
from ecgssl.monitoring.features import features
from ecgssl.monitoring.monitor import FEWEST, monitor
from ecgssl.monitoring.page import render_drift
from ecgssl.monitoring.reference import STATISTICS, reference_statistics
from ecgssl.training.checkpoint import save_model

LEADS = SPEC.leads
WIDTH = 24


def batch(seed: int, n: int = 150, *, noise=0.1, rate=500.0, without="", sick=0.2, heart=75.0, far=0.0, lost=0.03):
    """Return a score file and embeddings of n recordings; the arguments are properties that differ between sites."""
    g = np.random.default_rng(seed)
    ill = g.random(n) < sick
    rejected = g.random(n) < lost
    leads = [" ".join(one for one in LEADS if one != (without if g.random() < 0.4 else "")) for _ in range(n)]
    logit = g.normal(-2, 1, n) + 3 * ill
    status = np.where(rejected, "rejected", "ok")
    table = pd.DataFrame(
        {
            "status": status,
            "reasons": np.where(rejected, "flat;min_leads", ""),
            "flags": [";".join(np.array(["hf_noise", "wander"])[g.random(2) < (noise, 0.15)]) for _ in range(n)],
            "sampling_rate": np.where(g.random(n) < 0.7, rate, 1000.0),
            "leads": leads,
            "heart_rate": np.where(g.random(n) < 0.05, np.nan, g.normal(heart, 15, n)),
            "logit__MI": logit,
            "prob__MI": 1 / (1 + np.exp(-logit)),
            "call__MI__youden": pd.array((logit > 0).astype(int), dtype="Int64"),
        }
    )
    scales = np.linspace(3, 0.1, WIDTH)
    vectors = g.standard_t(5, (n, WIDTH)) * scales + far * scales + ill[:, None] * np.linspace(0, 1, WIDTH)
    return table, vectors[~rejected]


def made(table: pd.DataFrame, vectors: np.ndarray) -> dict:
    found = features(table, LEADS)
    return json.loads(json.dumps(reference_statistics(found, vectors, (found.tried, found.rejected))))


@pytest.fixture(scope="module")
def reference():
    return made(*batch(10_000, 400))


def against(reference: dict, table: pd.DataFrame, vectors: np.ndarray) -> dict:
    return compare(reference, features(table, LEADS), vectors)


def loud(summary: dict, level: str = "drift") -> set[str]:
    return {e["name"] for shape in ("shares", "categories", "numbers") for e in summary[shape] if e["level"] == level}


@pytest.mark.parametrize(
    ("shift", "names"),
    [
        ({"without": "V4"}, {"lead V4 missing", "leads"}),
        ({"noise": 0.6}, {"finding hf_noise"}),
        ({"rate": 250.0}, {"sampling rate"}),
        ({"sick": 0.7}, {"logit of MI", "MI called at youden"}),
        ({"heart": 100.0}, {"heart rate"}),
        ({"lost": 0.4}, {"rejected", "rejected for flat", "rejected for min_leads"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_planted_change_is_found_and_named(reference, shift, names):
    for seed in range(5):
        summary = against(reference, *batch(seed, **shift))
        assert summary["verdict"] == "drift"
        assert names <= loud(summary)
        assert loud(summary) - names <= {"embedding distance", "embedding residual"}


def test_embeddings_elsewhere_are_found(reference):
    for seed in range(5):
        summary = against(reference, *batch(seed, far=0.8))
        assert summary["embedding"]["level"] == "drift"
        assert loud(summary) <= {"embedding distance", "embedding residual"}


def test_false_alarms_are_rare(reference):
    """Of 60 batches like the reference, at most one has the verdict drift and at most 5 % the verdict watch."""
    verdicts = [against(reference, *batch(seed, 60 + 4 * seed))["verdict"] for seed in range(60)]
    assert verdicts.count("drift") <= 1
    assert verdicts.count("watch") <= 3


def test_false_alarms_with_a_small_reference():
    """A new reference is drawn each time, so the test includes its sampling error."""
    verdicts = [against(made(*batch(500 + seed, 80)), *batch(seed, 80))["verdict"] for seed in range(20)]
    assert verdicts.count("drift") <= 1
    assert verdicts.count("watch") <= 2


def test_tests_are_those_of_scipy():
    g = np.random.default_rng(0)
    a, b = np.rint(g.normal(0, 3, 300)), np.rint(g.normal(1, 3, 90))
    edges = list(np.arange(-9.5, 10))
    p, d = monitor_tests.kolmogorov_smirnov(number_counts(a, edges), number_counts(b, edges))
    expected = stats.ks_2samp(a, b, method="asymp")
    assert (p, d) == pytest.approx((expected.pvalue, expected.statistic))
    counts = [[50, 30, 20], [10, 30, 40]]
    p, v = monitor_tests.category_test(*counts)
    assert p == pytest.approx(stats.chi2_contingency(counts).pvalue)
    equal = np.array([np.array(row) / sum(row) for row in counts])
    assert v == pytest.approx(stats.contingency.association(np.rint(1000 * equal).astype(int)), abs=1e-3)
    assert monitor_tests.share_test((3, 50), (20, 60))[0] == pytest.approx(
        stats.fisher_exact([[3, 47], [20, 40]]).pvalue
    )
    assert monitor_tests.category_test([171, 0], [90, 10])[0] == pytest.approx(
        stats.fisher_exact([[171, 0], [90, 10]]).pvalue
    )
    assert monitor_tests.category_test([100, 0], [60, 0]) == (1.0, 0.0)
    # categories that are too rare for a test are merged rather than dropped
    assert monitor_tests.category_test([400, 2, 1, 1], [80, 6, 5, 6])[0] < 1e-6
    # Holm's example: sorted p times the number of remaining hypotheses
    assert monitor_tests.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    index, expected = monitor_tests.stability_index([500, 500], [250, 750])
    assert index == pytest.approx(0.25 * np.log(3), abs=1e-2)
    assert expected == pytest.approx(2 / 1000)


def test_frechet_distance_is_that_of_a_matrix_root():
    g = np.random.default_rng(1)
    a, b = (g.normal(size=(50, 4)) @ g.normal(size=(4, 4)) for _ in range(2))
    (ma, ca), (mb, cb) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (a, b))
    expected = (((ma - mb) ** 2).sum() + np.trace(ca + cb - 2 * linalg.sqrtm(ca @ cb).real)) / np.trace(ca)
    assert frechet(ma, ca, mb, cb) == pytest.approx(expected)
    assert frechet(ma, ca, ma, ca) == pytest.approx(0, abs=1e-9)
    assert embedding_reference(a) is None


def test_nothing_of_one_to_nine_is_told(reference):
    assert [protected_count(k, 100) for k in (0, 1, 9, 10, 90, 91, 100)] == [0, (1, 9), (1, 9), 10, 90, (91, 99), 100]
    assert nearest((1, 9), 100, 0.5) == 9
    assert nearest((1, 9), 100, 0.0) == 1
    reported = category_histogram(np.repeat(["a", "b", "c", "d"], [40, 12, 6, 2]))
    assert reported == {"a": 40, "other": 20}, "b is merged with the 8 rare ones; otherwise n would reveal them"
    assert category_counts(np.array(["a", "b", "z"]), reported) == [1, 2]
    skewed = np.concatenate([np.zeros(80), np.arange(1.0, 41)])
    counts = number_histogram(skewed)["counts"]
    assert sum(counts) == 120
    assert min(counts) >= 10
    assert merged([1.0, 2.0, 3.0, 4.0], [20] * 5, [0, 4, 8, 0, 3]) == ([1.0], [20, 80], [0, 15])
    assert merged([1.0, 2.0], [20] * 3, [12, 0, 10]) == ([1.0, 2.0], [20] * 3, [12, 0, 10])
    assert merged([1.0], [20, 20], [2, 3]) == ([], [40], [5])
    assert number_histogram(np.array([1.0] * 15 + [np.nan] * 5)) == {"known": (11, 19)}

    def small(value):
        if isinstance(value, dict):
            return [
                n
                for key, v in value.items()
                if key not in ("version", "center", "chance", "mean", "sd")
                for n in small(v)
            ]
        if isinstance(value, list):
            return [] if len(value) == 2 and value[0] == 1 else [n for v in value for n in small(v)]
        return [value] if isinstance(value, int) and 0 < value < 10 else []

    assert small(reference) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory, reference):
    """Stand-in for a bundle with the attributes that monitor uses."""
    path = tmp_path_factory.mktemp("monitor") / "bundle"
    params = {"quality": QualityParams().model_dump(mode="json"), "export": ExportParams().model_dump(mode="json")}
    encoder = Encoder(ModelParams(width=WIDTH // 3, depth=1, heads=2), LEADS, SPEC.samples)
    save_model(path, encoder, SPEC, params | {"lsb": 0.001})
    write_json(path / STATISTICS, reference, digits=None)
    write_sums(path)
    return path


def written(folder: Path, path: Path, table: pd.DataFrame) -> Path:
    digest = verify_sums(folder)[:16]
    named = table.assign(record_id=[f"Doe_{i}" for i in range(len(table))], detail="of Doe", window_policy="contract")
    named["model"] = f"1.0+{digest}"
    if path.suffix == ".csv":
        named.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        named.to_json(path, orient="records", lines=True)
    else:
        named.to_parquet(path)
    return path


def test_the_three_formats_say_the_same_and_name_nobody(folder, tmp_path):
    table, vectors = batch(3, noise=0.6)
    columns = {
        f"emb_{i:04d}": pd.Series(vectors[:, i], index=table.index[table["status"] == "ok"]) for i in range(WIDTH)
    }
    embedded = written(folder, tmp_path / "e.parquet", table.filter(regex="^(?!logit|prob|call)").assign(**columns))
    reported = []
    for suffix in (".csv", ".jsonl", ".parquet"):
        scores = written(folder, tmp_path / f"s{suffix}", table)
        monitor(folder, [scores], tmp_path / "drift.html", [embedded])
        reported.append(json.loads((tmp_path / "drift.json").read_text()))
    assert reported[0] == reported[1] == reported[2]
    page = (tmp_path / "drift.html").read_text()
    assert reported[0]["verdict"] == "drift"
    assert "finding hf_noise" in page
    assert "Frechet" in page
    assert "<script" not in page
    for text in (page, json.dumps(reported[0])):
        assert "Doe" not in text


def test_hostile_names_are_escaped_on_the_page(reference):
    """Names of targets come from a user's table and can contain markup."""
    hostile = "<script>alert(1)</script>"
    table, vectors = batch(3, noise=0.6)
    renamed = table.rename(columns={name: name.replace("MI", hostile) for name in table})
    summary = against(made(*[renamed, vectors]), renamed.assign(**{f"logit__{hostile}": 9.0}), vectors)
    summary |= {"ecgssl": "0", "bundle": "0" * 16, "smallest_batch": FEWEST, "notes": [hostile]}
    page = render_drift(summary)
    assert "<script" not in page
    assert f"logit of {escape(hostile)}" in page


def test_what_cannot_be_compared_is_refused(folder, tmp_path):
    few = written(folder, tmp_path / "few.csv", batch(0, FEWEST - 1, lost=0)[0])
    with pytest.raises(InputError, match=f"a batch needs {FEWEST}"):
        monitor(folder, [few], tmp_path / "d.html")
    other = written(folder, tmp_path / "other.csv", batch(0)[0])
    other.write_text(other.read_text().replace(verify_sums(folder)[:16], "0" * 16))
    with pytest.raises(InputError) as caught:
        monitor(folder, [other, tmp_path / "none.csv", tmp_path / "x.txt"], tmp_path / "d.html")
    message = str(caught.value)
    assert all(text in message for text in ("another bundle", "does not exist", "suffix"))
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="columns"):
        monitor(folder, [tmp_path / "odd.csv"], tmp_path / "d.html")
    bare = tmp_path / "bare"
    save_model(bare, classifier(), SPEC)
    write_sums(bare)
    with pytest.raises(InputError, match="cannot be compared"):
        monitor(bare, [other], tmp_path / "d.html")
    assert not (tmp_path / "d.html").exists()


def test_scores_that_vanished_are_drift_and_named(reference):
    table, vectors = batch(3)
    lost = table.assign(
        logit__MI=np.nan, prob__MI=np.nan, call__MI__youden=pd.array([None] * len(table), dtype="Int64")
    )
    summary = against(reference, lost, vectors)
    assert summary["verdict"] == "drift"
    assert "logit of MI missing" in loud(summary)
    (entry,) = [one for one in summary["shares"] if one["name"] == "logit of MI missing"]
    assert entry["batch"]["count"] == entry["batch"]["of"] == (table["status"] == "ok").sum()
    assert {"name": "logit of MI", "why": "fewer than 20 recordings have a known value"} in summary["not_compared"]
    assert not [one for one in summary["shares"] if one["name"] == "MI called at youden"]


def test_a_third_of_the_heart_rates_without_value_is_drift(reference):
    table, vectors = batch(3)
    table.loc[table.index % 3 == 0, "heart_rate"] = np.nan
    assert loud(against(reference, table, vectors)) == {"heart rate missing"}


def test_missing_embeddings_are_drift_and_leave_the_distance_of_the_others(reference):
    table, vectors = batch(3)
    whole = against(reference, table, vectors[40:])
    vectors[:40] = np.nan
    summary = against(reference, table, vectors)
    assert loud(summary) == {"embedding missing"}
    assert summary["embedding"]["distance"] == whole["embedding"]["distance"]
    vectors[:] = np.nan
    summary = against(reference, table, vectors)
    assert (summary["verdict"], summary["embedding"]) == ("drift", None)
    assert {"name": "embedding", "why": "fewer than 50 recordings have an embedding"} in summary["not_compared"]


def test_complete_values_add_no_comparison(reference):
    names = {one["name"] for one in against(reference, *batch(3))["shares"]}
    assert "logit of MI missing" not in names
    assert "heart rate missing" in names


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_words_in_number_columns_are_refused_with_their_rows(folder, tmp_path, suffix):
    table = batch(3)[0].astype({"heart_rate": object, "logit__MI": object, "status": object})
    table.loc[[4, 7], "heart_rate"] = "Doe 72"
    table.loc[9, "logit__MI"] = "-"
    table.loc[11, "status"] = "done"
    if suffix == ".parquet":
        # a column of a Parquet file has one type
        table = table.astype({"heart_rate": str, "logit__MI": str})
    path = written(folder, tmp_path / f"s{suffix}", table)
    with pytest.raises(InputError) as caught:
        monitor(folder, [path], tmp_path / "d.html")
    first = 2 if suffix == ".csv" else 1
    found = [(problem.field, problem.what) for problem in caught.value.problems]
    assert sorted(found) == [
        ("heart_rate", f"is not a number in rows {4 + first}, {7 + first}"),
        ("logit__MI", f"is not a number in row {9 + first}"),
        ("status", f"is neither ok nor rejected in row {11 + first}"),
    ]
    assert "Doe" not in str(caught.value)
    assert not (tmp_path / "d.html").exists()


def test_a_score_column_that_was_removed_is_an_error(folder, tmp_path):
    path = written(folder, tmp_path / "s.csv", batch(3)[0].drop(columns="logit__MI"))
    with pytest.raises(InputError, match="do not include logit__MI"):
        monitor(folder, [path], tmp_path / "d.html")


def test_histograms_have_the_bins_and_shares_of_the_comparison(reference):
    summary = against(reference, *batch(3, heart=100.0))
    page = render_drift(summary | {"ecgssl": "0", "bundle": "0" * 16, "smallest_batch": FEWEST, "notes": []})
    charts = re.findall(r"<h3>([^<]*)</h3>(<svg.*?</svg>)", page)
    by_name = {one["name"]: one for one in summary["numbers"]}
    assert {name for name, _ in charts} == set(by_name)
    for name, svg in charts:
        one = by_name[name]
        for side, kind in (("reference", "s2"), ("batch", "outline")):
            shown = re.findall(rf'class="{kind}" [^>]*><title>[^<]*: ([\d.]+) % {side}', svg)
            counts = one[side]["counts"]
            assert [float(share) for share in shown] == [round(100 * n / sum(counts), 1) for n in counts]
