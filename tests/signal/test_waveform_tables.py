"""Hash tables of the search for copies, compared with plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from ecgssl.signal import waveform_tables
from ecgssl.signal.waveform_hash import LEAD_BYTES
from ecgssl.signal.waveform_match import WaveformCodes, same_recording
from ecgssl.signal.waveform_tables import LeadTable, pairs_in_chunks, similar

POINTS = np.array([3, 11, 12, 29, 40])


@pytest.fixture
def packed():
    rng = np.random.default_rng(0)
    signs = rng.random((60, 2, 8 * LEAD_BYTES)) < 0.5
    # similar pairs, which would not occur by chance
    signs[30:] = signs[:30] ^ (rng.random((30, 2, 8 * LEAD_BYTES)) < np.linspace(0.1, 0.4, 30)[:, None, None])
    valid = np.ones_like(signs)
    valid[rng.random(60) < 0.2, 1] = False
    valid[rng.random(60) < 0.3, :, 50:] = False
    return signs & valid, valid


@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
def test_every_pair_occurs_once(monkeypatch, chunk):
    monkeypatch.setattr(waveform_tables, "_CHUNK", chunk)
    rng = np.random.default_rng(chunk)
    begin, counts = rng.integers(0, 50, 40), rng.integers(0, 6, 40) * (rng.random(40) < 0.6)
    expected = [(begin[i] + j, i) for i in range(40) for j in range(counts[i])]
    chunks = list(pairs_in_chunks(begin, counts))
    assert [(int(a), int(b)) for one, two in chunks for a, b in zip(one, two, strict=True)] == expected
    # a chunk exceeds the limit only by the pairs of one recording
    assert max(len(one) for one, _ in chunks) < chunk + 6
    assert not list(pairs_in_chunks(begin[:0], counts[:0]))


def test_a_table_lists_the_recordings_with_the_lead_by_key(packed):
    signs, valid = packed
    table = LeadTable.of(np.packbits(signs, axis=2), np.packbits(valid, axis=2), 1, POINTS)
    keys = {row: int("".join(str(int(signs[row, 1, point])) for point in POINTS), 2) for row in range(60)}
    expected = sorted((key, row) for row, key in keys.items() if valid[row, 1].any())
    assert list(zip(table.keys.tolist(), table.rows.tolist(), strict=True)) == expected


@pytest.mark.parametrize("alike", [True, False])
def test_similar_compares_the_signs_that_both_recordings_have(packed, alike):
    signs, valid = packed
    if alike:
        valid = np.broadcast_to(valid[np.flatnonzero(valid[:, 1].any(axis=1))[:1]], valid.shape)
        signs = signs & valid
    table = LeadTable.of(np.packbits(signs, axis=2), np.packbits(valid, axis=2), 1, POINTS)
    count = len(table.rows)
    one, two = (part.ravel() for part in np.meshgrid(np.arange(count), np.arange(count)))
    expected = []
    for a, b in zip(table.rows[one], table.rows[two], strict=True):
        both = valid[a, 1] & valid[b, 1]
        expected.append((signs[a, 1] ^ signs[b, 1])[both].sum() <= 0.25 * both.sum())
    assert count < sum(expected) < len(expected)
    np.testing.assert_array_equal(similar(table, table, one, two), expected)


def test_groups_of_copies_are_those_of_all_pairs():
    """A thousand recordings, some with copies that differ in 0 to 6 % of the signs, in any order."""
    rng = np.random.default_rng(2)
    source = np.r_[np.arange(800), rng.integers(0, 800, 200)]
    signs = (rng.random((800, 8, 8 * LEAD_BYTES)) < 0.5)[source]
    signs[800:] ^= rng.random((200, 8, 8 * LEAD_BYTES)) < np.linspace(0, 0.06, 200)[:, None, None]
    order = rng.permutation(1000)
    packed = np.packbits(signs[order], axis=2)
    groups = same_recording(WaveformCodes(packed, np.full_like(packed, 255)))
    expected = source[order]
    np.testing.assert_array_equal(groups[:, None] == groups, expected[:, None] == expected)
