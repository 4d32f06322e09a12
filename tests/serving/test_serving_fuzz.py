"""Damaged files of every format as requests to the HTTP service."""

from __future__ import annotations

import requests
from fuzz_seeds import make_seeds
from mutations import mutate


def test_damaged_files_are_scored_or_refused(served):
    """One valid and several damaged files per format return 200 or 422, and the service keeps running."""
    statuses = set()
    for seed in make_seeds():
        for number in range(3):
            content = mutate(seed.content, number, seed.kind) if number else seed.content
            files = {**seed.beside, seed.file: seed.wrap(content)}
            parts = [("files", (file, data)) for file, data in files.items()]
            name = f"{seed.format} {seed.name}"
            answer = requests.post(f"{served.address}/predict", files=parts, timeout=60)
            assert answer.status_code in (200, 422), (name, number, answer.text)
            body = answer.json()
            assert body.get("scores") or body["reasons"] or "time" in body["problems"][0]["field"], (name, number, body)
            statuses.add(answer.status_code)
    assert 422 in statuses
    assert requests.get(f"{served.address}/health", timeout=60).status_code == 200
    assert [path for path in served.root.rglob("*") if path.is_file()] == []
