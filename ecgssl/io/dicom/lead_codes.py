"""Names of the leads of DICOM waveforms, by code first and by the text beside it where the code is none that is known.

Codes after DICOM PS3.16, context group 3001 "ECG Leads", in its present (MDC) and its former (SCP-ECG) scheme; both count
leads as EN 1064 does.
"""

from __future__ import annotations

import re

from ecgssl.signal.leads import LEADS, canonical

_SCP = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR"}
_SCP |= {number: f"V{number - 2}" for number in range(3, 9)}
_CODE = re.compile(r"(?:2:|5\.6\.3-9-)([0-9]{1,5})$")
_MEANING = re.compile(r"\s*(?:ecg\s+)?(?:lead\s+)?(-?[a-z]+\d*r?)\b", re.IGNORECASE)


class Contradiction(ValueError):
    """Code and text of a lead disagree."""


def lead_name(code: str, meaning: str) -> str:
    """Canonical name of a lead, or what the file calls a channel that is none of the twelve.

    Args:
        code: such as ``2:1``, ``5.6.3-9-1`` or ``MDC_ECG_LEAD_I``.
        meaning: such as ``Lead I (Einthoven)``.

    Raises:
        Contradiction: the code means one of the twelve leads, the text another.
    """
    number = _CODE.match(code.strip())
    by_code = _SCP.get(int(number[1]), f"lead code {number[1]}") if number else canonical(code)
    word = _MEANING.match(meaning)
    by_meaning = canonical(word[1]) if word else None
    if by_code is None:
        return by_meaning or meaning.strip()[:20]
    if by_code in LEADS and by_meaning not in (None, by_code):
        raise Contradiction(f"the code means {by_code}, the text beside it {by_meaning}")
    return by_code
