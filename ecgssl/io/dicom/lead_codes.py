"""Lead names of DICOM waveforms, derived from the code of a lead or, if the code is unknown, from its meaning.

Codes: DICOM PS3.16, context group 3001 "ECG Leads", in the current (MDC) and the former (SCP-ECG) coding scheme. Both
use the lead numbers of EN 1064.
"""

from __future__ import annotations

import re

from ecgssl.signal.leads import identify_leads, named_lead

_SCP = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR"}
_SCP |= {number: f"V{number - 2}" for number in range(3, 9)}
_CODE = re.compile(r"(?:2:|5\.6\.3-9-)([0-9]{1,5})$")
_MEANING = re.compile(r"\s*(?:ecg\s+)?(?:lead\s+)?([-\u2212]?[a-z]+\d*r?)\b", re.IGNORECASE)


class Contradiction(ValueError):
    """Error: the code and the meaning of a channel refer to different leads."""


def lead_name(code: str, meaning: str) -> str:
    """Return the name of a channel for ``ecgssl.signal.leads.identify_leads``, from its code or its meaning.

    Args:
        code: code value of the lead, for example ``2:1``, ``5.6.3-9-1`` or ``MDC_ECG_LEAD_I``.
        meaning: code meaning of the lead, for example ``Lead I (Einthoven)``.

    Raises:
        Contradiction: code and meaning are two different leads of the twelve.
    """
    number = _CODE.match(code.strip())
    word = _MEANING.match(meaning)
    text = next((one for one in (meaning.strip(), word[1] if word else "") if named_lead(one)), None)
    by_code = _SCP.get(int(number[1]), f"lead code {number[1]}") if number else code.strip()
    known = named_lead(by_code)
    if known is None:
        # numbered codes are standardised, so the code identifies another lead; other codes can be specific to a vendor
        return by_code if number else _plain(text) if text else meaning.strip()[:40]
    if text is not None and named_lead(text) != known:
        raise Contradiction(f"the lead code is {_show(by_code)}, but the code meaning is {_show(text)}")
    return _plain(by_code)


def _plain(name: str) -> str:
    """Return the canonical name of a lead; an ambiguous name such as C1 is returned unchanged."""
    return name if identify_leads((name,)) == (None,) else _show(name)


def _show(name: str) -> str:
    named = named_lead(name)
    return "" if named is None else named.lead if named.sign > 0 else f"-{named.lead}"
