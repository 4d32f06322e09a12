"""Reproducible damage to files: an integer selects the mutation (truncation, bit errors, faulty or malicious exports)."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

ABSURD = (
    "0", "-1", "1", "2", "255", "65535", "65536", "99999", "2147483647", "2147483648", "4294967295",
    "9223372036854775807", "9223372036854775808", "1e300", "-1e300", "1e-300", "nan", "inf", "-inf", "", "x", "1" * 400,
    "0x10", "1_000", "٣", "1,5", "1/0", "#", "%s", "-", ".",
)  # fmt: skip
"""Replacements for numbers in text."""

WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 40)
"""Replacements for numbers of 1, 2, 4 or 8 bytes."""

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?")
_ELEMENT = re.compile(rb"<([\w:.]+)[^>]*>[^<]*</\1>")
_VALUE = re.compile(rb'="[^"]*"|>[^<>]+<')
_HEAD = 1024
"""Bytes at the start of a file, which are preferred because they hold most declarations."""

Damage = Callable[[bytes, random.Random], bytes]


def mutate(data: bytes, number: int, kind: str) -> bytes:
    """Return a damaged copy of a file.

    Args:
        data: content of the file.
        number: number of the mutation; the same number and content give the same result.
        kind: ``text`` for files with decimal numbers, else ``binary``.
    """
    source = random.Random(number)
    ways = TEXT if kind == "text" else BINARY
    # most files get one error; several at once can pass checks of a single field
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        data = source.choice(ways)(data, source)
    return data


def _place(data: bytes, source: random.Random) -> int:
    """Return a random position, half of the time near the start."""
    return source.randrange(min(len(data), _HEAD) if source.random() < 0.5 else len(data)) if data else 0


def _span(data: bytes, source: random.Random) -> slice:
    start = _place(data, source)
    return slice(start, start + source.choice((1, 2, 4, 8, 16, 64, 512)))


def flip_bits(data: bytes, source: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(source.choice((1, 2, 8, 64))):
        if out:
            out[_place(data, source)] ^= 1 << source.randrange(8)
    return bytes(out)


def overwrite(data: bytes, source: random.Random) -> bytes:
    span = _span(data, source)
    size = len(data[span])
    run = source.choice((bytes(size), b"\xff" * size, source.randbytes(size)))
    return data[: span.start] + run + data[span.start + size :]


def truncate(data: bytes, source: random.Random) -> bytes:
    return data[: _place(data, source)]


def cut_out(data: bytes, source: random.Random) -> bytes:
    span = _span(data, source)
    return data[: span.start] + data[span.stop :]


def insert(data: bytes, source: random.Random) -> bytes:
    place = _place(data, source)
    return data[:place] + source.randbytes(source.choice((1, 2, 4, 100, 5000))) + data[place:]


def double(data: bytes, source: random.Random) -> bytes:
    span, place = _span(data, source), _place(data, source)
    return data[:place] + data[span] * source.choice((1, 2, 300)) + data[place:]


def append(data: bytes, source: random.Random) -> bytes:
    return data + source.choice((data, b"\0", b"\n", bytes(4096), source.randbytes(512)))


def swap(data: bytes, source: random.Random) -> bytes:
    one, two = sorted((_place(data, source), _place(data, source)))
    size = min(source.choice((2, 8, 64, 512)), two - one)
    return data[:one] + data[two : two + size] + data[one + size : two] + data[one : one + size] + data[two + size :]


def absurd_word(data: bytes, source: random.Random) -> bytes:
    """Replace a binary number at a random position."""
    size = source.choice((1, 2, 4, 8))
    step = source.choice((1, size))
    place = _place(data, source) // step * step
    value = source.choice(WORDS) & ((1 << 8 * size) - 1)
    return data[:place] + value.to_bytes(size, source.choice(("little", "big"))) + data[place + size :]


def nudge_word(data: bytes, source: random.Random) -> bytes:
    """Increase or decrease a binary number slightly."""
    size = source.choice((1, 2, 4))
    place = _place(data, source)
    order = source.choice(("little", "big"))
    value = int.from_bytes(data[place : place + size], order) + source.choice((-4, -2, -1, 1, 2, 4))
    return data[:place] + (value % (1 << 8 * size)).to_bytes(size, order) + data[place + size :]


def edit_number(data: bytes, source: random.Random) -> bytes:
    """Replace a decimal number; in fields of fixed width it may keep its width."""
    places = list(_NUMBER.finditer(data, 0, _HEAD if source.random() < 0.3 else len(data)))
    if not places:
        return absurd_word(data, source)
    place = source.choice(places)
    new = source.choice(ABSURD).encode()
    if source.random() < 0.5:
        new = new.ljust(len(place[0]))[: max(len(place[0]), 1)]
    return data[: place.start()] + new + data[place.end() :]


def edit_value(data: bytes, source: random.Random) -> bytes:
    """Replace the value of an attribute or element."""
    places = list(_VALUE.finditer(data))
    if not places:
        return edit_number(data, source)
    place = source.choice(places)
    new = source.choice((*ABSURD, "&x;", "&#0;", "<![CDATA[1]]>", "é\udcff", "a" * 5000, "1," * 3000))
    return (
        data[: place.start() + 1 + data[place.start() :].startswith(b"=")]
        + new.encode("utf-8", "replace")
        + (data[place.end() - 1 :])
    )


def repeat_element(data: bytes, source: random.Random) -> bytes:
    """Repeat or remove an element, or a line in files without elements."""
    places = [place.span() for place in _ELEMENT.finditer(data)]
    places = places or [place.span() for place in re.finditer(rb"[^\n]*\n", data)]
    if not places:
        return double(data, source)
    start, stop = source.choice(places)
    return data[:start] + data[start:stop] * source.choice((0, 0, 2, 3, 300)) + data[stop:]


def rename(data: bytes, source: random.Random) -> bytes:
    """Replace a word by another word of the file."""
    words = list(re.finditer(rb"[A-Za-z]{1,20}", data))
    if not words:
        return flip_bits(data, source)
    one, two = source.choice(words), source.choice(words)
    return data[: one.start()] + two[0] + data[one.end() :]


BINARY: tuple[Damage, ...] = (
    flip_bits, overwrite, truncate, cut_out, insert, double, append, swap, absurd_word, absurd_word, nudge_word, nudge_word,
    edit_number,
)  # fmt: skip
TEXT: tuple[Damage, ...] = (
    flip_bits, overwrite, truncate, cut_out, insert, double, append, swap, edit_number, edit_number, edit_value, edit_value,
    repeat_element, rename,
)  # fmt: skip
