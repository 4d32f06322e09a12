"""Lead names in ``lead_names.json`` of a bundle, for programs that use its graphs without ecgssl."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ecgssl.checked_json import shortened, validated
from ecgssl.errors import InputError, Problem
from ecgssl.export.export_again import EXPORT_AGAIN
from ecgssl.signal.leads import LIMB_LEADS, LIMB_MATRIX, lead_spellings

LEAD_NAMES = "lead_names.json"
_Spelling = Annotated[str, Field(min_length=1, max_length=64)]
_Weight = Annotated[float, Field(ge=-2, le=2)]


class LeadNamesFile(BaseModel):
    """Content of ``lead_names.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    names: Annotated[dict[_Spelling, _Spelling], Field(max_length=10_000)]
    limb: Annotated[dict[_Spelling, tuple[_Weight, _Weight]], Field(max_length=len(LIMB_LEADS))]


def lead_names_dict() -> dict[str, Any]:
    """Return the content of ``lead_names.json``.

    ``names`` maps each accepted spelling to the canonical lead name (``ecgssl.signal.leads.lead_spellings``). ``limb``
    maps each limb lead to two weights: the lead is the weighted sum of leads I and II.
    """
    limb = {lead: [float(weight) for weight in row] for lead, row in zip(LIMB_LEADS, LIMB_MATRIX, strict=True)}
    return {"names": lead_spellings(), "limb": limb}


def require_known_names(path: Path, data: dict[str, Any]) -> None:
    """Check the content of ``lead_names.json`` of a bundle.

    Another release may know more or fewer spellings. A spelling that both know must denote the same lead.

    Args:
        path: path of the file, for the error message.
        data: content of the file.

    Raises:
        InputError: the content is invalid, or a spelling or a weight has another meaning than in this release.
    """
    found = validated(LeadNamesFile, data, str(path), EXPORT_AGAIN)
    known, leads = lead_names_dict(), set(lead_spellings().values())
    wrong = {spelling: lead for spelling, lead in found.names.items() if known["names"].get(spelling, lead) != lead} | {
        spelling: lead for spelling, lead in found.names.items() if lead not in leads
    }
    problems = [
        Problem(
            str(path), f"names[{shortened(spelling)}]", f"is {shortened(lead)}, not the lead of this name", EXPORT_AGAIN
        )
        for spelling, lead in sorted(wrong.items())[:10]
    ]
    if {lead: list(row) for lead, row in found.limb.items()} != known["limb"]:
        problems.append(Problem(str(path), "limb", "differs from the weights of the limb leads", EXPORT_AGAIN))
    if problems:
        raise InputError(problems)
