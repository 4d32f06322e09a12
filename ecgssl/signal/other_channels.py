"""Names of channels other than the twelve leads, in a form that contains no patient data."""

from __future__ import annotations

import re
from collections.abc import Sequence

_KNOWN = re.compile(
    r"((ecg|ekg|lead|mdc_ecg_lead)[ _:.-]*)?("
    # leads of other systems: right and posterior chest, Frank, Nehb, EASI, monitors, unaugmented limb leads
    r"-?(i|ii|iii|av[rlf])|v\d{1,2}r?|[cd]\d|[xyz]|v[xyzrlf]|vcgmag|[adj]|a[is]|es|ml(i|ii|iii)|mcl ?\d|mv\d|"
    r"c[cmrshb]\d|mod\.? ?v\d|d1|nasa|[rl][alf]|n|(ecg|ekg|ch|channel|lead|aux|lead code) ?\d{1,3}|ecg|ekg|"
    # other signals
    r"abp|art|cvp|pap|icp|bp|nibp|ple?th|ppg|spo2|sao2|resp(iration)?|co2|etco2|hr|pulse|temp|pacer?|pacing|mark(er)?|"
    r"event|events|trigger|status|annotations?|comments?|quality|time|sample|index|"
    r"acc ?[xyz]?|gyro ?[xyz]?|eeg|eog|emg|chin|loc|roc|thorax|abdomen|nasal|flow|snore|position|body position"
    r")",
    re.IGNORECASE,
)


def channel_name(name: str, number: int) -> str:
    """Return the name of a channel if it is a common signal name, otherwise its number, for example ``channel 3``.

    Other names are not used, because they may contain patient data, which must not be logged.
    """
    text = " ".join(name.split())
    return text if _KNOWN.fullmatch(text) else f"channel {number}"


def channels_left_out(names: Sequence[str], kept: Sequence[int]) -> tuple[str, ...]:
    """Return the names of the omitted channels, in the order of the file; see ``channel_name``.

    Args:
        names: name of each channel.
        kept: indices of the channels that are not omitted.
    """
    rest = set(range(len(names))) - set(kept)
    return tuple(channel_name(names[i], i + 1) for i in sorted(rest))


def left_out_text(left_out: Sequence[str]) -> str:
    """Return a list of omitted channels for messages, with at most 20 names; empty if there are none."""
    shown = ", ".join(left_out[:20]) + (f" and {len(left_out) - 20} more" if len(left_out) > 20 else "")
    return f"channels left out: {shown}" if left_out else ""
