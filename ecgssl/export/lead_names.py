"""Lead names in ``lead_names.json`` of a bundle, for programs that use its graphs without ecgssl."""

from __future__ import annotations

from typing import Any

from ecgssl.signal.leads import LIMB_LEADS, LIMB_MATRIX, lead_spellings

LEAD_NAMES = "lead_names.json"


def lead_names_dict() -> dict[str, Any]:
    """Return the content of ``lead_names.json``.

    ``names`` maps each accepted spelling to the canonical lead name (``ecgssl.signal.leads.lead_spellings``). ``limb``
    maps each limb lead to two weights: the lead is the weighted sum of leads I and II.
    """
    limb = {lead: [float(weight) for weight in row] for lead, row in zip(LIMB_LEADS, LIMB_MATRIX, strict=True)}
    return {"names": lead_spellings(), "limb": limb}
