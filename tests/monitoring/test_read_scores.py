"""Score files that are read some rows at a time, compared with tables that are read at once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from ecgssl.errors import InputError
from ecgssl.monitoring import read_scores
from ecgssl.monitoring.features import embeddings, features
from ecgssl.monitoring.read_scores import read_batch

LEADS = ("I", "II", "V1")


def scores(count: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rejected = rng.random(count) < 0.1
    logit = np.where(rejected, np.nan, rng.normal(size=count))
    return pd.DataFrame(
        {
            "record_id": [f"Doe_{row}" for row in range(count)],
            "status": np.where(rejected, "rejected", "ok"),
            "reasons": np.where(rejected, "flat;min_leads", ""),
            "flags": np.where(rng.random(count) < 0.2, "wander", ""),
            "sampling_rate": rng.choice([250.0, 500.0], count),
            "recorded_seconds": rng.choice([7.0, 10.0], count),
            "leads": rng.choice(["I II V1", "I II"], count),
            "heart_rate": np.where(rng.random(count) < 0.1, np.nan, rng.normal(70, 10, count)),
            "logit__A": logit,
            "call__A__youden": np.where(np.isnan(logit), np.nan, logit > 0),
            "emb_0000": logit,
            "emb_0001": logit**2,
            "model": "1.0+digest",
            "window_policy": "contract",
        }
    )


def write(table: pd.DataFrame, path):
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, double_precision=15)
    else:
        table.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("rows", [1, 7, 40, 1000])
def test_parts_give_the_features_of_the_whole_table(monkeypatch, tmp_path, suffix, rows):
    monkeypatch.setattr(read_scores, "_ROWS", rows)
    tables = [scores(40), scores(23, 1).assign(window_policy="mean").drop(columns="recorded_seconds")]
    paths = [write(table, tmp_path / f"{number}{suffix}") for number, table in enumerate(tables)]
    found = read_batch(paths, "digest", LEADS, 10.0)
    whole = pd.concat(tables, ignore_index=True)
    expected = features(whole, LEADS, 10.0)
    for kind in ("shares", "categories", "numbers"):
        own = getattr(expected, kind)
        assert getattr(found.features, kind).keys() == own.keys()
        for name, values in own.items():
            read = getattr(found.features, kind)[name]
            if kind == "numbers":
                # pandas rounds the numbers of a text file in the last place
                np.testing.assert_allclose(read, values, rtol=1e-13, atol=1e-13, err_msg=name)
            else:
                np.testing.assert_array_equal(read, values, err_msg=name)
    assert found.features.rejected == expected.rejected
    assert (found.features.recordings, found.features.tried) == (expected.recordings, expected.tried)
    np.testing.assert_allclose(found.embeddings, embeddings(whole), rtol=1e-13, atol=1e-13)
    assert found.policies == {"contract", "mean"}
    assert "recorded_seconds" in found.columns


def test_rows_of_invalid_cells_are_counted_over_all_parts(monkeypatch, tmp_path):
    monkeypatch.setattr(read_scores, "_ROWS", 10)
    table = scores(40).astype({"heart_rate": object})
    table.loc[[3, 14, 39], "heart_rate"] = "Doe"
    with pytest.raises(InputError) as caught:
        read_batch([write(table, tmp_path / "s.csv")], "digest", LEADS, 10.0)
    assert [problem.what for problem in caught.value.problems] == ["is not a number in rows 5, 16, 41"]
    table.loc[25, "model"] = "1.0+other"
    with pytest.raises(InputError, match="another bundle"):
        read_batch([write(table, tmp_path / "s.csv")], "digest", LEADS, 10.0)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_without_rows_is_a_batch_without_recordings(tmp_path, suffix):
    found = read_batch([write(scores(40).head(0), tmp_path / f"s{suffix}")], "digest", LEADS, 10.0)
    assert (found.features.recordings, found.features.tried, len(found.embeddings)) == (0, 0, 0)


def test_memory_is_that_of_the_features_and_not_of_the_table(monkeypatch, tmp_path):
    """Reading the table at once took 1.1 kB for each of its recordings."""
    monkeypatch.setattr(read_scores, "_ROWS", 500)
    path = write(scores(8000), tmp_path / "s.csv")
    # the first call imports modules
    read_batch([path], "digest", LEADS, 10.0)
    tracemalloc.start()
    read_batch([path], "digest", LEADS, 10.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8000 * 500
