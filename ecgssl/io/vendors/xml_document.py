"""Parser for untrusted XML files, based on defusedxml, with limits on size, depth, elements and attributes.

Document type declarations are allowed, because every MUSE file refers to ``restecg.dtd``, but the DTD is not loaded.
Entity declarations are refused, because they can expand without limit or include other files. Two common errors in
exported files are repaired and listed in ``Document.repaired``. An ``&`` that does not start an entity ("Smith & Sons")
is kept as a character. Text that does not match its declared encoding is read as ISO-8859-1.
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
"""Largest file in bytes, at least 10 minutes of twelve leads at 500 Hz as decimal text."""

DEEPEST = 64
"""Largest nesting depth of elements; an annotated ECG has 15 levels."""

MOST_ELEMENTS = 200_000
"""Largest number of elements; an annotated ECG with annotations of every beat has 1,500."""

MOST_ATTRIBUTES = 200_000
"""Largest number of attributes; an annotated ECG with annotations of every beat has 2,000."""

_UTF_16 = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_PROLOG = re.compile(r"(?:\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*+(?:\[.*?\]\s*+)?>)*+", re.DOTALL)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)")
_DOCTYPE = re.compile(r"<!DOCTYPE\s+(?:[\w.-]+:)?([\w.-]+)")
_DECLARED = re.compile(r"<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.-]+)[\"'][^>]*\?>")
_ENCODING = re.compile(
    r"utf-?(8|16)(-?[lb]e)?|(us-)?ascii|iso[-_]?8859[-_]?\d{1,2}|latin-?1|(windows-?|cp)(125\d|437|850)|koi8-r|gb\w+",
    re.I,
)
"""Encodings accepted for repair. Others are excluded, because some (for example punycode) can take hours to decode."""
_BARE = re.compile(r"&(?!(?:[A-Za-z_][\w.-]*|#[0-9]+|#x[0-9A-Fa-f]+);)")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?$", re.ASCII)


@dataclass(frozen=True)
class Document:
    """Parsed XML document.

    Args:
        root: root element, with namespaces removed from tags and attributes.
        repaired: errors that were repaired: ``ampersand``, ``encoding``, both or none.
    """

    root: Element
    repaired: tuple[str, ...]

    @property
    def meta(self) -> dict[str, Any]:
        """Entry ``repaired`` for ``Recording.meta`` as a dictionary; empty if nothing was repaired."""
        return {"repaired": self.repaired} if self.repaired else {}


def root_name(head: bytes) -> str | None:
    """Return the root element's name without namespace from the first bytes of a file; ``None`` if it is not XML.

    Args:
        head: first ``ecgssl.io.formats.HEAD`` bytes, in UTF-8, UTF-16 or another encoding that extends ASCII.
    """
    text = head.decode(_UTF_16.get(head[:2], "utf-8-sig"), errors="replace")
    if not text.lstrip("\ufeff \t\r\n").startswith("<"):
        return None
    text = text.lstrip("\ufeff")
    prolog = _PROLOG.match(text)
    # if the document type declaration is longer than the head, use the root name in it
    found = _ROOT.match(text, prolog.end() if prolog else 0) or _DOCTYPE.search(text)
    return found[1] if found else None


def read_xml(path: Path, *, root: str | None = None, repair: bool = True) -> Document:
    """Read and parse an XML file.

    Args:
        path: path of the file. Encodings are UTF-8, UTF-16, ISO-8859-1 or the declared 8-bit encoding.
        root: expected name of the root element; ``None`` for any.
        repair: whether to repair bare ampersands and a wrong encoding; if ``False``, these errors are raised.

    Raises:
        RecordingError: reason ``missing_file``, ``unreadable``, ``too_large``, ``entities`` (entity declarations) or
            ``header`` (wrong root, not well-formed, nested too deeply, or too many elements or attributes). Error
            messages contain no text of the document.
    """
    data = read_limited(path, LARGEST_XML)
    # the number of equals signs is an upper bound of the number of attributes
    if data.count(b"=") > MOST_ATTRIBUTES:
        raise read_error("header", path, "attributes", f"exceed the limit of {MOST_ATTRIBUTES}")
    document = _parse_or_repair(path, data, repair)
    if root is not None and document.root.tag != root:
        raise read_error("header", path, "root element", f"is not {root}")
    return document


def _parse_or_repair(path: Path, data: bytes, repair: bool) -> Document:
    try:
        return Document(_parse(path, data), ())
    except _NotWellFormed as error:
        first = error
    text, repaired = _repair(data) if repair else ("", ())
    try:
        if repaired:
            return Document(_parse(path, text), repaired)
    except _NotWellFormed as error:
        first = error
    raise read_error("header", path, first.where, first.what)


def child_text(parent: Element, name: str) -> str:
    """Return the stripped text of the first child with this name; empty if there is none."""
    return (parent.findtext(name) or "").strip()


def child_number(path: Path, parent: Element, name: str) -> float | None:
    """Return the number in the first child with this name; ``None`` if it is absent or empty.

    Raises:
        RecordingError: reason ``header`` if it is not a finite number.
    """
    return parse_number(path, name, child_text(parent, name))


def parse_number(path: Path, name: str, found: str | None) -> float | None:
    """Parse the text ``found`` of the element or attribute ``name`` as a number; ``None`` if it is absent or empty.

    Raises:
        RecordingError: reason ``header`` if it is not a finite number.
    """
    if found is None or not found.strip():
        return None
    value = float(found) if _NUMBER.match(found.strip()) else math.nan
    if not math.isfinite(value):
        raise read_error("header", path, name, "is not a number")
    return value


def optional_number(parent: Element, name: str) -> float | None:
    """Return the number in an optional metadata field; ``None`` if it is absent or not a number."""
    found = child_text(parent, name)
    return float(found) if _NUMBER.match(found) else None


class _NotWellFormed(Exception):
    """XML syntax error with its position and description."""

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
        what = "declares entities, which can expand without limit or include other files"
        raise read_error("entities", path, "document type", what) from None
    except ParseError as error:
        line, column = error.position
        # use the error code, because the parser's message may quote text of the document
        raise _NotWellFormed(f"line {line}, column {column + 1}", f"{ErrorString(error.code)}") from None
    except (LookupError, ValueError):
        raise _NotWellFormed("encoding", "is unknown, or the text does not match it") from None
    return root


def _builder(path: Path) -> Any:
    """Return an ElementTree builder that removes namespaces and checks depth and number of elements."""
    from xml.etree.ElementTree import TreeBuilder

    class Builder(TreeBuilder):
        depth = count = 0

        def start(self, tag: str, attrs: dict[Any, Any], /) -> Element:
            self.depth += 1
            self.count += 1
            if self.depth > DEEPEST:
                raise read_error("header", path, "elements", f"are nested deeper than {DEEPEST} levels")
            if self.count > MOST_ELEMENTS:
                raise read_error("header", path, "elements", f"exceed the limit of {MOST_ELEMENTS}")
            return super().start(_local(tag), {_local(key): value for key, value in attrs.items()})

        def end(self, tag: str, /) -> Element:
            self.depth -= 1
            return super().end(_local(tag))

    return Builder()


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _repair(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text of a malformed document with escaped ampersands and a valid encoding, and the repairs made.

    Both are empty if the declared encoding is not accepted.
    """
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
