"""Resource-exhausting XML files: entities, deep nesting, and many elements or attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fuzz_seeds import MEBIBYTE


def xml_bombs(document: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Return bombs made from a valid document; declarations are inserted before its root element."""
    start = next(
        i for i in range(len(document)) if document[i : i + 1] == b"<" and document[i + 1 : i + 2] not in b"?!"
    )
    stop = document.index(b">", start) + 1
    head, root, rest = document[:start], document[start:stop], document[stop:]
    declared = head.split(b"?>")[0] + b"?>" if head.startswith(b"<?") else b""
    name = root[1:-1].split()[0]

    def within(content: bytes) -> bytes:
        return head + root + content + rest

    def typed(subset: bytes, content: bytes) -> bytes:
        return declared + b"<!DOCTYPE " + name + b" [" + subset + b"]>" + root + content + rest

    laughs = b'<!ENTITY a "ha">' + b"".join(
        b'<!ENTITY %c "%b">' % (99 + i, b"&%c;" % (98 + i if i else 97) * 10) for i in range(9)
    )
    yield "billion laughs", lambda: typed(laughs, b"<x>&k;</x>")
    yield (
        "quadratic entity",
        lambda: typed(b'<!ENTITY a "' + b"a" * 100_000 + b'">', b"<x>" + b"&a;" * 100_000 + b"</x>"),
    )
    yield "foreign file", lambda: typed(b'<!ENTITY a SYSTEM "file:///etc/hostname">', b"<x>&a;</x>")
    yield "parameter entity", lambda: typed(b'<!ENTITY % a SYSTEM "http://127.0.0.1:9/"> %a;', b"")
    yield "attribute defaults", lambda: typed(b"<!ATTLIST x " + b'a CDATA "b" ' * 100_000 + b">", b"<x/>" * 1000)
    yield "element types", lambda: typed(b"".join(b"<!ELEMENT a%d ANY>" % i for i in range(200_000)), b"")
    yield "content model", lambda: typed(b"<!ELEMENT a " + b"(" * 100_000 + b"b" + b")" * 100_000 + b">", b"")
    yield "deep", lambda: within(b"<x>" * 500_000)
    yield "elements", lambda: within(b"<x/>" * (7 * MEBIBYTE))
    yield "attributes", lambda: within(b"<x " + b" ".join(b'a%d=""' % i for i in range(2_000_000)) + b"/>")
    many = b"<x " + b" ".join(b'a%d=""' % i for i in range(1000)) + b"/>"
    yield "attributes of many", lambda: within(many * (30 * MEBIBYTE // len(many)))
    spaces = b"<x " + b" ".join(b'xmlns:a%d="b%d"' % (i, i) for i in range(500_000)) + b"/>"
    yield "namespaces", lambda: within(spaces)
    yield "comments", lambda: within(b"<!---->" * (4 * MEBIBYTE))
    yield "instructions", lambda: within(b"<?a b?>" * (4 * MEBIBYTE))
    yield "text", lambda: within(b"<x>" + b"1," * (15 * MEBIBYTE) + b"</x>")
    yield "ampersands", lambda: within(b"<x>" + b"& " * (10 * MEBIBYTE) + b"</x>")
    yield "references", lambda: within(b"<x>" + b"&amp;" * (6 * MEBIBYTE) + b"</x>")
    yield "open tag", lambda: within(b"<" * (20 * MEBIBYTE))
    yield "long name", lambda: within(b"<" + b"x" * (30 * MEBIBYTE))
    yield "head of comments", lambda: declared + b"<!--" * 900 + root + rest
    yield "head of types", lambda: declared + b"<!DOCTYPE [" + b"] " * 2000 + root + rest
    for encoding in (b"punycode", b"idna", b"unicode_escape", b"zlib", b"utf-7", b"utf-32", b"cp037"):
        text = b'<?xml version="1.0" encoding="%b"?>' % encoding + root
        yield (
            f"declared {encoding.decode()}",
            lambda text=text: text + b"<x>&" + b"a1-" * (10 * MEBIBYTE) + b"</x>" + rest,
        )
