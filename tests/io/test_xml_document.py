"""Tests of the XML parser: encodings, repairs, entities and size limits."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hospital_xml import PERSON, digital, muse
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.errors import RecordingError
from ecgssl.io.formats import HEAD
from ecgssl.io.vendors.xml_document import (
    DEEPEST,
    LARGEST_XML,
    MOST_ELEMENTS,
    child_number,
    child_text,
    optional_number,
    read_xml,
    root_name,
)

ENTITIES = {
    "bomb": '<!DOCTYPE a [<!ENTITY x0 "ha"><!ENTITY x1 "&x0;&x0;&x0;&x0;"><!ENTITY x2 "&x1;&x1;&x1;&x1;">]><a>&x2;</a>',
    "external": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
    "parameter": '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]><a/>',
    "unparsed": '<!DOCTYPE a [<!NOTATION n SYSTEM "n"><!ENTITY x SYSTEM "file:///etc/hostname" NDATA n>]><a/>',
}

PIECES = [b"<", b"!--", b"-->", b"<?", b"?>", b"[", b"]>", b"<!DOCTYPE ", b"a", b"\0", b"\xff\xfe"]


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "document"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, **options) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        read_xml(path, **options)
    return caught.value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1", "cp1252"])
def test_encodings(tmp_path, encoding):
    declared = encoding.removesuffix("-sig").removesuffix("-le").removesuffix("-be")
    text = f'<?xml version="1.0" encoding="{declared}"?>\n<!-- é -->\n<n:root xmlns:n="urn:x" n:key="é"><n:b> ä </n:b></n:root>'
    data = text.encode(encoding)
    document = read_xml(write(tmp_path, data))
    assert (document.root.tag, document.root.get("key")) == ("root", "é")
    assert (child_text(document.root, "b"), document.repaired) == ("ä", ())
    assert root_name(data[:HEAD]) == "root"


@pytest.mark.parametrize("kind", ENTITIES)
def test_entities_are_refused_by_name(tmp_path, kind):
    error = refused(write(tmp_path, ENTITIES[kind]))
    assert error.reason == "entities"
    assert root_name(ENTITIES[kind].encode()) == "a", "recognised, so that the reader is the one to refuse it"


def test_a_document_type_is_allowed_and_never_fetched(tmp_path):
    """Every MUSE export has one; it is not fetched, so its entities are unknown."""
    assert read_xml(write(tmp_path, '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/restecg.dtd"><a/>')).root.tag == "a"
    error = refused(write(tmp_path, f'<!DOCTYPE a SYSTEM "file:///etc/hostname"><a>&{PERSON["family"]};</a>'))
    assert error.reason == "header"
    assert PERSON["family"] not in str(error)


def test_a_bare_ampersand_is_repaired_and_reported(tmp_path):
    path = write(tmp_path, "<a><b>Smith & Sons &amp; AT&T &#38; &x</b></a>")
    document = read_xml(path)
    assert child_text(document.root, "b") == "Smith & Sons & AT&T & &x"
    assert document.meta == {"repaired": ("ampersand",)}
    assert refused(path, repair=False).reason == "header"


def test_text_in_another_encoding_than_declared_is_taken_as_latin_1(tmp_path):
    document = read_xml(write(tmp_path, '<?xml version="1.0" encoding="UTF-8"?><a>Jürgen & Co</a>'.encode("latin-1")))
    assert (document.root.text, document.repaired) == ("Jürgen & Co", ("encoding", "ampersand"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no XML at all",
        "<a><b></a>",
        "<a",
        "<a>\0</a>",
        "<a>&Quetzalcoatlus;</a>",
        '<?xml version="1.0" encoding="utf-7"?><a/>',
        "<a>" * (DEEPEST + 1) + "</a>" * (DEEPEST + 1),
        "<a>" + "<b/>" * MOST_ELEMENTS + "</a>",
    ],
    ids=lambda text: text[:12] or "empty",
)
def test_what_is_not_well_formed_or_too_much(tmp_path, content):
    error = refused(write(tmp_path, content))
    assert error.reason == "header"
    assert PERSON["family"] not in str(error)


def test_size_is_limited_before_parsing(tmp_path):
    path = tmp_path / "large.xml"
    with path.open("wb") as stream:
        stream.truncate(LARGEST_XML + 1)
    assert refused(path).reason == "too_large"
    assert refused(tmp_path / "absent.xml").reason == "missing_file"
    assert refused(tmp_path).reason == "unreadable"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'<?xml version="1.0"?><!-- a > b --><?p x?>\n<RestingECG>', "RestingECG"),
        (b"<h:AnnotatedECG xmlns:h='x'>", "AnnotatedECG"),
        (b'<!DOCTYPE RestingECG SYSTEM "r.dtd">\n<RestingECG>', "RestingECG"),
        (b"<!DOCTYPE RestingECG [" + b'<!ENTITY a "b">' * 400, "RestingECG"),
        (b"<!-- a comment that does not end", None),
        (b"a,b\n1,2\n", None),
        (b"", None),
        (b"\xff\xfe<", None),
    ],
)
def test_root_is_found_in_the_first_bytes(head, expected):
    assert root_name(head[:HEAD]) == expected


@settings(max_examples=200, deadline=None)
@given(head=st.binary(max_size=300) | st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_any_bytes_have_a_root_or_none(head):
    name = root_name(head)
    assert name is None or name


def test_numbers_are_plain_decimal_numbers(tmp_path):
    text = "<a><b>4.88</b><c>-1e-3</c><d/><e>nan</e><f>1_0</f><g>1e999</g><h>12 uV</h></a>"
    path = write(tmp_path, text)
    root = read_xml(path).root
    assert [child_number(path, root, name) for name in "bcdx"] == [4.88, -1e-3, None, None]
    for name in "efgh":
        with pytest.raises(RecordingError) as caught:
            child_number(path, root, name)
        assert caught.value.reason == "header"
    assert [optional_number(root, name) for name in "bdefhx"] == [4.88, None, None, None, None, None]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_documents_are_read_or_refused(data):
    """Truncations, bit flips and insertions in a complete export."""
    content = bytearray(muse(digital(("I", "II"), samples=20)).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcome = read_xml(write(Path(folder), bytes(content))).root.tag
        except RecordingError as error:
            outcome = error.reason
    assert outcome in ("header", "entities") or outcome.isprintable()
