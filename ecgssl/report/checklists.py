"""TRIPOD+AI and STARD-AI checklists and model card, with answers from the run and from the user.

The items follow Collins et al. 2024 (BMJ 385:e078378, 27 items in 52 parts) and Sounderajah et al. 2025 (Nat Med
31:3283-3289, doi:10.1038/s41591-025-03953-8, 40 items in 48 parts). They are paraphrased and shortened. Use the official
text for a submission.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from ecgssl.report.statements import Statement

CHECKLISTS = {
    "tripod_ai": "TRIPOD+AI (2024)",
    "stard_ai": "STARD-AI (2025)",
}
SOURCES = {
    "tripod_ai": "Collins et al., BMJ 2024;385:e078378, doi:10.1136/bmj-2023-078378: 27 items in 52 parts",
    "stard_ai": "Sounderajah et al., Nat Med 2025;31:3283-3289, doi:10.1038/s41591-025-03953-8: 40 items in 48 parts",
}
CARD = {
    "intended_use": "What is the model for, and what is it not for?",
    "users": "Who will use it, and with what training?",
    "population": "For which patients, in which setting, with which devices?",
    "reference": "How were the labels established, by whom, and how certain are they?",
    "inclusion": "When and where were patients included, and who was excluded?",
    "harms": "What are the consequences of a false negative and of a false positive?",
    "ethics": "Which committee approved the study, and how was consent handled?",
    "contact": "Who is responsible for the model?",
}
"""Questions of the model card by key, which the user answers."""
ITEM_KEYS = {"5b": "inclusion", "8a": "reference", "17": "ethics", "27b": "users", "3b": "intended_use"}
"""TRIPOD+AI items that a question of the model card also covers, with the key of the question."""


def items(name: str) -> list[dict[str, str]]:
    """Return the rows of a checklist, with the columns ``item, section, topic, asks, covers, answers``.

    ``answers`` lists keys of ``ecgssl.report.answers.answers``. ``covers`` states whether these answer the ``whole`` item or
    a ``part`` of it; it is empty for items that only the user can answer.

    Args:
        name: one of ``CHECKLISTS``.
    """
    text = (files("ecgssl.report") / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def fill(name: str, known: Mapping[str, Statement], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a checklist filled with the answers of the run and of the user.

    Args:
        name: one of ``CHECKLISTS``.
        known: result of ``ecgssl.report.answers.answers``.
        given: answers of the user by ``name.item`` (``tripod_ai.17``), or by key of ``CARD``.

    Returns:
        One dictionary per item: ``{"item", "section", "topic", "asks", "status", "said", "given"}``. ``status`` is
        ``filled`` if the user answers, or if the answers of the run cover the whole item and what they describe exists;
        ``part`` if the user should complete the answer; otherwise ``open``.
    """
    found = []
    for row in items(name):
        keys = row["answers"].split()
        said = [known[key] for key in keys if key in known and known[key].text]
        own = given.get(f"{name}.{row['item']}") or (
            given.get(ITEM_KEYS.get(row["item"], "")) if name == "tripod_ai" else None
        )
        exists = bool(said) and len(said) == len(keys) and all(one.complete for one in said)
        status = "filled" if own or (exists and row["covers"] == "whole") else "part" if said else "open"
        entry = {key: row[key] for key in ("item", "section", "topic", "asks")}
        found.append({**entry, "status": status, "said": " ".join(one.text for one in said), "given": own or ""})
    return found


def answerable() -> set[str]:
    """Return the keys of all questions and checklist items that the user can answer."""
    return set(CARD) | {f"{name}.{row['item']}" for name in CHECKLISTS for row in items(name)}
