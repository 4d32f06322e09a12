"""XML as hospital devices write it, parsed without trusting it: defusedxml, and limits on size, depth and number of parts.

A document type declaration is allowed and never fetched, because every MUSE export names ``restecg.dtd``; an entity
declaration is refused (``entities``), so that neither an entity bomb nor a foreign file can enter. Two faults of real
exports are repaired, and named in ``Document.repaired``, because they touch free text and never samples: a bare ``&``
that begins no entity ("Smith & Sons") stands for itself, and text that is not in the encoding it declares is taken as
ISO-8859-1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ErrorString

from ecgssl.io.read_errors import read_error
from ecgssl.io.size_limits import read_limited

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LARGEST_XML = 32 << 20
"""Bytes; twelve leads of 10 minutes at 500 Hz as decimal text."""

DEEPEST = 64
"""Levels of nesting; an annotated ECG has 15."""

MOST_ELEMENTS = 200_000
"""An annotated ECG with the waves of every beat has 1,500."""

MOST_ATTRIBUTES = 200_000
"""The same has 2,000. The parser holds those of one element all at once before it tells of the first."""

_UTF_16 = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_PROLOG = re.compile(r"(?:\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*+(?:\[.*?\]\s*+)?>)*+", re.DOTALL)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)")
_DOCTYPE = re.compile(r"<!DOCTYPE\s+(?:[\w.-]+:)?([\w.-]+)")
_DECLARED = re.compile(r"<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.-]+)[\"'][^>]*\?>")
_ENCODING = re.compile(
    r"utf-?(8|16)(-?[lb]e)?|(us-)?ascii|iso[-_]?8859[-_]?\d{1,2}|latin-?1|(windows-?|cp)(125\d|437|850)|koi8-r|gb\w+",
    re.I,
)
"""Encodings of a document that is repaired. Python knows others under such names that take hours (punycode)."""
_BARE = re.compile(r"&(?!(?:[A-Za-z_][\w.-]*|#[0-9]+|#x[0-9A-Fa-f]+);)")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?$", re.ASCII)


@dataclass(frozen=True)
class Document:
    """A parsed document.

    Args:
        root: its element; tags and attributes carry no namespace.
        repaired: ``ampersand`` and ``encoding``, where that had to be repaired.
    """

    root: Element
    repaired: tuple[str, ...]

    @property
    def meta(self) -> dict[str, Any]:
        """Entry ``repaired`` of ``Recording.meta``, where there is any."""
        return {"repaired": self.repaired} if self.repaired else {}


def root_name(head: bytes) -> str | None:
    """Name of the root element, without namespace, by the first bytes of a file; ``None`` where it is no XML.

    Args:
        head: ``ecgssl.io.formats.HEAD`` bytes in UTF-8, UTF-16 or anything that agrees with ASCII where tags are made.
    """
    text = head.decode(_UTF_16.get(head[:2], "utf-8-sig"), errors="replace")
    if not text.lstrip("\ufeff \t\r\n").startswith("<"):
        return None
    text = text.lstrip("\ufeff")
    prolog = _PROLOG.match(text)
    # a declaration too long for the head names the root all the same
    found = _ROOT.match(text, prolog.end() if prolog else 0) or _DOCTYPE.search(text)
    return found[1] if found else None


def read_xml(path: Path, *, repair: bool = True) -> Document:
    """Read and parse a file.

    Args:
        path: the file, in UTF-8, UTF-16, ISO-8859-1 or whatever 8-bit encoding it declares.
        repair: whether the two faults above are repaired or refused.

    Raises:
        RecordingError: ``missing_file``, ``unreadable``, ``too_large``, ``entities`` (it declares some), ``header`` (not
            well-formed, nested too deeply, or of too many elements or attributes). Messages repeat nothing of the text.
    """
    data = read_limited(path, LARGEST_XML)
    # each holds this byte in every encoding that the parser takes; text and base64 hold next to none
    if data.count(b"=") > MOST_ATTRIBUTES:
        raise read_error("header", path, "attributes", f"are more than {MOST_ATTRIBUTES}")
    try:
        return Document(_parse(path, data), ())
    except _NotWellFormed as error:
        if not repair:
            raise read_error("header", path, error.where, error.what) from None
        text, repaired = _mend(data)
        if not repaired:
            raise read_error("header", path, error.where, error.what) from None
    try:
        return Document(_parse(path, text), repaired)
    except _NotWellFormed as error:
        raise read_error("header", path, error.where, error.what) from None


def text_of(parent: Element, name: str) -> str:
    """Text of the first child of this name, without white space around it; empty where there is none."""
    return (parent.findtext(name) or "").strip()


def number_of(path: Path, parent: Element, name: str) -> float | None:
    """Number in the first child of this name; ``None`` where it is absent or empty.

    Raises:
        RecordingError: ``header`` where it is something else than a finite number.
    """
    return parse_number(path, name, text_of(parent, name))


def parse_number(path: Path, name: str, found: str | None) -> float | None:
    """Number that a text or attribute called ``name`` holds; ``None`` where it is absent or empty.

    Raises:
        RecordingError: ``header`` where it is something else than a finite number.
    """
    if found is None or not found.strip():
        return None
    value = float(found) if _NUMBER.match(found.strip()) else math.nan
    if not math.isfinite(value):
        raise read_error("header", path, name, f"{found.strip()[:20]!r} is not a number")
    return value


def fact_of(parent: Element, name: str) -> float | None:
    """``number_of`` for facts that no sample depends on, such as filters: ``None`` also for what is no number."""
    found = text_of(parent, name)
    return float(found) if _NUMBER.match(found) else None


class _NotWellFormed(Exception):
    """Where a document stops being XML, and how."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where, self.what = where, what


def _parse(path: Path, data: bytes | str) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    parser = DefusedXMLParser(target=_builder(path), forbid_dtd=False, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(data)
        root: Element = parser.close()
    except DefusedXmlException:
        what = "declares entities, with which a file can blow up or read others"
        raise read_error("entities", path, "document type", what) from None
    except ParseError as error:
        line, column = error.position
        # the parser's own message may quote the text
        raise _NotWellFormed(f"line {line}, column {column + 1}", f"{ErrorString(error.code)}") from None
    except (LookupError, ValueError):
        raise _NotWellFormed("encoding", "is declared as one that does not exist or does not fit") from None
    return root


def _builder(path: Path) -> Any:
    """Builds the tree with local names, within the limits."""
    from xml.etree.ElementTree import TreeBuilder

    class Builder(TreeBuilder):
        depth = count = 0

        def start(self, tag: str, attrs: dict[Any, Any], /) -> Element:
            self.depth += 1
            self.count += 1
            if self.depth > DEEPEST:
                raise read_error("header", path, "elements", f"are nested deeper than {DEEPEST} levels")
            if self.count > MOST_ELEMENTS:
                raise read_error("header", path, "elements", f"are more than {MOST_ELEMENTS}")
            return super().start(_local(tag), {_local(key): value for key, value in attrs.items()})

        def end(self, tag: str, /) -> Element:
            self.depth -= 1
            return super().end(_local(tag))

    return Builder()


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _mend(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Text of a document that is not well-formed, its bare ampersands escaped, and what was done to it."""
    repaired = []
    declared = _DECLARED.search(data[:200].decode("latin-1"))
    encoding = _UTF_16.get(data[:2]) or (declared[1] if declared else "utf-8")
    if not _ENCODING.fullmatch(encoding):
        return "", ()
    try:
        content = data.decode(encoding)
    except (LookupError, UnicodeError):
        content = data.decode("iso-8859-1")
        repaired.append("encoding")
    content, ampersands = _BARE.subn("&amp;", content.lstrip("\ufeff"))
    if ampersands:
        repaired.append("ampersand")
    return content, tuple(repaired)
