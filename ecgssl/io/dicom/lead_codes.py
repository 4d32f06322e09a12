"""Lead names of DICOM waveforms, derived from the code of a lead or, if the code is unknown, from its meaning.

Codes: DICOM PS3.16, context group 3001 "ECG Leads", in the current (MDC) and the former (SCP-ECG) coding scheme. Both
use the lead numbers of EN 1064.
"""

from __future__ import annotations

import re

from ecgssl.signal.leads import LEADS, canonical

_SCP = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR"}
_SCP |= {number: f"V{number - 2}" for number in range(3, 9)}
_CODE = re.compile(r"(?:2:|5\.6\.3-9-)([0-9]{1,5})$")
_MEANING = re.compile(r"\s*(?:ecg\s+)?(?:lead\s+)?(-?[a-z]+\d*r?)\b", re.IGNORECASE)


class Contradiction(ValueError):
    """Error: the code and the meaning of a channel refer to different leads."""


def lead_name(code: str, meaning: str) -> str:
    """Return the canonical name of a lead; for channels other than the twelve leads, return the name in the file.

    Args:
        code: code value of the lead, for example ``2:1``, ``5.6.3-9-1`` or ``MDC_ECG_LEAD_I``.
        meaning: code meaning of the lead, for example ``Lead I (Einthoven)``.

    Raises:
        Contradiction: the code is one of the twelve leads, but the meaning is another lead.
    """
    number = _CODE.match(code.strip())
    by_code = _SCP.get(int(number[1]), f"lead code {number[1]}") if number else canonical(code)
    word = _MEANING.match(meaning)
    by_meaning = canonical(word[1]) if word else None
    if by_code is None:
        return by_meaning or meaning.strip()[:20]
    if by_code in LEADS and by_meaning not in (None, by_code):
        raise Contradiction(f"the lead code is {by_code}, but the code meaning is {by_meaning}")
    return by_code
