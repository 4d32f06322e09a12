"""Names with Markdown or HTML are shown as text in the model card."""

from __future__ import annotations

import pytest

from ecgssl.export.model_card import markdown_name, markdown_text


@pytest.mark.parametrize("name", ["MI", "1AVB (new)", "set synthetic, train 300"])
def test_usual_names_are_unchanged(name):
    assert markdown_text(name) == name
    assert markdown_name(name) == f"`{name}`"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ("a`b", "a\\`b"),
        ("[x](http://y)", "\\[x\\]\\(http://y\\)"),
        ("a | b\n# c", "a \\| b \\# c"),
    ],
)
def test_markup_is_escaped(name, shown):
    assert markdown_text(name) == shown
    assert markdown_name(name) == shown
