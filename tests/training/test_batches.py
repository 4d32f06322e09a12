"""Batches: the order is a function of seed and step, and the content of a batch."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from short_store import shortened

from ecgssl.signal.leads import LEADS
from ecgssl.store.store import Store
from ecgssl.training.batches import BatchPrefetcher, load_batch, rows_at

CPU = torch.device("cpu")


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 30), batch=st.integers(1, 70), seed=st.integers(0, 2**40), start=st.integers(0, 50))
def test_every_recording_is_seen_equally_often(count, batch, seed, start):
    rows = np.arange(100, 100 + count)
    # the first steps that make whole epochs
    steps = [rows_at(rows, batch, seed, step) for step in range(count)]
    seen = np.concatenate(steps)
    assert len(seen) == count * batch
    np.testing.assert_array_equal(np.unique(seen, return_counts=True)[1], np.full(count, batch))
    epochs = seen.reshape(-1, count)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.broadcast_to(rows, epochs.shape))
    np.testing.assert_array_equal(rows_at(rows, batch, seed, start), rows_at(rows, batch, seed, start))


def test_order_changes_with_seed_and_epoch():
    rows = np.arange(50)
    first, second = (rows_at(rows, 50, 0, step) for step in (0, 1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, rows_at(rows, 50, 1, 0))
    assert not np.array_equal(first, rows)


def test_a_batch_is_normalised_and_knows_its_patients(store):
    rows = np.array([3, 0, 1])
    batch = load_batch(store, rows, CPU)
    assert batch.lead_mask is None
    signal = store.signals(rows)
    np.testing.assert_allclose(batch.x, signal / 0.2, rtol=1e-6)
    np.testing.assert_array_equal(batch.rows, rows)
    codes = batch.patients.tolist()
    assert codes[1] == codes[2] != codes[0]


def test_absent_leads_are_masked(store):
    (row,) = np.flatnonzero(store.index["record_id"] == "rec5")
    batch = load_batch(store, np.array([row, row + 1]), CPU)
    expected = [[lead != "V2" for lead in LEADS], [True] * 12]
    assert batch.lead_mask.tolist() == expected
    assert not batch.x[0, LEADS.index("V2")].any()
    present = np.array(expected[0])
    np.testing.assert_allclose(batch.x[0][present], store.signals(np.array([row]))[0][present] / 0.2, rtol=1e-6)


def test_a_batch_knows_its_recorded_samples(store):
    rows = np.arange(3)
    assert store.recorded(rows).tolist() == [500, 500, 500]
    assert load_batch(store, rows, CPU).recorded is None
    short = shortened(store, np.array([500, 320, *[500] * (len(store) - 2)]), 9.0)
    batch = load_batch(short, rows, CPU)
    assert batch.recorded.tolist() == [500, 320, 500]
    assert batch.piece(slice(1, 3)).recorded.tolist() == [320, 500]
    assert not batch.x[1, :, 320:].any()
    np.testing.assert_allclose(batch.x[1, :, :320], store.signals(rows[1:2])[0, :, :320] / 0.2, rtol=1e-6)
    assert torch.equal(batch.x[0], load_batch(store, rows[:1], CPU).x[0])


def test_a_reader_gives_the_batches_of_their_steps(store):
    """Read in order, after a jump, and again; nothing is read beyond the last step."""
    rows, asked = store.rows("train"), []

    def rows_of(step):
        asked.append(step)
        return rows_at(rows, 4, 1, step)

    with BatchPrefetcher(store, rows_of, CPU, last=5) as reader:
        for step in (0, 1, 2, 2, 4):
            batch, expected = reader.batch(step), load_batch(store, rows_at(rows, 4, 1, step), CPU)
            assert torch.equal(batch.x, expected.x)
            assert torch.equal(batch.patients, expected.patients)
            np.testing.assert_array_equal(batch.rows, expected.rows)
    assert max(asked) == 4
    assert reader.waited > 0


def test_what_goes_wrong_while_reading_is_raised(store):
    with BatchPrefetcher(store, lambda step: np.array([10_000]), CPU, last=3) as reader, pytest.raises(IndexError):
        reader.batch(0)


def test_a_piece_of_a_batch(store):
    (row,) = np.flatnonzero(store.index["record_id"] == "rec5")
    batch = load_batch(store, np.array([0, row, 2]), CPU)
    piece = batch.piece(slice(1, 3))
    assert torch.equal(piece.x, batch.x[1:])
    assert torch.equal(piece.lead_mask, batch.lead_mask[1:])
    assert piece.rows.tolist() == [row, 2]
    assert torch.equal(piece.patients, batch.patients[1:])
    assert load_batch(store, np.array([0, 2]), CPU).piece(slice(0, 1)).lead_mask is None


def test_recorded_samples_are_read_from_the_index(store, tmp_path):
    copied = tmp_path / "store"
    shutil.copytree(store.path, copied)
    lengths = np.resize([500, 320, 410], len(store))
    table = pq.read_table(copied / "index.parquet")
    at = table.column_names.index("recorded") if "recorded" in table.column_names else None
    table = table if at is None else table.remove_column(at)
    pq.write_table(table.append_column("recorded", pa.array(lengths)), copied / "index.parquet")
    assert Store(copied).recorded(np.array([2, 0, 1])).tolist() == [410, 500, 320]
