"""Lead names in ``lead_names.json`` of a bundle, for programs that use its graphs without ecgssl."""

from __future__ import annotations

from typing import Any

from ecgssl.signal.leads import LIMB_LEADS, LIMB_MATRIX, lead_spellings

LEAD_NAMES = "lead_names.json"


def lead_names_dict() -> dict[str, Any]:
    """Return the content of the file.

    ``names`` has the canonical name of each accepted spelling (``ecgssl.signal.leads.lead_spellings``). ``limb`` has the
    weights of leads I and II that give each limb lead.
    """
    limb = {lead: [float(weight) for weight in row] for lead, row in zip(LIMB_LEADS, LIMB_MATRIX, strict=True)}
    return {"names": lead_spellings(), "limb": limb}
