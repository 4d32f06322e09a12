"""TRIPOD+AI and STARD-AI item by item: what the run can say itself, and what people have to add.

Items after Collins et al. 2024 (BMJ 385:e078378, 27 items in 52 parts) and Sounderajah et al. 2025 (Nat Med 31:3283-3289,
doi:10.1038/s41591-025-03953-8, 40 items in 48 parts). What an item asks for is said here in our own words and in short; the
official text is what counts for a submission.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

CHECKLISTS = {
    "tripod_ai": "TRIPOD+AI (2024)",
    "stard_ai": "STARD-AI (2025)",
}
SOURCES = {
    "tripod_ai": "Collins et al., BMJ 2024;385:e078378, doi:10.1136/bmj-2023-078378: 27 items in 52 parts",
    "stard_ai": "Sounderajah et al., Nat Med 2025;31:3283-3289, doi:10.1038/s41591-025-03953-8: 40 items in 48 parts",
}
CARD = {
    "intended_use": "What is it for, and what is it not for?",
    "users": "Who is to use it, with what training?",
    "population": "For which patients, in which setting, on which machines?",
    "reference": "How were the labels established, by whom, and how sure are they?",
    "inclusion": "When and where were the patients included, and who was not?",
    "harms": "What happens to a patient whom it misses, and to one whom it calls in vain?",
    "ethics": "Which committee approved it, and what of consent?",
    "contact": "Who answers for it?",
}
"""Questions of the model card that a run cannot answer."""
ITEM_KEYS = {"5b": "inclusion", "8a": "reference", "17": "ethics", "27b": "users", "3b": "intended_use"}
"""Items of TRIPOD+AI that a question of the card answers as well."""


def items(name: str) -> list[dict[str, str]]:
    """Rows of a checklist: ``item, section, topic, asks, covers, answers``.

    ``covers`` says whether ``answers``, keys of what a run knows, are the ``whole`` of the item or a ``part``; empty where
    only people can answer.

    Args:
        name: one of ``CHECKLISTS``.
    """
    text = (files("ecgssl.report") / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def fill(name: str, known: Mapping[str, str], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """A checklist with what is known.

    Args:
        name: one of ``CHECKLISTS``.
        known: by key, what the run says (``ecgssl.report.answers``).
        given: by ``name.item`` (``tripod_ai.17``), or by key of ``CARD`` for the items that it answers, what people say.

    Returns:
        ``{"item", "section", "topic", "asks", "status", "said", "given"}`` each; ``status`` is ``filled``, ``part`` (people
        should add to it) or ``open``.
    """
    found = []
    for row in items(name):
        said = [known[key] for key in row["answers"].split() if known.get(key)]
        own = given.get(f"{name}.{row['item']}") or (
            given.get(ITEM_KEYS.get(row["item"], "")) if name == "tripod_ai" else None
        )
        whole = bool(own) or (bool(said) and row["covers"] == "whole")
        status = "filled" if whole else "part" if said else "open"
        entry = {key: row[key] for key in ("item", "section", "topic", "asks")}
        found.append({**entry, "status": status, "said": " ".join(said), "given": own or ""})
    return found


def answerable() -> set[str]:
    """All keys under which people may answer."""
    return set(CARD) | {f"{name}.{row['item']}" for name in CHECKLISTS for row in items(name)}
